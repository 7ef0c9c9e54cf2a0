"""Checkpoint folders of a run: naming, the `latest` pointer, atomic publication, retention. No torch here.

run/checkpoints/step-00000100/    complete, or not there at all; aixmeg.json is its table of contents
run/checkpoints/latest            name of the newest one
run/checkpoints/.step-….tmp       being written, or left by a kill; ignored, and removed by the next start
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json, replace_folder, sync, write_json

MANIFEST = "aixmeg.json"
LATEST = "latest"
Manifest = dict[str, Any]


def checkpoints_folder(run: Path) -> Path:
    """Where a run keeps its checkpoints."""
    return run / "checkpoints"


def step_folder(run: Path, step: int) -> Path:
    """Folder of the checkpoint of `step`."""
    return checkpoints_folder(run) / f"step-{step:08}"


def list_checkpoints(run: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(path for path in checkpoints_folder(run).glob("step-*") if path.is_dir())


def find_latest(run: Path) -> Path | None:
    """The checkpoint that `latest` names; None where the run has none.

    Raises:
        UserError: `latest` names a folder that is gone.
    """
    pointer = checkpoints_folder(run) / LATEST
    folders = list_checkpoints(run)
    if not pointer.exists():
        # A kill between the publication of the first checkpoint and of its name.
        return folders[-1] if folders else None
    name = pointer.read_text(encoding="utf-8").strip()
    for folder in folders:
        if folder.name == name:
            return folder
    there = ", ".join(folder.name for folder in folders) or "there are none"
    raise UserError(f"{pointer} names {name!r}, which is not in {pointer.parent}; write one of these into it: {there}")


def latest_checkpoint(run: Path, step: int | None = None) -> Path:
    """The newest checkpoint of `run`, or the one of `step`.

    Raises:
        UserError: there is none.
    """
    folder = find_latest(run) if step is None else step_folder(run, step)
    if folder is None:
        raise UserError(f"{run} holds no checkpoint; train first, or name the run directory of a training")
    if not folder.is_dir():
        there = ", ".join(folder.name for folder in list_checkpoints(run)) or "none"
        raise UserError(f"{run} holds no checkpoint of step {step}; it has: {there}")
    return folder


def read_manifest(folder: Path) -> Manifest:
    """The checkpoint's table of contents, after a check that every file is there with its size.

    Raises:
        UserError: names the missing or shortened file.
    """
    manifest = read_json(folder / MANIFEST)
    for name, size in manifest["files"].items():
        path = folder / name
        found = path.stat().st_size if path.exists() else None
        if found != size:
            what = "is missing" if found is None else f"has {found} bytes instead of {size}"
            raise UserError(
                f"the checkpoint {folder} is incomplete: {name} {what}; delete the folder and write the name of "
                f"another checkpoint into {folder.parent / LATEST}"
            )
    return manifest


def temporary_folder(run: Path, step: int) -> Path:
    """Where the checkpoint of `step` is written before it is published."""
    return checkpoints_folder(run) / f".step-{step:08}.tmp"


def publish(run: Path, step: int, manifest: Manifest, *, keep: int) -> Path:
    """Make the finished temporary folder of `step` the run's newest checkpoint; remove those beyond the newest `keep`.

    Raises:
        UserError: the disk refuses the last writes; the earlier checkpoints and `latest` are untouched.
    """
    temporary, final = temporary_folder(run, step), step_folder(run, step)
    files = sorted(path for path in temporary.iterdir() if path.is_file())
    for path in files:
        sync(path)
    write_json(temporary / MANIFEST, {**manifest, "files": {path.name: path.stat().st_size for path in files}})
    replace_folder(temporary, final)
    with atomic_write(final.parent / LATEST) as file:
        file.write(final.name + "\n")
    if keep > 0:
        for old in list_checkpoints(run)[:-keep]:
            if old != final:
                _remove(old)
    return final


def remove_unfinished(run: Path) -> None:
    """Remove what a kill left: checkpoints half-written or half-deleted."""
    for path in checkpoints_folder(run).glob(".*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove(folder: Path) -> None:
    """Delete a checkpoint so that no half of it is ever visible."""
    hidden = folder.with_name(f".{folder.name}.old")
    folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)
