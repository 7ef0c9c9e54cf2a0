"""The run directory before the first step: what must be there, what must not, and what is written into it."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import Any

from aixmeg.config import Config, dump_config
from aixmeg.config.blend import integer_shares
from aixmeg.data.turns import epoch_folder
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json, replace_folder, sha256_file, write_error, write_json
from aixmeg.model.names import count_parameters
from aixmeg.train.folders import checkpoints_folder, list_checkpoints, remove_unfinished
from aixmeg.train.inputs import Inputs, data_folders
from aixmeg.train.manifest import versions

_TOKENIZER = "tokenizer.model"


def check_inputs(config: Config) -> dict[str, Any]:
    """Check datasets, tokenizer and vocabulary against each other, without reading tokens.

    Returns:
        What identifies tokenizer and training tokens in a checkpoint.

    Raises:
        UserError: one is missing, or they do not belong together.
    """
    tokenizer = config.paths.at("tokenizer") / _TOKENIZER
    if not tokenizer.exists():
        raise UserError(
            f"{tokenizer} does not exist; the run keeps a copy of it: train it with `aixmeg tokenizer train`"
        )
    digest = sha256_file(tokenizer)
    found = {name: _check_dataset(config, folder, tokenizer, digest) for name, folder in data_folders(config).items()}
    if "" in found:
        return {"tokenizer_sha256": digest, **found[""]}
    shares = integer_shares(config.train.blend)
    return {
        "tokenizer_sha256": digest,
        "blend": [f"{share}/{sum(shares)} {name}" for name, share in zip(found, shares, strict=True)],
        **{f"{name}.{key}": value for name, identity in found.items() for key, value in identity.items()},
    }


def _check_dataset(config: Config, folder: Path, tokenizer: Path, digest: str) -> dict[str, Any]:
    """Check one dataset against the model and the tokenizer; what identifies it."""
    epochs = [epoch_folder(folder, number) for number in range(config.data.epochs)]
    for path in (epoch / name for epoch in epochs for name in ("data.json", "train.bin", "train.idx")):
        if not path.exists():
            raise UserError(f"{path} does not exist; build the dataset first with `aixmeg data build`")
    built = read_json(folder / "data.json")
    vocabulary = built["vocab_size"]
    if vocabulary != config.model.vocab_size:
        raise UserError(
            f"model.vocab_size={config.model.vocab_size}, but {folder} was built with a tokenizer of {vocabulary} "
            f"pieces; set model.vocab_size={vocabulary}, or build the data with another tokenizer"
        )
    if digest != built["tokenizer_sha256"]:
        raise UserError(
            f"{folder} was built with another tokenizer (SHA-256 {built['tokenizer_sha256'][:12]}…) than {tokenizer} "
            f"({digest[:12]}…); build the data again with `aixmeg data build`, or name the tokenizer it was built with"
        )
    return {
        "corpus_sha256": built.get("corpus_sha256"),
        "options": built.get("config"),
        "train_bytes": (folder / "train.bin").stat().st_size,
        "train_idx_sha256": sha256_file(folder / "train.idx"),
    } | ({"epochs": [sha256_file(epoch / "train.idx") for epoch in epochs[1:]]} if len(epochs) > 1 else {})


def prepare_run(run: Path, *, resume: bool) -> None:
    """Make the run directory, remove what a kill left in it, and refuse to start over where there are checkpoints.

    Raises:
        UserError: it has checkpoints and `resume` is false, or it cannot be written.
    """
    found = list_checkpoints(run)
    if found and not resume:
        raise UserError(
            f"{run} already holds {found[-1].name}; go on from it with --resume, or name another run directory with "
            "--paths.run"
        )
    try:
        checkpoints_folder(run).mkdir(parents=True, exist_ok=True)
        remove_unfinished(run)
    except OSError as error:
        raise write_error(run, error) from error


def write_run(config: Config, inputs: Inputs, *, ranks: int) -> None:
    """Write config.yaml, run.json and the copy of the tokenizer, which make the run self-contained.

    Raises:
        UserError: the disk refuses a write.
    """
    run = config.paths.at("run")
    with atomic_write(run / "config.yaml") as file:
        file.write(dump_config(config))
    facts = run / "run.json"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(
        facts,
        {
            "unigram": inputs.unigram,
            "parameters": count_parameters(config.model),
            "tokenizer_sha256": inputs.identity["tokenizer_sha256"],
            "versions": versions(),
            "ranks": ranks,
            "started": read_json(facts)["started"] if facts.exists() else now,
        },
    )
    _copy_tokenizer(config.paths.at("tokenizer"), run / "tokenizer")


def _copy_tokenizer(source: Path, target: Path) -> None:
    if (target / _TOKENIZER).exists() and sha256_file(target / _TOKENIZER) == sha256_file(source / _TOKENIZER):
        return
    temporary = target.with_name(".tokenizer.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        shutil.copytree(source, temporary)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(f"cannot copy {source} to {target}: {error}") from error
    replace_folder(temporary, target)
