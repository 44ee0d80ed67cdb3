"""The shelf of models: what can be had, what is installed, what answers elsewhere."""
