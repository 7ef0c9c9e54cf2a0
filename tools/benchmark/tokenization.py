"""Speed and memory of tokenising: the encoder alone, and JSON lines to .bin/.idx, beside what others do.

    python tools/benchmark/tokenization.py [--corpus DIR] [--tokenizer DIR] [--megatron DIR] [--megabytes 50]

Each side runs in a process of its own, one after the other, on the same files; counted are the CPU seconds of that
process and its children, so that a busy machine changes little, and the resident memory of the largest of them. Slow
sides get a part of the files (`megabytes` in the result). Without --corpus the files are this machine's own Python and
C sources; without --tokenizer a vocabulary of 49,152 is trained on them; --megatron is a checkout of Megatron-LM.
(The name tokenize.py would hide Python's module from every script in this folder.)
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hardware import describe
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
SLOW_MEGABYTES = 6
"""For sides that take a second for every few megabytes."""
SUFFIXES = {".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".js", ".ts", ".tsx", ".java", ".go", ".rs"}


def read_texts(lines: Path, megabytes: float) -> list[str]:
    """Texts of a JSON-lines file, from the start."""
    texts, left = [], megabytes * 1e6
    with lines.open("rb") as file:
        for line in file:
            texts.append(json.loads(line)["text"])
            left -= len(line)
            if left <= 0:
                break
    return texts


def encode_ours(folder: Path, texts: list[bytes], passes: int) -> list[tuple[float, int]]:
    """(CPU seconds, tokens) of each pass; the first one begins with an empty cache."""
    from aixmeg.tokenizer import CodeTokenizer

    tokenizer = CodeTokenizer.from_folder(folder)
    return timed(lambda text: len(tokenizer.encode_bytes(text)), texts, passes)


def encode_sentencepiece(folder: Path, texts: list[bytes], passes: int) -> list[tuple[float, int]]:
    """The same by SentencePiece's Python API."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    return timed(lambda text: len(processor.encode(text.decode())), texts, passes)


def encode_hf(folder: Path, texts: list[bytes], passes: int) -> list[tuple[float, int]]:
    """The same by Hugging Face's tokenizers."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    return timed(lambda text: len(tokenizer.encode(text.decode(), add_special_tokens=False).ids), texts, passes)


def timed(encode: Callable[[bytes], int], texts: list[bytes], passes: int) -> list[tuple[float, int]]:
    """CPU seconds and the sum of what `encode` returns, over all texts, so many times."""
    found = []
    for _ in range(passes):
        start = time.process_time()
        tokens = sum(map(encode, texts))
        found.append((time.process_time() - start, tokens))
    return found


ENCODERS = {"ours": (encode_ours, 2), "sentencepiece": (encode_sentencepiece, 1), "hf tokenizers": (encode_hf, 1)}


def child(name: str, lines: Path, folder: Path, megabytes: float) -> None:
    """One encoder in this process; prints its rows."""
    texts = [text.encode() for text in read_texts(lines, megabytes)]
    size = sum(map(len, texts))
    encode, passes = ENCODERS[name]
    rows = [
        {"side": name, "pass": number, "megabytes": size / 1e6, "cpu_seconds": seconds, "tokens": tokens}
        for number, (seconds, tokens) in enumerate(encode(folder, texts, passes))
    ]
    print(json.dumps(rows))


def run(command: list[str], **environment: str) -> tuple[str, dict[str, float]]:
    """Standard output of a command, and what it and its children took: CPU, wall clock, largest resident set."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with status {process.returncode}")
    return output, {
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "wall_seconds": time.monotonic() - start,
        "rss_megabytes": usage.ru_maxrss / 1024,
    }


