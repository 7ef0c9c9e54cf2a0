"""Trains a small model on this rank's share of fixed batches with megatron-core's DDP, schedules and optimizer."""

import dataclasses

import torch
from megatron.core import dist_checkpointing
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
from megatron.core.pipeline_parallel import get_forward_backward_func

from aixmeg.config import Config, ModelConfig, ParallelConfig, TokenizerConfig, TrainConfig
from aixmeg.model.builder import build_model
from aixmeg.model.names import named_parameters, parameter_table, unshard
from aixmeg.parallel import adam_resume
from aixmeg.parallel.topology import Topology

MICROBATCHES, MICRO_BATCH, SEQUENCE = 4, 2, 32
MODEL = ModelConfig(
    num_layers=4, hidden_size=64, ffn_hidden_size=96, num_attention_heads=4, num_query_groups=2,
    seq_length=SEQUENCE, vocab_size=128,
)  # fmt: skip
VPP = {
    "pipeline_model_parallel_size": 2,
    "virtual_pipeline_model_parallel_size": 2,
    "overlap_p2p_comm": True,
}


def config(
    *, precision: str = "fp32", tied: bool = False, cross_entropy_chunk_rows: int | None = None,
    gradient_accumulation_fusion: bool = False, **parallel,
) -> Config:  # fmt: skip
    train = TrainConfig(
        precision=precision, seed=7, cross_entropy_chunk_rows=cross_entropy_chunk_rows,
        gradient_accumulation_fusion=gradient_accumulation_fusion,
    )  # fmt: skip
    return Config(
        model=dataclasses.replace(MODEL, share_embeddings_and_output_weights=tied),
        tokenizer=TokenizerConfig(vocab_size=MODEL.vocab_size),
        parallel=ParallelConfig(**parallel),
        train=train,
    )


