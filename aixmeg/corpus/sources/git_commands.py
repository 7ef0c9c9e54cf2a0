"""Git as a reader of repositories that nobody vouches for: no hook, no program and no fetch that they ask for runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from aixmeg.errors import UserError

_SAFE: Final = (
    "-c", "safe.directory=*",  # mirrors often belong to another user; nothing below executes what they hold
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.pager=cat",
    "-c", "protocol.allow=never", "-c", "core.alternateRefsCommand=true", "-c", "gc.auto=0",
    "-c", "core.commitGraph=true", "-c", "submodule.recurse=false",
)  # fmt: skip


def git_command(git_dir: Path | str, *arguments: str) -> list[str]:
    """The command line of a git command on a repository."""
    return ["git", "--no-pager", "--no-replace-objects", *_SAFE, f"--git-dir={git_dir}", *arguments]


def git_environment() -> dict[str, str]:
    """The environment of a git command: nothing of the user's or the system's configuration, and nothing interactive.

    Variables that would point git somewhere else (GIT_DIR, GIT_OBJECT_DIRECTORY …) are left out.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "", "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_ASKPASS": "true", "SSH_ASKPASS": "true", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_ATTR_NOSYSTEM": "1",
        "HOME": os.devnull, "XDG_CONFIG_HOME": os.devnull, "LC_ALL": "C",
    }  # fmt: skip


def git_output(git_dir: Path | str, *arguments: str) -> str | None:
    """The first line that a command prints; None if it fails.

    Raises:
        UserError: there is no git on this machine.
    """
    try:
        done = subprocess.run(git_command(git_dir, *arguments), env=git_environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, check=False)  # fmt: skip
    except FileNotFoundError:
        raise no_git() from None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


def no_git() -> UserError:
    """What to tell a user who has none."""
    return UserError("git is not installed, and a source is a git repository; install git or leave that source out")


def is_bare(folder: Path) -> bool:
    """Whether a folder looks like a bare repository (or the `.git` of one), judged by its names alone."""
    return is_file(folder / "HEAD") and is_folder(folder / "objects") and (
        is_folder(folder / "refs") or is_file(folder / "packed-refs"))  # fmt: skip


def is_file(path: Path) -> bool:
    """Whether a regular file is there; False where the system refuses to say, at which pathlib raises."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """The same for a folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


def commit_of(git_dir: Path | str, ref: str) -> str | None:
    """The commit that a branch, tag or HEAD names."""
    return git_output(git_dir, "rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{commit}")


def commit_count(git_dir: Path | str, ref: str) -> float | None:
    """Number of commits behind a ref; None for a shallow copy, whose history is cut, or where there is none."""
    if Path(git_dir, "shallow").exists():
        return None
    try:
        count = git_output(git_dir, "rev-list", "--count", "--end-of-options", ref)
    except UserError:  # a work tree is read without git; only this signal is missing
        return None
    return float(count) if count is not None and count.isdecimal() else None
