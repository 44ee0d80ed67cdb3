"""The command ``banyan``. Read ``main.py`` first."""
