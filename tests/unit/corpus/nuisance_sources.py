"""A folder of repositories with every known nuisance, and beside each what must become of it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

LINE_BYTES = 50_000_000
DEEP_FOLDERS = 4000
NESTED = 100_000


@dataclass(frozen=True)
class Expected:
    """One document that a reader meets."""

    repository: str
    path: str
    size: int
    reason: str | None = None
    """None: it is kept."""
    text: bytes | None = None
    """What the corpus holds of a kept one."""


@dataclass
class Sources:
    """What was made."""

    folder: Path
    paths: list[Path] = field(default_factory=list)
    """For corpus.sources."""
    documents: list[Expected] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """Folders that are not entered."""

    def expect(self, repository: str, path: str, content: bytes | int, reason: str | None = None) -> None:
        """Note an outcome; `content` may be a size alone."""
        size, text = (content, None) if isinstance(content, int) else (len(content), content)
        self.documents.append(Expected(repository, path, size, reason, text if reason is None else None))

    def counts(self) -> dict[str | None, dict[str, int]]:
        """Files and bytes by reason, as a report has them."""
        found: dict[str | None, dict[str, int]] = {}
        for one in self.documents:
            count = found.setdefault(one.reason, {"files": 0, "bytes": 0})
            count["files"] += 1
            count["bytes"] += one.size
        return found

    def kept(self) -> Counter[tuple[str, str, bytes | None]]:
        """Repository, path and text of what is kept; an archive may hold one path twice."""
        return Counter((one.repository, one.path, one.text) for one in self.documents if one.reason is None)


def code(name: str, functions: int = 4, end: str = "\n") -> str:
    """Python that resembles no other name's; 80 bytes a function."""
    lines = []
    for number in range(functions):
        digest = hashlib.blake2b(f"{name}{number}".encode()).hexdigest().translate(_LETTERS)
        one, two, three, four = (digest[place : place + 9] for place in range(0, 36, 9))
        lines += [f"def {one}({two}, {three}):", f"    {four} = {two} + {three}", f"    return {four} * {three}", ""]
    return end.join(lines)


_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def odd_texts() -> dict[str, bytes]:
    """Valid UTF-8 that must come through byte for byte."""
    pieces = "<s></s><unk><0x0A>▁<AIX-SPAN-PRE>▁<AIX-SPAN-POST>▁<AIX-SPAN-MIDDLE>▁<AIX-USER> <AIX-SPAN-PRE>"
    texts = {
        "crlf.py": code("crlf", end="\r\n"),
        "lone_cr.py": code("lone cr", end="\r"),
        "mixed_endings.py": code("lf") + code("mixed crlf", end="\r\n") + code("mixed cr", end="\r"),
        "bom.py": "\ufeff" + code("bom"),
        "bom_inside.py": code("before") + "x = '\ufeff'\n" + code("behind"),
        "separators.py": code("separators") + "x = '\u2028 \u2029 \x85 \x0b \x0c \x1c \x1d \x1e'\n",
        "word_boundary.py": code("boundary") + "x = '▁ ▁▁ a▁b'\n▁name▁ = 1\n",
        "pieces.py": code("pieces") + f"x = '{pieces}'\n# {pieces}\n",
        "control.py": code("control") + "x = '\x01\x07\x1b[0m\x7f'\n",
        "unicode.py": code("unicode") + "é = '日本 😀 \U0010ffff e\u0301 \ufffd \ufffe \u200b \u00a0'\n",
        "no_newline.py": code("no newline") + "x = 1",
        "blanks.py": code("blanks") + " \t\n\n" + " " * 300 + "\n\t\n",
        "escapes.py": code("escapes") + "x = '\\ud800 \\u2028 \\0 \" \\\\'\n",
    }
    return {path: text.encode() for path, text in texts.items()}


