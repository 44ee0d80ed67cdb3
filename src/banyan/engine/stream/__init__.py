"""Weights that pass through little memory, layer by layer. Read ``streamed.py`` first."""
