"""The training loop: from a configuration and a dataset to checkpoints and metrics."""
