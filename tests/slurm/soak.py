"""A training over several nodes that is disturbed again and again, and must end with the losses of an undisturbed one.

    python tests/slurm/soak.py --faults 24 --seed 1 --out tools/benchmark/results/soak.json

starts a SLURM of its own on this machine (slurm_lab.py), trains a tiny model twice, and inflicts faults on the second
training in an order that the seed decides. Exit status 0 when every number of every step is equal, bit for bit, nothing
is missing, and the run reports each fault with its cause and cost.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slurm_lab
from slurm_training import logs, numbers, ranks_of, state, submit, wait_for
from soak_faults import FAULTS, Target, events
from train_ranks import changed, make_inputs, tiny_config

from aixmeg.cluster.attempts import read_attempts
from aixmeg.cluster.code_version import code_version
from aixmeg.cluster.status import describe
from aixmeg.config import Config, ParallelConfig, WatchConfig
from aixmeg.errors import UserError
from aixmeg.train.folders import list_checkpoints, step_of, verify

SAVE_INTERVAL = 15
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


@dataclass
class Inflicted:
    """A fault that the training has got over, and what the run says of it."""

    fault: str
    hit: str
    step: int
    """Last step on record when it was inflicted."""
    time: float
    """Seconds since 1970."""
    recovery: float = 0.0
    """Seconds until the training went on, as seen from outside."""
    reported: str = ""
    steps_lost: int | None = None
    cost: float | None = None
    """Seconds, as the run reports them."""


def order(names: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` faults, each of `names` about as often."""
    chooser, found = random.Random(seed), []
    while len(found) < count:
        found += chooser.sample(list(names), len(names))
    return found[:count]


def make_config(root: Path, *, ranks: int, steps: int) -> Config:
    """A tiny model, data-parallel over the ranks, that notices a stopped rank within seconds."""
    config = tiny_config(root, ParallelConfig(), steps=steps, save_interval=SAVE_INTERVAL, eval_interval=0,
                         keep_checkpoints=4, global_batch_size=8 * ranks)  # fmt: skip
    return dataclasses.replace(config, watch=WatchConfig(silence_timeout=10.0, hang_timeout=60.0))


def soak(
    lab: Any, config: Config, *, names: Sequence[str], nodes: int, ranks: int, seed: int, say: Any = print
) -> list[Inflicted]:
    """Train undisturbed as `whole`, then under `names` as `disturbed`; the faults, in order."""
    site = f"ranks_per_node: {ranks // nodes}\n"
    whole = changed(config, paths={"run": Path("whole")})
    begun = time.monotonic()
    number = submit(lab, whole, nodes=nodes, site=site)
    wait_for(lambda: state(lab, number) in OVER, whole.paths.at("run"), seconds=600)
    say(f"undisturbed: {time.monotonic() - begun:.0f} s")
    disturbed = changed(config, paths={"run": Path("disturbed")})
    run, chooser = disturbed.paths.at("run"), random.Random(seed)
    number = submit(lab, disturbed, nodes=nodes, site=site)
    target = Target(lab=lab, run=run, job=number, nodes=nodes, ranks=ranks, random=chooser)
    found = []
    trains(target, 0, chooser.randint(3, 2 * SAVE_INTERVAL))
    for name in names:
        found.append(disturb(target, name, then=chooser.randint(3, 2 * SAVE_INTERVAL)))
        say(f"{len(found):3}. {found[-1].fault} ({found[-1].hit}) at step {found[-1].step}: "
            f"{found[-1].recovery:.0f} s")  # fmt: skip
    wait_for(lambda: state(lab, number) in OVER, run, seconds=600)
    return found


def disturb(target: Target, name: str, *, then: int) -> Inflicted:
    """Inflict one fault and wait until the training has gone on for `then` steps."""
    fault, run = FAULTS[name], target.run
    resumes, begun = events(run, "resume"), time.time()
    found = Inflicted(fault=name, hit="", step=last_step(run), time=round(begun, 3))
    found.hit = fault.inflict(target)
    trains(target, resumes if fault.restarts else resumes - 1, then if fault.restarts else 1)
    found.recovery = round(time.time() - begun, 1)
    return found


def trains(target: Target, resumes: int, steps: int) -> None:
    """Wait until the training has started more than `resumes` times and has done `steps` since its last start."""
    run = target.run

    def ready() -> bool:
        if state(target.lab, target.job) in OVER:
            raise AssertionError(f"the training has ended before the last fault\n{logs(run)}")
        if events(run, "resume") <= resumes:
            return False
        return last_step(run) >= min(start_of(run) + steps, (describe(run, now=0)["steps"] or 0) - 1)

    wait_for(ready, run, seconds=240, pause=0.05)
    assert len(ranks_of(run)) >= target.ranks, logs(run)


def last_step(run: Path) -> int:
    """The newest step on record."""
    return int(describe(run, now=0)["step"] or 0)


def start_of(run: Path) -> int:
    """The step that the newest start went on from."""
    lines = (run / "events.jsonl").read_text().splitlines()
    return [event["step"] for line in lines if (event := json.loads(line))["event"] == "resume"][-1]


