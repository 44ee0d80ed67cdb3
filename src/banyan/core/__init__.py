"""The words every capability shares; the standard library only."""
