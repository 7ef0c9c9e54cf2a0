"""The whole build: parts in parallel, then the splits, then one publication by renames.

Everything in progress lies in DATA/.build. A build that was killed goes on from its finished parts if the corpus, the
tokenizer and the options are still the same, else it starts over; what readers see changes at the very end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg import __version__
from aixmeg.config import Config, DataConfig
from aixmeg.corpus.mpi_ranks import refuse_repeats
from aixmeg.corpus.progress import Progress
from aixmeg.corpus.source_file import shard_name
from aixmeg.data.assemble import SPLIT_FILES, Run, Split, read_runs, write_split
from aixmeg.data.indexed import token_type
from aixmeg.data.packing import write_plan
from aixmeg.data.parts import PART_BYTES, is_built, plan_parts
from aixmeg.data.pool import build_parts
from aixmeg.data.split import held_out
from aixmeg.data.turns import epoch_folder
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json, sync, write_error, write_json
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer

SUMMARY: Final = "data.json"
UNIGRAM: Final = "train.unigram.npy"


def build_data(config: Config) -> dict[str, Any]:
    """Build the training data of `config` from its corpus and tokenizer, once per epoch; returns what data.json holds.

    Raises:
        UserError: no corpus or tokenizer, an empty corpus, one repository only, another build of the same folder at
            work, several ranks that would all build, or a disk that refuses a write.
    """
    refuse_repeats("data build", alone="data.workers")
    tokenizer = CodeTokenizer.from_folder(config.paths.at("tokenizer"))
    shards = _find_shards(config.paths.at("corpus"))
    data = config.paths.at("data")
    summaries = [
        _build_epoch(
            dataclasses.replace(config.data, epoch=config.data.epoch + number),
            tokenizer,
            shards,
            epoch_folder(data, number),
            seq_length=config.model.seq_length,
        )
        for number in range(config.data.epochs)
    ]
    for old in data.glob("epoch-*"):
        if old not in {epoch_folder(data, number) for number in range(config.data.epochs)}:
            shutil.rmtree(old)
    return summaries[0]


def _build_epoch(
    config: DataConfig, tokenizer: CodeTokenizer, shards: list[Path], folder: Path, *, seq_length: int
) -> dict[str, Any]:
    work = folder / ".build"
    with _locked(work):
        parts_folder = work / f"parts-{_fingerprint(config, tokenizer, shards)}"
        _keep_only(work, parts_folder)
        parts = plan_parts(shards, parts_folder)
        itemsize = token_type(tokenizer.vocab_size).itemsize
        missing = [part for part in parts if not is_built(part, itemsize)]
        total = sum(part.stop - part.start for part in parts)
        done = total - sum(part.stop - part.start for part in missing)
        with Progress("building examples", total=total) as progress:
            for part in build_parts(missing, tokenizer, config):
                done += part.stop - part.start
                progress.bytes(done)
        runs, digests = read_runs(parts)
        out = work / "out"
        summary = _assemble(out, runs, digests, tokenizer, config)
        if config.packing.policy == "best_fit":
            special = {"suffix": tokenizer.special.suffix, "middle": tokenizer.special.middle}
            packed = write_plan(out / "train", seq_length=seq_length, special=special)
            summary["packing"] = {"seq_length": seq_length, **packed}
        _publish(out, folder, summary)
    return summary


def _find_shards(corpus: Path) -> list[Path]:
    """The shards of a finished corpus; a folder without a report is unfinished."""
    if not (corpus / "report.json").exists():
        raise UserError(f"there is no finished corpus in {corpus}; make one with `aixmeg corpus build`")
    shards = [corpus / shard_name(number) for number in range(read_json(corpus / "report.json")["shards"])]
    for shard in shards:
        if not shard.is_file():
            raise UserError(f"{shard} is missing; make the corpus again with `aixmeg corpus build`")
    if not any(shard.stat().st_size for shard in shards):
        raise UserError(f"the corpus {corpus} holds no files; make one with `aixmeg corpus build`")
    return shards


@contextlib.contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Keep a second build out, and remove `work` on success; the lock goes with the process, however it ends."""
    path = work / "lock"
    with contextlib.ExitStack() as stack:
        try:
            work.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(path.open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists():  # a build that ended just now has removed what we opened
                raise BlockingIOError
        except BlockingIOError as error:
            raise UserError(f"another `aixmeg data build` is writing {work.parent}; wait for it to end") from error
        except OSError as error:
            raise write_error(work, error) from error
        yield
        shutil.rmtree(work)


def _choices(config: DataConfig) -> dict[str, Any]:
    """The options that the examples depend on."""
    without = ("workers", "valid_share", "packing", "epochs")
    return {name: value for name, value in asdict(config).items() if name not in without}


def _fingerprint(config: DataConfig, tokenizer: CodeTokenizer, shards: list[Path]) -> str:
    """Names everything that finished parts depend on; of the corpus, name, size and time of each shard."""
    stats = [(shard.name, shard.stat().st_size, shard.stat().st_mtime_ns) for shard in shards]
    versions = [importlib.metadata.version(name) for name in ("tree-sitter", "tree-sitter-language-pack")]
    identity = [__version__, versions, _choices(config), tokenizer.sha256, PART_BYTES, stats]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def _keep_only(work: Path, kept: Path) -> None:
    """Remove parts of other options or another corpus, and half-written outputs."""
    for found in work.iterdir():
        if found.is_dir() and found != kept:
            shutil.rmtree(found)
    kept.mkdir(exist_ok=True)


def _assemble(
    out: Path, runs: list[Run], digests: list[str], tokenizer: CodeTokenizer, config: DataConfig
) -> dict[str, Any]:
    """Write the splits' files into `out`; returns data.json's content."""
    if not runs:
        raise UserError("the corpus holds no files; make one with `aixmeg corpus build`")
    tokens: dict[str, int] = {}
    for run in runs:
        tokens[run.repository] = tokens.get(run.repository, 0) + run.tokens
    held = held_out(tokens, share=config.valid_share, seed=config.seed)
    chosen = {"train": [run for run in runs if run.repository not in held]}
    if held:
        chosen["valid"] = [run for run in runs if run.repository in held]
    splits = {name: write_split(out / name, members, tokenizer.vocab_size) for name, members in chosen.items()}
    with atomic_write(out / UNIGRAM, "wb") as file:
        np.save(file, splits["train"].unigram)
    return {
        "format": 1,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer_sha256": tokenizer.sha256,
        "corpus_sha256": hashlib.sha256("".join(digests).encode()).hexdigest(),
        "config": _choices(config) | {"valid_share": config.valid_share},
        "unigram": UNIGRAM,
        **{name: _summary(split) for name, split in splits.items()},
        "valid_repositories": sorted(held),
    }


def _summary(split: Split) -> dict[str, Any]:
    totals = split.totals
    return {"repositories": len(split.lengths), **totals, "bytes_per_token": totals["bytes"] / totals["tokens"]}


def _publish(out: Path, folder: Path, summary: dict[str, Any]) -> None:
    """Move the files into place: no index is there while tokens are replaced, and data.json comes last."""
    try:
        (folder / SUMMARY).unlink(missing_ok=True)
        for old in folder.glob("*.pack-*"):
            old.unlink()
        names = [f"{split}{suffix}" for split in ("train", "valid") for suffix in SPLIT_FILES]
        names += [path.name for path in out.glob("*.pack-*")]
        for name in names:
            if name.endswith(".idx") or not (out / name).exists():
                (folder / name).unlink(missing_ok=True)
        for name in sorted([UNIGRAM, *names], key=lambda name: name.endswith(".idx")):
            if (out / name).exists():
                (out / name).rename(folder / name)
        sync(folder)
    except OSError as error:
        raise write_error(folder, error) from error
    write_json(folder / SUMMARY, summary)
