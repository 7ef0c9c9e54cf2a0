"""The process groups as one frozen object that is passed in, instead of global look-ups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import torch
from megatron.core import parallel_state
from megatron.core.process_groups_config import ProcessGroupCollection
from megatron.core.tensor_parallel.random import model_parallel_cuda_manual_seed
from torch.distributed import ProcessGroup

from aixmeg.config import ParallelConfig
from aixmeg.errors import UserError
from aixmeg.parallel import adam_resume


@dataclass(frozen=True, kw_only=True)
class Topology:
    """This rank's place in the tensor x context x data x pipeline grid; ranks of a tensor group are neighbours."""

    rank: int
    """Position among all ranks."""
    world_size: int
    """Number of ranks."""
    tp_group: ProcessGroup
    """Ranks that share each layer's matrices."""
    tp_rank: int
    tp_size: int
    pp_group: ProcessGroup
    """Ranks that share the layers, in the order of the stages."""
    pp_rank: int
    pp_size: int
    cp_group: ProcessGroup
    """Ranks that hold the same weights and share each sample."""
    cp_rank: int
    cp_size: int
    dp_group: ProcessGroup
    """Ranks that hold the same weights and read other samples."""
    dp_rank: int
    dp_size: int
    vp_size: int | None
    """Model chunks per pipeline rank, None without the interleaved schedule."""
    backend: str
    """gloo or nccl."""
    groups: ProcessGroupCollection
    """All groups as megatron-core's modules take them (`pg_collection=`)."""

    @classmethod
    def create(cls, config: ParallelConfig, seed: int, *, timeout: timedelta = timedelta(minutes=10)) -> Topology:
        """Make the groups (all ranks call it, after `launch.start`) and seed the generators.

        Raises:
            UserError: the ranks cannot be divided into whole copies of the model.
        """
        world_size = torch.distributed.get_world_size()
        size = config.model_parallel_size
        if world_size % size:
            context = f" x context {config.context_parallel_size}" * (config.context_parallel_size > 1)
            raise UserError(
                f"{world_size} ranks cannot hold whole copies of the model: tensor "
                f"{config.tensor_model_parallel_size}{context} x pipeline {config.pipeline_model_parallel_size} = "
                f"{size} ranks each; start a multiple of {size}"
            )
        parallel_state.initialize_model_parallel(
            tensor_model_parallel_size=config.tensor_model_parallel_size,
            pipeline_model_parallel_size=config.pipeline_model_parallel_size,
            virtual_pipeline_model_parallel_size=config.virtual_pipeline_model_parallel_size,
            context_parallel_size=config.context_parallel_size,
            distributed_timeout_minutes=max(1, int(timeout.total_seconds()) // 60),
        )
        adam_resume.install()
        groups = ProcessGroupCollection.use_mpu_process_groups()
        topology = cls(
            rank=torch.distributed.get_rank(), world_size=world_size,
            tp_group=groups.tp, tp_rank=groups.tp.rank(), tp_size=groups.tp.size(),
            pp_group=groups.pp, pp_rank=groups.pp.rank(), pp_size=groups.pp.size(),
            cp_group=groups.cp, cp_rank=groups.cp.rank(), cp_size=groups.cp.size(),
            dp_group=groups.dp, dp_rank=groups.dp.rank(), dp_size=groups.dp.size(),
            vp_size=config.virtual_pipeline_model_parallel_size, backend=torch.distributed.get_backend(), groups=groups,
        )  # fmt: skip
        topology.seed(seed)
        return topology

    def seed(self, seed: int) -> None:
        """Seed torch and megatron-core's tracker of generators (dropout, recomputation); stages differ, replicas
        do not. Initial weights and the order of samples have their own keyed randomness and do not depend on this."""
        seed += 100 * self.pp_rank
        torch.manual_seed(seed)
        model_parallel_cuda_manual_seed(seed)

    @property
    def is_first_stage(self) -> bool:
        """Whether this rank holds the embedding."""
        return self.pp_rank == 0

    @property
    def is_last_stage(self) -> bool:
        """Whether this rank holds the output layer and computes the loss."""
        return self.pp_rank == self.pp_size - 1

    def is_first_chunk(self, vp_stage: int | None) -> bool:
        """Whether model chunk `vp_stage` of this rank starts with the embedding."""
        return self.is_first_stage and not vp_stage

    def is_last_chunk(self, vp_stage: int | None) -> bool:
        """Whether model chunk `vp_stage` of this rank ends with the output layer."""
        return self.is_last_stage and (self.vp_size is None or vp_stage == self.vp_size - 1)

    def destroy(self) -> None:
        """Destroy megatron-core's groups, so that another topology can be made in this process."""
        parallel_state.destroy_model_parallel()
