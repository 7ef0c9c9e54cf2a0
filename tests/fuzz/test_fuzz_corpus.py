"""Short runs of the fuzz targets of corpus and SFIM with a fixed seed; longer ones are started by hand."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc" / "data"


def run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def seeds(folder: Path, contents: list[bytes]) -> Path:
    folder.mkdir()
    for number, content in enumerate(contents):
        (folder / str(number)).write_bytes(content)
    return folder


def options_of(folder: Path) -> tuple[str, ...]:
    """Of libFuzzer: always the same, an end to hangs, and what went wrong is left in `folder`.

    By default it reads the seeds again after each second, and runs those that it has dropped beyond the number asked.
    """
    return "-seed=1", "-reload=0", "-len_control=0", "-timeout=60", f"-artifact_prefix={folder}/"


def test_sfim_gives_any_file_back(tmp_path, tiny_tokenizer):
    pytest.importorskip("atheris", reason="atheris is not installed")
    chance = random.Random(1)
    folder = seeds(tmp_path / "seeds", [chance.randbytes(chance.randrange(50, 600)) for _ in range(40)])
    options = ("-runs=400", "-max_len=600", *options_of(tmp_path))
    assert "Done 400 runs" in run(sys.executable, HERE / "sfim_target.py", tiny_tokenizer, folder, *options)


def test_archives_and_tables_of_any_bytes(tmp_path):
    pytest.importorskip("atheris", reason="atheris is not installed")
    rows = b"".join(json.dumps({"path": f"{n}.py", "text": f"x = {n}\n"}).encode() + b"\n" for n in range(3))
    tar, zipped = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive, zipfile.ZipFile(zipped, "w") as other:
        for number in range(3):
            info = tarfile.TarInfo(f"a/{number}.py")
            info.size = 6
            archive.addfile(info, io.BytesIO(b"x = 1\n"))
            other.writestr(f"{number}.py", f"x = {number}\n")
    whole, cut = tar.getvalue(), tar.getvalue()[:1539]  # inside the second member
    contents = [whole, zipped.getvalue(), rows, gzip.compress(whole), gzip.compress(rows), bz2.compress(whole),
                lzma.compress(rows)]  # fmt: skip
    contents = [bytes([kind]) + content for kind, content in enumerate(contents)]
    folder = seeds(tmp_path / "seeds", [*contents, b"\0" + cut, b"\3" + gzip.compress(cut)])
    options = ("-runs=1000", "-max_len=12000", *options_of(tmp_path))
    assert "Done 1000 runs" in run(sys.executable, HERE / "sources_target.py", folder, *options)


def test_the_helpers_survive_any_text_and_stored_tree(tmp_path):
    """With the address and undefined-behaviour sanitizers."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed, with which the helpers are built under sanitizers")
    names = ("line_stats", "minhash", "ngrams", "similarity", "tree_store", "word_grams")
    flags = ("-DSEEDED", "-O0", "-g", "-std=c++17", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    target = tmp_path / "helpers"
    sources = [CSRC / f"{name}.cpp" for name in names]
    run(compiler, *flags, f"-I{CSRC}", *sources, HERE / "helpers_target.cpp", "-o", target)
    assert "no fault" in run(target, 1, 1500)
