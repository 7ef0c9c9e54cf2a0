"""`aixmeg slurm submit`: a run directory, a batch script, a job."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
from pathlib import Path

from aixmeg.cluster.attempts import clock, now
from aixmeg.cluster.batch import Job, render
from aixmeg.cluster.fit import without_bad_nodes
from aixmeg.cluster.reading import JOBS
from aixmeg.cluster.run_directory import note_job, write_run_directory
from aixmeg.cluster.secrets import is_secret
from aixmeg.config import Config, conflicts
from aixmeg.config.site import SiteConfig
from aixmeg.config.site_file import load_site
from aixmeg.errors import UserError
from aixmeg.files import read_records

PROFILE = "AIXMEG_SITE"
"""Variable that names the site profile where --profile does not."""


def submit(
    config: Config,
    *,
    nodes: int,
    profile: Path | None,
    dry_run: bool,
    test_only: bool,
    time: str | None = None,
    partition: str | None = None,
    account: str | None = None,
    qos: str | None = None,
) -> None:
    """Submit a training; with `dry_run` print its batch script, with `test_only` ask the controller, and write nothing.

    Args:
        config: of the training; its paths are made absolute.
        nodes: nodes of the job.
        profile: site profile; None takes the one that $AIXMEG_SITE names, else the defaults.
        dry_run: only print.
        test_only: only ask.
        time: instead of the profile's, as the following; None leaves it.
        partition: see `SiteConfig`.
        account: see `SiteConfig`.
        qos: see `SiteConfig`.

    Raises:
        UserError: configuration, layout, profile or environment are wrong, the run has a job already, or sbatch
            refuses.
    """
    if profile is None and os.environ.get(PROFILE):
        profile = Path(os.environ[PROFILE])
    changes = {"time": time, "partition": partition, "account": account, "qos": qos}
    site = load_site(profile, {name: value for name, value in changes.items() if value is not None})
    _check(config, site, nodes)
    config = dataclasses.replace(config, paths=dataclasses.replace(config.paths, root=config.paths.root.resolve()))
    run = config.paths.at("run")
    site = without_bad_nodes(site, run)
    script = render(Job(run=run, nodes=nodes, python=_python(site)), site)
    if dry_run:
        print(script, end="")
    if test_only:
        print(_sbatch(["--test-only"], script), file=sys.stderr)
    if dry_run or test_only:
        return
    _refuse_second_job(run)
    path = write_run_directory(run, config, site, script)
    job = _sbatch(["--parsable", str(path)], None).split(";")[0]
    note_job(run, {"job": job, "time": now(), "nodes": nodes, "ranks": nodes * site.ranks})
    print(f"job {job}: {nodes} nodes, {nodes * site.ranks} ranks; run directory {run}\nlook at it: aixmeg status {run}")


def _check(config: Config, site: SiteConfig, nodes: int) -> None:
    """Everything that would end the job only after it has waited in the queue."""
    problems = []
    if nodes < 1:
        problems.append(f"--nodes {nodes} must be positive")
    else:
        problems += conflicts(config, nodes * site.ranks)
    problems += [
        f"environment.{name} of the site profile looks like a secret, and the batch script would hold it; read it in "
        "`setup` from a file that only you can read"
        for name, value in site.environment.items()
        if is_secret(name, value)
    ]
    if problems:
        raise UserError("\n".join([f"cannot submit to {nodes} nodes of {site.ranks} ranks:",
                                   *(f"  - {text}" for text in problems)]))  # fmt: skip


def _python(site: SiteConfig) -> str:
    if site.python is not None:
        return site.python
    return sys.executable if site.container.kind == "none" else "python"


def _refuse_second_job(run: Path) -> None:
    """Two jobs would write the same metrics and checkpoints."""
    for record in read_records(run / JOBS)[-5:]:
        job = str(record.get("job", ""))
        try:
            answer = subprocess.run(
                ["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True, check=False, timeout=60
            )
        except (OSError, subprocess.TimeoutExpired):
            return  # sbatch will say what is wrong
        if answer.returncode == 0 and answer.stdout.split() and answer.stdout.split()[0] not in _OVER:
            raise UserError(
                f"{run} has job {job} already ({answer.stdout.split()[0].lower()}, submitted "
                f"{clock(record.get('time', 0))}); `scancel {job}` ends it, or name another run with --paths.run"
            )


_OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY")


def _sbatch(words: list[str], script: str | None) -> str:
    """What sbatch answers."""
    command = ["sbatch", *words]
    try:
        result = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UserError("sbatch is not on the PATH; run this where jobs are submitted, or add --dry-run") from error
    if result.returncode:
        said = result.stderr.strip() or result.stdout.strip()
        raise UserError(f"{shlex.join(command)} failed: {said}")
    return (result.stdout or result.stderr).strip()
