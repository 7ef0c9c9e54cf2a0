"""One optimizer step: forward and backward over the micro-batches, gradient reduction, update.

Shapes: `b` micro-batch, `s` sequence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from megatron.core.pipeline_parallel import get_forward_backward_func
from megatron.core.utils import unwrap_model
from torch import Tensor

from aixmeg.train.batches import Batch
from aixmeg.train.build import Training
from aixmeg.train.kinds import KINDS, means_by_kind, sums_by_kind
from aixmeg.train.optimizer import set_hyperparameters


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step did, equal on all ranks."""

    loss: float
    """Mean over the tokens of the global batch, in nats, without z-loss."""
    ntp_loss: float | None = None
    """As `loss`, over the text of next-token examples; None where the batch has none."""
    middle_loss: float | None = None
    """As `loss`, over the middles of infilling examples; None where the batch has none."""
    z_loss: float | None = None
    """What z-loss adds to the mean; None where it is off."""
    grad_norm: float
    """Global norm before clipping."""
    attended: float | None = None
    """Sum of the squared lengths of the documents that attention kept apart; None where it crosses them."""
    flag: bool
    """Whether any rank was asked to stop."""
    save: bool = False
    """Whether any rank was asked for a checkpoint."""

    @property
    def finite(self) -> bool:
        """False when the loss or the gradient is NaN or infinite."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def train_step(
    training: Training,
    batches: Sequence[Batch],
    *,
    lr: float,
    flag: Callable[[], bool] = lambda: False,
    save: Callable[[], bool] = lambda: False,
) -> StepResult:
    """Train on this rank's micro-batches of one step; collective. `flag` and `save` of any rank reach every rank."""
    # 1. Forward and backward in the pipeline's schedule; gradients are averaged over tokens and data-parallel ranks.
    for model in training.wrapped:
        model.zero_grad_buffer()
    training.optimizer.zero_grad()
    sums = run_schedule(training, batches, _train_forward, forward_only=False)

    # 2. Clip and update.
    set_hyperparameters(training.optimizer, training.config.optimizer, lr=lr)
    _, grad_norm, _ = training.optimizer.step()

    # 3. Every rank learns the loss. It exists on the last stage; tensor-parallel ranks hold the same value.
    total = torch.zeros(5, dtype=torch.float64, device=training.device)
    parts = torch.zeros(len(KINDS) + 1, 2, dtype=torch.float64, device=training.device)  # the last row: `attended`
    if training.topology.is_last_stage and training.topology.tp_rank == 0:
        total[:3] = torch.stack([entry["sums"] for entry in sums]).sum(dim=0)
        parts[:-1] += torch.stack([entry["parts"] for entry in sums]).sum(dim=0)
        parts[-1] += (
            _attended(batches).to(parts.device) / training.topology.cp_size
        )  # each of them knows the whole sequences
    total[3], total[4] = float(flag()), float(save())
    dist.all_reduce(total)
    dist.all_reduce(parts)  # apart: in a longer vector the sums of `total` might be added in another order
    loss, labels, z_loss, flags, saves = total.tolist()
    labels = max(labels, 1.0)
    return StepResult(
        loss=(loss - z_loss) / labels,
        **means_by_kind(parts[:-1].tolist()),
        attended=parts[-1, 0].item() if parts[-1, 1] > 0 else None,
        z_loss=z_loss / labels if training.config.loss.z_loss > 0 else None,
        grad_norm=float(grad_norm or 0.0),
        flag=flags > 0,
        save=saves > 0,
    )


def run_schedule(
    training: Training, batches: Sequence[Batch], forward: Any, *, forward_only: bool, seq_length: int | None = None
) -> list[dict[str, Tensor]]:
    """Drive the micro-batches through the stages; what `forward`'s loss function reports, on the last stage only.
    `seq_length` is the batches' where it is not the model's."""
    models: list[Any] = list(training.wrapped)
    topology = training.topology
    mine = [batch.part(rank=topology.cp_rank, size=topology.cp_size) for batch in batches]
    iterators: list[Iterator[Batch]] = [iter(mine) for _ in models]
    return get_forward_backward_func()(
        forward_step_func=forward,
        data_iterator=iterators if len(models) > 1 else iterators[0],
        model=models if len(models) > 1 else models[0],
        num_microbatches=len(mine),
        seq_length=seq_length or training.config.model.seq_length,
        micro_batch_size=training.config.train.micro_batch_size,
        forward_only=forward_only,
    )


def rows_per_rank(training: Training, rows: int) -> int:
    """Rows of each data-parallel rank when `rows` are dealt out in whole micro-batches, equally many per rank, and as
    many as the interleaved schedule wants: a multiple of the stages."""
    topology = training.topology
    size = training.config.train.micro_batch_size * (topology.pp_size if topology.vp_size is not None else 1)
    return math.ceil(rows / (size * topology.dp_size)) * size


def _train_forward(batches: Iterator[Batch], model: Any) -> tuple[Tensor, Any]:
    batch = next(batches)
    losses = model(batch.tokens, attention_mask=batch.documents, labels=batch.labels)  # [b, s] on the last stage

    chunk: Any = unwrap_model(model)
    z_losses: Tensor | None = chunk.z_losses  # [b, s] of the losses just made

    def mean(losses: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        # The schedule divides the first in place, so the others must not share its memory.
        parts = _parts(losses, z_losses, batch.kinds)
        if batch.counted is None:
            return batch.mean(losses), {"sums": _sums(losses, z_losses), "parts": parts}
        kept = None if z_losses is None else z_losses[batch.counted]
        return batch.mean(losses), {"sums": _sums(losses[batch.counted], kept), "parts": parts}

    return losses, mean


def _attended(batches: Sequence[Batch]) -> Tensor:
    """[2] float64: sum of the squared lengths of the documents of this rank's micro-batches, and their number."""
    lengths = [batch.documents[:, 2] - batch.documents[:, 1] for batch in batches if batch.documents is not None]
    every = torch.cat(lengths) if lengths else torch.zeros(0)
    return torch.tensor([every.square().sum(), len(every)], dtype=torch.float64)


def _sums(losses: Tensor, z_losses: Tensor | None) -> Tensor:
    """[3] float64: sum of the losses, number of labels, sum of the parts that are z-loss."""
    sums = torch.zeros(3, dtype=torch.float64, device=losses.device)
    sums[0], sums[1] = losses.detach().double().sum(), losses.numel()
    if z_losses is not None:
        sums[2] = z_losses.double().sum()
    return sums


def _parts(losses: Tensor, z_losses: Tensor | None, kinds: Tensor | None) -> Tensor:
    """[2, 2] float64: sum of the losses without z-loss, and number of labels, of each kind."""
    if kinds is None:
        return torch.zeros(len(KINDS), 2, dtype=torch.float64, device=losses.device)
    exact = losses.detach().double()
    return sums_by_kind(exact if z_losses is None else exact - z_losses.double(), kinds)
