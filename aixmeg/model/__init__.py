"""The Llama-family model on megatron-core's layers: layer sets, parameter table, initial weights, builder.

Nothing is imported here, so that `aixmeg.model.names` (shapes and shards alone) loads without megatron-core.
"""
