"""Checkpoint folders of a run: naming, the `latest` pointer, atomic publication, retention. No torch here.

run/checkpoints/step-00000100/    complete, or not there at all; aixmeg.json is its table of contents
run/checkpoints/latest            name of the newest one
run/checkpoints/damaged-step-…    a file of it has changed since it was saved; kept for the user to look at
run/checkpoints/.step-….tmp       being written, or left by a kill; ignored, and removed by the next start

aixmeg.json holds size and SHA-256 of every other file, and a SHA-256 of its own content. Not a faster checksum: it
needs no further package, hashlib lets go of the interpreter meanwhile, writing is beside the training anyway, and at
loading the ranks share the files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json, replace_folder, sha256_file, sync, write_json

MANIFEST = "aixmeg.json"
LATEST = "latest"
Manifest = dict[str, Any]
SHARDING: Final[Mapping[str, Any]] = {
    # Of the other types of megatron-core's distributed optimizer one cannot save with torch's Adam, one cannot be
    # loaded in another tensor- or pipeline-parallel layout.
    "distrib_optim_sharding_type": "fully_reshardable",
    "distrib_optim_fully_reshardable_mem_efficient": False,
}
"""How optimizer states are sharded in a checkpoint, in megatron-core's words."""
_LOOKS = 3
"""Times that a reader looks for what `latest` names: between its two looks a training may publish and remove."""


def checkpoints_folder(run: Path) -> Path:
    """Where a run keeps its checkpoints."""
    return run / "checkpoints"


def step_folder(run: Path, step: int) -> Path:
    """Folder of the checkpoint of `step`."""
    return checkpoints_folder(run) / f"step-{step:08}"


def list_checkpoints(run: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(path for path in checkpoints_folder(run).glob("step-*") if path.is_dir())


def step_of(folder: Path) -> int:
    """The step that a checkpoint's folder is named after."""
    return int(folder.name.removeprefix("step-"))


def find_latest(run: Path) -> Path | None:
    """The checkpoint that `latest` names; None where the run has none.

    Raises:
        UserError: `latest` names a folder that is gone.
    """
    pointer = checkpoints_folder(run) / LATEST
    name, folders = "", []
    for _ in range(_LOOKS):
        if not pointer.exists():
            # A kill between the publication of the first checkpoint and of its name.
            folders = list_checkpoints(run)
            return folders[-1] if folders else None
        name = pointer.read_text(encoding="utf-8").strip()
        folders = list_checkpoints(run)
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
        UserError: names the missing, shortened or changed file.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("sha256") != _seal(manifest):
        raise UserError(f"the checkpoint {folder} is damaged: {MANIFEST} has changed since it was saved; {_REMEDY}")
    for name, noted in manifest["files"].items():
        path = folder / name
        found = path.stat().st_size if path.exists() else None
        if found != noted["bytes"]:
            what = "is missing" if found is None else f"has {found} bytes instead of {noted['bytes']}"
            raise UserError(f"the checkpoint {folder} is incomplete: {name} {what}; {_REMEDY}")
    return manifest


_REMEDY = f"delete the folder and write the name of another checkpoint into its neighbour {LATEST}"


def changed_files(folder: Path, manifest: Manifest, *, part: int = 0, parts: int = 1) -> list[str]:
    """Names of files whose SHA-256 is not the noted one; of `parts` readers each takes about as many bytes."""
    files = manifest["files"]
    by_size = sorted(files, key=lambda name: (-files[name]["bytes"], name))
    return [name for name in by_size[part::parts] if not _is_as_noted(folder / name, files[name]["sha256"])]


def verify(folder: Path) -> Manifest:
    """Read a whole checkpoint and return its table of contents.

    Raises:
        UserError: names the files that are missing, shortened or changed.
    """
    manifest = read_manifest(folder)
    changed = changed_files(folder, manifest)
    if changed:
        raise UserError(damage(folder, changed))
    return manifest


def damage(folder: Path, changed: Iterable[str]) -> str:
    """What to tell of a checkpoint whose files have changed."""
    names = ", ".join(changed)
    return f"the checkpoint {folder} is damaged: {names} has changed since it was saved (SHA-256); {_REMEDY}"


def temporary_folder(run: Path, step: int) -> Path:
    """Where the checkpoint of `step` is written before it is published."""
    return checkpoints_folder(run) / f".step-{step:08}.tmp"


def publish(
    run: Path,
    step: int,
    manifest: Manifest,
    *,
    digests: Mapping[str, str] | None = None,
    keep: int,
    keep_every: int = 0,
) -> Path:
    """Make the finished temporary folder of `step` the run's newest checkpoint, and apply the retention policy.

    Args:
        run: run directory.
        step: of the checkpoint.
        manifest: content of aixmeg.json, but for the files.
        digests: SHA-256 of files that are known already; the others are read.
        keep: newest checkpoints to keep; 0 keeps all.
        keep_every: checkpoints of multiples of this are kept for ever; 0 means none.

    Raises:
        UserError: the disk refuses the last writes; the earlier checkpoints and `latest` are untouched.
    """
    temporary, final = temporary_folder(run, step), step_folder(run, step)
    known, files = digests or {}, {}
    # By name too: a network's file system may not list yet what another node has written.
    there = {path.name for path in temporary.iterdir() if path.is_file()}
    for path in sorted(temporary / name for name in there | known.keys()):
        sync(path)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": known.get(path.name) or sha256_file(path)}
    whole = {**manifest, "files": files}
    write_json(temporary / MANIFEST, {**whole, "sha256": _seal(whole)})
    replace_folder(temporary, final)
    point_to(final)
    for old in _superfluous(list_checkpoints(run), keep=keep, keep_every=keep_every):
        if old != final:
            _remove(old)
    return final


def point_to(folder: Path) -> None:
    """Make `latest` name this checkpoint."""
    with atomic_write(folder.parent / LATEST) as file:
        file.write(folder.name + "\n")


def go_back_to(folder: Path) -> None:
    """Make this the newest checkpoint: later ones are of a course that the training has left."""
    point_to(folder)
    for later in list_checkpoints(folder.parents[1]):
        if step_of(later) > step_of(folder):
            _remove(later)


def set_aside(folder: Path) -> Path:
    """Rename a damaged checkpoint, so that nobody reads it and it counts for nothing; its new name."""
    aside = folder.with_name(f"damaged-{folder.name}")
    replace_folder(folder, aside)
    return aside


def remove_unfinished(run: Path) -> None:
    """Remove what a kill left: checkpoints half-written or half-deleted."""
    for path in checkpoints_folder(run).glob(".*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _superfluous(folders: list[Path], *, keep: int, keep_every: int) -> list[Path]:
    """Those of `folders`, oldest first, that the retention policy removes."""
    if keep <= 0:
        return []
    return [folder for folder in folders[:-keep] if keep_every <= 0 or step_of(folder) % keep_every]


def _seal(manifest: Manifest) -> str:
    """SHA-256 of what aixmeg.json says."""
    content = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _is_as_noted(path: Path, digest: str) -> bool:
    try:
        return sha256_file(path) == digest
    except OSError:  # a bad sector
        return False


def _remove(folder: Path) -> None:
    """Delete a checkpoint so that no half of it is ever visible."""
    hidden = folder.with_name(f".{folder.name}.old")
    folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)
