"""The training loop, from the first step to the last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aixmeg.nvml.sampler import Sampler
from aixmeg.train.batches import Batch, micro_batches, rank_samples, step_samples
from aixmeg.train.build import Training
from aixmeg.train.documents import DocumentMask
from aixmeg.train.evaluate import evaluate
from aixmeg.train.goodput import Events
from aixmeg.train.health import Health
from aixmeg.train.inputs import Inputs
from aixmeg.train.manifest import describe
from aixmeg.train.metrics import Metrics
from aixmeg.train.profile import StepProfiler
from aixmeg.train.progress import TrainProgress
from aixmeg.train.recorder import Recorder
from aixmeg.train.recovery import Recovered, roll_back
from aixmeg.train.saver import Saver
from aixmeg.train.schedule import learning_rate
from aixmeg.train.signals import StopSignal
from aixmeg.train.skip import Skipped
from aixmeg.train.step import train_step
from aixmeg.watch.member import Watch


def run_loop(
    training: Training,
    inputs: Inputs,
    *,
    run: Path,
    start: int,
    metrics: Metrics | None,
    progress: TrainProgress,
    skipped: Skipped | None = None,
    history: Sequence[Sequence[float]] = (),
    events: Events | None = None,
    telemetry: Sampler | None = None,
    watch: Watch | None = None,
) -> None:
    """Train from step `start` (already done) to the last, or until a signal asks to stop; collective.

    Args:
        training: model and optimizer, as they are after step `start`.
        inputs: the datasets.
        run: run directory.
        start: last step done.
        metrics: rank 0's, None elsewhere.
        progress: what the user sees.
        skipped: samples that are left out.
        history: of `Health`, as the checkpoint holds it.
        events: rank 0's, None elsewhere.
        telemetry: of this rank's GPU.
        watch: told where this rank is, and how fast.

    Raises:
        UserError: the loss or gradient is broken and there is no way back, or the disk refuses a write.
    """
    options = training.config.train
    record = Recorder(training, metrics=metrics, events=events, progress=progress, telemetry=telemetry, watch=watch)
    profiler = StepProfiler(training.config.logging, run, rank=training.topology.rank)
    health, skipped, step = Health(training.config.health, history), skipped or Skipped(), start
    save_asked, at = False, watch.at if watch is not None else _nowhere
    with StopSignal() as signal, Saver(training, run, asynchronous=training.config.checkpoint.asynchronous) as saver:
        record.begin(step)
        while step < options.steps:
            step += 1
            profiler.begin(step)
            # 1. This rank's micro-batches; the samples of a step depend on its number and what is left out alone.
            at(step, "data")
            samples, batches = step_batches(training, inputs, skipped, step)
            record.clock.lap("data")

            # 2. Forward, backward, update; a broken step sends the training back to a good one.
            at(step, "forward_backward")
            lr = learning_rate(step, training.config.optimizer, steps=options.steps)
            result = train_step(training, batches, lr=lr, flag=signal.stop_requested, save=signal.take_save)
            save_asked = save_asked or result.save  # not forgotten where the step is broken
            reason = health.judge(loss=result.loss, grad_norm=result.grad_norm)
            if reason is not None:
                profiler.drop()
                at(step, "checkpoint")
                saver.wait()
                back = roll_back(
                    training, run, step=step, samples=samples, skipped=skipped, result=result, reason=reason
                )
                record.went_back(step, back.step, back.notice)
                step, skipped = _go_back(back, health)
                continue

            # 3. Metrics.
            last = result.flag or step == options.steps
            record.step(step, result, lr=lr, last=last)
            if message := profiler.end(step, last=last):
                progress.say(message)

            # 4. Held-out loss.
            if inputs.held_out and _due(step, options.eval_interval, step == options.steps):
                at(step, "evaluation")
                record.evaluated(step, evaluate(training, inputs.held_out))

            # 5. Checkpoint, written beside the next steps; before the end it is waited for.
            if _due(step, options.save_interval, last or save_asked):
                save_asked = False
                at(step, "checkpoint")
                manifest = describe(
                    training.config, step=step, data=inputs.identity, skipped=skipped, health=health.state()
                )
                saver.save(step, manifest)
                if last:
                    saver.wait(final=True)
                record.saved(step)
            for message in saver.news():
                progress.say(message)
            for unsaved, cause in saver.unsaved():
                record.unsaved(unsaved, cause)
            if last:
                record.stopped(step, "signal" if result.flag else "end")
            if result.flag:
                progress.say(f"stopped after step {step} by a signal; go on with --resume")
                return


def step_batches(training: Training, inputs: Inputs, skipped: Skipped, step: int) -> tuple[Sequence[int], list[Batch]]:
    """The samples of step `step`, counted from 1, and this rank's micro-batches of them."""
    options, topology = training.config.train, training.topology
    samples = skipped.samples(step_samples(step - 1, options))
    mine = rank_samples(samples, dp_rank=topology.dp_rank, dp_size=topology.dp_size)
    batches = micro_batches(
        inputs.train, mine, micro_batch_size=options.micro_batch_size, device=training.device, step=samples,
        mask=DocumentMask.of(options),
    )  # fmt: skip
    return samples, list(batches)


def _go_back(back: Recovered, health: Health) -> tuple[int, Skipped]:
    """Forget the steps after the one that was restored; that step, and what is left out from now on."""
    health.restore(back.health)
    return back.step, back.skipped


def _due(step: int, interval: int, last: bool) -> bool:
    return last or (interval > 0 and step % interval == 0)


def _nowhere(step: int, phase: str) -> None:
    """Nobody watches."""
