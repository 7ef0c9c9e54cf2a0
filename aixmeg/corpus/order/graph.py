"""Dependencies before dependents, in any graph."""

from __future__ import annotations

from collections.abc import Sequence


def dependency_order(imports: Sequence[Sequence[int]], preferred: Sequence[int]) -> list[int]:
    """A permutation of the files in which a file stands behind all that it imports, except inside cycles.

    Connected files stand together: parts of the graph that share no edge follow each other, and inside a part a
    depth-first walk puts a file close behind its last import. Files of one cycle stand together, in preferred order.

    Args:
        imports: for each file the files that it imports; itself and repetitions are allowed.
        preferred: a permutation of the files that decides where there is a choice.
    """
    rank = [0] * len(preferred)
    for place, file in enumerate(preferred):
        rank[file] = place
    order: list[int] = []
    for cycle in _components(imports, _by_part(imports, preferred), rank):
        order += sorted(cycle, key=rank.__getitem__)
    return order


def _by_part(imports: Sequence[Sequence[int]], preferred: Sequence[int]) -> list[int]:
    """The files, those of one connected part together; parts and files in preferred order."""
    root = list(range(len(imports)))

    def find(file: int) -> int:
        while root[file] != file:
            root[file] = root[root[file]]
            file = root[file]
        return file

    for file, targets in enumerate(imports):
        for target in targets:
            root[find(file)] = find(target)
    parts: dict[int, list[int]] = {}
    for file in preferred:
        parts.setdefault(find(file), []).append(file)
    return [file for part in parts.values() for file in part]


def _components(imports: Sequence[Sequence[int]], starts: Sequence[int], rank: Sequence[int]) -> list[list[int]]:
    """Tarjan's strongly connected components, each behind those that it leads to; an explicit stack, since chains may
    be 100,000 files long."""
    index, low = [-1] * len(imports), [0] * len(imports)
    on_stack = [False] * len(imports)
    stack: list[int] = []
    found: list[list[int]] = []
    count = 0
    for start in starts:
        if index[start] >= 0:
            continue
        work = [(start, iter(sorted(imports[start], key=rank.__getitem__)))]
        index[start] = low[start] = count
        count += 1
        stack.append(start)
        on_stack[start] = True
        while work:
            file, targets = work[-1]
            entered = False
            for target in targets:
                if index[target] < 0:
                    index[target] = low[target] = count
                    count += 1
                    stack.append(target)
                    on_stack[target] = True
                    work.append((target, iter(sorted(imports[target], key=rank.__getitem__))))
                    entered = True
                    break
                if on_stack[target]:
                    low[file] = min(low[file], index[target])
            if entered:
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[file])
            if low[file] == index[file]:
                cycle = []
                while True:
                    member = stack.pop()
                    on_stack[member] = False
                    cycle.append(member)
                    if member == file:
                        break
                found.append(cycle)
    return found
