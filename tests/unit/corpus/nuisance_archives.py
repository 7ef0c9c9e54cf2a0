"""Tables, archives and a git repository with every known nuisance; more of `nuisance_sources`."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from typing import Any

from nuisance_sources import LINE_BYTES, NESTED, Sources, code


def make_archives(made: Sources) -> None:
    """Write everything that is no folder."""
    for part in (_table, _cut_table, _tar, _cut_tar, _zip, _git):
        part(made)


def _table(made: Sources) -> None:
    path = made.folder / "table.jsonl"
    made.paths.append(path)
    offset = 0
    with path.open("wb") as out:
        for line, where, content, reason in _rows():
            out.write(line)
            if where is not None:
                shown = where if where else f"row-{offset:012d}"
                size = len(line) if content is None else content
                made.expect(*_place(shown), size, reason)
            offset += len(line)


def _place(where: str) -> tuple[str, str]:
    repository, _, path = where.rpartition("::")
    return repository or "table", path


def _rows() -> Iterator[tuple[bytes, str | None, bytes | int | None, str | None]]:
    """(line, repository::path or "" for a row without a name, its text, reason)."""

    def row(path: str, text: Any, reason: str | None = None, repository: str | None = None, **more: Any) -> Any:
        record = {"path": path, "text": text} | ({} if repository is None else {"repository": repository}) | more
        content = text.encode(errors="surrogatepass") if isinstance(text, str) else None
        where = path if repository is None else f"{repository}::{path}"
        return json.dumps(record).encode() + b"\n", where, content, reason

    def named(where: str, made: Any) -> Any:
        return made[0], where, *made[2:]

    for number in range(12):  # so that fewer than half are broken
        yield row(f"good{number}.py", code(f"good row {number}"))
    yield row("é\n.py", code("odd row"), licenses=["MIT", 3, None], stars=float("nan"))
    yield row("stars.py", code("stars"), repository="stars", stars=float("inf"))
    yield row("src/a.py", code("owner"), repository="owner/name")
    yield row("crlf.py", code("row crlf", end="\r\n"))
    yield b"\n", None, None, None
    yield b" \t\r\n", None, None, None
    for broken in (b"{not json\n", b'{"path": "cut.py", "text": "' + b"x" * 99 + b"\n", b"\xff\xfe{}\n", b"\0\n",
                   b'{"text": ' + b"[" * NESTED + b"]" * NESTED + b"}\n", b'{"text": ' + b"9" * 5000 + b"}\n",
                   b'{"path": "latin.py", "text": "\xe9"}\n'):  # fmt: skip
        yield broken, "", None, "invalid_json"
    for other in (b"[]\n", b"null\n", b'"text"\n', b"1e999\n"):
        yield other, "", None, "wrong_type"
    yield b'{"path": "none.py"}\n', "", None, "missing_column"
    yield b'{"path": "null.py", "text": null}\n', "", None, "missing_column"
    for text in (b"3", b"[]", b'{"a": 1}', b"true"):
        yield b'{"path": "type.py", "text": ' + text + b"}\n", "", None, "wrong_type"
    yield (*named("", row("surrogate.py", "x = '\ud800'\n" * 9))[:2], None, "lone_surrogate")
    yield b'{"path": 3, "text": "x = 1"}\n', "", 5, "wrong_type"
    yield row("../up.py", code("up"), "unsafe_path")
    yield row("a/../../b.py", code("b"), "unsafe_path")
    yield row("nul.py", code("nul") + "\0", "nul_bytes")
    yield row("a/node_modules/x.py", code("modules"), "skipped_folder")
    yield named("bad\\udce9.py", row("bad\udce9.py", code("half"), "bad_name"))
    yield named("", row("x.py", code("half repository"), "bad_name", repository="half \ud800"))
    yield row("licence.py", code("half licence"), licenses=["MIT", "half \ud800"], language="half \ud800")
    long = json.dumps({"path": "long.py", "text": "x" * LINE_BYTES}).encode() + b"\n"
    yield long, "", None, "too_large"
    last = row("last.py", code("last row"))
    yield last[0].rstrip(b"\n"), *last[1:]


def _cut_table(made: Sources) -> None:
    rows = [json.dumps({"path": f"x{number}.py", "text": code(f"cut {number}")}).encode() for number in range(2)]
    path = made.folder / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(rows[0] + b"\n") + gzip.compress(rows[1])[:12])
    made.paths.append(path)
    made.expect("cut", "x0.py", code("cut 0").encode())
    made.expect("cut", "cut.jsonl.gz", 0, "damaged_archive")


def _tar(made: Sources) -> None:
    path = made.folder / "hostile.tar"
    members: list[tuple[str, bytes, str | None]] = [
        ("../up.py", code("tar up").encode(), "unsafe_path"),
        ("/absolute.py", code("tar absolute").encode(), "unsafe_path"),
        ("a/../../b.py", code("tar b").encode(), "unsafe_path"),
        ("c:\\d.py", code("tar d").encode(), "unsafe_path"),
        ("bad-\udcff.py", code("tar bad").encode(), "bad_name"),
        (".git/hooks.py", code("tar hooks").encode(), "skipped_folder"),
        ("new\nline.py", code("tar newline").encode(), None),
        ("é" * 120 + ".py", code("tar long").encode(), None),
        ("same.py", code("tar same").encode(), None),
        ("same.py", code("tar same too").encode(), None),
    ]
    links = {"link": (tarfile.SYMTYPE, "symlink"), "hard.py": (tarfile.LNKTYPE, "symlink"),
             "pipe.py": (tarfile.FIFOTYPE, "not_a_file"), "device.py": (tarfile.CHRTYPE, "not_a_file")}  # fmt: skip
    with tarfile.open(path, "w", errors="surrogateescape") as archive:
        for name, content, reason in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
            made.expect("hostile", _shown(name), content, reason)
        for name, (kind, reason) in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc"
            archive.addfile(info)
            made.expect("hostile", name, 0, reason)
        inside = tarfile.TarInfo("link/through.py")  # would land in /etc if it were unpacked
        inside.size = len(through := code("tar through").encode())
        archive.addfile(inside, io.BytesIO(through))
        made.expect("hostile", "link/through.py", through)
    made.paths.append(path)


def _shown(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _cut_tar(made: Sources) -> None:
    path, out = made.folder / "cut_tar.tar", io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("whole.py", "cut.py"):
            info = tarfile.TarInfo(name)
            info.size = len(content := code(name).encode())
            archive.addfile(info, io.BytesIO(content))
    path.write_bytes(out.getvalue()[: 512 + 512 + 512 + 100])  # header, content, header, part of the content
    made.paths.append(path)
    made.expect("cut_tar", "whole.py", code("whole.py", 4).encode())
    made.expect("cut_tar", "cut_tar.tar", 0, "damaged_archive")


def _zip(made: Sources) -> None:
    path = made.folder / "odd_zip.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, reason in (("../up.py", "unsafe_path"), ("/absolute.py", "unsafe_path"), ("new\nline.py", None),
                             ("é.py", None), ("a\\b.py", "unsafe_path"), ("plain.py", None)):  # fmt: skip
            archive.writestr(zipfile.ZipInfo(name), content := code(f"zip {name}").encode())
            made.expect("odd_zip", name, content, reason)
        link = zipfile.ZipInfo("link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        made.expect("odd_zip", "link.py", len("/etc/passwd"), "symlink")
        archive.writestr("damaged.py", damaged := code("zip damaged").encode())
        made.expect("odd_zip", "damaged.py", damaged, "unreadable")
        where = archive.getinfo("damaged.py").header_offset
    content = bytearray(path.read_bytes())
    content[where + 30 + len("damaged.py") + 20] ^= 0xFF
    path.write_bytes(content)
    made.paths.append(path)


def _git(made: Sources) -> None:
    """A bare repository written by `git fast-import`, which takes names that no checkout could hold."""
    path = made.folder / "odd_git.git"
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True, env=environment)
    files: list[tuple[bytes, str | None]] = [
        (b"plain.py", None), (b"new\nline.py", None), (b"quote\".py", None), (b"\xff.py", "bad_name"),
        ("é\u2028.py".encode(), None), (b"back\\slash.py", None), (b"-rf.py", None), (b"x\ty.py", None),
        (b"node_modules/x.py", "skipped_folder"),
    ]  # fmt: skip
    commands = [b"commit refs/heads/main\ncommitter A <a@example.org> 0 +0000\ndata 1\nx\n"]
    for name, reason in files:
        content = code(f"git {name!r}").encode()
        commands.append(b"M 100644 inline " + _quoted(name) + b"\ndata %d\n" % len(content) + content + b"\n")
        # Git is not asked for the size of what its name drops.
        made.expect("odd_git", name.decode(errors="backslashreplace"), 0 if reason else content, reason)
    commands.append(b"M 120000 inline link.py\ndata 8\nplain.py\n")
    made.expect("odd_git", "link.py", 0, "symlink")
    commands.append(b"M 160000 " + b"1" * 40 + b" module\n")
    made.expect("odd_git", "module", 0, "submodule")
    subprocess.run(["git", "-C", str(path), "fast-import", "--quiet"], input=b"".join(commands), check=True,
                   env=environment)  # fmt: skip
    made.paths.append(path)


def _quoted(name: bytes) -> bytes:
    return b'"' + b"".join(b"\\%03o" % byte for byte in name) + b'"'
