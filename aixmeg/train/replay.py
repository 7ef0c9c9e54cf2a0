"""`aixmeg replay --step N`: take a step of a run again, several times, and tell a data problem from a hardware one.

The newest checkpoint before the step is loaded and trained up to it, as the run did. From there the step is taken
`repeat` times from one state, on GPUs with `train.deterministic_mode` whatever the run had: repeats that differ come
from the hardware, and the rank whose own gradients differ, before any reduction has mixed them, is named. Repeats that
agree with each other and with what metrics.jsonl holds come from the weights and the samples.

Nothing is written to the run directory.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aixmeg.errors import UserError

if TYPE_CHECKING:
    from aixmeg.config import Config
    from aixmeg.parallel.launch import Launch
    from aixmeg.train.build import Training
    from aixmeg.train.inputs import Inputs
    from aixmeg.train.skip import Skipped


def replay(*, step: int, run: Path = Path("run"), repeat: int = 3, skipped: bool = False) -> None:
    """Take `step` of a run again, on as many ranks as it was trained on; every rank runs this.

    Args:
        step: counted from 1, as in metrics.jsonl.
        run: run directory.
        repeat: times that the step is taken.
        skipped: take it with the samples that were left out because of it.

    Raises:
        UserError: on rank 0: no such run, step or checkpoint, or other data, model or ranks.
    """
    from aixmeg.config import conflicts, load_config
    from aixmeg.parallel.launch import discover
    from aixmeg.train.command import leave

    launch = discover()
    try:
        config = load_config(run / "config.yaml")
        config = dataclasses.replace(config, paths=dataclasses.replace(config.paths, run=run.resolve()))
        problems = conflicts(config, launch.world_size)
        if problems:
            raise UserError(
                "\n".join([f"cannot replay on {launch.world_size} ranks:", *(f"  - {p}" for p in problems)])
            )
        if step < 1 or repeat < 1:
            raise UserError(f"--step {step} and --repeat {repeat} are counted from 1")
        _replay(config, launch, step=step, repeat=repeat, with_skipped=skipped)
    except UserError as error:
        if launch.rank == 0:
            raise
        leave(launch.rank, error)


def _replay(config: Config, launch: Launch, *, step: int, repeat: int, with_skipped: bool) -> None:
    """The stages of a replay; collective from `start` on."""
    import torch

    from aixmeg.parallel.launch import start as start_ranks
    from aixmeg.parallel.launch import stop as stop_ranks
    from aixmeg.parallel.topology import Topology
    from aixmeg.train.build import build_training
    from aixmeg.train.determinism import set_deterministic
    from aixmeg.train.inputs import open_inputs
    from aixmeg.train.replay_verdict import Report, read_record
    from aixmeg.train.run_folder import check_inputs
    from aixmeg.train.snapshot import Snapshot, weights_digest
    from aixmeg.train.together import gather_on_zero, on_every_rank, on_rank_zero

    # 1. What the step was: its samples, and what was recorded of it.
    torch.set_num_threads(config.train.num_threads)
    as_it_ran = config.train.deterministic_mode or launch.device.type != "cuda"
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, deterministic_mode=True))
    set_deterministic(config, launch.device)
    start_ranks(launch)
    run = config.paths.at("run")
    identity = on_rank_zero(lambda: check_inputs(config))
    inputs = on_every_rank(lambda: open_inputs(config, identity))
    skipped, recorded = on_rank_zero(lambda: read_record(run, step, with_skipped=with_skipped))

    # 2. The state before it.
    topology = Topology.create(config.parallel, config.train.seed)
    training = build_training(config, topology, launch.device)
    begun, source = _restore_before(training, run, step, skipped, identity)
    report = Report(step=step, source=source, recorded=recorded, begun=begun, as_it_ran=as_it_ran)
    for number in range(begun + 1, step):
        _, result, _ = _take(training, inputs, skipped, number)
        report.on_the_way(number, result)
    place = (topology.pp_rank, topology.tp_rank)
    report.weights = gather_on_zero((place, weights_digest(training)))

    # 3. The step, again and again.
    snapshot = Snapshot(training)
    for number in range(repeat):
        if number:
            snapshot.restore()
        report.samples, result, found = _take(training, inputs, skipped, step)
        report.results.append(result)
        report.prints.append(gather_on_zero((found.digest, found.norm)))

    if launch.rank == 0:
        print(report.text(), flush=True)
    torch.distributed.barrier()
    topology.destroy()
    stop_ranks()


def _restore_before(
    training: Training, run: Path, step: int, skipped: Skipped, identity: dict[str, Any]
) -> tuple[int, str]:
    """Bring the training to the newest state before `step`: its number, and where it comes from; collective."""
    from aixmeg.train.checkpoint import find_whole, restore
    from aixmeg.train.folders import list_checkpoints, step_of
    from aixmeg.train.manifest import compare, describe
    from aixmeg.train.together import on_rank_zero

    folders = on_rank_zero(lambda: [folder for folder in list_checkpoints(run) if step_of(folder) < step])
    if not folders:
        return 0, "the initial weights"
    folder, manifest, _ = find_whole(folders, verify=training.config.checkpoint.verify)
    compare(manifest, describe(training.config, step=manifest["step"], data=identity, skipped=skipped), folder)
    restore(training, folder, manifest)
    return manifest["step"], folder.name


def _take(training: Training, inputs: Inputs, skipped: Skipped, step: int) -> tuple[Any, Any, Any]:
    """One step, as the loop takes it: its samples, its result and the fingerprint of this rank's gradients."""
    from aixmeg.train import loop
    from aixmeg.train.schedule import learning_rate
    from aixmeg.train.snapshot import fingerprint

    samples, batches = loop.step_batches(training, inputs, skipped, step)
    lr = learning_rate(step, training.config.optimizer, steps=training.config.train.steps)
    with fingerprint(training) as found:
        result = loop.train_step(training, batches, lr=lr)
    return samples, result, found
