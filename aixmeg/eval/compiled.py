"""Programs in C++, Java and C# for the sandbox: their files, the command that compiles, and the one that starts them.

Java gets a heap below the sandbox's limit of memory, so that it collects garbage in time; mono collects by itself, and
given a largest heap it refuses garbage that it has not collected. Both get one processor: with many they start more
threads than the sandbox allows processes.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aixmeg.eval.sandbox import Limits, Outcome, Sandbox

_REFUSED: Final = 97
"""Exit status of the first command when the compiler refuses the program."""
_HEAP: Final = 5 / 8
"""Share of the sandbox's memory; the rest is for what a virtual machine keeps beside its heap."""
_OUT_OF_MEMORY: Final = re.compile(r"OutOfMemory(Error|Exception)|[Oo]ut of memory")
_TUPLES: Final = "javatuples"
NEEDED: Final = {"c++": ("g++",), "java": ("javac", "java"), "c#": ("mcs", "mono")}
"""Commands that a language needs."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program, not yet compiled."""

    files: Mapping[str, str]
    compile: str
    """Words for sh."""
    start: str
    """Words for sh; input and output are its own."""


def absent(language: str) -> str:
    """The commands that this machine lacks for `language`, with commas; empty where all are there."""
    return ", ".join(name for name in NEEDED[language] if not shutil.which(name))


@functools.cache
def tuples_library() -> str:
    """The archive of org.javatuples, which MultiPL-E's Java imports: in $CLASSPATH, or Debian's; empty without it."""
    listed = [Path(name) for name in os.environ.get("CLASSPATH", "").split(":") if _TUPLES in name]
    found = [path for path in (*listed, Path("/usr/share/java/javatuples.jar")) if path.is_file()]
    return str(found[0].resolve()) if found else ""


def program(language: str, source: str, limits: Limits, *, libraries: str = "", asserts: bool = False) -> Program:
    """A program of one file.

    Args:
        language: a key of `NEEDED`.
        source: its text.
        limits: of the sandbox that it will run in.
        libraries: Java archives, with colons.
        asserts: whether Java's `assert` counts.
    """
    heap = f"{int(limits.memory_bytes * _HEAP) >> 20}m"
    if language == "c++":
        return Program(files={"main.cpp": source}, compile="g++ -O2 -std=c++17 main.cpp -o main", start="./main")
    if language == "java":
        named = re.search(r"public\s+(?:final\s+)?class\s+(\w+)", source) or re.search(r"class\s+(\w+)", source)
        main = named[1] if named else "Main"
        machine = f"-XX:ActiveProcessorCount=1 -XX:-UsePerfData -Xmx{heap}"
        paths = f"-cp {shlex.quote(':'.join(['.', *filter(None, [libraries])]))}"
        inner = " ".join(f"-J{word}" for word in machine.split())
        dying = "-XX:+DisplayVMOutputToStderr -XX:+ExitOnOutOfMemoryError"
        return Program(
            files={f"{main}.java": source},
            compile=f"javac -encoding UTF-8 -nowarn {inner} {paths} {main}.java",
            start=f"java {machine} {dying} {'-ea ' if asserts else ''}{paths} {main}",
        )
    # Collected more eagerly from there on; a hard limit would end mono in its crash handler, which never returns. The
    # sandbox itself sees who needs more.
    collector = f"MONO_GC_PARAMS=soft-heap-limit={heap} MONO_THREADS_PER_CPU=1"
    numerics = Path(shutil.which("mcs") or "/").resolve().parents[1] / "lib/mono/4.5/System.Numerics.dll"
    more = " -r:System.Numerics.dll" if numerics.exists() else ""
    # The last line that mono says of an exception is where it came from; its name is in the first.
    named = "{ status=$?; grep -m1 'Exception: .' thrown.txt >&2; exit $status; }"
    return Program(
        files={"main.cs": source}, compile=f"mcs -nologo -warn:0 -out:main.exe{more} main.cs",
        start=f"{{ {collector} mono main.exe 2> thrown.txt || {named}; }}",
    )  # fmt: skip


def run(
    made: Program, sandbox: Sandbox, *, files: Mapping[str, str] | None = None, tests: Sequence[str] = ()
) -> Outcome:
    """Compile, then do `tests` (words for sh; by default the program is started once) one after the other.

    An error of the compiler and a heap that is full are named; both would else be an exit status alone.
    """
    said = "compiled.txt"
    first_error = f"grep -m1 -i error {said} || head -n 1 {said}"
    compiling = f"{made.compile} > {said} 2>&1 || {{ {first_error}; exit {_REFUSED}; }}"
    commands = [["sh", "-c", words] for words in (compiling, *(tests or [made.start]))]
    return _named(sandbox.run_commands({**made.files, **(files or {})}, commands))


def _named(outcome: Outcome) -> Outcome:
    refused = f"exit status {_REFUSED} "
    if outcome.kind != "failed":
        return outcome
    if _OUT_OF_MEMORY.search(outcome.detail):
        return dataclasses.replace(outcome, kind="memory")
    if outcome.detail.startswith(refused):
        return dataclasses.replace(outcome, detail=f"does not compile: {outcome.detail.removeprefix(refused)}")
    return outcome
