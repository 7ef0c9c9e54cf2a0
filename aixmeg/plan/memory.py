"""Bytes that one rank's tensors take at the peak of a step, by part.

Counts what the native layer set saves for its backward passes and the largest temporaries around the peak; measured
tensors of CPU runs are within 10 % of it (tests/dist/test_plan_memory.py). Legend: `n` tokens of a micro-batch on this
rank, `h` hidden, `f` feed-forward, `v` vocabulary, `e` bytes of an element in train.precision.
"""

from __future__ import annotations

from dataclasses import dataclass

from aixmeg.config import Config
from aixmeg.plan.counts import Shape, stage_parameters
from aixmeg.plan.layout import Layout

FP32 = 4
_MOMENT = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one rank at its peak."""

    weights: float
    gradients: float
    """The fp32 buffer that gradients are accumulated and reduced in."""
    optimizer: float
    """Moments, and fp32 master weights where the weights are bf16."""
    activations: float
    """What all micro-batches in flight keep for their backward passes."""
    buffers: float
    """Temporaries at the peak: logits and their gradients, gathered sequences, a layer's gradients, the batch."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.buffers

    def parts(self) -> dict[str, float]:
        """By name."""
        return {name: getattr(self, name) for name in ("weights", "gradients", "optimizer", "activations", "buffers")}


def memory_of_stages(config: Config, layout: Layout, *, wide_products: bool = False) -> list[Memory]:
    """Of each pipeline stage's ranks.

    Args:
        wide_products: bf16 operands are widened to fp32 for products and attention, as aixmeg does on CPUs without
            bf16 instructions (`aixmeg.ops.products`).
    """
    parameters = stage_parameters(config, layout)
    return [_Rank(config, layout, stage, wide_products).memory(sum(parameters[stage])) for stage in range(layout.pp)]


def peak_memory(config: Config, layout: Layout) -> tuple[int, Memory]:
    """The fullest stage, counted from 0, and its memory."""
    found = memory_of_stages(config, layout)
    stage = max(range(layout.pp), key=lambda index: found[index].total)
    return stage, found[stage]


