"""The order of the files, and what the build cost."""

from __future__ import annotations

from typing import Final

from aixmeg.report import numbers
from aixmeg.report.blocks import Row, bar_table, facts, figure, note, section
from aixmeg.report.corpus import words
from aixmeg.report.corpus_page.lists import shown
from aixmeg.report.load import Tree, at, items
from aixmeg.report.load import figure as figure_at
from aixmeg.report.markup import Child, Html, tag

_KINDS: Final = {
    "random": "random",
    "content": "similar content together",
    "path": "by path",
    "dependency": "imported files first",
}
_PHASES: Final = ("list", "scan", "gather", "judge", "decide", "clean", "order")


def order(tree: Tree) -> Html:
    """Orders drawn for repositories."""
    kinds = [(name, figure_at({"n": value}, "n") or 0.0) for name, value in items(tree, "order", "kinds")]
    if not kinds:
        return section("order", "Order", note("No repository was ordered."))
    kinds.sort(key=lambda one: (-one[1], one[0]))
    total = sum(value for _, value in kinds)
    rows = [Row(_KINDS.get(name, words(shown(name))), value / (kinds[0][1] or 1),
                [numbers.count(value), numbers.share(value, total)])
            for name, value in kinds]  # fmt: skip
    table = bar_table(["Order", "Repositories", "Share"], rows, caption="Orders of files inside repositories")
    imports, backward = figure_at(tree, "order", "imports"), figure_at(tree, "order", "backward")
    caption = ""
    if imports:
        caption = (f"In the order of imports, {numbers.share(imports - (backward or 0.0), imports)} of "
                   f"{numbers.plural(imports, 'import')} name an earlier file; the others are in cycles.")  # fmt: skip
    lede = "Repositories stand in random order; the files of one stand in an order drawn for it."
    return section("order", "Order", figure("Files inside a repository", table, caption=caption), lede=lede)


def work(tree: Tree) -> Html:
    """CPU time by phase and step, wall time, memory."""
    timing = at(tree, "timing")
    cpu = {name: figure_at({"n": value}, "n") or 0.0 for name, value in items(timing, "cpu")}
    wall = {name: figure_at({"n": value}, "n") for name, value in items(timing, "wall")}
    if not cpu:
        return section("work", "Time", note(f"It took {numbers.duration(figure_at(tree, 'seconds'))}."))
    pairs: list[tuple[str, Child]] = [
        ("Wall time", numbers.duration(figure_at(tree, "seconds"))),
        ("CPU time", numbers.duration(figure_at(timing, "cpu_seconds"))),
        ("Found source per CPU second", f"{numbers.decimal(figure_at(timing, 'mb_per_cpu_second'), 2)} MB"),
        ("Kept source per CPU second", f"{numbers.decimal(figure_at(timing, 'kept_mb_per_cpu_second'), 2)} MB"),
        ("Most memory of a process", numbers.size(figure_at(timing, "peak_bytes"))),
        ("Shards", numbers.count(figure_at(tree, "shards"))),
    ]
    cards = [figure("Total", facts(pairs)), _phases(cpu, wall), _steps(cpu)]
    return section("work", "Time", tag("div", *cards, class_="cards"))


def _phases(cpu: dict[str, float], wall: dict[str, float | None]) -> Html:
    names = [name for name in _PHASES if name in cpu or name in wall]
    names += sorted(name for name in {*cpu, *wall}.difference(_PHASES) if "." not in name)
    most = max([cpu.get(name, 0.0) for name in names], default=0.0) or 1.0
    rows = [Row(words(shown(name)), cpu.get(name, 0.0) / most,
                [numbers.duration(cpu.get(name)), numbers.duration(wall.get(name))])
            for name in names]  # fmt: skip
    caption = "CPU of all processes; wall time of the last run, if the build was continued."
    return figure("By phase", bar_table(["Phase", "CPU", "Wall"], rows, caption="Seconds by phase"), caption=caption)


def _steps(cpu: dict[str, float]) -> Html:
    """What the steps inside phases took, and what is left of each phase: reading, parsing, writing."""
    steps = {name: seconds for name, seconds in cpu.items() if "." in name}
    for phase in sorted({name.partition(".")[0] for name in steps}):
        inside = sum(seconds for name, seconds in steps.items() if name.startswith(f"{phase}."))
        steps[f"{phase}.reading and the rest"] = max(cpu.get(phase, 0.0) - inside, 0.0)
    listed = sorted(steps.items(), key=lambda one: (-one[1], one[0]))
    if not listed:
        return Html("")
    total = sum(seconds for name, seconds in cpu.items() if "." not in name)
    rows = [Row(f"{words(shown(name.partition('.')[2]))} ({words(shown(name.partition('.')[0]))})",
                seconds / (listed[0][1] or 1), [numbers.duration(seconds), numbers.share(seconds, total)])
            for name, seconds in listed]  # fmt: skip
    return figure("By step", bar_table(["Step", "CPU", "Share"], rows, caption="CPU seconds by step"))
