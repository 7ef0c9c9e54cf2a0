"""Speed of making structured-FIM examples, from text and from stored syntax trees, beside random FIM as others do it.

    python tools/benchmark/sfim.py [--corpus DIR] [--tokenizer DIR] [--peer gpt_dataset.py] [--megabytes 8] [--rounds 3]

Measured is `aixmeg.data.parts.build_part`, that is the whole way from a corpus shard to token ids, rows and totals on
disk, in one process. The peer is the function `permute` of BigCode's Megatron-LM (megatron/data/gpt_dataset.py), taken
from the file that --peer names: it gets documents that are tokenised already, in samples of 8,192 tokens, and does its
random FIM with the same SentencePiece model. Parsing alone bounds what parses every file. All sides take turns; the
best of the rounds counts, in megabytes of source per second of CPU time (children have none).
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import random
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import sentencepiece
from hardware import describe
from rich.console import Console

from aixmeg.config import DataConfig
from aixmeg.corpus import SourceFile
from aixmeg.corpus.source_file import INDEX
from aixmeg.data.parts import Part, build_part
from aixmeg.files import read_json, write_json
from aixmeg.languages import LANGUAGES, language_of
from aixmeg.languages import parser as parser_of
from aixmeg.syntax import ParseLimit, parse
from aixmeg.syntax.store import pack
from aixmeg.tokenizer import CodeTokenizer
from aixmeg.tokenizer.train import train_sentencepiece

SAMPLE_TOKENS = 8192
LARGEST_FILE = 1 << 20


def read_files(roots: list[Path], megabytes: float) -> list[SourceFile]:
    """Files in languages with a grammar, in a random order that is always the same, up to so many megabytes."""
    paths = sorted(path for root in roots for path in root.rglob("*") if path.is_file())
    random.Random(0).shuffle(paths)
    found: list[SourceFile] = []
    left = megabytes * 1e6
    for path in paths:
        language = language_of(path)
        if language is None or language.grammar is None or not 0 < path.stat().st_size <= LARGEST_FILE:
            continue
        data = path.read_bytes()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            continue
        inside = next(path.relative_to(root) for root in roots if path.is_relative_to(root))
        digest = hashlib.sha256(data).hexdigest()
        found.append(
            SourceFile(
                repository="/".join(inside.parts[:2]),
                path="/".join(inside.parts),
                language=language.name,
                text=text,
                bytes=len(data),
                sha256=digest,
                error_share=0.0,
            )
        )
        left -= len(data)
        if left <= 0:
            break
    return sorted(found, key=lambda file: (file.repository, file.path))  # as in a corpus


def write_shards(files: list[SourceFile], folder: Path) -> tuple[Part, Part]:
    """The same files as a shard without and one with syntax trees."""
    parts = []
    for name in ("text", "stored"):
        (folder / name).mkdir()
        shard = folder / name / "shard-00000.jsonl"
        shard.write_bytes(b"".join(file.to_line() for file in files))
        parts.append(Part(shard, 0, shard.stat().st_size, folder / name / "part"))
    rows, blobs, position = [], bytearray(), 0
    for file in files:
        try:
            blob = pack(parse(LANGUAGES[file.language], file.text.encode()))
        except ParseLimit:
            blob = b""
        rows.append((position, len(blobs), len(blob)))
        blobs += blob
        position += len(file.to_line())
    parts[1].shard.with_suffix(".spans").write_bytes(blobs)
    np.save(parts[1].shard.with_suffix(".index.npy"), np.array(rows, INDEX))
    return parts[0], parts[1]


def load_peer(path: Path) -> Callable[..., Any]:
    """The function `permute` of the peer's file, without the rest of it, which imports an old Megatron."""
    wanted = [node for node in ast.parse(path.read_text()).body if getattr(node, "name", "") == "permute"]
    space: dict[str, Any] = {"np": np}
    exec(compile(ast.Module(wanted, []), str(path), "exec"), space)  # noqa: S102 - the user named this file
    return space["permute"]


