"""What the loop tells of each step: to the terminal, to metrics.jsonl and its mirrors, to events.jsonl."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aixmeg.nvml.sampler import Sampler
from aixmeg.train.build import Training
from aixmeg.train.clock import Clock
from aixmeg.train.goodput import Events
from aixmeg.train.metrics import Metrics
from aixmeg.train.norms import state_of_ranks
from aixmeg.train.progress import TrainProgress
from aixmeg.train.slow_ranks import SlowRanks
from aixmeg.train.step import StepResult
from aixmeg.train.telemetry import telemetry_fields
from aixmeg.train.together import on_rank_zero
from aixmeg.watch.member import Watch


class Recorder:
    """Times the loop's parts and writes its records; every rank has one, rank 0's writes.

    Args:
        training: whose optimizer and gradient reduction are timed.
        metrics: rank 0's, None elsewhere.
        events: rank 0's, None elsewhere or where no goodput is wanted.
        progress: what the user sees.
        telemetry: of this rank's GPU; None for none.
        watch: told of this rank's own times; None for nobody.
    """

    def __init__(
        self,
        training: Training,
        *,
        metrics: Metrics | None,
        events: Events | None,
        progress: TrainProgress,
        telemetry: Sampler | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.clock = Clock(training)
        self._watch = watch
        self._slow = SlowRanks(progress.say, events.tell if events is not None else lambda *_, **__: None)
        self._training, self._metrics, self._events, self._progress = training, metrics, events, progress
        self._telemetry = telemetry

    def begin(self, step: int) -> None:
        """The first step follows; training goes on from `step`."""
        self._alone(lambda: self._events and self._events.ready(step))
        self.clock.restart()

    def step(self, step: int, result: StepResult, *, lr: float, last: bool) -> None:
        """A good step has ended; its record is written when it is due, or when it is the `last` one; collective."""
        options = self._training.config.train
        seconds = self.clock.step(step, result.attended)
        if self._events is not None:
            self._events.step(step, seconds)
        if self._watch is not None:
            self._watch.took(step, data=self.clock.data, compute=self.clock.compute)
        speed = self.clock.tokens_per_second
        parts = {"text": result.ntp_loss, "middles": result.middle_loss}
        self._progress.step(
            step, loss=result.loss, parts=parts, grad_norm=result.grad_norm, lr=lr, tokens_per_second=speed
        )
        if step % options.log_interval == 0 or last:
            record: dict[str, Any] = {"loss": result.loss, "ntp_loss": result.ntp_loss}
            record |= {"middle_loss": result.middle_loss, "grad_norm": result.grad_norm, "lr": lr}
            record |= {} if result.z_loss is None else {"z_loss": result.z_loss}
            record |= self.clock.report(step)
            record |= state_of_ranks(self._training, norms=self._training.config.logging.parameter_norms)
            if self._telemetry is not None and self._training.device.type == "cuda":
                tokens = record["tokens_per_second"] * record["seconds"]
                record |= telemetry_fields(self._telemetry, tokens=tokens, device=self._training.device)
            if self._events is not None:
                record["goodput"] = round(self._events.goodput(), 5)
            self._progress.speed(record)
            self._alone(lambda: self._write_step({"kind": "train", "step": step, **record}))
        self.clock.lap("other")

    def evaluated(self, step: int, losses: dict[str, Any]) -> None:
        """Held-out losses were measured after `step`; collective."""
        took = self.clock.lap("evaluation")
        self._progress.say(f"step {step}/{self._training.config.train.steps}  held out: {_shown(losses)}")
        self._write({"kind": "valid", "step": step, **losses})
        self._tell("evaluation", step, took=took)
        self.clock.restart()

    def saved(self, step: int) -> None:
        """A checkpoint was handed to its writer, or written; collective."""
        self._tell("checkpoint", step, took=self.clock.lap("checkpoint"))
        self.clock.restart()

    def unsaved(self, step: int, cause: str) -> None:
        """The checkpoint of `step` could not be saved; the training goes on. Collective."""
        self._tell("unsaved", step, cause=cause)

    def went_back(self, step: int, to: int, notice: str) -> None:
        """The training goes on from step `to`, since `step` was broken; collective."""
        self._alone(lambda: self._metrics and self._metrics.rewind(to))
        self._progress.say(notice)
        self._tell("rollback", step, to=to, took=self.clock.lap("other"))
        self.clock.forget()

    def stopped(self, step: int, reason: str) -> None:
        """The loop ends; collective."""
        self._alone(lambda: (self._slow.stop(step), self._events and self._events.tell("stop", step, reason=reason)))
        if self._events is not None:
            self._progress.say(self._events.summary())

    def _write_step(self, record: dict[str, Any]) -> None:
        """Rank 0's part of a record: slow ranks that were found since the last one, and the line."""
        while self._watch is not None and (found := self._watch.compared()) is not None:
            self._slow.compared(found)
        if self._metrics is not None:
            self._metrics.write({**record, **self._slow.fields()})

    def _write(self, record: dict[str, Any]) -> None:
        self._alone(lambda: self._metrics and self._metrics.write(record))

    def _tell(self, event: str, step: int, **more: Any) -> None:
        if "took" in more:
            more["took"] = round(more["took"], 4)
        self._alone(lambda: self._events and self._events.tell(event, step, **more))

    def _alone(self, action: Callable[[], Any]) -> None:
        """On rank 0; when the disk refuses it there, every rank stops."""
        on_rank_zero(lambda: (action(), None)[1])


def _shown(losses: dict[str, Any]) -> str:
    """The losses of all, and of each dataset of a blend."""
    plain = ", ".join(
        f"{name.replace('_', ' ')} {'-' if value is None else value if isinstance(value, int) else f'{value:.4f}'}"
        for name, value in losses.items()
        if not isinstance(value, dict)
    )
    return "; ".join([plain, *(f"{name}: {_shown(part)}" for name, part in losses.get("datasets", {}).items())])
