"""Texts of known similarity, and slow, obvious references for what csrc/data/minhash.cpp does."""

import itertools
import random
import re
import sysconfig
from pathlib import Path

WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff][0-9A-Za-z_\x80-\xdf]*")


def words(content):
    return WORD.findall(content)


def gram_set(content, length=5):
    found = words(content)
    return {tuple(found[i : i + length]) for i in range(len(found) - length + 1)}


def jaccard(left, right):
    a, b = gram_set(left), gram_set(right)
    return len(a & b) / len(a | b) if a | b else 0.0


def text(seed, count, width=8):
    """`count` random words, a line for every `width`."""
    draw = random.Random(seed)
    found = [f"w{draw.randrange(50_000)}" for _ in range(count)]
    return "\n".join(" ".join(found[i : i + width]) for i in range(0, count, width)).encode()


def edited(content, seed, edits):
    """`content` with `edits` words replaced, each of which changes up to five 5-grams."""
    draw = random.Random(seed)
    lines = [line.split(b" ") for line in content.split(b"\n")]
    for _ in range(edits):
        line = draw.choice(lines)
        line[draw.randrange(len(line))] = b"e%d" % draw.randrange(10**9)
    return b"\n".join(b" ".join(line) for line in lines)


def real_files(count):
    """Files of the standard library, in a fixed order."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = (
        path for folder in ("email", "asyncio", "json", "xml", "encodings") for path in (root / folder).rglob("*.py")
    )
    return [path.read_bytes() for path in itertools.islice(sorted(paths), count)]
