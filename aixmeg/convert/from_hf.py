"""Hugging Face Llama folder, or aiXcoder's released checkpoint → run directory whose step 0 any layout can start from.

One tensor is in memory at a time. The run has weights and no optimizer state: `train.init_from` begins from it.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from aixmeg import __version__
from aixmeg.config import Config, ModelConfig, TokenizerConfig, TrainConfig, conflicts, dump_config
from aixmeg.convert import verify as check
from aixmeg.convert.aixcoder import ReleasedWeights, find_release
from aixmeg.convert.checkpoint_writer import file_name, plan_files, write_file, write_table
from aixmeg.convert.hf_config import (
    KEPT_FILES,
    config_json,
    copy_small_files,
    generation_config_json,
    read_model_config,
)
from aixmeg.convert.ledger import Ledger
from aixmeg.convert.mapping import from_hf
from aixmeg.convert.native import streamed_run_model
from aixmeg.convert.pickled import open_weights
from aixmeg.convert.weights import DTYPES, Progress
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, replace_folder, write_error, write_json
from aixmeg.model.names import ParameterInfo, count_parameters, parameter_table

FILE_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Import:
    """What was made."""

    out: Path
    source: str
    parameters: int
    size: int
    """Bytes of the weights."""
    dtype: Literal["bf16", "fp32"]
    vocab_size: int
    """Rows of the embedding, padding included."""
    tokenizer: str
    """Empty, or why training data cannot be built with the folder's tokenizer."""
    verification: check.Verification | None


@dataclass(frozen=True)
class _Source:
    folder: Path
    model: ModelConfig
    dtype: torch.dtype
    weights: Callable[[set[str]], Iterator[tuple[str, Tensor]]]
    """megatron-core's names → those weights."""


