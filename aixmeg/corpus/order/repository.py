"""One repository's files in the order in which they are trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aixmeg.config.corpus import OrderConfig
from aixmeg.corpus.order.content import content_order
from aixmeg.corpus.order.graph import dependency_order
from aixmeg.corpus.order.paths import folders, path_order
from aixmeg.corpus.order.resolve import OrderFile, resolve


@dataclass(frozen=True)
class Ordered:
    """The files of a repository in their order."""

    kind: str
    """random, content, path or dependency."""
    order: list[int]
    """A permutation of the files."""
    imports: int = 0
    """Pairs (importing file, imported file); counted when the kind is dependency."""
    backward: int = 0
    """Those of them whose importing file stands first, which only cycles make necessary."""


def order_repository(
    repository: str, files: Sequence[OrderFile], read: Callable[[int], bytes], config: OrderConfig
) -> Ordered:
    """Draw the kind of order and order the files; a function of the seed, the repository's name and its files alone.

    Args:
        repository: its name.
        files: in path order.
        read: content of file i; called only when the content order is drawn.
        config: weights of the kinds, and the seed.
    """
    paths = [file.path for file in files]
    if not config.enabled or len(files) < 2:
        return Ordered("path", path_order(paths))
    kind = _draw(config, repository)
    if kind == "content" and config.max_content_bytes < sum(file.bytes for file in files):
        kind = "path"
    if kind == "random":
        return Ordered(kind, sorted(range(len(files)), key=lambda index: _hash(config, repository, paths[index])))
    by_path = path_order(paths, {one: _hash(config, repository, one) for one in folders(paths)})
    if kind == "path":
        return Ordered(kind, by_path)
    if kind == "content":
        key = f"{config.seed}\0{repository}"
        return Ordered(kind, content_order(len(files), read, cluster_files=config.cluster_files, key=key))
    imports = resolve(files)
    order = dependency_order(imports, by_path)
    place = [0] * len(order)
    for number, index in enumerate(order):
        place[index] = number
    edges = [(place[index], place[target]) for index, targets in enumerate(imports) for target in targets]
    return Ordered(kind, order, len(edges), sum(importing < imported for importing, imported in edges))


def _draw(config: OrderConfig, repository: str) -> str:
    total = sum(config.probabilities.values())
    number = _hash(config, "kind of order", repository) * total
    for kind in sorted(config.probabilities):
        number -= config.probabilities[kind]
        if number < 0:
            return kind
    return max(config.probabilities, key=lambda kind: (config.probabilities[kind], kind))


def _hash(config: OrderConfig, *words: str) -> float:
    """Uniform in [0, 1), a function of the seed and the words."""
    key = "\0".join((str(config.seed), *words))
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53
