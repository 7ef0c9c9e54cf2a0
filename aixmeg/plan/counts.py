"""Parameters and FLOPs from the configuration alone.

Legend: `h` hidden, `f` feed-forward, `v` vocabulary, `s` sequence, `L` layers; FLOPs count a multiply-add as two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aixmeg.config import Config
from aixmeg.plan.layout import Layout


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the plan knows of a decoder. Published runs that the plan is checked against are not all Llama's kind."""

    layers: int
    hidden: int
    ffn: int
    heads: int
    groups: int
    head_size: int
    vocabulary: int
    sequence: int
    tied: bool = False
    gated: bool = True
    """SwiGLU: the first product of the feed-forward layer is twice as wide."""

    @classmethod
    def of(cls, model: Any) -> Shape:
        """From the `model` section of a configuration."""
        return cls(
            layers=model.num_layers, hidden=model.hidden_size, ffn=model.ffn_hidden_size,
            heads=model.num_attention_heads, groups=model.num_query_groups, head_size=model.head_size,
            vocabulary=model.vocab_size, sequence=model.seq_length, tied=model.share_embeddings_and_output_weights,
        )  # fmt: skip

    @property
    def query_width(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_size

    @property
    def qkv_width(self) -> int:
        """Width of all query, key and value heads."""
        return (self.heads + 2 * self.groups) * self.head_size

    @property
    def fc1_width(self) -> int:
        """Width of the feed-forward layer's first product."""
        return self.ffn * (2 if self.gated else 1)

    @property
    def matrices_per_layer(self) -> int:
        """Weights of one layer's four products."""
        return self.hidden * (self.qkv_width + self.query_width + self.fc1_width + self.ffn)

    @property
    def parameters(self) -> int:
        """Parameters of the whole model."""
        norms = (2 * self.layers + 1) * self.hidden
        return self.layers * self.matrices_per_layer + norms + self.embedding * (1 if self.tied else 2)

    @property
    def embedding(self) -> int:
        """Weights of the embedding, and of the output layer."""
        return self.vocabulary * self.hidden


def chunk_parameters(shape: Shape, layout: Layout, *, layers: int, first: bool, last: bool) -> int:
    """Parameters that one tensor rank holds of a chunk of the pipeline: matrices are cut, norms are whole."""
    found = layers * (shape.matrices_per_layer // layout.tp + 2 * shape.hidden)
    found += shape.embedding // layout.tp * (first + last)
    if first and last and shape.tied:
        found -= shape.embedding // layout.tp
    return found + shape.hidden * last


def stage_parameters(config: Config, layout: Layout) -> list[list[int]]:
    """Parameters of one rank, `[stage][chunk]`: exact, also for tied embeddings, which the last stage has a copy of."""
    shape, split = Shape.of(config.model), layout.layers(config)
    return [
        [
            chunk_parameters(
                shape, layout, layers=layers,
                first=stage == 0 and chunk == 0, last=stage == layout.pp - 1 and chunk == layout.chunks - 1,
            )
            for chunk, layers in enumerate(chunks)
        ]
        for stage, chunks in enumerate(split)
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Flops:
    """FLOPs of training per token, forward and backward, without recomputation."""

    matrices: float
    """6 per weight of every product, the output layer's included, the embedding's look-up not."""
    attention_full: float
    """12·L·h·s: scores and values over the whole square (torchtitan, nanotron, llm-foundry)."""

    @property
    def attention_causal(self) -> float:
        """6·L·h·s: the half that causal attention needs (current Megatron-LM and Megatron Bridge)."""
        return self.attention_full / 2

    @property
    def full(self) -> float:
        """The convention of PaLM's MFU."""
        return self.matrices + self.attention_full

    @property
    def causal(self) -> float:
        """What is computed."""
        return self.matrices + self.attention_causal


def flops_per_token(shape: Shape) -> Flops:
    """FLOPs per trained token, in both conventions."""
    return Flops(
        matrices=6.0 * (shape.layers * shape.matrices_per_layer + shape.embedding),
        attention_full=12.0 * shape.layers * shape.query_width * shape.sequence,
    )
