"""Run directory → Hugging Face Llama folder, complete and checked before it gets its name."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from aixmeg import __version__
from aixmeg.config import Config, ModelConfig
from aixmeg.convert import verify as check
from aixmeg.convert.checkpoint_reader import CheckpointWeights
from aixmeg.convert.hf_config import KEPT_FILES, config_json, copy_small_files, generation_config_json
from aixmeg.convert.ledger import Ledger
from aixmeg.convert.mapping import hf_shapes, to_hf
from aixmeg.convert.native import check_model, read_run_config, read_tokenizer, streamed_run_model
from aixmeg.convert.weights import DTYPES, SHARD_BYTES, Progress, write_weights
from aixmeg.errors import UserError
from aixmeg.files import read_json, replace_folder, sha256_file, write_error, write_json
from aixmeg.tokenizer import hf_prompt
from aixmeg.tokenizer.export import export_hf

MARKER = "aixmeg.json"
"""Where the folder came from; its presence also says that a later conversion may replace the folder."""
PROMPT_FILE = "aixmeg_prompt.py"
"""`aixmeg.tokenizer.hf_prompt`, for those who have the folder and transformers, but not this package."""


@dataclass(frozen=True)
class Conversion:
    """What was made."""

    out: Path
    source: str
    parameters: int
    size: int
    """Bytes of the weights."""
    dtype: str
    verification: check.Verification | None


def convert(
    run: Path,
    out: Path,
    *,
    step: int | None = None,
    verify: bool = False,
    dtype: Literal["bf16", "fp32"] | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = lambda what, share: None,
) -> Conversion:
    """Convert the newest checkpoint of `run`, or that of `step`, into the folder `out`.

    `dtype` None keeps the type that the run trained in. With `verify` the finished files are loaded by transformers
    and compared with the run's own model before `out` appears; weights that `dtype` rounds are rounded on both sides.
    Weights pass one tensor at a time. An interrupted conversion leaves its finished files beside `out`, and the same
    conversion goes on from them.

    Raises:
        UserError: bad input, a full disk, or a failed verification; `out` is then as it was.
    """
    out = out.resolve()  # a rename would replace a symbolic link instead of what it names
    _check_out(out)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        source = _open(run, step)
        target = DTYPES[dtype or source.config.train.precision]
        progress("reading the checkpoint", 0.0)
        ledger = Ledger(temporary, _identity(source, target, shard_bytes))
        result = _fill(source, ledger, out, verify=verify, target=target, shard_bytes=shard_bytes, progress=progress)
        ledger.close()
        replace_folder(temporary, out)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise write_error(out, error) from error
    except UserError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return result


def _check_out(out: Path) -> None:
    """Only an absent or empty folder, or an earlier conversion, may be replaced."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"{out} is a file; name a folder to make")
    if any(out.iterdir()):
        marker = out / MARKER
        content = read_json(marker) if marker.exists() else None
        if not isinstance(content, dict) or content.get("kind") != "huggingface":
            raise UserError(f"{out} is not empty and not an earlier conversion; name another folder, or remove it")


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A run's checkpoint, and what belongs to it."""

    run: Path
    config: Config
    checkpoint: Path
    step: int
    vocab_size: int
    """Rows of the embedding that stand for something; those after them pad it."""
    imported: bool
    """The weights are those of a Hugging Face folder, whose small files the run keeps."""


def _open(run: Path, step: int | None) -> _Source:
    """Find the checkpoint, and check that its parts belong together.

    Raises:
        UserError: they do not.
    """
    from aixmeg.train.folders import latest_checkpoint, read_manifest

    config = read_run_config(run)
    checkpoint = latest_checkpoint(run, step)
    manifest = read_manifest(checkpoint)
    check_model(checkpoint, manifest["model"], config.model)
    imported = manifest.get("imported")
    rows = imported["vocab_size"] if imported else read_tokenizer(run / "tokenizer", config.model).vocab_size
    kept = imported is not None and (run / KEPT_FILES).is_dir()
    return _Source(run=run, config=config, checkpoint=checkpoint, step=manifest["step"], vocab_size=rows, imported=kept)


