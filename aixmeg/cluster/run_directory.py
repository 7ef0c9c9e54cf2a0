"""What a submission leaves in the run directory, so that months later it is known what ran.

config.yaml                  the resolved configuration
logs/                        the job's own words (slurm-JOB.log) and the ranks' (ranks-JOB-ATTEMPT.log)
submit/job.sbatch            the batch script
submit/site.yaml             the resolved site profile
submit/code.json, code.diff  release, commit, changes since, with keys and tokens replaced
submit/environment.json      the submitting environment, with keys and tokens masked
submit/jobs.jsonl            every submission: job id and time

Training adds metrics.jsonl, checkpoints/, run.json, tensorboard/ and tokenizer/, and failures/ where it fails;
the batch script restarts.json.
Files are made with the umask of the site profile, 077 by default: nobody else can read them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from aixmeg.cluster.code_version import code_version
from aixmeg.cluster.reading import JOBS
from aixmeg.cluster.secrets import masked_environment, masked_text
from aixmeg.config import Config, dump_config
from aixmeg.config.site import SiteConfig
from aixmeg.config.site_file import dump_site
from aixmeg.files import atomic_write, write_error, write_json


def write_run_directory(run: Path, config: Config, site: SiteConfig, script: str) -> Path:
    """Write everything but the job id; returns the batch script.

    Raises:
        UserError: the disk refuses a write.
    """
    os.umask(int(site.umask, 8))
    folder = (run / JOBS).parent
    try:
        for path in (run, run / "logs", run / "checkpoints", folder):
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(run, error) from error
    facts, diff = code_version()
    _write(run / "config.yaml", dump_config(config).encode())
    _write(folder / "site.yaml", dump_site(site).encode())
    _write(folder / "code.diff", masked_text(diff))
    write_json(folder / "code.json", facts)
    write_json(folder / "environment.json", masked_environment(os.environ))
    _write(folder / "job.sbatch", script.encode())
    return folder / "job.sbatch"


def note_job(run: Path, record: dict[str, Any]) -> None:
    """Append a submission to submit/jobs.jsonl."""
    with (run / JOBS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path, "wb") as file:
        file.write(content)
