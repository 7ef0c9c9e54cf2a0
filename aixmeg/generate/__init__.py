"""Infilling at a cursor: prompts from files, greedy decoding from a run directory or a Hugging Face folder."""