def convert(
    folder: Path,
    out: Path,
    *,
    verify: bool = False,
    dtype: Literal["bf16", "fp32"] | None = None,
    vocab_multiple_of: int = 1,
    file_bytes: int = FILE_BYTES,
    progress: Progress = lambda what, share: None,
) -> Import:
    """Convert the weights in `folder` into the new run directory `out`.

    Args:
        folder: config.json with safetensors or pytorch_model.bin, in one file or shards; or aiXcoder's released `.pt`.
        out: absent, or an empty folder.
        verify: load both sides and compare their logits before `out` appears.
        dtype: of the checkpoint; None keeps that of the weights.
        vocab_multiple_of: pad the embedding's rows to a multiple of this, for tensor parallelism that needs it.
        file_bytes: largest file of weights.
        progress: called with what is being done.

    Raises:
        UserError: no such model, one that training does not support, a full disk; `out` is then as it was.
    """
    out = out.resolve()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists and is not empty; name another folder for the run directory")
    if vocab_multiple_of < 1:
        raise UserError(f"--vocab-multiple-of {vocab_multiple_of} must be at least 1")
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        source = _open(folder)
        precision = _precision(source, dtype)
        section = dataclasses.replace(
            source.model, vocab_size=-(-source.model.vocab_size // vocab_multiple_of) * vocab_multiple_of
        )
        size = _write_checkpoint(
            source, temporary, section, precision=precision, may_round=dtype is not None, file_bytes=file_bytes,
            progress=progress,
        )  # fmt: skip
        config, problem = _write_run(source, temporary, section, precision)
        verification = _verify(source, temporary, config, progress) if verify else None
        replace_folder(temporary, out)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise write_error(out, error) from error
    except UserError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    parameters = count_parameters(source.model)
    return Import(out, folder.name, parameters, size, precision, section.vocab_size, problem, verification)


def _open(folder: Path) -> _Source:
    """Recognise the layout by its files."""
    release = find_release(folder) if folder.is_dir() else None
    if release is not None:
        released = ReleasedWeights(release)
        model = released.model(ModelConfig())
        return _Source(folder, model, released.dtype, lambda names: ((name, released[name]) for name in sorted(names)))
    if not (folder / "config.json").exists():
        raise UserError(
            f"{folder} has neither config.json (Hugging Face) nor a .pt file (aiXcoder's release); name the folder "
            "that holds a model"
        )
    model = read_model_config(folder)
    weights = open_weights(folder)
    first = next(iter(from_hf(weights, model)))[1]  # checks the names, too
    return _Source(folder, model, first.dtype, lambda names: from_hf(weights, model, only=names))


def _precision(source: _Source, wanted: Literal["bf16", "fp32"] | None) -> Literal["bf16", "fp32"]:
    if wanted is not None:
        return wanted
    if source.dtype is torch.bfloat16:
        return "bf16"
    if source.dtype is torch.float32:
        return "fp32"
    raise UserError(
        f"the weights of {source.folder} are {str(source.dtype).removeprefix('torch.')}, in which nothing trains here; "
        "choose --dtype fp32, which holds them exactly, or --dtype bf16, which rounds them"
    )


def _write_checkpoint(
    source: _Source,
    run: Path,
    section: ModelConfig,
    *,
    precision: Literal["bf16", "fp32"],
    may_round: bool,
    file_bytes: int,
    progress: Progress,
) -> int:
    """Write and publish step 0 of `run`; the bytes of its weights."""
    from aixmeg.train.folders import SHARDING, publish, temporary_folder

    dtype, table = DTYPES[precision], parameter_table(section)
    files = plan_files(list(table.values()), file_bytes, dtype.itemsize)
    names = [file_name(number) for number in range(len(files))]
    ledger = Ledger(temporary_folder(run, 0), _identity(source, section, precision, file_bytes))
    total, written = count_parameters(section) * dtype.itemsize, 0

    def ready(infos: list[ParameterInfo]) -> Iterator[tuple[ParameterInfo, Tensor]]:
        nonlocal written
        for name, weight in source.weights({info.name for info in infos}):
            yield table[name], _ready(name, weight, table[name].shape, dtype, may_round)
            written += table[name].numel * dtype.itemsize
            progress("writing weights", written / total)

    for name, infos in zip(names, files, strict=True):
        if ledger.finished(name) is None:
            write_file(ledger, name, ready(infos))
        else:
            written += sum(info.numel for info in infos) * dtype.itemsize
    write_table(ledger, names, list(table.values()), dtype=dtype, sharding=dict(SHARDING))
    publish(run, 0, _manifest(source, section, precision), digests=ledger.digests(), keep=0)
    return total


def _ready(name: str, weight: Tensor, shape: tuple[int, ...], dtype: torch.dtype, may_round: bool) -> Tensor:
    """The weight in the checkpoint's type, its vocabulary padded with zeros."""
    if weight.dtype != dtype and dtype is not torch.float32 and not may_round:
        raise UserError(
            f"{name} is {str(weight.dtype).removeprefix('torch.')}, unlike the first weight; choose --dtype fp32, "
            "which holds all of them exactly, or --dtype bf16, which rounds this one"
        )
    weight = weight.detach().to(dtype)
    if weight.shape[0] == shape[0]:
        return weight.contiguous()
    padded = weight.new_zeros(shape)
    padded[: weight.shape[0]] = weight
    return padded


def _identity(source: _Source, section: ModelConfig, precision: str, file_bytes: int) -> dict[str, Any]:
    """What decides the bytes of the weights."""
    stats = {path.name: path.stat() for path in sorted(source.folder.iterdir()) if path.is_file()}
    return {
        "folder": source.folder.resolve(),
        "files": {name: (found.st_size, found.st_mtime_ns) for name, found in stats.items()},
        "model": dataclasses.asdict(section),
        "precision": precision,
        "file_bytes": file_bytes,
        "aixmeg": __version__,
    }


def _configuration(section: ModelConfig, precision: Literal["bf16", "fp32"]) -> Config:
    return Config(
        model=section,
        tokenizer=TokenizerConfig(vocab_size=section.vocab_size),
        train=TrainConfig(precision=precision),
    )


def _manifest(source: _Source, section: ModelConfig, precision: Literal["bf16", "fp32"]) -> dict[str, Any]:
    """aixmeg.json of a checkpoint without optimizer state."""
    from aixmeg.train.manifest import describe

    return describe(_configuration(section, precision), step=0, data={}) | {
        "weights_only": True,
        "imported": {"folder": source.folder.name, "vocab_size": source.model.vocab_size},
    }


def _write_run(
    source: _Source, run: Path, section: ModelConfig, precision: Literal["bf16", "fp32"]
) -> tuple[Config, str]:
    """What makes the folder a run directory; the configuration, and what is wrong with the tokenizer."""
    config = _configuration(section, precision)
    problems = conflicts(config, 1)
    if problems:
        raise UserError("\n".join([f"{source.folder} cannot be trained on:", *(f"  - {one}" for one in problems)]))
    with atomic_write(run / "config.yaml") as file:
        file.write(dump_config(config))
    for name in (KEPT_FILES, "tokenizer"):
        (run / name).mkdir(exist_ok=True)
        copy_small_files(source.folder, run / name)
    for name in ("config.json", "generation_config.json"):
        (run / "tokenizer" / name).unlink(missing_ok=True)
    if not (source.folder / "config.json").exists():
        dtype = str(DTYPES[precision]).removeprefix("torch.")
        write_json(run / KEPT_FILES / "config.json", config_json(source.model, dtype))
        write_json(run / KEPT_FILES / "generation_config.json", generation_config_json())
    if not (run / "tokenizer" / "tokenizer.model").exists():
        return config, f"{source.folder} has no tokenizer.model"
    try:
        from aixmeg.convert.native import read_tokenizer

        read_tokenizer(run / "tokenizer", section)
    except UserError as error:
        return config, str(error)
    return config, ""


def _verify(source: _Source, run: Path, config: Config, progress: Progress) -> check.Verification:
    """Compare the new checkpoint with what transformers makes of the folder."""
    if not (source.folder / "config.json").exists():
        raise UserError(
            f"--verify compares with transformers, which cannot read {source.folder}; convert without it, then the "
            "result to Hugging Face with --verify"
        )
    progress("comparing with the folder", 0.0)
    ids, text = check.sample_ids(config, check.our_tokenizer(source.folder))
    dtype = DTYPES[config.train.precision]
    with streamed_run_model(run, config, None, rounded=dtype) as (model, device):
        ours = check.native_outputs(model, ids, device=device, vocab_size=source.model.vocab_size)
    progress("comparing with the folder", 0.5)
    theirs = check.hf_outputs(source.folder, ids, rounded=dtype)
    return check.check_logits(ours, theirs, text=text)