def measure_encoders(lines: Path, folder: Path, megabytes: float) -> list[dict[str, Any]]:
    """Rows of all encoders."""
    rows: list[dict[str, Any]] = []
    alone = {"OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    for name in ENCODERS:
        size = megabytes if name == "ours" else min(megabytes, SLOW_MEGABYTES)
        words = [sys.executable, __file__, "--child", name, "--lines", str(lines), "--tokenizer", str(folder)]
        output, usage = run([*words, "--megabytes", str(size)], **alone)
        for row in json.loads(output.splitlines()[-1]):
            rows.append(row | {"rss_megabytes": usage["rss_megabytes"]})
    return rows


def measure_tools(lines: Path, folder: Path, work: Path, megatron: Path | None) -> list[dict[str, Any]]:
    """Rows of whole runs from JSON lines to .bin/.idx, start of the processes and loading of the model included."""
    model = ["--tokenizer-type", "SentencePieceTokenizer", "--tokenizer-model", str(folder / "tokenizer.model")]
    common = [*model, "--append-eod", "--log-interval", "1000000"]
    rows = []
    for workers in (1, 2):
        words = ["--input", str(lines), "--output-prefix", str(work / f"ours{workers}"), "--workers", str(workers)]
        _, usage = run([sys.executable, str(ROOT / "tools" / "preprocess_data.py"), *words, *common])
        rows.append({"side": "ours", "workers": workers, "megabytes": source_size(lines) / 1e6, **usage})
    if megatron is not None:
        part = work / "part.jsonl"
        texts = read_texts(lines, 4 * SLOW_MEGABYTES)
        part.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        words = ["--input", str(part), "--output-prefix", str(work / "theirs"), "--workers", "2"]
        tool = str(megatron / "tools" / "preprocess_data.py")
        # The checkout's own packages come before an installed megatron-core of another version.
        path = os.pathsep.join(filter(None, [str(megatron), os.environ.get("PYTHONPATH")]))
        _, usage = run([sys.executable, "-W", "ignore", tool, *words, *common], PYTHONPATH=path)
        rows.append({"side": "megatron", "workers": 2, "megabytes": source_size(part) / 1e6, **usage})
        words = ["--input", str(part), "--output-prefix", str(work / "ours"), "--workers", "2"]
        run([sys.executable, str(ROOT / "tools" / "preprocess_data.py"), *words, *common])
        for suffix in ("bin", "idx"):
            same = [(work / f"{side}_text_document.{suffix}").read_bytes() for side in ("ours", "theirs")]
            if same[0] != same[1]:
                raise SystemExit(f"the .{suffix} files of the two tools differ")
    return rows


def source_size(lines: Path) -> int:
    """Bytes of source text in a JSON-lines file."""
    with lines.open("rb") as file:
        return sum(len(json.loads(line)["text"].encode()) for line in file)


def write_lines(roots: list[Path], target: Path, megabytes: float) -> None:
    """Source files in a random order that is always the same, up to so many megabytes, one JSON object each."""
    paths = sorted(path for root in roots for path in root.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    random.Random(0).shuffle(paths)
    left = megabytes * 1e6
    with target.open("w") as file:
        for path in paths:
            try:
                text = path.read_bytes().decode()
            except UnicodeDecodeError:
                continue
            file.write(json.dumps({"text": text}) + "\n")
            left -= len(text.encode())
            if left <= 0:
                return


def train(lines: Path, folder: Path) -> None:
    """A vocabulary of aiXcoder's size with its Hugging Face form."""
    from aixmeg.tokenizer.export import export_hf
    from aixmeg.tokenizer.train import train_sentencepiece

    folder.mkdir()
    train_sentencepiece(read_texts(lines, 50), folder / "tokenizer.model", vocab_size=49_152)
    export_hf(folder / "tokenizer.model", folder)


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """One table on standard output."""
    table = Table(title=title)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        table.add_column(column.replace("_", " "), justify="left" if column == "side" else "right")
    for row in rows:
        table.add_row(*(f"{row.get(key, '')}" if isinstance(row.get(key, ""), (str, int)) else f"{row[key]:.2f}"
                        for key in columns))  # fmt: skip
    Console(width=120).print(table)


def main() -> None:
    """Measure, print, write results/tokenization.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=None, help="folder of source files")
    parser.add_argument("--tokenizer", type=Path, default=None, help="folder with tokenizer.model and tokenizer.json")
    parser.add_argument("--megatron", type=Path, default=None, help="checkout of Megatron-LM")
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--child", choices=list(ENCODERS), help=argparse.SUPPRESS)
    parser.add_argument("--lines", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.lines, given.tokenizer, given.megabytes)
        return
    from aixmeg.files import write_json

    own = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        lines = work / "lines.jsonl"
        write_lines([given.corpus] if given.corpus else own, lines, given.megabytes)
        folder = given.tokenizer or work / "tokenizer"
        if given.tokenizer is None:
            train(lines, folder)
        encoders = measure_encoders(lines, folder, given.megabytes)
        tools = measure_tools(lines, folder, work, given.megatron)
    for row in (*encoders, *tools):
        row["megabytes_per_cpu_second"] = row["megabytes"] / row["cpu_seconds"]
    about = describe() | {"corpus": "given" if given.corpus else "this machine's sources"}
    show(f"encoders, in memory: {about['cpu']}", encoders)
    show("JSON lines to .bin and .idx", tools)
    rounded = [
        [{key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()} for row in rows]
        for rows in (encoders, tools)
    ]
    write_json(given.out / "tokenization.json", {**about, "encoders": rounded[0], "tools": rounded[1]})


if __name__ == "__main__":
    main()
