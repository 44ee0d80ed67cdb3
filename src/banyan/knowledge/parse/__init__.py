"""Files in, documents out. Read ``parse.py`` first."""