def batch(index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and labels `[b, s]` of global micro-batch `index`."""
    generator = torch.Generator().manual_seed(1000 + index)
    tokens = torch.randint(0, MODEL.vocab_size, (MICRO_BATCH, SEQUENCE + 1), generator=generator)
    tokens[:, 1::2] = tokens[:, 0:-1:2]  # every second token repeats the one before: something to learn
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


class Trainer:
    """The parts of a training step, at model level; the real loop is `aixmeg.train`."""

    def __init__(self, config: Config) -> None:
        self.topology = Topology.create(config.parallel, config.train.seed)
        parallel = config.parallel
        self.chunks = build_model(config, self.topology, device="cpu")
        ddp = DistributedDataParallelConfig(
            grad_reduce_in_fp32=True, use_distributed_optimizer=parallel.use_distributed_optimizer,
            overlap_grad_reduce=parallel.overlap_grad_reduce, overlap_param_gather=parallel.overlap_param_gather,
            bucket_size=20_000 if parallel.overlap_grad_reduce else None,
        )  # fmt: skip
        core = self.chunks[0].config
        self.models = [DistributedDataParallel(core, ddp, chunk) for chunk in self.chunks]
        dtype = core.params_dtype
        self.optimizer = get_megatron_optimizer(
            OptimizerConfig(
                optimizer="adam", lr=1e-3, weight_decay=0.1, adam_beta2=0.95, clip_grad=1.0, params_dtype=dtype,
                bf16=dtype == torch.bfloat16, use_distributed_optimizer=parallel.use_distributed_optimizer,
                overlap_param_gather=parallel.overlap_param_gather,
            ),
            self.models,
        )  # fmt: skip
        core.finalize_model_grads_func = finalize_model_grads
        core.grad_scale_func = self.optimizer.scale_loss
        syncs = [model.no_sync for model in self.models]
        core.no_sync_func = syncs if len(syncs) > 1 else syncs[0]

    def step(self, number: int) -> tuple[float, float]:
        """One optimizer step on the global batch `number`: mean loss over all ranks' samples, gradient norm."""
        topology = self.topology
        for model in self.models:
            model.zero_grad_buffer()
        self.optimizer.zero_grad()
        per_rank = MICROBATCHES // topology.dp_size
        first = number * MICROBATCHES + topology.dp_rank * per_rank
        iterators = [iter(range(first, first + per_rank)) for _ in self.models]
        results = get_forward_backward_func()(
            forward_step_func=_forward, data_iterator=iterators if len(iterators) > 1 else iterators[0],
            model=self.models if len(self.models) > 1 else self.models[0], num_microbatches=per_rank,
            seq_length=SEQUENCE, micro_batch_size=MICRO_BATCH, forward_only=False,
        )  # fmt: skip
        _, norm, _ = self.optimizer.step()
        # The last stage knows the loss; summing over all ranks counts it once per tensor rank.
        loss = torch.stack([r["loss"] for r in results]).sum() if results else torch.zeros(())
        torch.distributed.all_reduce(loss)
        return loss.item() / MICROBATCHES / topology.tp_size, float(norm)

    def close(self) -> None:
        self.topology.destroy()


def _forward(iterator, model):
    tokens, labels = batch(next(iterator))
    return model(tokens, None, None, labels=labels), _loss  # hidden states on all stages but the last


def _loss(per_token):
    mean = per_token.mean()
    return mean, {"loss": mean.detach().clone()}  # the schedule divides `mean` by the number of micro-batches in place


def losses(runs: list[tuple[dict, int]]) -> list[list[tuple[float, float]]]:
    """(loss, gradient norm) of each step for each (layout, number of steps), in the same processes."""
    found = []
    for layout, steps in runs:
        trainer = Trainer(config(**layout))
        found.append([trainer.step(number) for number in range(steps)])
        trainer.close()
    return found


def logits(layout: dict, length: int) -> torch.Tensor:
    """Logits `[b, length, v]` of the initial model."""
    settings = config(**layout)
    topology = Topology.create(settings.parallel, settings.train.seed)
    (model,) = build_model(settings, topology, device="cpu")
    found = model.logits(batch(0)[0][:, :length])
    topology.destroy()
    return found


def resume(folder: str, layout: dict) -> dict:
    """Three steps, save, three steps; then a fresh trainer that loads and repeats the last three."""
    first = Trainer(config(**layout))
    for number in range(3):
        first.step(number)
    _save(first, folder)
    straight = [first.step(number) for number in range(3, 6)]
    first.close()
    second = Trainer(config(**layout))
    _load(second, folder)
    adam_resume.check_steps(second.optimizer, 3)
    resumed = [second.step(number) for number in range(3, 6)]
    counters = [counter.item() for counter in adam_resume.step_counters(second.optimizer)]
    second.close()
    return {"straight": straight, "resumed": resumed, "counters": counters}


_METADATA = {"distrib_optim_sharding_type": "fully_reshardable", "distrib_optim_fully_reshardable_mem_efficient": False}


def _state(trainer: Trainer, *, is_loading: bool) -> dict:
    (chunk,) = trainer.chunks
    model = chunk.sharded_state_dict(metadata=_METADATA)
    optimizer = trainer.optimizer.sharded_state_dict(model, is_loading=is_loading, metadata=_METADATA)
    return {"model": model, "optimizer": optimizer}


def _save(trainer: Trainer, folder: str) -> None:
    dist_checkpointing.save(_state(trainer, is_loading=False), folder, content_metadata=_METADATA)


def _load(trainer: Trainer, folder: str) -> None:
    loaded = dist_checkpointing.load(_state(trainer, is_loading=True), folder)
    trainer.chunks[0].load_state_dict(loaded["model"])
    trainer.optimizer.load_state_dict(loaded["optimizer"])


def send_and_free() -> list[float]:
    """Rank 0 sends tensors and frees each at once, as megatron-core does with activations; what rank 1 received."""
    received = []
    for number in range(1, 21):
        if torch.distributed.get_rank() == 0:
            tensor = torch.full((5000,), float(number))
            work = torch.distributed.isend(tensor, 1)
            tensor.data = torch.empty(1)
            reused = torch.full((5000,), -1.0)  # the allocator hands the freed memory out again
            torch.distributed.barrier()
            work.wait()
            assert reused[0] == -1.0
        else:
            torch.distributed.barrier()  # received only after rank 0 has reused the memory
            tensor = torch.empty(5000)
            torch.distributed.recv(tensor, 0)
            received += tensor.unique().tolist()
    return received


def groups(layout: dict) -> dict:
    """This rank's place and the global ranks of its groups."""
    topology = Topology.create(ParallelConfig(**layout), seed=1)
    found = {
        name: getattr(topology, name) for name in ("tp_rank", "pp_rank", "dp_rank", "is_first_stage", "is_last_stage")
    }
    for name in ("tp_group", "pp_group", "dp_group"):
        found[name] = torch.distributed.get_process_group_ranks(getattr(topology, name))
    topology.destroy()
    return found


def initial_weights(layouts: list[dict]) -> list[dict[str, torch.Tensor]]:
    """Each layout's whole initial tensors by global name, gathered from all ranks (on every rank)."""
    table = parameter_table(MODEL)
    found = []
    for layout in layouts:
        settings = config(**layout)
        topology = Topology.create(settings.parallel, settings.train.seed)
        mine = [
            (info.name, topology.tp_rank, parameter.detach().clone())
            for chunk in build_model(settings, topology, device="cpu")
            for info, parameter in named_parameters(chunk, table, first_layer=chunk.first_layer)
        ]
        everyone: list = [None] * topology.world_size
        torch.distributed.all_gather_object(everyone, mine)
        shards = {(name, tp_rank): tensor for part in everyone for name, tp_rank, tensor in part}
        found.append({
            name: unshard(info, [shards[name, rank] for rank in range(topology.tp_size)])
            for name, info in table.items()
        })  # fmt: skip
        topology.destroy()
    return found
