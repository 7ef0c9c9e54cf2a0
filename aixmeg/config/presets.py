"""Model sizes by name: `model: {preset: tiny}` in YAML; other keys of the section override the preset's.

`aixcoder_7b` is the published architecture (arXiv 2410.13187 and the aiXcoder-7B repository): 7.43 B parameters.
"""

from aixmeg.config.sections import ModelConfig

PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig(
        num_layers=4, hidden_size=256, ffn_hidden_size=704, num_attention_heads=8, num_query_groups=2,
        seq_length=512, vocab_size=8192,
    ),
    "1b": ModelConfig(
        num_layers=20, hidden_size=2048, ffn_hidden_size=5632, num_attention_heads=16, num_query_groups=4,
        seq_length=8192,
    ),
    "aixcoder_7b": ModelConfig(),
}  # fmt: skip
