"""megatron-core's GPT with our loss."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.models.gpt import GPTModel
from torch import Tensor

from aixmeg.config import LossConfig
from aixmeg.model.linear import ColumnLinear
from aixmeg.ops.cross_entropy import vocab_parallel_cross_entropy
from aixmeg.ops.linear_cross_entropy import CHUNK_ROWS, linear_cross_entropy


class OutputLayer(ColumnLinear):
    """megatron-core's output layer that can go on to the loss without holding the logits.

    The loss is made inside the module's call because megatron-core's DDP waits in the module's hook for weights that
    are still being gathered.
    """

    def forward(
        self,
        input_: Tensor,
        weight: Tensor | None = None,
        runtime_gather_output: bool | None = None,
        *,
        target: Tensor | None = None,
        chunk_rows: int = CHUNK_ROWS,
        **loss_options: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """`[s, b, h]` → logits `[s, b, v/tp]`; with `target` `[s, b]`, the loss `[s, b]` fp32, of which
        `loss_options` are those of `linear_cross_entropy`."""
        if target is None:
            return super().forward(input_, weight, runtime_gather_output)
        loss = linear_cross_entropy(
            input_,
            self.weight if weight is None else weight,  # type: ignore[arg-type] (the layer has one, or gets one)
            target,
            group=self.tp_group,  # type: ignore[arg-type] (never the int of its annotation)
            sequence_parallel=self.sequence_parallel,
            chunk_rows=chunk_rows,
            accumulate_into_main_grad=self.gradient_accumulation_fusion,
            **loss_options,
        )
        return loss, None


class CodeModel(GPTModel):
    """One pipeline stage, or one chunk of it, of the decoder.

    Built by `aixmeg.model.builder.build_model`. Legend: `s` sequence, `b` batch, `v` vocabulary, `tp` tensor ranks.
    """

    first_layer: int = 0
    """The chunk's first layer, counted from 0 over the model."""
    cross_entropy_chunk_rows: int | None = None
    """Tokens whose logits exist at once in the loss, `train.cross_entropy_chunk_rows`; None holds them all."""
    loss_terms: LossConfig = LossConfig()
    """What the loss has beside the cross-entropy; only in training mode."""
    z_losses: Tensor | None = None
    """`[b, s]` fp32 without gradient: what z-loss added to the newest loss; None without z-loss."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.post_process:
            self.output_layer.__class__ = OutputLayer  # GPTModel names its class itself; the state is the same

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """`[b, s]` tokens → loss `[b, s]` fp32 with `labels=`, else logits `[b, s, v/tp]`; hidden states where the
        chunk is not the last. The mask is a table of documents (`aixmeg.model.documents`); without one, attention is
        causal from position 0. `position_ids` are not read."""
        return super().forward(input_ids, position_ids, attention_mask, *args, **kwargs)  # type: ignore[arg-type]

    def _postprocess(self, hidden_states: Tensor, *args: Any, labels: Tensor | None = None, **kwargs: Any) -> Tensor:
        """What follows the decoder; hidden states are `[s, b, h]`, or `[s/tp, b, h]` with sequence parallelism.

        megatron-core makes the logits here and hands them to `compute_language_model_loss`; with
        `cross_entropy_chunk_rows`, output layer and loss are one op instead, which never holds them all.
        """
        rows = self.cross_entropy_chunk_rows
        if not self.post_process or labels is None or rows is None:
            return super()._postprocess(hidden_states, *args, labels=labels, **kwargs)
        weight = self.shared_embedding_or_output_weight() if self.share_embeddings_and_output_weights else None
        target = labels.transpose(0, 1).contiguous()  # [s, b]
        loss, _ = self.output_layer(
            hidden_states, weight=weight, target=target, chunk_rows=rows, **self._loss_options()
        )
        return loss.transpose(0, 1).contiguous()

    def compute_language_model_loss(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Cross-entropy per token: labels `[b, s]`, logits `[s, b, v/tp]` → `[b, s]` fp32."""
        target = labels.transpose(0, 1).contiguous()  # [s, b]
        loss = vocab_parallel_cross_entropy(logits, target, group=self.pg_collection.tp, **self._loss_options())
        return loss.transpose(0, 1).contiguous()

    def _loss_options(self) -> dict[str, Any]:
        """Of `vocab_parallel_cross_entropy` and `linear_cross_entropy`."""
        self.z_losses = None
        if not self.training:
            return {}
        terms = self.loss_terms
        return {"z_loss": terms.z_loss, "label_smoothing": terms.label_smoothing, "observe_z_loss": self._keep}

    def _keep(self, z_losses: Tensor) -> None:
        self.z_losses = z_losses.transpose(0, 1)  # [s, b] → [b, s]

    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        """Logits `[b, s, v]` of all tensor ranks' shards, on every rank, for evaluation and generation.

        Raises:
            ValueError: this chunk is not the whole model.
        """
        if not (self.pre_process and self.post_process):
            raise ValueError("logits() needs the whole model on each rank; load it with pipeline_model_parallel_size=1")
        length = tokens.shape[1]
        if self.config.sequence_parallel:  # the sequence is cut evenly; causal attention never sees the padding
            padding = -length % self.config.tensor_model_parallel_size
            tokens = torch.nn.functional.pad(tokens, (0, padding))
        return self(tokens, runtime_gather_output=True)[:, :length]
