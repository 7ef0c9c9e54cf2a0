"""Evaluation: benchmarks, scorers, a sandbox for generated programs, and the command that puts them together."""