def match(run: Path, inflicted: Sequence[Inflicted]) -> Iterator[str]:
    """Fill in what the run says of each fault; what is missing, and what it says more often than it happened."""
    troubles = [one for one in describe(run, now=time.time())["troubles"] if one["kind"] != "slow"]
    ends = [*(fault.time for fault in inflicted[1:]), float("inf")]
    for fault, end in zip(inflicted, ends, strict=True):
        within = [one for one in troubles if fault.time <= one["time"] < end]
        mine = [one for one in within if re.search(FAULTS[fault.fault].reported, one["cause"])]
        if not mine or mine[0]["seconds"] is None:
            yield f"{fault.fault} at step {fault.step} is not reported with cause and cost: {within}"
            continue
        fault.reported = mine[0]["cause"].replace(str(run), "RUN")
        fault.steps_lost = sum(one["steps_lost"] or 0 for one in within)
        fault.cost = round(sum(one["seconds"] or 0.0 for one in within), 1)
    if troubles and inflicted and troubles[0]["time"] < inflicted[0].time:
        yield f"trouble before the first fault: {troubles[0]}"


def check(config: Config, inflicted: Sequence[Inflicted]) -> list[str]:
    """Everything that is wrong at the end; nothing where all is as it must be."""
    root, steps = config.paths.root, config.train.steps
    run, whole = root / "disturbed", root / "whole"
    wrong = list(match(run, inflicted))
    try:
        if numbers(run, steps) != numbers(whole, steps):
            wrong.append("the numbers differ from the undisturbed training's")
    except AssertionError as error:
        wrong.append(f"steps are missing or twice: {error}")
    found = describe(run, now=time.time())
    if (found["state"], found["checkpoint"]) != ("complete", steps):
        wrong.append(f"the run is {found['state']} at checkpoint {found['checkpoint']}")
    for folder in list_checkpoints(run):
        try:
            verify(folder)
        except UserError as error:
            wrong.append(str(error))
    if not list_checkpoints(run) or step_of(list_checkpoints(run)[-1]) != steps:
        wrong.append("the last checkpoint is not there")
    if left := [str(path) for path in (run / "checkpoints").glob(".*")]:
        wrong.append(f"left behind: {', '.join(left)}")
    if read_attempts(run)[-1].kind != "complete":
        wrong.append("the last attempt is not noted as complete")
    if left := ranks_of(run):
        wrong.append(f"processes are left: {left}")
    return wrong


def table(result: dict[str, Any]) -> str:
    """Markdown: each kind of fault with how often it came, a cause as reported, and its cost."""
    rows = ["| fault | times | cause as the run reports it, the first time | steps done again | cost, seconds |",
            "|---|---|---|---|---|"]  # fmt: skip
    for name in FAULTS:
        mine = [fault for fault in result["faults"] if fault["fault"] == name]
        if not mine:
            continue
        cause = re.sub(r"pid \d+", "pid …", mine[0]["reported"])
        again, costs = (" and ".join(f"{fault[key]:g}" for fault in mine) for key in ("steps_lost", "cost"))
        rows.append(f"| {name} | {len(mine)} | {cause} | {again} | {costs} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--faults", type=int, default=24, help="how many")
    parser.add_argument("--only", nargs="*", default=list(FAULTS), help=f"kinds: {', '.join(FAULTS)}")
    parser.add_argument("--seed", type=int, default=1, help="decides order, moments and what is hit")
    parser.add_argument("--nodes", type=int, default=3, help="virtual nodes, one rank each")
    parser.add_argument("--steps", type=int, help="of the training (default: 70 a fault)")
    parser.add_argument("--folder", type=Path, help="work in this folder, and keep it")
    parser.add_argument("--out", type=Path, help="write the result here, as JSON")
    options = parser.parse_args()
    if why := slurm_lab.missing():
        parser.error(f"no SLURM: {why}")
    with contextlib.ExitStack() as stack:
        root = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_inputs(root)
        config = make_config(root, ranks=options.nodes, steps=options.steps or 70 * options.faults)
        names = order(options.only, options.faults, options.seed)
        lab = stack.enter_context(slurm_lab.Lab(root / "slurm", nodes=options.nodes))
        begun = time.monotonic()
        say = lambda text: print(text, flush=True)  # noqa: E731
        inflicted = soak(lab, config, names=names, nodes=options.nodes, ranks=options.nodes, seed=options.seed, say=say)
        wrong = check(config, inflicted)
        found = describe(root / "disturbed", now=time.time())
        result = {
            "commit": code_version()[0]["commit"],
            "seed": options.seed, "nodes": options.nodes, "ranks": options.nodes, "steps": config.train.steps,
            "save_interval": SAVE_INTERVAL, "seconds": round(time.monotonic() - begun), "wrong": wrong,
            "attempts": found["attempts"], "goodput": found["goodput"],
            "faults": [dataclasses.asdict(one) for one in inflicted],
        }  # fmt: skip
        for one in inflicted:
            print(f"{one.fault:30} {one.hit:14} step {one.step}: {one.steps_lost} again, {one.cost} s; {one.reported}")
        print("\n".join(wrong) or f"{len(inflicted)} faults; every number of {config.train.steps} steps is equal")
        print(table(result))
        if options.out is not None:
            options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
