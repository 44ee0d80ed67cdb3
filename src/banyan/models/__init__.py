"""The shelf of models: what there is, where it lies, and remote ones that speak the OpenAI API."""
