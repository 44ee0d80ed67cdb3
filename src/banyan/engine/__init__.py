"""Run: one model on the machines you have. Read ``engine.py`` first."""
