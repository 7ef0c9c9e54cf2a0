"""Built examples for a reader's eye, in the order in which the model reads them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.text import Text

from aixmeg.data.encode import header_of
from aixmeg.data.indexed import TokenStream
from aixmeg.data.sidecar import MODES, NO_MODE, OBJECTIVES, PSM, ROW, SPM, WITHOUT_TREE, load_array
from aixmeg.errors import UserError
from aixmeg.files import read_json
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer

STYLES: Final = {
    "special": "black on bright_yellow",
    "header": "bright_black",
    "prefix": "cyan",
    "middle": "bold bright_green",
    "suffix": "magenta",
    "text": "default",
    "notice": "italic bright_black",
}
CONTEXT_LINES: Final = 12
"""Lines of prefix and suffix shown next to the middle."""
MIDDLE_LINES: Final = 40
RAW_TOKENS: Final = 60
"""Ids of prefix and suffix shown next to the middle with --raw."""
# A terminal would obey the control characters of a source file; their pictures are shown instead.
_PICTURES: Final = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {127: 0x2421}


@dataclass(frozen=True)
class Segment:
    """Neighbouring ids of one role: a key of STYLES."""

    role: str
    ids: Sequence[int]


@dataclass(frozen=True)
class Shown:
    """One built example with the file that it comes from."""

    row: Any
    source: dict[str, Any]
    ids: list[int]


def read_examples(folder: Path, split: str, wanted: Sequence[int]) -> Iterator[Shown]:
    """The examples of a split with the given ascending indices.

    Raises:
        UserError: unreadable or cut-off files.
    """
    stream = TokenStream(folder / split)
    rows = load_array(folder / f"{split}.examples.npy", ROW)
    with (folder / f"{split}.files.jsonl").open("rb") as lines:
        position = 0
        for index in wanted:
            line = next(itertools.islice(lines, index - position, None))
            position = index + 1
            row = rows[index]
            start = int(stream.starts[row["document"]] + row["offset"])
            yield Shown(row, json.loads(line), stream.read(start, start + int(row["length"])).tolist())


def choose_indices(modes: np.ndarray, *, count: int, index: int | None) -> list[int]:
    """`count` neighbours from `index` on, or as many spread evenly over the split, in PSM, SPM, NTP form by turns.

    Args:
        modes: index in MODES of each example, uint8 [examples].
        count: how many to show; fewer where the split has fewer.
        index: the first one, or None.

    Raises:
        UserError: nothing to show, or `index` out of range.
    """
    total = len(modes)
    if count < 1:
        raise UserError(f"--count {count} shows nothing; choose 1 or more")
    if index is not None:
        if not 0 <= index < total:
            raise UserError(f"--index {index} is outside the split's {total} examples; choose 0 to {total - 1}")
        return list(range(index, min(index + count, total)))
    count = min(count, total)
    chosen = []
    for turn in range(count):
        first, end = turn * total // count, (turn + 1) * total // count
        middle = (first + end) // 2
        # The one of the wanted form nearest to the middle of this stretch.
        wanted = first + np.flatnonzero(modes[first:end] == (PSM, SPM, NO_MODE)[turn % 3])
        chosen.append(int(wanted[np.abs(wanted - middle).argmin()]) if wanted.size else middle)
    return chosen


def segments(shown: Shown, tokenizer: CodeTokenizer) -> list[Segment]:
    """Cut an example's ids by role; header and prefix are told apart by the header's known length."""
    special, ids, row = tokenizer.special, shown.ids, shown.row
    header = len(tokenizer.encode(header_of(shown.source["language"], shown.source["path"])))
    # A file that shares its example with others has `<s>` only as the first and `</s>` only as the last of them.
    begin, end = int(row["place"] == 0), len(ids) - int(ids[-1] == tokenizer.eos)
    opening, closing = ([Segment("special", [token]) for token in part] for part in (ids[:begin], ids[end:]))
    if OBJECTIVES[row["objective"]] == "ntp":
        text = [Segment("header", ids[begin : begin + header]), Segment("text", ids[begin + header : end])]
        return [*opening, *text, *closing]
    start = int(row["middle_offset"] - row["offset"])
    post, mark = ids.index(special.suffix), ids.index(special.middle)
    before = ids[begin + 1 : post] + ids[mark + 1 : start]
    parts = [Segment("header", before[:header]), Segment("prefix", before[header:])]
    behind = Segment("suffix", ids[post + 1 : mark])
    middle = [Segment("middle", ids[start:end]), *closing]
    pre, after, mid = ([Segment("special", [token])] for token in (special.prefix, special.suffix, special.middle))
    if row["mode"] == SPM:
        return [*opening, *pre, *after, behind, *mid, *parts, *middle]
    return [*opening, *pre, *parts, *after, behind, *mid, *middle]


def render(shown: Shown, tokenizer: CodeTokenizer, *, raw: bool) -> Text:
    """The example as styled text; each part has a mark, so that it also reads without colours."""
    text = Text()
    for segment in segments(shown, tokenizer):
        style = STYLES[segment.role]
        if segment.role == "special":
            text.append(tokenizer.piece(segment.ids[0]), style)
            continue
        if not segment.ids and segment.role == "header":
            continue
        text.append(f"⟦{segment.role.upper()}⟧", f"reverse {style}")
        if raw:
            _append_ids(text, segment, tokenizer)
        else:
            _append_lines(text, segment.role, tokenizer.decode(segment.ids).translate(_PICTURES))
    return text


def _append_lines(text: Text, role: str, content: str) -> None:
    """Append a part, shortened far from the middle."""
    lines = content.split("\n")
    head, tail = {"prefix": (0, CONTEXT_LINES), "suffix": (CONTEXT_LINES, 0)}.get(
        role, (MIDDLE_LINES // 2, MIDDLE_LINES // 2)
    )
    left_out = len(lines) - head - tail
    if left_out <= 1:
        text.append(content, STYLES[role])
        return
    if head:
        text.append("\n".join(lines[:head]) + "\n", STYLES[role])
    text.append(f"… {left_out} lines …", STYLES["notice"])
    if tail:
        text.append("\n" + "\n".join(lines[-tail:]), STYLES[role])


def _append_ids(text: Text, segment: Segment, tokenizer: CodeTokenizer) -> None:
    """Append the pieces of a part, one cell per id, shortened far from the middle."""
    pieces = [tokenizer.piece(token).translate(_PICTURES | {10: 0x240A}) for token in segment.ids]
    keep = RAW_TOKENS if segment.role != "middle" else len(pieces)
    left_out = len(pieces) - keep
    notice = f" … {left_out} ids … "
    if left_out > 0 and segment.role == "prefix":
        text.append(notice, STYLES["notice"])
        pieces = pieces[-keep:]
    text.append("·".join(pieces[:keep]), STYLES[segment.role])
    if left_out > 0 and segment.role != "prefix":
        text.append(notice, STYLES["notice"])


def show_examples(
    console: Console, folder: Path, tokenizer: CodeTokenizer, *, split: str, count: int, index: int | None, raw: bool
) -> None:
    """Print examples of `folder`, with a legend.

    Raises:
        UserError: no data there, data of another tokenizer, or an index out of range.
    """
    summary = read_json(folder / "data.json") if (folder / "data.json").exists() else None
    if summary is None or split not in summary:
        why = "has no data.json" if summary is None else f"was built without a {split} split (data.valid_share is 0)"
        raise UserError(f"{folder} {why}; build it with `aixmeg data build`")
    if summary["tokenizer_sha256"] != tokenizer.sha256:
        raise UserError(
            f"{folder} was built with another tokenizer than {tokenizer.model_file} (SHA-256 begins with "
            f"{summary['tokenizer_sha256'][:12]}, not {tokenizer.sha256[:12]}); build it again with `aixmeg data build`"
        )
    modes = load_array(folder / f"{split}.examples.npy", ROW)["mode"]
    wanted, total = choose_indices(modes, count=count, index=index), len(modes)
    legend = Text("in the order the model reads: ")
    for role in ("special", "header", "prefix", "suffix", "middle"):
        legend.append(f" {role} ", STYLES[role]).append(" ")
    console.print(legend)
    for number, shown in zip(wanted, read_examples(folder, split, wanted), strict=True):
        console.rule(style="bright_black")
        console.print(_title(number, total, split, shown), soft_wrap=True)
        console.print(render(shown, tokenizer, raw=raw), soft_wrap=True)
    console.rule(style="bright_black")


def _title(number: int, total: int, split: str, shown: Shown) -> Text:
    row, source = shown.row, shown.source
    facts = [f"{split} {number} of {total:,}", OBJECTIVES[row["objective"]]]
    if row["mode"]:
        facts += [MODES[row["mode"]], *filter(None, (source["strategy"].replace("_", " "), source["kind"]))]
    facts += [f"{source['repository']}/{source['path']}"]
    if row["place"]:
        facts.append(f"behind {_count(int(row['place']), 'other file')}")
    if row["without_tree"]:
        facts.append(WITHOUT_TREE[row["without_tree"]].replace("_", " "))
    facts.append(f"{int(row['length']):,} tokens")
    if row["mode"]:
        facts[-1] += f", {int(row['middle_length']):,} in the middle"
    return Text(" · ".join(facts).translate(_PICTURES), "bold")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
