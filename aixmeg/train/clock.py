"""Where the time of a step goes, on this rank, and the speed and memory that follow from it.

On a GPU the host runs ahead of the device, so the borders between the parts of a step are events on the stream, read
when the step has ended (it ends with a loss on the host); elsewhere they are moments.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from aixmeg.plan.counts import Shape, flops_per_token
from aixmeg.plan.hardware import GPUS
from aixmeg.train.batches import step_samples
from aixmeg.train.build import Training
from aixmeg.train.metrics import BESIDE, STEP

_DEVICES = {"A100": "a100", "H100": "h100", "H200": "h200", "B200": "b200"}
"""A part of the name that CUDA gives a device → the plan's name of it, whose figures are of the SXM boards."""


class Clock:
    """Times of a training's parts since the last record.

    Its `lap` says which part the time since the last call belongs to. Only `optimizer.step` and megatron-core's
    `finalize_model_grads_func`, which the schedule calls when all gradients are there, are timed from inside.
    """

    def __init__(self, training: Training) -> None:
        config = training.config
        self.tokens_per_second = 0.0
        """Of the newest step."""
        self.data, self.compute = 0.0, 0.0
        """Seconds of the newest step that are this rank's own: its micro-batches, and forward and backward without the
        wait for other ranks' gradients."""
        self._config = config
        self._flops, self._ranks = flops_per_token(Shape.of(config.model)), training.topology.world_size
        self._peak = peak_flops(config.logging.peak_tflops, training.device)
        self._device = training.device
        self._marks: list[tuple[str, Any]] = []
        self._seconds: dict[str, float] = dict.fromkeys((*STEP, *BESIDE), 0.0)
        self._tokens, self._attended = 0, 0.0
        self._newest = 0.0
        training.optimizer.step = self._timed("optimizer", training.optimizer.step)
        for core in {id(model.config): model.config for model in training.wrapped}.values():
            finalize: Any = core.finalize_model_grads_func
            core.finalize_model_grads_func = self._timed("communication", finalize)
        self.restart()

    def restart(self) -> None:
        """Start timing now; what was before belongs to nothing."""
        self._now, self._marks = time.perf_counter(), []

    def forget(self) -> None:
        """What was measured since the last record belongs to steps that do not count."""
        self._seconds, self._newest = dict.fromkeys(self._seconds, 0.0), 0.0
        self._tokens, self._attended = 0, 0.0
        self.restart()

    def lap(self, part: str) -> float:
        """The time since the last call was spent on `part`; returns it in seconds."""
        now = time.perf_counter()
        seconds, self._now = now - self._now, now
        self._seconds[part] += seconds
        if part == "data":
            self.data = seconds
        if part not in BESIDE:
            self._newest += seconds
        return seconds

    def step(self, step: int, attended: float | None = None) -> float:
        """Forward, backward and update of `step` have ended; returns what all of it took, in seconds.

        Args:
            step: its number.
            attended: sum of the squared lengths of what attention was kept inside of; None for whole sequences.
        """
        total = self.compute = self.lap("forward_backward")
        for (part, start), (_, end) in zip(self._marks[::2], self._marks[1::2], strict=True):
            seconds = min(_between(start, end), total)
            self._seconds[part] += seconds
            self._seconds["forward_backward"] -= seconds
            self.compute -= seconds
        self._marks.clear()
        seconds, self._newest = self._newest, 0.0
        tokens = len(step_samples(step - 1, self._config.train)) * self._config.model.seq_length
        self._tokens += tokens
        self._attended += tokens * self._config.model.seq_length if attended is None else attended
        self.tokens_per_second = tokens / seconds
        return seconds

    def report(self, step: int) -> dict[str, Any]:
        """Fields of a metrics record, over the steps since the previous one; tokens since the run's beginning."""
        parts, tokens = self._seconds, self._tokens
        attended = self._attended / (tokens * self._config.model.seq_length)  # a share of whole sequences' attention
        self._seconds, self._tokens, self._attended = dict.fromkeys(parts, 0.0), 0, 0.0
        seconds = sum(parts[name] for name in STEP)
        speed = tokens / seconds
        found: dict[str, Any] = {
            "tokens": step_samples(step, self._config.train).start * self._config.model.seq_length,
            "tokens_per_second": round(speed, 1),
            "seconds": round(seconds, 4),
            **{f"seconds_{name}": round(value, 5) for name, value in parts.items()},
        }
        flops = self._flops
        for convention, attention in (("full", flops.attention_full), ("causal", flops.attention_causal)):
            per_rank = speed * (flops.matrices + attention * attended) / self._ranks
            found[f"tflops_{convention}"] = float(f"{per_rank / 1e12:.5g}")
            if self._peak is not None:
                found[f"mfu_{convention}"] = round(per_rank / self._peak, 5)
        return found

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            self._marks.append((part, self._mark()))
            try:
                return function(*arguments, **options)
            finally:
                self._marks.append((part, self._mark()))

        return timed

    def _mark(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def peak_flops(configured: float | None, device: torch.device) -> float | None:
    """FLOP/s that MFU is a share of: `configured` TFLOP/s, else the datasheet's dense BF16 figure, else None."""
    if configured is not None:
        return configured * 1e12
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    known = [GPUS[key].bf16 for part, key in _DEVICES.items() if part in name and "PCIe" not in name]
    return known[0] if known else None


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that tensors held at once on a GPU since the start, else the process's largest resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _between(start: Any, end: Any) -> float:
    return end - start if isinstance(start, float) else start.elapsed_time(end) / 1000