def undecodable() -> dict[str, tuple[bytes, str]]:
    """Bytes that are no UTF-8 text → reason."""
    plain = code("encodings").encode()
    return {
        "latin1.py": (code("latin").encode() + "é = 1\n".encode("latin-1"), "invalid_utf8"),
        "mixed.py": (code("mixed").encode() + "x = 'é'\n".encode() + "y = 'ñ'\n".encode("cp1252"), "invalid_utf8"),
        "shift_jis.py": (code("sjis").encode() + "x = '日本語'\n".encode("shift-jis"), "invalid_utf8"),
        "cut_off.py": (code("cut").encode() + "# é".encode()[:-1], "invalid_utf8"),
        "overlong.py": (plain + b"x = '\xc0\xaf'\n", "invalid_utf8"),
        "beyond.py": (plain + b"x = '\xf4\x90\x80\x80'\n", "invalid_utf8"),
        "cesu.py": (plain + b"x = '\xed\xa0\xbd\xed\xb8\x80'\n", "lone_surrogate"),
        "lone.py": (plain + b"x = '\xed\xa0\x80'\n", "lone_surrogate"),
        "utf16.py": (code("utf16").encode("utf-16"), "nul_bytes"),
        "utf16_be.py": (code("be").encode("utf-16-be"), "nul_bytes"),
        "utf32.py": (code("utf32").encode("utf-32"), "nul_bytes"),
        "nul.py": (plain + b"x = '\0'\n", "nul_bytes"),
        "binary.py": (bytes(range(256)) * 4, "nul_bytes"),
    }


def make_tree(made: Sources) -> None:
    """Write the folder of repositories."""
    made.paths.append(made.folder / "tree")
    for part in (_texts, _prose, _names, _sizes, _nested, _special, _judged):
        part(made)


def _put(made: Sources, repository: str, path: str, content: bytes, reason: str | None = None) -> None:
    """A file of the tree of repositories; its name may hold bytes as surrogates."""
    target = made.folder / "tree" / repository / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    shown = os.fsencode(path).decode(errors="backslashreplace")
    made.expect(repository, shown, content, reason)


def _texts(made: Sources) -> None:
    for path, content in odd_texts().items():
        _put(made, "texts", path, content)
    for path, (content, reason) in undecodable().items():
        _put(made, "encodings", path, content, reason)
    _put(made, "encodings", "utf8.py", code("utf8").encode())


def prose(name: str, end: str = "\n") -> str:
    """English that resembles no other name's, with the words that real sentences have."""
    small = [
        "the",
        "of",
        "and",
        "to",
        "in",
        "that",
        "is",
        "was",
        "for",
        "it",
        "with",
        "as",
        "his",
        "on",
        "be",
        "at",
        "by",
        "this",
        "had",
        "not",
        "are",
        "but",
        "from",
        "or",
        "have",
        "an",
    ]
    drawn = [hashlib.blake2b(f"{name}{number}".encode()).digest() for number in range(120)]
    words = [f"{small[one[0] % len(small)]} {one.hex().translate(_LETTERS)[:7]}" for one in drawn]
    lines = [" ".join(words[i : i + 8]).capitalize() + "." for i in range(0, 120, 8)]
    return f"# About {name}{end}{end}" + f"{end}{end}".join(lines) + end


def _prose(made: Sources) -> None:
    for path, text in {
        "guide.md": prose("guide"), "crlf.md": prose("crlf", "\r\n"), "bom.md": "\ufeff" + prose("bom"),
        "separators.md": prose("separators") + "One \u2028 two \u2029 three of them are here.\n",
        "pieces.md": prose("pieces") + "The mark <s> is no mark, and \u2581 is not a blank, but <AIX-SPAN-PRE>.\n",
        "notes.txt": prose("notes"), "no_newline.txt": prose("no newline").rstrip("\n"),
    }.items():  # fmt: skip
        _put(made, "texts", path, text.encode())
    _put(made, "texts", "latin1.md", prose("latin").encode() + "é\n".encode("latin-1"), "invalid_utf8")
    _put(made, "texts", "nul.txt", prose("nul").encode() + b"\0\n", "nul_bytes")
    _put(made, "texts", "short.md", b"# Title\n\nNothing that anybody would want to read twice, or once, is here.\n",
         "prose_too_short")  # fmt: skip
    question, answer = prose("why").strip(), prose("because").strip()
    rows = [{"repository": "texts", "path": "good", "question": question, "answers": [{"text": answer, "score": 2}]},
            {"repository": "texts", "path": "bad", "question": question, "answers": []}]  # fmt: skip
    table = made.folder / "questions.jsonl"
    lines = [json.dumps(row) + "\n" for row in rows]
    table.write_text("".join(lines))
    made.paths.append(table)
    made.expect("texts", "good", f"# Question\n\n{question}\n\n## Answer\n\n{answer}\n".encode())
    made.expect("questions", "row", len(lines[1]), "prose_no_answer")


