"""Are the ids of an exported Hugging Face tokenizer those of SentencePiece, over every file of a folder?

    python tools/tokenizer_equality.py TOKENIZER_DIR CORPUS_DIR [--processes 2]

Each file's text goes through `AutoTokenizer` (without special tokens), through SentencePiece itself and through
`CodeTokenizer`, and back; files that are no UTF-8 are counted and left out. SentencePiece reads U+2581 as a blank, so
files that hold one are compared with `CodeTokenizer` alone, and counted. Prints one JSON object; exits with 1 at a
difference and names the first files.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

_tools: dict[str, Any] = {}
BATCH = 64
NAMED = 20


def main() -> int:
    """Compare, print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    start, counts, wrong = time.monotonic(), Counter[str](), list[str]()
    with get_context("spawn").Pool(options.processes, _start, (options.tokenizer,)) as pool:
        for found, names in pool.imap_unordered(_compare, _batches(options.corpus)):
            counts.update(found)
            wrong += names
    seconds = round(time.monotonic() - start, 1)
    print(json.dumps({**counts, "different": len(wrong), "named": wrong[:NAMED], "seconds": seconds}, indent=1))
    return 1 if wrong or not counts["files"] else 0


def _batches(corpus: Path) -> Iterator[list[Path]]:
    files = (path for path in corpus.rglob("*") if path.is_file())
    while batch := list(islice(files, BATCH)):
        yield batch


def _start(folder: Path) -> None:
    import sentencepiece
    from transformers import AutoTokenizer

    from aixmeg.tokenizer import CodeTokenizer

    _tools["theirs"] = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    _tools["sentencepiece"] = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    _tools["ours"] = CodeTokenizer.from_folder(folder)


def _compare(batch: list[Path]) -> tuple[Counter[str], list[str]]:
    counts, wrong = Counter[str](), list[str]()
    for path in batch:
        data = path.read_bytes()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            counts["no UTF-8"] += 1
            continue
        ids = _tools["theirs"](text, add_special_tokens=False)["input_ids"]
        same = ids == _tools["ours"].encode(text) and _tools["theirs"].decode(ids) == text
        if "\u2581" in text:
            counts["files with U+2581"] += 1
        else:
            same = same and ids == _tools["sentencepiece"].encode(text)
        counts.update({"files": 1, "bytes": len(data), "tokens": len(ids)})
        if not same:
            wrong.append(str(path))
    return counts, wrong


if __name__ == "__main__":
    sys.exit(main())