def _identity(source: _Source, dtype: torch.dtype, shard_bytes: int) -> dict[str, object]:
    """What decides the bytes of the weights."""
    from aixmeg.train.folders import MANIFEST

    return {
        "checkpoint": source.checkpoint.resolve(),
        "manifest": sha256_file(source.checkpoint / MANIFEST),
        "written": (source.checkpoint / MANIFEST).stat().st_mtime_ns,
        "dtype": dtype,
        "shard_bytes": shard_bytes,
        "aixmeg": __version__,
    }


def _fill(
    source: _Source,
    ledger: Ledger,
    out: Path,
    *,
    verify: bool,
    target: torch.dtype,
    shard_bytes: int,
    progress: Progress,
) -> Conversion:
    """Write everything into the ledger's folder; `out` is for the record."""
    native, folder = source.config.model, ledger.folder
    model = dataclasses.replace(native, vocab_size=source.vocab_size)
    shapes = hf_shapes(model)
    parameters = sum(torch.Size(shape).numel() for shape in shapes.values())
    written = 0

    def advance(name: str, size: int) -> None:
        nonlocal written
        written += size
        progress("writing weights", written / (parameters * target.itemsize))

    weights = CheckpointWeights(source.checkpoint)
    size = write_weights(
        ledger,
        lambda names: to_hf(weights, native, only=set(names), vocab_size=model.vocab_size),
        shapes, dtype=target, shard_bytes=shard_bytes, progress=advance,
    )  # fmt: skip
    dtype_name = str(target).removeprefix("torch.")
    tokenizer_file = _write_small_files(source, model, folder, dtype_name)
    if check.our_tokenizer(folder) is not None:
        shutil.copyfile(Path(hf_prompt.__file__), folder / PROMPT_FILE)
    verification = _verify(source, folder, target, progress) if verify else None
    digest = sha256_file(tokenizer_file) if tokenizer_file.exists() else None
    write_json(folder / MARKER, _provenance(source.checkpoint.name, dtype_name, digest, verification))
    return Conversion(out, source.checkpoint.name, parameters, size, dtype_name, verification)


def _write_small_files(source: _Source, model: ModelConfig, folder: Path, dtype: str) -> Path:
    """Configuration and tokenizer; the path of tokenizer.model."""
    tokenizer = folder / "tokenizer.model"
    if source.imported:
        copy_small_files(source.run / KEPT_FILES, folder)
        config = read_json(folder / "config.json")
        named = {name: dtype for name in ("dtype", "torch_dtype") if name in config} or {"torch_dtype": dtype}
        if any(config.get(name) != value for name, value in named.items()):
            write_json(folder / "config.json", config | named)
        return tokenizer
    write_json(folder / "config.json", config_json(model, dtype))
    write_json(folder / "generation_config.json", generation_config_json())
    shutil.copyfile(source.run / "tokenizer" / tokenizer.name, tokenizer)
    export_hf(tokenizer, folder)
    return tokenizer


def _verify(source: _Source, folder: Path, dtype: torch.dtype, progress: Progress) -> check.Verification:
    progress("comparing with the run", 0.0)
    tokenizer = check.our_tokenizer(folder) if source.imported else read_tokenizer(folder, source.config.model)
    ids, text = check.sample_ids(source.config, tokenizer)
    if tokenizer is not None and not source.imported:
        check.check_tokenizer(folder, tokenizer, ids)
    with streamed_run_model(source.run, source.config, source.step, rounded=dtype) as (model, device):
        expected = check.native_outputs(model, ids, device=device, vocab_size=source.vocab_size)
    progress("comparing with the run", 0.5)
    return check.check_logits(expected, check.hf_outputs(folder, ids), text=text)


def _provenance(
    checkpoint: str, dtype: str, tokenizer_sha256: str | None, verification: check.Verification | None
) -> dict[str, object]:
    return {
        "kind": "huggingface",
        "checkpoint": checkpoint,
        "dtype": dtype,
        "tokenizer_sha256": tokenizer_sha256,
        "largest_logit_difference": None if verification is None else verification.largest_difference,
        "aixmeg": __version__,
    }
