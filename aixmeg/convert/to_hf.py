"""Run directory → Hugging Face Llama folder, complete and checked before it gets its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from aixmeg import __version__
from aixmeg.convert import verify as check
from aixmeg.convert.hf_config import config_json, generation_config_json
from aixmeg.convert.mapping import hf_shapes, to_hf
from aixmeg.convert.native import Native, by_global_name, open_run
from aixmeg.convert.weights import SHARD_BYTES, write_weights
from aixmeg.errors import UserError
from aixmeg.files import read_json, replace_folder, write_error, write_json
from aixmeg.tokenizer.export import export_hf

MARKER = "aixmeg.json"
"""Where the folder came from; its presence also says that a later conversion may replace the folder."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Progress = Callable[[str, float], None]
"""Called with what is being done and the share that is finished."""


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
    verify: bool = False,
    dtype: Literal["bf16", "fp32"] | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = lambda what, share: None,
) -> Conversion:
    """Convert the newest checkpoint of `run` into the folder `out`.

    `dtype` None keeps the type that the run trained in. With `verify` the finished files are loaded by transformers
    and compared with the run's own model before `out` appears; weights that `dtype` rounds are rounded on both sides.

    Raises:
        UserError: bad input, a full disk, or a failed verification; `out` is then as it was.
    """
    out = out.resolve()  # a rename would replace a symbolic link instead of what it names
    _check_out(out)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # left by a kill
        temporary.mkdir(parents=True)
        progress("reading the checkpoint", 0.0)
        with open_run(run) as native:
            result = _fill(
                native, temporary, out, verify=verify, dtype=dtype, shard_bytes=shard_bytes, progress=progress
            )
        replace_folder(temporary, out)
    except OSError as error:
        raise write_error(out, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
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


def _fill(
    native: Native,
    folder: Path,
    out: Path,
    *,
    verify: bool,
    dtype: Literal["bf16", "fp32"] | None,
    shard_bytes: int,
    progress: Progress,
) -> Conversion:
    """Write everything into `folder`; `out` is for the record."""
    model = native.config.model
    target = DTYPES[dtype or native.config.train.precision]
    shapes = hf_shapes(model)
    parameters = sum(torch.Size(shape).numel() for shape in shapes.values())
    written = 0

    def advance(name: str, size: int) -> None:
        nonlocal written
        written += size
        progress("writing weights", written / (parameters * target.itemsize))

    weights = by_global_name(native.model, model)
    size = write_weights(folder, to_hf(weights, model), shapes, dtype=target, shard_bytes=shard_bytes, progress=advance)
    dtype_name = str(target).removeprefix("torch.")
    write_json(folder / "config.json", config_json(model, dtype_name))
    write_json(folder / "generation_config.json", generation_config_json())
    shutil.copyfile(native.tokenizer.model_file, folder / native.tokenizer.model_file.name)
    export_hf(native.tokenizer.model_file, folder)
    verification = _verify(native, folder, target, progress) if verify else None
    write_json(folder / MARKER, _provenance(native, dtype_name, verification))
    return Conversion(out, native.source, parameters, size, dtype_name, verification)


def _verify(native: Native, folder: Path, dtype: torch.dtype, progress: Progress) -> check.Verification:
    progress("comparing with the run", 0.0)
    ids, text = check.sample_ids(native.config, native.tokenizer)
    check.check_tokenizer(folder, native.tokenizer, ids)
    with torch.no_grad():
        for parameter in native.model.parameters():
            parameter.copy_(parameter.to(dtype))
    expected = check.native_outputs(native.model, ids)
    native.model.to("meta")  # frees its memory, of which transformers is about to need as much
    progress("comparing with the run", 0.5)
    return check.check_logits(expected, check.hf_outputs(folder, ids), text=text)


def _provenance(native: Native, dtype: str, verification: check.Verification | None) -> dict[str, object]:
    return {
        "kind": "huggingface",
        "checkpoint": native.source,
        "dtype": dtype,
        "tokenizer_sha256": native.tokenizer.sha256,
        "largest_logit_difference": None if verification is None else verification.largest_difference,
        "aixmeg": __version__,
    }
