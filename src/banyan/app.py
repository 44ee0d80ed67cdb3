"""The composition root: settings in, wired objects out; alone it knows every capability."""