class _Rank:
    """One rank of a stage: the sizes that the parts have in common."""

    def __init__(self, config: Config, layout: Layout, stage: int, wide_products: bool) -> None:
        self.config, self.layout, self.stage = config, layout, stage
        self.shape = Shape.of(config.model)
        self.e = 2 if config.train.precision == "bf16" else FP32
        self.product = FP32 if wide_products and self.e == 2 else self.e
        self.widened = self.product != self.e
        self.n = layout.micro_batch_size * config.model.seq_length // layout.cp
        self.split = layout.tp if layout.sp else 1
        self.residual = self.n * self.shape.hidden // self.split * self.e
        self.gathered = self.n * self.shape.hidden * self.e if layout.sp else 0
        self.first, self.last = stage == 0, stage == layout.pp - 1
        self.layers = layout.layers(config)[stage]

    def memory(self, parameters: int) -> Memory:
        config, layout = self.config, self.layout
        states = _MOMENT[config.optimizer.exp_avg_dtype] + _MOMENT[config.optimizer.exp_avg_sq_dtype]
        states += FP32 if self.e == 2 else 0
        shared = layout.dp * layout.cp if config.parallel.use_distributed_optimizer else 1
        # The peak is where the loss of a micro-batch is differentiated, or the layer before it; or, where little is
        # kept, the embedding's gradient at the end.
        chunk = max(self.kept(layers) for layers in self.layers)
        activations = self.chunks_in_flight() * chunk + self.kept_by_loss()
        buffers = max(self.loss_buffers(), self.layer_buffers() - self.kept_by_loss())
        if self.first:
            buffers = max(buffers, self.shape.embedding // layout.tp * self.e - chunk - self.kept_by_loss())
        return Memory(
            weights=parameters * self.e,
            gradients=parameters * FP32,
            optimizer=parameters * states / shared,
            activations=activations,
            buffers=buffers + self.fixed_buffers(),
        )

    # What is kept for the backward pass
    def layer_kept(self) -> float:
        """By one layer that is not recomputed: inputs of the two norms and the four products, queries, keys, values,
        attention's output, both halves of SwiGLU."""
        shape, layout, n, e = self.shape, self.layout, self.n, self.e
        operand = 1 if self.config.model.fp8 else e  # FP8 products keep their inputs as bytes
        residual = 2 * self.residual + 2 * self.residual // e * operand + 2 * FP32 * n // self.split
        attention = (shape.qkv_width + shape.query_width) * self.product + shape.heads * FP32
        if layout.recompute == "selective":  # attention's output and the sums of its exponentials are made again
            attention = shape.qkv_width * e
        copied = layout.micro_batch_size > 1 or operand != e or self.widened or layout.recompute == "selective"
        attention += shape.query_width * operand if copied else 0  # else the projection reads attention's own output
        feed_forward = shape.fc1_width * e + shape.ffn * operand
        return residual + n * (attention + feed_forward) / layout.tp

    def kept(self, layers: int) -> float:
        """By a chunk of the pipeline."""
        layout = self.layout
        if layout.recompute != "full":
            return layers * self.layer_kept()
        if layout.recompute_method == "block":
            again = min(layout.recompute_num_layers, layers)
            return again * self.residual + (layers - again) * self.layer_kept()
        return -(-layers // layout.recompute_num_layers) * self.residual

    def kept_by_loss(self) -> float:
        """Input and output of the last norm, and logits (the last chunk's, or all)."""
        if not self.last:
            return 0.0
        return 2 * self.residual + FP32 * self.n // self.split + self.logits()

    def logits(self) -> float:
        rows = min(self.config.train.cross_entropy_chunk_rows or self.n, self.n)
        size = self.product if self.config.train.cross_entropy_chunk_rows else self.e
        return rows * self.shape.vocabulary // self.layout.tp * size

    def chunks_in_flight(self) -> int:
        """Forward passes whose backward pass has not ended, at most: megatron-core's warm-up and the one after it."""
        layout, micro_batches = self.layout, max(1, self.layout.micro_batches(self.config))
        behind = layout.pp - self.stage - 1
        if layout.vpp is None:
            return min(behind + 1, micro_batches)
        return min(2 * behind + (layout.chunks - 1) * layout.pp + 1, micro_batches * layout.chunks)

    # Temporaries
    def loss_buffers(self) -> float:
        """While the loss is differentiated, beside what is kept."""
        if not self.last:
            return 0.0
        shape, layout = self.shape, self.layout
        weight, whole = shape.embedding // layout.tp, self.n * shape.hidden * self.e
        if self.config.train.cross_entropy_chunk_rows is None:
            # The gradient of all logits; then, with the logits gone, of hidden states and weights.
            wide = (self.n * shape.vocabulary // layout.tp + weight) * FP32 * self.widened
            wgrad = 0 if self.config.train.gradient_accumulation_fusion else self.e
            return max(self.logits(), whole + self.gathered + weight * wgrad + wide)
        copies = (0 if self.config.train.gradient_accumulation_fusion else FP32) + self.product * self.widened
        rows = min(self.config.train.cross_entropy_chunk_rows, self.n)
        handed_over = weight * self.e if self.e != FP32 else 0
        per_chunk = max(rows * shape.hidden * self.product, handed_over - self.logits())
        return whole + self.gathered + weight * copies + per_chunk

    def layer_buffers(self) -> float:
        """While the last layer is differentiated, beside what is kept before it; with recomputation, its own
        activations too."""
        shape, tp, n, e = self.shape, self.layout.tp, self.n, self.e
        inner, both = n * shape.ffn // tp * e, n * shape.fc1_width // tp * e
        wgrad = 0 if self.config.train.gradient_accumulation_fusion else e
        fc2 = self.gathered + inner + shape.hidden * shape.ffn // tp * wgrad
        fc1 = self.gathered + n * shape.hidden * e + shape.hidden * shape.fc1_width // tp * wgrad - inner
        if self.widened:  # gradient, weight and result
            fc1 += (n * shape.fc1_width + shape.hidden * shape.fc1_width + n * shape.hidden * tp) / tp * FP32
            fc2 += (n * shape.ffn + shape.hidden * shape.ffn + n * shape.hidden * tp) / tp * FP32
        again = 0.0
        if self.layout.recompute == "full":
            uniform = self.layout.recompute_method == "uniform"
            again = self.layer_kept() * (self.layout.recompute_num_layers if uniform else 1)
        return self.residual + max(fc2, both, fc1) + again

    def fixed_buffers(self) -> float:
        """The step's tokens and labels, rotary tables, and what the pipeline receives."""
        config, layout = self.config, self.layout
        samples = config.train.global_batch_size // layout.dp
        tables = config.model.seq_length * self.shape.head_size * FP32
        received = 2 * self.residual if layout.pp > 1 else 0
        return samples * config.model.seq_length * 2 * 8 + tables + received