def peer_run(permute: Callable[..., Any], files: list[SourceFile], tokenizer: CodeTokenizer) -> Callable[[], object]:
    """Random FIM over samples of SAMPLE_TOKENS that are laid end to end and cut at document ends, as the peer does."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer.model_file))
    wrapped = SimpleNamespace(
        tokenize=processor.encode, detokenize=lambda ids: processor.decode(np.asarray(ids).tolist())
    )
    stream = np.concatenate([np.append(tokenizer.encode_bytes(f.text.encode()), tokenizer.eos) for f in files])
    ids = {"suffix_tok_id": 4, "prefix_tok_id": 3, "middle_tok_id": 5, "pad_tok_id": tokenizer.eos}

    def run() -> None:
        numbers = np.random.RandomState(0)
        for start in range(0, len(stream), SAMPLE_TOKENS):
            sample = stream[start : start + SAMPLE_TOKENS].astype(np.int64)
            begin = 0
            for end in [*np.flatnonzero(sample == tokenizer.eos).tolist(), len(sample)]:
                if end > begin:
                    permute(sample[begin:end], numbers, 0.7, 0.5, wrapped, truncate_or_pad=False, **ids)
                begin = end + 1

    return run


def open_tokenizer(folder: Path | None, files: list[SourceFile], scratch: Path) -> CodeTokenizer:
    """The one in `folder`, or a small one trained on some of the files."""
    if folder is None:
        train_sentencepiece((file.text for file in files[:400]), scratch / "tokenizer.model", vocab_size=4096)
    return CodeTokenizer.from_folder(folder or scratch)


def main() -> None:
    """Measure, print, write results/sfim.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="folder of source files; else what this machine's Python holds")
    parser.add_argument("--tokenizer", type=Path, help="folder with a tokenizer.model; else a small one is trained")
    parser.add_argument("--peer", type=Path, help="megatron/data/gpt_dataset.py of bigcode-project/Megatron-LM")
    parser.add_argument("--megabytes", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    roots = [arguments.corpus] if arguments.corpus else [Path(sysconfig.get_paths()[n]) for n in ("stdlib", "purelib")]
    files = read_files(roots, arguments.megabytes)
    size = sum(file.bytes for file in files)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tokenizer = open_tokenizer(arguments.tokenizer, files, folder)
        text, stored = write_shards(files, folder)
        config = DataConfig()
        sides: dict[str, Callable[[], object]] = {
            "from text": lambda: build_part(text, tokenizer, config),
            "from stored trees": lambda: build_part(stored, tokenizer, config),
        }
        sides["parsing alone, py-tree-sitter"] = lambda: [
            parser_of(LANGUAGES[file.language]).parse(file.text.encode()) for file in files
        ]
        if arguments.peer:
            sides["BigCode random FIM"] = peer_run(load_peer(arguments.peer), files, tokenizer)
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, run in sides.items():
                start = time.process_time()
                run()
                seconds[name].append(time.process_time() - start)
        same = (folder / "text" / "part.bin").read_bytes() == (folder / "stored" / "part.bin").read_bytes()
        runs = read_json(folder / "text" / "part.json")["runs"]
    figures = {name: round(size / 1e6 / min(times), 2) for name, times in seconds.items()}
    console.print(f"{len(files):,} files, {size / 1e6:.1f} MB, vocabulary {tokenizer.vocab_size:,}; MB per CPU-second:")
    for name, figure in figures.items():
        console.print(f"  {name:32} {figure:8.1f}")
    console.print(f"  stored trees give the same tokens: {same}")
    result = {
        **describe(), "files": len(files), "bytes": size, "vocab_size": tokenizer.vocab_size, "config": "defaults",
        "tokens": sum(run["tokens"] for run in runs), "same_tokens": same, "unit": "MB of source per CPU-second, best",
        "rounds": arguments.rounds, "mb_per_cpu_second": figures,
    }  # fmt: skip
    write_json(arguments.out / "sfim.json", result)
    console.print(json.dumps(figures))


if __name__ == "__main__":
    main()
