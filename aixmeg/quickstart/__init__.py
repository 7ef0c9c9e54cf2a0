"""The whole path on one machine, as one command."""
