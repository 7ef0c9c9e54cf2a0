"""Native FP8 on this rank: single linears with given weights, and training as in model_worker."""

import dataclasses

import model_worker
import torch
from megatron.core import dist_checkpointing
from torch import Tensor

from aixmeg.config import Config, ParallelConfig
from aixmeg.model.builder import transformer_config
from aixmeg.model.fp8 import Fp8ColumnParallelLinear, Fp8RowParallelLinear
from aixmeg.model.fp8_scaling import DelayedScaling, Fp8Options, update_scales, with_scale_update
from aixmeg.parallel import adam_resume
from aixmeg.parallel.topology import Topology

S, B, K, N = 16, 2, 64, 32
RECIPES = ("delayed", "tensorwise", "rowwise")


def config(recipe: str | None, layout: dict, *, kept: bool = False) -> Config:
    """model_worker's model with a recipe; None for no FP8."""
    settings = model_worker.config(**layout)
    fp8 = {"fp8": "hybrid", "fp8_recipe": recipe} if recipe else {}
    return dataclasses.replace(
        settings, model=dataclasses.replace(settings.model, **fp8, first_last_layers_bf16=kept, fp8_amax_history_len=4)
    )


class Trainer(model_worker.Trainer):
    """With the end of a step that `aixmeg.train.build` installs."""

    def __init__(self, settings: Config) -> None:
        super().__init__(settings)
        core = self.chunks[0].config
        core.finalize_model_grads_func = with_scale_update(
            core.finalize_model_grads_func, self.topology.groups.tp_dp_cp
        )

    def state(self) -> list[Tensor]:
        """Delayed scaling's numbers of this rank's layers."""
        found = [m for chunk in self.chunks for m in chunk.modules() if isinstance(m, DelayedScaling)]
        return [getattr(module, name).clone() for module in found for name in DelayedScaling._SAVED]


def train(runs: list[tuple[str | None, dict, int]]) -> list[tuple[list[tuple[float, float]], list[Tensor]]]:
    """(loss, gradient norm) of each step, and the scales at the end, for each (recipe, layout, number of steps)."""
    found = []
    for recipe, layout, steps in runs:
        trainer = Trainer(config(recipe, layout))
        found.append(([trainer.step(number) for number in range(steps)], trainer.state()))
        trainer.close()
    return found


def _full(index: int, *shape: int) -> Tensor:
    """The same numbers on every rank, of uneven size, so that the ranks' largest magnitudes differ."""
    generator = torch.Generator().manual_seed(index)
    sizes = torch.exp2(3 * torch.randn(*shape[:-1], 1, generator=generator))
    columns = torch.exp2(2 * torch.randn(shape[-1], generator=generator))
    return torch.randn(*shape, generator=generator) * sizes * columns


def linears(layout: dict) -> dict[str, list[Tensor]]:
    """y, dx and dw, whole, of a column- and a row-parallel linear in every recipe; two steps, so that delayed scaling
    has a history in the second."""
    parallel = ParallelConfig(**layout)
    topology = Topology.create(parallel, 1)
    core = transformer_config(dataclasses.replace(config(None, {}), parallel=parallel))
    found = {}
    for recipe in RECIPES:
        for kind in (Fp8ColumnParallelLinear, Fp8RowParallelLinear):
            found[f"{recipe} {kind.__name__}"] = _linear(kind, recipe, core, topology)
    topology.destroy()
    return found


def _linear(kind: type, recipe: str, core, topology: Topology) -> list[Tensor]:
    column = kind is Fp8ColumnParallelLinear
    options = {"gather_output": False} if column else {"input_is_parallel": True}
    layer = kind(
        K, N, config=core, init_method=lambda w: w, bias=False, skip_bias_add=False, fp8=Fp8Options(recipe=recipe),
        tp_group=topology.tp_group, **options,
    )  # fmt: skip
    rank, size, sequence = topology.tp_rank, topology.tp_size, core.sequence_parallel

    def mine(whole: Tensor, axis: int, split: bool) -> Tensor:
        return whole.chunk(size, axis)[rank].contiguous() if split else whole

    with torch.no_grad():
        layer.weight.copy_(mine(_full(1, N, K), 0 if column else 1, True))
    results = []
    for step in range(2):
        x, dy = _full(2 + step, S, B, K), _full(4 + step, S, B, N) * 1e-3
        x = mine(x, 0, sequence) if column else mine(x, 2, True)
        dy = mine(dy, 2, True) if column else mine(dy, 0, sequence)
        x.requires_grad_()
        layer.weight.grad = None
        y, _ = layer(x)
        y.backward(dy)
        update_scales([layer], topology.groups.tp_dp_cp)
        results = [
            _whole(y.detach(), 2 if column else 0, topology, column or sequence),
            _whole(x.grad, 0 if column else 2, topology, sequence or not column),
            _whole(layer.weight.grad, 0 if column else 1, topology, True),
        ]
    return results


def _whole(part: Tensor, axis: int, topology: Topology, split: bool) -> Tensor:
    if not split:
        return part
    parts = [torch.empty_like(part) for _ in range(topology.tp_size)]
    torch.distributed.all_gather(parts, part.contiguous(), group=topology.tp_group)
    return torch.cat(parts, axis)


def resume(folder: str, layout: dict, other_layout: dict, kept: bool) -> dict:
    """Three steps, save, three more; a fresh trainer loads and repeats them; the state read in another layout."""
    first = Trainer(config("delayed", layout, kept=kept))
    for number in range(3):
        first.step(number)
    model_worker._save(first, folder)
    saved = first.state()
    straight = [first.step(number) for number in range(3, 6)]
    first_end = first.state()
    first.close()
    second = Trainer(config("delayed", layout, kept=kept))
    assert not any(state.any() for state in second.state()[::4])
    model_worker._load(second, folder)
    adam_resume.check_steps(second.optimizer, 3)
    loaded = second.state()
    resumed = [second.step(number) for number in range(3, 6)]
    second_end = second.state()
    second.close()
    third = Trainer(config("delayed", other_layout, kept=kept))
    state = dist_checkpointing.load(
        {"model": third.chunks[0].sharded_state_dict(metadata=model_worker._METADATA)}, folder
    )
    third.chunks[0].load_state_dict(state["model"])
    elsewhere = third.state()
    third.close()
    return {"straight": (straight, first_end), "resumed": (resumed, second_end), "saved": saved, "loaded": loaded,
            "elsewhere": elsewhere}  # fmt: skip
