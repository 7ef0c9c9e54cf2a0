"""aixmeg: from a folder of repositories to a code model.

Importing the package imports nothing heavy: each subcommand loads what it needs.
"""

__version__ = "0.1.0"
