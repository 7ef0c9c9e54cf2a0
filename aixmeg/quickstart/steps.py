"""The quickstart's steps: the commands that a user would type, in order."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from aixmeg.errors import UserError

RANKS = 2


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command: its title, its words after `aixmeg`, and the number of ranks (0: a plain process)."""

    title: str
    words: tuple[str, ...]
    ranks: int = 0

    @property
    def shown(self) -> str:
        """The command as a user would type it."""
        head = f"torchrun --nproc-per-node {self.ranks} -m aixmeg" if self.ranks else "aixmeg"
        return f"{head} {shlex.join(self.words)}"

    def run(self) -> float:
        """Run it with this interpreter; returns seconds.

        Raises:
            UserError: it failed; its own message stands above.
        """
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(self.ranks), "--rdzv-backend", "c10d",
                    "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]  # fmt: skip
        command = [sys.executable, *(launcher if self.ranks else []), "-m", "aixmeg", *self.words]
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        start = time.monotonic()
        status = subprocess.run(command, env=environment, check=False).returncode
        if status:
            raise UserError(f"the step `{self.shown}` ended with status {status}; its message is above")
        return time.monotonic() - start


def steps(config: Path, run: Path, hf: Path) -> list[Step]:
    """Corpus, tokenizer, data, training and conversion, all from one configuration file."""
    use = ("--config", str(config))
    return [
        Step(title="Corpus: this machine's source code, cleaned", words=("corpus", "build", *use)),
        Step(title="Tokenizer: SentencePiece BPE", words=("tokenizer", "train", *use)),
        Step(title="Dataset: structured fill-in-the-middle", words=("data", "build", *use)),
        Step(title="Examples", words=("data", "show", *use, "--count", "2")),
        Step(
            title=f"Training: {RANKS} ranks, tensor and sequence parallel",
            words=("train", *use, "--resume"),
            ranks=RANKS,
        ),
        Step(title="Conversion to Hugging Face", words=("convert", "to-hf", str(run), str(hf), "--verify")),
    ]
