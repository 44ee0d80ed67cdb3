"""Banyan: run, know and operate with large language models on the machines you have.

Importing the package costs nothing: every capability is a folder that is imported when it is used.
"""

__version__ = "0.1.0"
