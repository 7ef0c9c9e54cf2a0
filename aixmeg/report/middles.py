"""How middles were chosen, how long they are, which files gave none, and how samples are filled."""

from __future__ import annotations

from aixmeg.report import numbers
from aixmeg.report.blocks import Row, bar_table, facts, figure
from aixmeg.report.corpus import words
from aixmeg.report.load import Tree, items
from aixmeg.report.load import figure as figure_at
from aixmeg.report.markup import Html

_LISTED = 24
_REASONS = {
    "no_grammar": "its language has no grammar",
    "parse_limit": "the parser exceeded its bound",
    "no_place": "no node fits the limits",
}


def strategies(train: Tree) -> Html:
    """Middles by the way in which they were chosen."""
    counts = [(words(name), figure_at({"n": value}, "n") or 0.0) for name, value in items(train, "by_strategy")]
    counts = sorted((one for one in counts if one[1]), key=lambda one: (-one[1], one[0]))[:_LISTED]
    if not counts:
        return Html("")
    total = sum(value for _, value in counts)
    rows = [Row(name, value / counts[0][1], [numbers.count(value), numbers.share(value, total)])
            for name, value in counts]  # fmt: skip
    return figure(
        "Middles, by strategy", bar_table(["Strategy", "Examples", "Share"], rows, caption="Middles by strategy")
    )


def lengths(train: Tree) -> Html:
    """A histogram of middles by their number of tokens, in powers of two."""
    counts = [(int(name), figure_at({"n": value}, "n") or 0.0)
              for name, value in items(train, "middle_lengths") if name.isdigit()]  # fmt: skip
    counts.sort()
    if not counts or not max(value for _, value in counts):
        return Html("")
    total, largest = sum(value for _, value in counts), max(value for _, value in counts)
    rows = [Row(_range(first), value / largest, [numbers.count(value), numbers.share(value, total)])
            for first, value in counts]  # fmt: skip
    return figure("Middles, by length", bar_table(["Tokens", "Examples", "Share"], rows, caption="Middles by length"))


def _range(first: int) -> str:
    """The lengths that one bar stands for: 4 → `4–7`."""
    return str(first) if first < 2 else f"{first}–{2 * first - 1}"


def without_tree(train: Tree) -> Html:
    """Files for which structured FIM was drawn and could not be, by reason and language."""
    rows = []
    for reason, table in items(train, "without_tree"):
        for language, value in sorted(table.items()) if isinstance(table, dict) else ():
            rows.append((words(reason), language, figure_at({"n": value}, "n") or 0.0))
    rows = sorted((one for one in rows if one[2]), key=lambda one: (-one[2], one))[:_LISTED]
    if not rows:
        return Html("")
    listed = [Row(f"{language}: {_REASONS.get(reason.replace(' ', '_'), reason)}", files / rows[0][2],
                  [numbers.count(files)]) for reason, language, files in rows]  # fmt: skip
    caption = "These files were drawn for structured FIM and became what data.sfim.without_tree says."
    table = bar_table(["Language and reason", "Files"], listed, caption="Files without a structured middle")
    return figure("Without a structured middle", table, caption=caption)


def packing(tree: Tree) -> Html:
    """How full the samples are; nothing where the stream is simply cut."""
    packed = tree.get("packing")
    if not isinstance(packed, dict):
        return Html("")
    filled = figure_at(packed, "padding_share")
    pairs = [
        ("Sequence length", numbers.count(figure_at(packed, "seq_length"))),
        ("Samples", numbers.count(figure_at(packed, "samples"))),
        ("Padding", numbers.share(filled, 1.0) if filled else "0 %"),
        ("Examples", numbers.count(figure_at(packed, "examples"))),
        ("Text cut at the sequence length", numbers.count(figure_at(packed, "cut"))),
        ("Context shortened around a middle", numbers.count(figure_at(packed, "shortened"))),
        ("Left out: the middle does not fit", numbers.count(figure_at(packed, "left_out"))),
    ]
    return figure("Packing", facts(pairs), caption="Best fit: no infilling example is cut in two.")
