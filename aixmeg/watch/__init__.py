"""Ranks that watch each other beside the training: who died, hung or is slow, said once. Imports no torch."""
