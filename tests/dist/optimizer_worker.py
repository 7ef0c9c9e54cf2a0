"""What the ranks of test_fused_optimizer.py run: the trainer of model_worker with a chosen optimizer backend."""

import dataclasses

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
        parts = getattr(trainer.optimizer, "chained_optimizers", [trainer.optimizer])
        assert {type(part.optimizer).__module__.split(".")[0] for part in parts} == {backend}
        found.append([trainer.step(number) for number in range(steps)])
        trainer.close()
    return found


def resume(folder: str, saved_by: str, loaded_by: str, layout: dict) -> dict:
    """Three steps, save, three steps; then a fresh trainer that loads and repeats the last three."""
    optimizer_backend.install(saved_by)
    first = Trainer(config(**layout))
    for number in range(3):
        first.step(number)
    _save(first, folder)
    straight = [first.step(number) for number in range(3, 6)]
    first.close()
    optimizer_backend.install(loaded_by)
    second = Trainer(config(**layout))
    _load(second, folder)
    adam_resume.check_steps(second.optimizer, 3)
    resumed = [second.step(number) for number in range(3, 6)]
    counters = {counter.item() for counter in adam_resume.step_counters(second.optimizer)}
    second.close()
    return {"straight": straight, "resumed": resumed, "counters": counters}


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
