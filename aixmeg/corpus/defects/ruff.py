"""Ruff's bug and security rules over many Python files at once, since starting it takes longer than most files."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from aixmeg.errors import UserError


def _codes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BUGS: Final = _codes(
    """
    E9 F502 F503 F504 F505 F506 F507 F508 F509 F521 F522 F523 F524 F525 F601 F602 F621 F622 F631 F632 F633 F634
    F701 F702 F704 F706 F707 F811 F821 F822 F823 F842 F901 B002 B003 B005 B006 B008 B012 B013 B014 B015 B016
    B017 B018 B020 B021 B022 B023 B025 B026 B029 B030 B031 B032 B033 B035 B039 B909 PLE PLW0120 PLW0127 PLW0128
    PLW0129 PLW0131 PLW0133 PLW0177 PLW0211 PLW0245 PLW0406 PLW0602 PLW0604 PLW0711 PLW1501 PLW1508 PLW1509
    PLW2101 PLW3301 ASYNC100 ASYNC105 ASYNC115 ASYNC210 ASYNC220 ASYNC221 ASYNC222 ASYNC230 ASYNC251 RUF006
    RUF008 RUF009 RUF013 RUF016 RUF017 RUF018 RUF024 RUF026 RUF030 RUF033 RUF034 RUF040 RUF048 RUF053 RUF059
    RUF060
    """
)
"""Rules of behaviour; what is only style is left out."""
VULNERABILITIES: Final = ("S1", "S2", "S3", "S4", "S5", "S6", "S7")
NOT_USED: Final = _codes("S101 S311 S404 S603 S607 S403 S405 S406 S407 S408 S409 S411 S412 S413 S415")
"""Assertions, random numbers, and imports that are no fault by themselves."""
SURE: Final = frozenset(
    _codes(
        """
    F502 F503 F504 F505 F506 F507 F508 F509 F521 F522 F523 F524 F525 F621 F622 F631 F632 F633 F634 F701 F702
    F704 F706 F707 F823 F901 B002 B003 B012 B016 B020 B025 B029 B030 B035 PLE0100 PLE0101 PLE0115 PLE0116
    PLE0117 PLE0118 PLE0241 PLE0303 PLE0304 PLE0305 PLE0307 PLE0308 PLE0309 PLE0605 PLE0643 PLE0704 PLE1132
    PLE1141 PLE1142 PLE1205 PLE1206 PLE1300 PLE1307 PLE1310 PLE1507 PLE1519 PLE1520 PLE1700 PLE2502 PLW0127
    PLW0128 PLW0129 PLW0131 PLW0133 PLW0211 PLW0711 RUF016 RUF018
    """
    )
)
"""Rules whose hits are almost always defects."""


_PANIC: Final = 101
"""Status of a Rust program that ends by a panic."""
_STACK_BYTES: Final = 8 << 20
"""Linux's default."""


def is_bug(code: str) -> bool:
    """Whether a rule's class is bug; the others are vulnerabilities."""
    return not code.startswith("S")


def find_ruff() -> str:
    """The program that the package `ruff` installed.

    Raises:
        UserError: it is not there.
    """
    beside = Path(sysconfig.get_path("scripts")) / "ruff"
    found = str(beside) if beside.exists() else shutil.which("ruff")
    if found is None:
        raise UserError("ruff is not installed; run `pip install ruff`, or set corpus.defects.ruff to false")
    return found


def check_files(contents: Sequence[bytes]) -> list[dict[str, int] | None]:
    """Hits by rule of each file; None for one that ruff crashes on, as it does on thousands of nested parentheses.

    Raises:
        UserError: ruff is missing or fails.
    """
    if not contents:
        return []
    result = _run(contents)
    if result.returncode < 0 or result.returncode == _PANIC:
        if len(contents) == 1:
            return [None]
        half = len(contents) // 2  # one of them is to blame, and the others are still to be judged
        return [*check_files(contents[:half]), *check_files(contents[half:])]
    if result.returncode:
        said = result.stderr.decode(errors="replace")[:500]
        raise UserError(
            f"ruff ended with status {result.returncode} ({said}); install the ruff that pyproject.toml names, or set "
            "corpus.defects.ruff to false"
        )
    found: list[dict[str, int] | None] = [{} for _ in contents]
    for hit in json.loads(result.stdout):
        code = hit["code"]
        if code is None or code == "invalid-syntax":  # what does not parse is the syntax step's to judge
            continue
        hits = found[int(Path(hit["filename"]).stem[1:])]
        assert hits is not None
        hits[code] = hits.get(code, 0) + 1
    return found


def _run(contents: Sequence[bytes]) -> subprocess.CompletedProcess[bytes]:
    with tempfile.TemporaryDirectory(prefix="aixmeg-ruff-") as name:
        folder = Path(name)
        for index, content in enumerate(contents):
            (folder / f"f{index}.py").write_bytes(content)
        command = [
            find_ruff(), "check", "--isolated", "--no-cache", "--exit-zero", "--quiet", "--preview", "--ignore-noqa",
            "--target-version", "py312", "--output-format", "json", "--select", ",".join((*BUGS, *VULNERABILITIES)),
            "--ignore", ",".join(NOT_USED), ".",
        ]  # fmt: skip
        with _fixed_stack():
            return subprocess.run(command, cwd=folder, capture_output=True, check=False, env={"RAYON_NUM_THREADS": "1"})


@contextlib.contextmanager
def _fixed_stack() -> Iterator[None]:
    """A limit on the stack that programs get; what the user has set must not decide which files ruff crashes on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    try:
        with contextlib.suppress(ValueError):  # the machine allows less
            resource.setrlimit(resource.RLIMIT_STACK, (_STACK_BYTES, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))
