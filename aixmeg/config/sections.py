"""Every option of aixmeg, one frozen dataclass per section of the YAML file.

The string below a field is its documentation: `aixmeg COMMAND --help` prints it. Sizes are in bytes, lengths in
tokens, unless a name says otherwise. Nothing here imports torch; nothing mutates after parsing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aixmeg.config.blend import BlendPart
from aixmeg.config.rampup import Rampup

DocumentUnit = Literal["example", "repository"]
"""What attention may be kept inside of."""


@dataclass(frozen=True, kw_only=True)
class PathsConfig:
    """Where each stage writes; the next stage reads it there."""

    root: Path = Path()
    """Folder that the other paths are relative to."""
    corpus: Path = Path("corpus")
    """Cleaned source files, as JSON lines with a report."""
    tokenizer: Path = Path("tokenizer")
    """tokenizer.model and the Hugging Face tokenizer."""
    data: Path = Path("data")
    """Token ids as Megatron indexed datasets: train.bin/.idx and valid.bin/.idx."""
    run: Path = Path("run")
    """Run directory of the training: resolved config, metrics, checkpoints."""

    def at(self, name: Literal["corpus", "tokenizer", "data", "run"]) -> Path:
        """The path of one stage, resolved against `root`."""
        return self.root / getattr(self, name)


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """SentencePiece BPE over code."""

    vocab_size: int = 49_152
    """Number of pieces, special and byte pieces included."""
    max_training_bytes: int = 50_000_000
    """Text sampled for training, taken evenly over the corpus; 0 means all of it."""
    seed: int = 1234
    """Decides which files are sampled."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A Llama-family decoder: RMSNorm, SwiGLU, rotary embedding, grouped-query attention, no biases."""

    num_layers: int = 32
    """Transformer layers."""
    hidden_size: int = 4096
    """Width of the residual stream."""
    ffn_hidden_size: int = 14_464
    """Width of the gated feed-forward layer."""
    num_attention_heads: int = 32
    """Query heads."""
    num_query_groups: int = 8
    """Key-value heads; equal to num_attention_heads means multi-head attention."""
    kv_channels: int | None = None
    """Width of one head; null means hidden_size / num_attention_heads."""
    seq_length: int = 32_768
    """Context length, and the length of one training sample."""
    vocab_size: int = 49_152
    """Rows of the embedding; must equal the tokenizer's."""
    rotary_base: float = 256_000.0
    """Base of the rotary embedding's frequencies (theta)."""
    layernorm_epsilon: float = 1e-5
    """Added to the mean square in RMSNorm."""
    init_method_std: float = 0.02
    """Standard deviation of the initial weights."""
    share_embeddings_and_output_weights: bool = False
    """Tie the output layer to the embedding."""
    layer_set: Literal["native", "te"] = "native"
    """native: the kernels of csrc/ and torch attention; te: Transformer Engine modules."""
    attention_backend: Literal["auto", "flash", "sdpa"] = "auto"
    """flash: FlashAttention or an error; sdpa: whatever torch chooses, one call per document; auto: torch's choice, and
    one FlashAttention call for all documents of a sample where a GPU has it. te knows auto and flash."""
    fp8: Literal["hybrid", "e4m3"] | None = None
    """FP8 matrix products: hybrid takes e5m2 for gradients, e4m3 for all else; null computes in train.precision."""
    fp8_recipe: Literal["delayed", "tensorwise", "rowwise", "blockwise", "mxfp8"] = "tensorwise"
    """Scaling recipe, used when fp8 is set; rowwise is native only, blockwise and mxfp8 are te only."""
    fp8_margin: int = 0
    """Powers of two that scales stay below what the largest magnitude allows."""
    fp8_amax_history_len: int = 16
    """Steps whose largest magnitudes delayed scaling looks back on."""
    fp8_keep_weights: bool = False
    """Quantise each weight once per step and hold both of its layouts, 2 bytes per weight and rank; false quantises at
    each use, so for every micro-batch. Native only."""
    first_last_layers_bf16: bool = False
    """Keep the first and the last layers out of FP8."""
    num_layers_at_start_in_bf16: int = 1
    """Layers kept at the start, used with first_last_layers_bf16."""
    num_layers_at_end_in_bf16: int = 1
    """Layers kept at the end, used with first_last_layers_bf16."""

    @property
    def head_size(self) -> int:
        """Width of one attention head, `hn` in shape comments."""
        return self.kv_channels or self.hidden_size // self.num_attention_heads


