"""What the ranks of test_fused_optimizer.py run: the trainer of model_worker with a chosen optimizer backend."""

import dataclasses

import model_worker
import torch
from megatron.core.optimizer import OptimizerConfig
from model_worker import Trainer, _load, _save, config

from aixmeg.parallel import adam_resume
from aixmeg.train import optimizer_backend

Steps = list[tuple[float, float]]
"""(loss, gradient norm) of each step."""


def losses(runs: list[tuple[str, dict]], steps: int) -> list[Steps]:
    """Each (backend, layout)'s steps, in the same processes."""
    found = []
    for backend, layout in runs:
        optimizer_backend.install(backend)
        trainer = Trainer(config(**layout))
        assert {type(inner).__module__.split(".")[0] for inner in _inner(trainer)} == {backend}
        found.append([trainer.step(number) for number in range(steps)])
        trainer.close()
    return found


def resume(folder: str, saved_by: str, loaded_by: str, layout: dict, trainer: type[Trainer] = Trainer) -> dict:
    """Three steps, save, three steps; then a fresh trainer that loads and repeats the last three."""
    optimizer_backend.install(saved_by)
    first = trainer(config(**layout))
    for number in range(3):
        first.step(number)
    _save(first, folder)
    straight = [first.step(number) for number in range(3, 6)]
    first.close()
    optimizer_backend.install(loaded_by)
    second = trainer(config(**layout))
    _load(second, folder)
    adam_resume.check_steps(second.optimizer, 3)
    resumed = [second.step(number) for number in range(3, 6)]
    counters = {counter.item() for counter in adam_resume.step_counters(second.optimizer)}
    second.close()
    return {"straight": straight, "resumed": resumed, "counters": counters}


def resume_bf16_moments(folder: str, precision: str) -> dict:
    """`resume` with both moments in bf16, and the kinds of the states that the optimizer held."""

    def rounded(**options):
        settings = OptimizerConfig(**options)
        optimizer_backend.hold_moments(settings, torch.bfloat16, torch.bfloat16)
        return settings

    kinds = set()

    class Watched(Trainer):
        def close(self):
            for state in _inner(self)[0].state.values():
                kinds.update((name, str(value.dtype)) for name, value in state.items())
            super().close()

    model_worker.OptimizerConfig = rounded
    return {**resume(folder, "aixmeg", "aixmeg", {"precision": precision}, trainer=Watched), "kinds": kinds}


def _inner(trainer: Trainer) -> list[torch.optim.Optimizer]:
    parts = getattr(trainer.optimizer, "chained_optimizers", [trainer.optimizer])
    return [part.optimizer for part in parts]


def weight_gradients(layout: dict, steps: int) -> list[Steps]:
    """Without and with gradient_accumulation_fusion."""
    found = []
    for fused in (False, True):
        settings = config(**layout)
        train = dataclasses.replace(settings.train, gradient_accumulation_fusion=fused)
        trainer = Trainer(dataclasses.replace(settings, train=train))
        layers = [getattr(module, "gradient_accumulation_fusion", None) for module in trainer.models[0].modules()]
        assert {value for value in layers if value is not None} == {fused}
        found.append([trainer.step(number) for number in range(steps)])
        trainer.close()
    return found
