"""HTTP: the API, the OpenAI-compatible API and the console. Read ``main.py`` first."""