def odd_names() -> list[str]:
    """Names that are valid UTF-8."""
    return ["new\nline.py", "tab\t.py", "return\r.py", "escape\x1b[2J.py", " space .py", "-rf.py", "quote'\".py",
            "back\\slash.py", "dollar$(id).py", "sep\u2028\u2029\x85.py", "é.py", "e\u0301.py", "日本😀.py", "<s>.py",
            "▁<AIX-SPAN-PRE>.py", "a*?[b].py", "#!%;&|.py", "*⁄.css.py", "con.py", "x" * 252 + ".py", "...py",
            "folder\n/new\nline/__init__.py", "folder.py/x.py", "\u202egnp.py"]  # fmt: skip


def _names(made: Sources) -> None:
    for name in odd_names():
        _put(made, "names", name, code(name).encode())
    for name in (b"\xff.py", b"latin-\xe9.py", b"half-\xed\xa0\x80.py", b"cut-\xc3.py"):
        _put(made, "names", os.fsdecode(name), code("bad").encode(), "bad_name")
    inside = made.folder / "tree" / "names" / os.fsdecode(b"folder-\xff")
    inside.mkdir()
    (inside / "never_seen.py").write_text(code("never"))
    made.skipped["bad_name"] += 1
    # A repository whose own name is no UTF-8 belongs to the loose files, as a folder that is not entered.
    (made.folder / "tree" / os.fsdecode(b"repository-\xff")).mkdir()
    made.skipped["bad_name"] += 1
    _put(made, "odd\nrepository \u2028", "x.py", code("odd repository").encode())


