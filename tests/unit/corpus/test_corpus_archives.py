"""Tar and zip: every member is a document or a counted drop; nothing escapes, nothing blows up."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from source_documents import documents, dropped, kept, rules_and_inputs

from aixmeg.corpus.sources import limits, streams, tar, zip

COMPRESS = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress,
}  # fmt: skip


def tar_bytes(members: list[tuple[str, bytes | tarfile.TarInfo]], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, errors="surrogateescape") as archive:
        for name, content in members:
            if isinstance(content, bytes):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                content.name = name
                archive.addfile(content)
    return out.getvalue()


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo("x")
    info.type, info.linkname = kind, target
    return info


PLAIN = [("proj-1.0/a.py", b"x = 1\n"), ("proj-1.0/sub/b.c", b"int x;\n"), ("./c.go", b"package c\n"),
         ("proj-1.0/" + "d" * 150 + "/" + "e" * 90 + ".py", b"long = 1\n")]  # fmt: skip


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_of_a_tar(tmp_path: Path, ending: str, format: int) -> None:
    path = tmp_path / f"proj.tar{ending}"
    path.write_bytes(COMPRESS[ending](tar_bytes(PLAIN, format)))
    found, _ = documents(path)
    assert kept(found) == {"proj/a.py": b"x = 1\n", "proj/sub/b.c": b"int x;\n", "proj/c.go": b"package c\n",
                           f"proj/{'d' * 150}/{'e' * 90}.py": b"long = 1\n"}  # fmt: skip
    assert not dropped(found)


HOSTILE = [
    ("../up.py", b"x = 1\n"), ("/abs.py", b"x = 1\n"), ("a/../../b.py", b"x = 1\n"), ("c:\\d.py", b"x = 1\n"),
    ("link.py", special(tarfile.SYMTYPE, "/etc/passwd")), ("hard.py", special(tarfile.LNKTYPE, "a.py")),
    ("pipe.py", special(tarfile.FIFOTYPE)), ("device.py", special(tarfile.CHRTYPE)), ("folder",
    special(tarfile.DIRTYPE)),
    ("bad\udcff.py", b"x = 1\n"), (".git/config.py", b"x = 1\n"), ("a/node_modules/x.js", b"x = 1\n"),
    ("README", b"text"), ("big.py", b"#" * 2000), ("new\nline.py", b"x = 1\n"), ("same.py", b"x = 1\n"),
    ("same.py", b"x = 2\n"), ("a//b.py", b"x = 1\n"),
]  # fmt: skip


def test_hostile_members_of_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "h.tar"
    path.write_bytes(tar_bytes(HOSTILE))
    found, _ = documents(path, max_file_bytes=1000)
    assert [one.path for one in found if one.reason is None] == ["new\nline.py", "same.py", "same.py"]
    assert dropped(found) == {
        "unsafe_path": ["../up.py", "/abs.py", "a/../../b.py", "c:\\d.py", "a//b.py"],
        "symlink": ["link.py", "hard.py"], "not_a_file": ["pipe.py", "device.py"], "bad_name": ["bad\\xff.py"],
        "skipped_folder": [".git/config.py", "a/node_modules/x.js"], "unknown_language": ["README"],
        "too_large": ["big.py"],
    }  # fmt: skip


def test_leading_folders_may_name_the_repository(tmp_path: Path) -> None:
    path = tmp_path / "all.tar"
    path.write_bytes(tar_bytes([("o/r/a.py", b"x = 1\n"), ("o/s/t/b.py", b"x = 1\n"), ("c.py", b"x = 1\n")]))
    found, _ = documents(path, repository_depth=2)
    assert list(kept(found)) == ["o/r/a.py", "o/s/t/b.py", "all/c.py"]
    assert [one.repository for one in found] == ["o/r", "o/s", "all"]


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_cut_archive_keeps_what_came_before(tmp_path: Path, ending: str) -> None:
    noise = bytes(random.Random(0).choices(range(33, 127), k=160_000))  # so that compression leaves something to cut
    members = [(f"f{number}.py", b"#" + noise[number * 997 : number * 997 + 150_000] + b"\n") for number in range(8)]
    whole = COMPRESS[ending](tar_bytes(members))
    for share in (0.3, 0.7, 0.98):
        path = tmp_path / f"cut.tar{ending}"
        path.write_bytes(whole[: int(len(whole) * share)])
        found, _ = documents(path)
        assert dropped(found).keys() == {"damaged_archive"}
        assert kept(found) == {f"cut/{name}": content for name, content in members[: len(found) - 1]}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.zst", "a.tar.bz2", "a.zip"])
@pytest.mark.parametrize("content", [b"", b"no archive at all\n" * 100])
def test_what_is_no_archive_is_one_counted_drop(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert dropped(documents(tmp_path / name)[0]) == {"damaged_archive": [name]}


def test_empty_archives(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes([]))
    zipfile.ZipFile(tmp_path / "b.zip", "w").close()
    assert documents(tmp_path / "a.tar", tmp_path / "b.zip") == ([], {})


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_a_bomb_is_stopped(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ALWAYS_EXPANDS", 1 << 20)
    path = tmp_path / f"bomb.tar{ending}"
    path.write_bytes(COMPRESS[ending](tar_bytes([("a.py", b"x = 1\n"), ("zeros.py", bytes(24 << 20))])))
    tracemalloc.start()
    found, _ = documents(path, max_expansion=20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept(found) == {"bomb/a.py": b"x = 1\n"}
    assert dropped(found) == {"too_large": ["zeros.py"], "archive_bomb": [path.name]}
    assert peak < 12 << 20 or ending == ".zst"  # whose output comes in pieces of up to 32 MB
    found, _ = documents(path, max_expansion=0)
    assert dropped(found) == {"too_large": ["zeros.py"]}


def test_a_header_that_claims_gigabytes_is_not_believed(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 4 << 30
    (tmp_path / "a.tar").write_bytes(tar_bytes([("a.py", b"x = 1\n")])[:1024] + info.tobuf() + bytes(4096))
    found, _ = documents(tmp_path / "a.tar")
    assert list(kept(found)) == ["a/a.py"]
    assert dropped(found) == {"damaged_archive": ["a.tar"]}


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_ranges_together_hold_every_member_once(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [(f"p{number}/" + "d" * (number * 7 % 200) + f"/f{number}.py", b"#" * number) for number in range(1, 60)]
    path = tmp_path / f"a.{kind}"
    if kind == "tar":
        path.write_bytes(tar_bytes(members))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members:
                archive.writestr(name, content)
    whole = kept(documents(path)[0])
    assert len(whole) == 59
    for module in (limits, tar, zip):
        monkeypatch.setattr(module, "RANGE_BYTES", 300)
    _, inputs = rules_and_inputs(path)
    parts = [part for one in inputs for part in one.parts]
    assert len(parts) > 5
    assert kept(documents(path)[0]) == whole


def zip_with(tmp_path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return tmp_path / "a.zip"


def test_members_of_a_zip(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.py")
    link.external_attr = 0o120777 << 16
    path = zip_with(tmp_path, [
        ("a-1/x.py", b"x = 1\n"), ("é.py", b"x = 2\n"), ("../up.py", b"x = 1\n"), (link, b"/etc/passwd"), ("dir/", b""),
        ("big.py", b"#" * 2000), ("same.py", b"x = 3\n"),
    ])  # fmt: skip
    found, _ = documents(path, max_file_bytes=1000)
    assert kept(found) == {"a/x.py": b"x = 1\n", "a/é.py": b"x = 2\n", "a/same.py": b"x = 3\n"}
    assert dropped(found) == {"unsafe_path": ["../up.py"], "symlink": ["link.py"], "too_large": ["big.py"]}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_in_a_zip_are_two_documents(tmp_path: Path) -> None:
    path = zip_with(tmp_path, [("same.py", b"x = 1\n"), ("same.py", b"x = 2\n")])
    found, _ = documents(path)
    assert [(one.path, one.content) for one in found] == [("same.py", b"x = 1\n"), ("same.py", b"x = 2\n")]


def test_damaged_and_encrypted_members_of_a_zip(tmp_path: Path) -> None:
    path = zip_with(tmp_path, [("a.py", b"x = 1\n" * 50), ("b.py", b"x = 2\n"), ("c.py", b"x = 3\n")])
    data = bytearray(path.read_bytes())
    data[data.index(b"a.py") + 6] ^= 0xFF  # inside the compressed bytes
    central = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    data[central + 8] |= 1  # encrypted, says the directory
    path.write_bytes(data)
    found, _ = documents(path)
    assert dropped(found) == {"unreadable": ["a.py"], "encrypted": ["b.py"]}
    assert list(kept(found)) == ["a/c.py"]


def test_a_zip_bomb_of_many_members_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip, "ALWAYS_EXPANDS", 1 << 20)
    path = zip_with(tmp_path, [(f"{number}.py", b" " * 900_000) for number in range(5)])
    found, _ = documents(path, max_expansion=100)
    assert [one.reason for one in found] == [None, *["archive_bomb"] * 4]


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    path = zip_with(tmp_path, [("a.py", b"#" * 100_000)])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 24 :][:4] = struct.pack("<I", 10)
    data[data.index(b"PK\1\2") + 24 : data.index(b"PK\1\2") + 28] = struct.pack("<I", 10)
    path.write_bytes(data)
    found, _ = documents(path)
    assert dropped(found) == {"unreadable": ["a.py"]}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(["a.tar", "a.tar.gz", "a.zip", "a.tar.zst", "a.tar.xz"]))
def test_flipped_bytes_never_crash(tmp_path_factory, data, name) -> None:
    folder = tmp_path_factory.mktemp("flip")
    if name.endswith("zip"):
        content = bytearray(zip_with(folder, PLAIN).read_bytes())
    else:
        content = bytearray(COMPRESS[name.removeprefix("a.tar")](tar_bytes(PLAIN)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(content)
    documents(folder / name)


def test_memory_does_not_grow_with_the_members(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes([(f"f{number}.py", b"x = 1\n") for number in range(6000)]))
    rules, inputs = rules_and_inputs(path)
    tracemalloc.start()
    number = sum(1 for one in inputs for _ in one.documents(rules))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert number == 6000
    assert peak < 2 << 20  # tarfile alone would remember 1 KB of each member
