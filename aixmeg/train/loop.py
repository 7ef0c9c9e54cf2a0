"""The training loop, from the first step to the last."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from aixmeg.errors import UserError
from aixmeg.train.batches import micro_batches, rank_samples, step_samples
from aixmeg.train.build import Training
from aixmeg.train.checkpoint import save_checkpoint
from aixmeg.train.evaluate import evaluate
from aixmeg.train.inputs import Inputs
from aixmeg.train.metrics import Metrics
from aixmeg.train.progress import TrainProgress
from aixmeg.train.schedule import learning_rate
from aixmeg.train.signals import StopSignal
from aixmeg.train.step import StepResult, train_step
from aixmeg.train.together import on_rank_zero


def run_loop(
    training: Training, inputs: Inputs, *, run: Path, start: int, metrics: Metrics | None, progress: TrainProgress
) -> None:
    """Train from step `start` (already done) to the last, or until a signal asks to stop; collective.

    `metrics` is rank 0's, None elsewhere.

    Raises:
        UserError: the loss or gradient is not finite, or the disk refuses a write.
    """
    options = training.config.train
    clock = _Clock(options.global_batch_size * training.config.model.seq_length)
    with StopSignal() as signal:
        for step in range(start + 1, options.steps + 1):
            # 1. This rank's micro-batches; the samples of a step depend on nothing but its number.
            samples = step_samples(step - 1, global_batch_size=options.global_batch_size)
            mine = rank_samples(samples, dp_rank=training.topology.dp_rank, dp_size=training.topology.dp_size)
            size, device = options.micro_batch_size, training.device
            batches = list(micro_batches(inputs.train, mine, micro_batch_size=size, device=device, step=samples))

            # 2. Forward, backward, update.
            lr = learning_rate(step, training.config.optimizer, steps=options.steps)
            result = train_step(training, batches, lr=lr, flag=lambda: signal.requested is not None)
            if not result.finite:
                raise UserError(_not_finite(result, step, samples))

            # 3. Metrics.
            last = result.flag or step == options.steps
            clock.step()
            progress.step(
                step, loss=result.loss, grad_norm=result.grad_norm, lr=lr, tokens_per_second=clock.tokens_per_second
            )
            if step % options.log_interval == 0 or last:
                record = {"loss": result.loss, "grad_norm": result.grad_norm, "lr": lr}
                _write(metrics, {"kind": "train", "step": step, **record, **clock.report(step)})

            # 4. Held-out loss.
            if inputs.valid is not None and _due(step, options.eval_interval, step == options.steps):
                losses = evaluate(training, inputs.valid, inputs.windows)
                progress.say(f"step {step}/{options.steps}  held out: {_shown(losses)}")
                _write(metrics, {"kind": "valid", "step": step, **losses})
                clock.restart()

            # 5. Checkpoint.
            if _due(step, options.save_interval, last):
                progress.say(f"saved {save_checkpoint(training, run, step, data=inputs.identity)}")
                clock.restart()
            if result.flag:
                progress.say(f"stopped after step {step} by a signal; go on with --resume")
                return


class _Clock:
    """Time spent in steps: validation and saving are not training speed."""

    def __init__(self, tokens_per_step: int) -> None:
        self._per_step = tokens_per_step
        self._seconds = 0.0
        self._steps = 0
        self.tokens_per_second = 0.0
        """Of the newest step."""
        self.restart()

    def restart(self) -> None:
        """Start timing now."""
        self._now = time.perf_counter()

    def step(self) -> None:
        """A step has ended."""
        now = time.perf_counter()
        seconds, self._now = now - self._now, now
        self._seconds += seconds
        self._steps += 1
        self.tokens_per_second = self._per_step / seconds

    def report(self, step: int) -> dict[str, float]:
        """Fields of a metrics record, over the steps since the previous one; tokens since the run's beginning."""
        seconds, steps = self._seconds, self._steps
        self._seconds, self._steps = 0.0, 0
        return {
            "tokens": step * self._per_step,
            "tokens_per_second": round(steps * self._per_step / seconds, 1),
            "seconds": round(seconds, 4),
        }


def _due(step: int, interval: int, last: bool) -> bool:
    return last or (interval > 0 and step % interval == 0)


def _write(metrics: Metrics | None, record: dict[str, Any]) -> None:
    """Append a record; when the disk refuses it on rank 0, every rank stops."""
    on_rank_zero(lambda: metrics.write(record) if metrics is not None else None)


def _shown(losses: dict[str, float | None]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {'-' if value is None else f'{value:.4f}'}" for name, value in losses.items()
    )


def _not_finite(result: StepResult, step: int, samples: range) -> str:
    return (
        f"step {step}: loss {result.loss}, gradient norm {result.grad_norm}, on samples {samples.start} to "
        f"{samples.stop - 1}; this step is not saved. Lower optimizer.lr, lengthen optimizer.warmup_steps or look at "
        "these samples, then go on with --resume"
    )
