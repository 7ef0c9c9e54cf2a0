"""The .idx writer and reader at scale, against megatron-core's builder, and over damaged files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aixmeg.data import indexed
from aixmeg.data.indexed import _HEADER, MAGIC, IndexWriter, TokenStream
from aixmeg.errors import UserError

DOCUMENTS = st.lists(st.lists(st.lists(st.integers(0, 999), max_size=6), max_size=4), max_size=12)
"""Documents of sequences of tokens; documents without sequences among them."""


def megatrons(prefix: Path, documents: list[list[list[int]]], dtype: type) -> tuple[bytes, bytes]:
    """The two files as megatron-core's own builder makes them."""
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=dtype)
    for document in documents:
        builder.add_document([token for sequence in document for token in sequence], [len(s) for s in document])
    builder.finalize(f"{prefix}.idx")
    return Path(f"{prefix}.bin").read_bytes(), Path(f"{prefix}.idx").read_bytes()


def ours(prefix: Path, documents: list[list[list[int]]], dtype: type, batch: int) -> bytes:
    """The index as `IndexWriter` makes it from batches of documents."""
    with IndexWriter(Path(f"{prefix}.idx"), np.dtype(dtype)) as writer:
        for start in range(0, len(documents), batch):
            part = documents[start : start + batch]
            lengths = [len(sequence) for document in part for sequence in document]
            writer.add(lengths, [len(document) for document in part])
    return Path(f"{prefix}.idx").read_bytes()


@settings(max_examples=80, deadline=None)
@given(documents=DOCUMENTS, dtype=st.sampled_from([np.uint16, np.int32]), batch=st.integers(1, 5))
def test_the_index_is_megatrons_byte_for_byte(tmp_path_factory, documents, dtype, batch):
    folder = tmp_path_factory.mktemp("i")
    tokens, index = megatrons(folder / "theirs", documents, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexed, "_CHUNK", 3)  # so that a few entries are several chunks
        assert ours(folder / "ours", documents, dtype, batch) == index
        (folder / "ours.bin").write_bytes(tokens)
        stream = TokenStream(folder / "ours")
        stream.verify()
    sequences = [sequence for document in documents for sequence in document]
    assert [stream.document(i).tolist() for i in range(len(stream))] == sequences
    assert stream.total == sum(map(len, sequences))
    assert np.asarray(stream.starts).tolist() == np.cumsum([0, *map(len, sequences)])[:-1].tolist()
    assert stream.boundaries.tolist() == np.cumsum([0, *map(len, documents)]).tolist()


def test_counts_must_match_and_lengths_must_fit(tmp_path):
    with IndexWriter(tmp_path / "x.idx", np.dtype("<u2")) as writer:
        with pytest.raises(ValueError, match="3 sequences cannot make up documents of 2"):
            writer.add([1, 2, 3], [1, 1])
        with pytest.raises(UserError, match="2,147,483,648 tokens does not fit"):
            writer.add([2**31])
        writer.add([5])
    assert len((tmp_path / "x.idx").read_bytes()) == _HEADER.size + 12 + 16


def test_a_failed_or_killed_writer_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), IndexWriter(tmp_path / "x.idx", np.dtype("<u2")) as writer:
        writer.add([1, 2, 3])
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    code = (
        "import os, sys, numpy as np; from pathlib import Path; from aixmeg.data.indexed import IndexWriter\n"
        "with IndexWriter(Path(sys.argv[1]), np.dtype('<u2')) as w:\n"
        "    w.add(np.ones(1 << 20)); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.idx")], check=False, timeout=120)
    assert done.returncode == -9
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        IndexWriter(tmp_path / "file" / "x.idx", np.dtype("<u2"))


def sparse_index(path: Path, documents: int) -> None:
    """An index of empty documents whose middle is a hole in the file."""
    header = _HEADER.pack(MAGIC, 1, 8, documents, documents + 1)
    size = _HEADER.size + 12 * documents + 8 * (documents + 1)
    tail = np.arange(documents - 5000, documents + 1, dtype="<i8").tobytes()
    with path.open("wb") as file:
        file.write(header)
        file.seek(size - len(tail))
        file.write(tail)


def test_opening_maps_the_index_of_200_million_documents(tmp_path):
    documents = 200_000_000
    sparse_index(tmp_path / "x.idx", documents)
    (tmp_path / "x.bin").write_bytes(b"")
    before = psutil.Process().memory_info().rss
    stream = TokenStream(tmp_path / "x")
    assert (len(stream), stream.total, len(stream.boundaries)) == (documents, 0, documents + 1)
    assert stream.document(123_456_789).size == 0
    assert psutil.Process().memory_info().rss - before < 30e6  # of 4 GB
    assert (tmp_path / "x.idx").stat().st_blocks * 512 < 1e6  # the test's own file is a hole


def stored(folder: Path, lengths: list[int]) -> Path:
    indexed.write_index(folder / "x.idx", lengths, np.dtype("<u2"))
    (folder / "x.bin").write_bytes(np.arange(sum(lengths), dtype="<u2").tobytes())
    return folder / "x"


def damage(path: Path, place: int, value: int) -> None:
    data = bytearray(path.read_bytes())
    data[place : place + 4] = value.to_bytes(4, "little", signed=True)
    path.write_bytes(data)


@pytest.mark.parametrize("value", [0, 4, -3, 2**31 - 1])
@pytest.mark.parametrize("what", ["length", "start", "boundary"])
def test_damage_in_the_middle_is_found_where_it_is_read_and_by_verify(tmp_path, monkeypatch, what, value):
    monkeypatch.setattr(indexed, "_ENDS", 4)
    monkeypatch.setattr(indexed, "_CHUNK", 7)
    count, place = 30, 15
    prefix = stored(tmp_path, [3] * count)
    TokenStream(prefix).verify()
    at = {"length": 4 * place, "start": 4 * count + 8 * place, "boundary": 12 * count + 8 * place}[what]
    damage(prefix.with_suffix(".idx"), _HEADER.size + at, value)
    stream = TokenStream(prefix)
    assert stream.document(3).tolist() == [9, 10, 11]
    with pytest.raises(UserError, match=r"x\.idx.*aixmeg data build"):
        stream.verify()
    if what != "boundary" and (value < 0 or value > 90 or (what == "start" and value % 2)):
        with pytest.raises(UserError, match=r"x\.idx: sequence 15"):
            stream.document(place)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    """Whole random files, and good ones with a few bytes changed, cut or added."""
    folder = tmp_path_factory.mktemp("f", numbered=True)
    prefix = stored(folder, data.draw(st.lists(st.integers(0, 9), max_size=6)))
    for path in (prefix.with_suffix(".idx"), prefix.with_suffix(".bin")):
        good = bytearray(path.read_bytes())
        for place, byte in data.draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4)):
            if place < len(good):
                good[place] = byte
        whole = st.one_of(st.just(bytes(good)), st.binary(max_size=90), st.binary(max_size=30).map(MAGIC.__add__))
        path.write_bytes(data.draw(whole)[: data.draw(st.one_of(st.none(), st.integers(0, 200)))])
    try:
        stream = TokenStream(prefix)
        stream.verify()
    except UserError:
        return
    parts = [stream.document(i) for i in range(len(stream))]
    assert sum(part.size for part in parts) == stream.total  # what passes is whole
    assert stream.total * stream.dtype.itemsize == prefix.with_suffix(".bin").stat().st_size
