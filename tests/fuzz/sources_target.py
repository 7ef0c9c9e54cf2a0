"""Fuzz target of archives and tables: any bytes give documents, twice the same, and harm nothing that stands behind.

python tests/fuzz/sources_target.py [libFuzzer options, a folder of seeds]: the first byte of an input is its kind
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["aixmeg.corpus.sources"]):
    from aixmeg.config.corpus import CorpusConfig, SourcesConfig
    from aixmeg.corpus.reasons import REASONS
    from aixmeg.corpus.sources import RawDocument, Rules, git, jsonl, open_inputs, parquet, tar, zip  # noqa: F401 (instrumented)

KINDS = ("a.tar", "a.zip", "a.jsonl", "a.tar.gz", "a.jsonl.gz", "a.tar.bz2", "a.jsonl.xz")
FOLDER = Path(tempfile.mkdtemp())
BEHIND = FOLDER / "z.jsonl"
BEHIND.write_text('{"path": "behind.py", "text": "x = 1"}\n')


def one_input(data: bytes) -> None:
    path = FOLDER / KINDS[data[0] % len(KINDS)] if data else FOLDER / KINDS[0]
    path.write_bytes(data[1:])
    try:
        reading = SourcesConfig(max_broken_share=1.0)
        config = CorpusConfig(sources=(path, BEHIND), min_file_bytes=1, max_file_bytes=1000, reading=reading)
        check(config)
    finally:
        path.unlink()


def check(config: CorpusConfig) -> None:
    rules = Rules.of(config, Path("/nowhere"))
    for one in open_inputs(config, Path("/nowhere")):
        found = list(one.documents(rules))
        assert list(one.documents(rules)) == found
        wanted = {document.index for document in found if document.reason is None}
        assert list(one.documents(rules, wanted=wanted)) == [document for document in found if document.index in wanted]
        for document in found:
            judge(document)
    assert found[-1].path == "behind.py"
    assert found[-1].reason is None


def judge(document: RawDocument) -> None:
    """Names can be written, and what is kept is what its size says."""
    document.repository.encode()
    document.path.encode()
    assert document.reason is None or document.reason in REASONS
    if document.reason is None:
        assert document.content is not None
        assert 1 <= len(document.content) == document.size <= 1000
        assert not document.path.startswith("/")
        assert ".." not in document.path.split("/")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
