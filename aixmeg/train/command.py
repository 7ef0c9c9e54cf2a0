"""`aixmeg train`: every rank runs this, under torchrun, srun or mpirun, or one process alone."""

from __future__ import annotations

import gc
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from aixmeg.config import Config, conflicts
from aixmeg.errors import UserError
from aixmeg.train.profile import steps_of
from aixmeg.train.signals import StopSignal

if TYPE_CHECKING:
    from aixmeg.parallel.launch import Launch
    from aixmeg.watch.member import Watch

_FIRST_WORD_SECONDS = 10.0
"""How long other ranks leave it to rank 0 to report an error that all of them met."""


def train(config: Config, *, resume: bool = False, profile: str | None = None) -> None:
    """Train until `train.steps`, writing metrics and checkpoints to `paths.run`.

    Args:
        resume: go on from the newest checkpoint; without one, start from step 0.
        profile: steps to profile, "10-12" or "10"; null leaves it to logging.profile_steps.

    Raises:
        UserError: on rank 0. The other ranks leave with status 2, silently unless the error was theirs alone.
    """
    if profile is not None:
        config = replace(config, logging=replace(config.logging, profile_steps=steps_of(profile)))
    with StopSignal():  # from the first moment on: a signal while the model is built is no reason to die
        _train_or_leave(config, resume=resume)


def _train_or_leave(config: Config, *, resume: bool) -> None:
    """`train`, under its signals."""
    from aixmeg.parallel.launch import discover

    launch = discover()
    try:
        problems = conflicts(config, launch.world_size)
        if problems:
            raise UserError("\n".join([f"cannot start on {launch.world_size} ranks:", *(f"  - {p}" for p in problems)]))
        _train(config, launch, resume=resume)
    except UserError as error:
        if launch.rank == 0:
            raise
        leave(launch.rank, error)


def _train(config: Config, launch: Launch, *, resume: bool) -> None:
    """Meet the other ranks, train under their watch, leave together; collective."""
    import torch

    from aixmeg.parallel.launch import start as start_ranks
    from aixmeg.parallel.launch import stop as stop_ranks
    from aixmeg.train.determinism import set_deterministic
    from aixmeg.train.watching import open_watch

    begun = time.time()
    torch.set_num_threads(config.train.num_threads)
    set_deterministic(config, launch.device)
    start_ranks(launch)
    watch = open_watch(launch, config.watch)
    try:
        _run_stages(config, launch, watch, begun=begun, resume=resume)
    except (Exception, KeyboardInterrupt) as error:
        watch.failed(error)
        raise
    watch.close()
    stop_ranks()


def _run_stages(config: Config, launch: Launch, watch: Watch, *, begun: float, resume: bool) -> None:
    """The stages of a training; collective."""
    import torch

    from aixmeg.parallel.topology import Topology
    from aixmeg.train.build import build_training
    from aixmeg.train.checkpoint import DamageNotice, load_checkpoint
    from aixmeg.train.goodput import open_events
    from aixmeg.train.initial import load_initial
    from aixmeg.train.inputs import open_inputs
    from aixmeg.train.loop import run_loop
    from aixmeg.train.metrics import open_metrics
    from aixmeg.train.progress import TrainProgress
    from aixmeg.train.run_folder import check_inputs, prepare_run, write_run
    from aixmeg.train.skip import read_skipped
    from aixmeg.train.telemetry import open_telemetry
    from aixmeg.train.together import on_every_rank, on_rank_zero

    # 1. Inputs and run directory, before anything large is built.
    run = config.paths.at("run")
    identity = on_rank_zero(lambda: check_inputs(config))
    on_rank_zero(lambda: prepare_run(run, resume=resume))
    inputs = on_every_rank(lambda: open_inputs(config, identity))

    # 2. Model and optimizer, as initialised or as an earlier process left them.
    topology = Topology.create(config.parallel, config.train.seed)
    watch.stage(topology.pp_rank)
    training = build_training(config, topology, launch.device)
    skipped = on_rank_zero(lambda: read_skipped(run))
    found, notices = load_checkpoint(training, run, data=identity, skipped=skipped) if resume else (None, [])
    if found is None and config.train.init_from is not None:
        notices += load_initial(training, config.train.init_from, data=identity)
    start, history = (found["step"], found["health"]) if found is not None else (0, ())
    on_rank_zero(lambda: write_run(config, inputs, ranks=launch.world_size))
    watch.keep(run)

    # megatron-core collects garbage at every save; without what is there for good, that takes milliseconds.
    gc.collect()
    gc.freeze()

    # 3. The loop.
    with (
        open_metrics(run, rank=launch.rank, resumed_step=start, logging=config.logging) as metrics,
        open_events(run, rank=launch.rank, begun=begun, ranks=launch.world_size) as events,
        TrainProgress(steps=config.train.steps, start=start, enabled=launch.rank == 0) as progress,
        open_telemetry(launch.device, interval=config.logging.telemetry_interval) as telemetry,
    ):
        for notice in notices:
            progress.say(notice)
            if events is not None and isinstance(notice, DamageNotice):
                events.tell("damaged", start, held=notice.held, cause=str(notice))
        run_loop(
            training, inputs, run=run, start=start, metrics=metrics, progress=progress, skipped=skipped,
            history=history, events=events, telemetry=telemetry, watch=watch,
        )  # fmt: skip

    # 4. Leave together, so that no rank sees another one's connection break.
    torch.distributed.barrier()
    topology.destroy()


def leave(rank: int, error: UserError) -> NoReturn:
    """End a rank other than 0: wait for the launcher to end it once rank 0 has spoken, else speak."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    time.sleep(_FIRST_WORD_SECONDS)
    print(f"aixmeg: rank {rank}: {error}", file=sys.stderr)
    sys.exit(2)