ANY_WEIGHTS = (
    "layer_set", "attention_backend", "fp8", "fp8_recipe", "fp8_margin", "fp8_amax_history_len", "fp8_keep_weights",
    "first_last_layers_bf16", "num_layers_at_start_in_bf16", "num_layers_at_end_in_bf16",
)  # fmt: skip
"""Options of the model that change how it computes, not what its weights are: a checkpoint is read with any of them,
and a field that a checkpoint is too old to know of belongs here."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with cosine decay after linear warmup."""

    lr: float = 3e-4
    """Peak learning rate."""
    min_lr: float = 3e-5
    """Learning rate at the end of the decay."""
    warmup_steps: int = 100
    """Steps of linear warmup from zero."""
    decay_steps: int | None = None
    """Step at which min_lr is reached; null means train.steps."""
    weight_decay: float = 0.1
    """Applied to matrices, not to norm weights."""
    adam_beta1: float = 0.9
    """Decay of the first moment."""
    adam_beta2: float = 0.95
    """Decay of the second moment."""
    adam_eps: float = 1e-8
    """Added to the square root of the second moment."""
    clip_grad: float = 1.0
    """Largest global gradient norm; 0 disables clipping."""
    exp_avg_dtype: Literal["fp32", "bf16"] = "fp32"
    """How the first moment is stored; bf16 saves 2 bytes per parameter, shared by the data-parallel ranks."""
    exp_avg_sq_dtype: Literal["fp32", "bf16"] = "fp32"
    """How the second moment is stored. In bf16 it stops moving once a step changes it by less than 1/512 of itself,
    which with adam_beta2 above 0.998 is soon."""
    backend: Literal["auto", "aixmeg", "apex", "te", "torch"] = "auto"
    """Whose AdamW, gradient norm and clipping: aixmeg: the kernels of csrc/; apex and te: NVIDIA's, where installed;
    torch: a loop over tensors. auto takes te, else apex, else aixmeg; `aixmeg doctor` shows which."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The training loop."""

    steps: int = 1000
    """Optimizer steps of the whole run."""
    global_batch_size: int = 8
    """Samples per step over all data-parallel ranks."""
    rampup_batch_size: Rampup | None = None
    """[size of the first step, increment, samples until global_batch_size is reached]; the learning rate goes on by
    steps. null gives every step global_batch_size."""
    micro_batch_size: int = 1
    """Samples per forward pass of one rank."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Compute type; bf16 keeps fp32 master weights and gradients."""
    document_mask: DocumentUnit | None = None
    """Keep attention inside an example (a file, or files laid out together) or a repository, if a sample has several
    (Megatron's reset_attention_mask); null attends to all of the sample."""
    reset_position_ids: bool = False
    """With document_mask, count positions from 0 in each document; false counts them in the sample, which for a rotary
    embedding is the same but for rounding."""
    cross_entropy_chunk_rows: int | None = 1024
    """Tokens whose logits exist at once: the loss of more is made in chunks, and all logits but the last chunk's are
    made a second time in the backward pass; null holds the logits of the whole micro-batch."""
    gradient_accumulation_fusion: bool = True
    """Add weight gradients of linear layers to the fp32 gradient buffer in the matrix product itself; false makes each
    in train.precision first."""
    seed: int = 1234
    """Initial weights and the order of samples."""
    deterministic_mode: bool = False
    """On GPUs, take only kernels that give the same bits every time, some of them slower, so that a resumed run equals
    the unbroken one bit for bit; on CPUs it always does."""
    blend: tuple[BlendPart, ...] = ()
    """Datasets to mix, each {path, weight, name}, such as [{path: code, weight: 0.7}, {path: docs, weight: 0.3}]; empty
    trains on paths.data alone."""
    init_from: Path | None = None
    """Run directory whose newest weights to start from, such as `aixmeg convert from-hf` makes; the optimizer and the
    steps begin anew. null starts from random weights."""
    log_interval: int = 1
    """Steps between metric lines."""
    eval_interval: int = 100
    """Steps between validations; 0 validates at the end only."""
    eval_samples: int = 64
    """Held-out samples per validation, of each dataset of a blend, the same ones each time."""
    eval_infills: int = 0
    """Held-out middles per validation, of each dataset of a blend, that the model completes greedily, the same ones
    each time, spread over the languages: exact match and edit similarity; 0 disables."""
    eval_infill_tokens: int = 64
    """Longest of these middles in tokens, with the one that closes it: so many forward passes at most."""
    eval_infill_context: int = 2048
    """Longest prompt of them plus eval_infill_tokens, in tokens; model.seq_length where that is less."""
    save_interval: int = 500
    """Steps between checkpoints; 0 saves at the end only."""
    keep_checkpoints: int = 2
    """Newest checkpoints kept; 0 keeps all."""
    num_threads: int = 1
    """CPU threads per rank."""
