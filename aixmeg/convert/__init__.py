"""Native checkpoints to Hugging Face Llama folders and back: one table of names, a writer, a check of the logits."""
