"""How the model is laid over ranks. The rules stand in `config/layout.py`, since they look at the model too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """How the model is laid over ranks; data parallelism takes the ranks that are left."""

    tensor_model_parallel_size: int = 1
    """Ranks that share each layer's matrices."""
    sequence_parallel: bool = False
    """Split norms and residuals along the sequence over the tensor ranks."""
    pipeline_model_parallel_size: int = 1
    """Ranks that share the layers."""
    virtual_pipeline_model_parallel_size: int | None = None
    """Model chunks per pipeline rank (interleaved schedule); null disables it."""
    num_layers_in_first_pipeline_stage: int | None = None
    """Layers of the first stage, which also has the embedding; null divides evenly."""
    num_layers_in_last_pipeline_stage: int | None = None
    """Layers of the last stage, which also has the output layer and the loss; null divides evenly."""
    account_for_embedding_in_pipeline_split: bool = False
    """Count the embedding as a layer when layers are divided over the stages."""
    account_for_loss_in_pipeline_split: bool = False
    """Count the output layer with the loss as a layer when layers are divided over the stages."""
    context_parallel_size: int = 1
    """Ranks that share each sequence."""
    overlap_p2p_comm: bool = False
    """Overlap pipeline sends with compute; the interleaved schedule requires it."""
    recompute_granularity: Literal["selective", "full"] | None = None
    """Activations made again in the backward pass: those of recompute_modules, or of whole layers; null keeps all."""
    recompute_modules: tuple[Literal["core_attn", "mlp"], ...] = ("core_attn",)
    """What selective recomputation makes again."""
    recompute_method: Literal["uniform", "block"] | None = None
    """Full recomputation: `uniform` keeps the input of every recompute_num_layers-th layer, `block` recomputes the
    first recompute_num_layers layers of each chunk and keeps the others whole; null with any other granularity."""
    recompute_num_layers: int | None = None
    """See recompute_method; null with any other granularity."""
    use_distributed_optimizer: bool = True
    """Shard optimizer states over data-parallel ranks (ZeRO-1)."""
    overlap_grad_reduce: bool = False
    """Reduce gradients while the backward pass runs."""
    overlap_param_gather: bool = False
    """Gather updated weights while the forward pass runs; needs overlap_grad_reduce."""

    @property
    def model_parallel_size(self) -> int:
        """Ranks that work on one sample together: tensor x context x pipeline."""
        return self.tensor_model_parallel_size * self.context_parallel_size * self.pipeline_model_parallel_size
