"""Know: documents in, cited answers out. Read ``library.py`` first."""
