"""Training data: the builder of Megatron indexed datasets, and the training and held-out views of them."""
