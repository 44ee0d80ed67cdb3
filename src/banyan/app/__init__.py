"""The composition root: settings in, wired objects out; alone it knows every capability.

    app.py           App: what the product can do; read this first
    local_models.py  what a model of this machine needs before it can be loaded
    ingest.py        the process that adds uploaded files, as the server sees it
    __main__.py      what that process does

One ``App`` belongs to one process: the server's, a command's, or the ingest worker's. What needs
torch is imported when it is first used, so that a machine without it can do all the rest.
"""

from banyan.app.app import App

__all__ = ["App"]