def _sizes(made: Sources) -> None:
    _put(made, "sizes", "empty.py", b"", "too_small")
    _put(made, "sizes", "short.py", b"x = 1\n", "too_small")
    _put(made, "sizes", "edge.py", code("edge").encode()[:62] + b"):", "syntax_errors")
    _put(made, "sizes", "line.py", b"x = '" + b"long line " * (LINE_BYTES // 10) + b"'\n", "too_large")
    with (made.folder / "tree/sizes/sparse.py").open("wb") as file:
        file.truncate(10**12)
    made.expect("sizes", "sparse.py", 10**12, "too_large")
    _put(made, "sizes", "long_line.py", code("long").encode() + b"x = '" + b"long line " * 5000 + b"'\n", "long_lines")
    _put(made, "sizes", "plain.py", code("plain").encode())
    _deep(made.folder / "tree/sizes", "d", DEEP_FOLDERS, b"never_seen.py", b"")  # deeper than a path may be long
    made.skipped["unreadable"] += 1
    content = code("deep").encode()
    _deep(made.folder / "tree/sizes", "e", 1500, b"deep.py", content)
    made.expect("sizes", "e/" * 1500 + "deep.py", content)


def _deep(root: Path, folder: str, levels: int, name: bytes, content: bytes) -> None:
    """A file in folders in folders, made step by step, since no path need reach it."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(folder, dir_fd=here)
        inner = os.open(folder, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    file = os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=here)
    os.write(file, content)
    os.close(file)
    os.close(here)


def _nested(made: Sources) -> None:
    half = NESTED // 2
    opened = "(a +\n" * NESTED + "b" + "\n)" * NESTED
    _put(made, "nested", "parentheses.py", f"x = {opened}\n".encode())
    _put(made, "nested", "unclosed.py", ("x = " + "(a +\n" * NESTED).encode(), "syntax_errors")
    _put(made, "nested", "brackets.js", ("let x = " + "[one,\n" * half + "]\n" * half + ";\n").encode())
    _put(made, "nested", "blocks.c", ("void f(void) {" + "{ word;\n" * half + "}\n" * half + "}\n").encode())
    _put(made, "nested", "bare.py", b"x = " + b"(\n" * NESTED + b"1" + b")\n" * NESTED, "low_alphanumeric")


def _special(made: Sources) -> None:
    _put(made, "special", "plain.py", code("special").encode())
    root = made.folder / "tree/special"
    for name, target in (("loop", "."), ("up", ".."), ("self.py", "self.py"), ("dangling.py", "nowhere.py"),
                         ("passwd.py", "/etc/passwd"), ("zero.py", "/dev/zero"), ("file.py", "plain.py")):  # fmt: skip
        (root / name).symlink_to(target)
        made.expect("special", name, 0, "symlink")
    (root / "ping").symlink_to("pong")
    (root / "pong").symlink_to("ping")
    made.expect("special", "ping", 0, "symlink")
    made.expect("special", "pong", 0, "symlink")
    os.mkfifo(root / "pipe.py")
    made.expect("special", "pipe.py", 0, "not_a_file")
    with _inside(root), socket.socket(socket.AF_UNIX) as listener:  # a socket's name may have 107 characters
        listener.bind("socket.py")
    made.expect("special", "socket.py", 0, "not_a_file")
    _put(made, "special", "secret.py", code("secret").encode(), "unreadable")
    (root / "secret.py").chmod(0)
    for folder, reason in ((".hidden", "hidden"), ("node_modules", "generated"), ("locked", "unreadable")):
        (root / folder).mkdir()
        (root / folder / "never_seen.py").write_text(code("never"))
        made.skipped[reason] += 1
    (root / "locked").chmod(0)
    (root / "venv").mkdir()
    (root / "venv/pyvenv.cfg").touch()
    made.skipped["virtual_environment"] += 1
    (made.folder / "tree/link").symlink_to("special")  # a link in the place of a repository
    made.expect("tree", "link", 0, "symlink")
    (made.folder / "tree/loose.py").write_text(code("loose"))
    made.expect("tree", "loose.py", code("loose").encode())


class _inside:
    """A working directory for a while."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._before = Path.cwd()
        os.chdir(self._folder)

    def __exit__(self, *_: object) -> None:
        os.chdir(self._before)


SOLUTION = code("solution", 8)


def _judged(made: Sources) -> None:
    """One file for each step that judges, so that every step ran."""
    same = code("same", 8).encode()
    _put(made, "judged", "first.py", same)
    _put(made, "judged", "second.py", same, "exact_duplicate")
    _put(made, "judged", "similar.py", code("similar", 30).encode(), "near_duplicate")
    _put(made, "judged", "similar_and_longer.py", code("similar", 30).encode() + b"x = 1\n")
    _put(made, "judged", "api_pb2.py", code("generated").encode(), "generated")
    _put(made, "judged", "vendor/x.py", code("vendored").encode(), "vendored")
    _put(made, "judged", "comments.py", b"# nothing but a comment\n" * 9, "boilerplate")
    _put(made, "judged", "gpl.py", ("# SPDX-License-Identifier: GPL-3.0-only\n" + code("gpl")).encode(),
         "licence_copyleft")  # fmt: skip
    _put(made, "judged", "broken.py", (code("broken") + "x = ) ( ] [ } {\n" * 20).encode(), "syntax_errors")
    _put(made, "judged", "bug.py", (code("bug") + "def f(x):\n    return x is 'text'\n").encode(), "defect_bug")
    _put(made, "judged", "trojan.py", (code("trojan") + "x = '\u202e'\n").encode(), "defect_bug")  # reads backwards
    _put(made, "judged", "solved.py", (code("prelude", 1) + SOLUTION).encode(), "contaminated")
    _put(made, "judged", "notes.unknown", b"nothing", "unknown_language")
    _put(made, "judged", "report.abap", b"REPORT z.\n" * 9, "no_grammar")
    _put(made, "judged", "pointer.py", b"version https://git-lfs" + b".github.com/spec/v1\n" + b"oid x\n" * 9,
         "lfs_pointer")  # fmt: skip
    _put(made, "zz-unloved", "x.py", code("unloved").encode(), "low_rank")  # last by name among equals


def benchmark(folder: Path) -> Path:
    """An evaluation set."""
    path = folder / "evaluation.jsonl"
    path.write_text(json.dumps({"task_id": "t/1", "language": "python", "canonical_solution": SOLUTION}) + "\n")
    return path
