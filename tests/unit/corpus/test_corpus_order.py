"""Every order is a permutation; dependencies stand before dependents; alike files stand together."""

import itertools
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.config.corpus import OrderConfig
from aixmeg.corpus.order import OrderFile, order_repository
from aixmeg.corpus.order.content import content_order, term_vectors
from aixmeg.corpus.order.graph import dependency_order
from aixmeg.corpus.order.paths import path_order


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 12))
    return draw(st.lists(st.lists(st.integers(0, count - 1), max_size=5), min_size=count, max_size=count))


def reachable(graph, start):
    seen, stack = set(), [start]
    while stack:
        for target in graph[stack.pop()]:
            if target not in seen:
                seen.add(target)
                stack.append(target)
    return seen


@given(graphs())
def test_imported_files_come_first_unless_there_is_a_cycle(graph):
    order = dependency_order(graph, list(range(len(graph))))
    assert sorted(order) == list(range(len(graph)))
    place = {file: number for number, file in enumerate(order)}
    for file, targets in enumerate(graph):
        for target in targets:
            assert place[target] < place[file] or file in reachable(graph, target)


@given(graphs())
def test_the_files_of_a_cycle_and_of_a_part_stand_together(graph):
    order = dependency_order(graph, list(range(len(graph))))
    count = len(graph)
    both = [[*graph[file], *(other for other in range(count) if file in graph[other])] for file in range(count)]
    reach = [reachable(graph, file) for file in range(count)]
    cycles = [frozenset(one for one in reach[file] if file in reach[one]) | {file} for file in order]
    parts = [frozenset(reachable(both, file)) | {file} for file in order]
    for groups in (cycles, parts):
        assert len(set(groups)) == 1 + sum(a != b for a, b in itertools.pairwise(groups))


@pytest.mark.parametrize("step", [1, -1])
def test_a_chain_of_100_000_files_needs_no_recursion(step):
    count = 100_000
    graph = [[(file + step) % count] if 0 <= file + step < count else [] for file in range(count)]
    order = dependency_order(graph, list(range(count)))
    assert order == list(range(count))[::-step]


def test_folders_stay_whole_and_their_own_files_come_first():
    paths = ["b/z.py", "a/x/1.py", "a.py", "a/y.py", "b/a/2.py", "a/x/0.py"]
    assert [paths[index] for index in path_order(paths)] == [
        "a.py", "a/y.py", "a/x/0.py", "a/x/1.py", "b/z.py", "b/a/2.py",
    ]  # fmt: skip
    assert [paths[index] for index in path_order(paths, {"a": 0.9, "b": 0.1})][:3] == ["a.py", "b/z.py", "b/a/2.py"]


WORDS = {topic: [f"{topic}_{number}" for number in range(30)] for topic in ("http", "matrix", "parser")}


def topical_files(count):
    draw = random.Random(7)
    topics = [draw.choice(list(WORDS)) for _ in range(count)]
    texts = [" ".join(draw.choices(WORDS[topic], k=120) + draw.choices(["self", "return", "int"], k=80)).encode()
             for topic in topics]  # fmt: skip
    return topics, texts


def test_content_order_puts_alike_files_together():
    topics, texts = topical_files(90)
    order = content_order(90, texts.__getitem__, cluster_files=10, key="k")
    assert sorted(order) == list(range(90))
    changes = sum(topics[a] != topics[b] for a, b in itertools.pairwise(order))
    assert changes <= 4  # 2 at best, about 59 at random
    assert content_order(90, texts.__getitem__, cluster_files=10, key="k") == order


def test_vectors_are_tf_idf_of_hashed_words():
    _, texts = topical_files(40)
    vectors = term_vectors(40, texts.__getitem__).astype(np.float64)
    # Against TF-IDF without hashing: cosines agree within what two signed places of 256 per word leave, 1/sqrt(128).
    words = sorted({word for text in texts for word in text.decode().split()})
    counts = np.array([[text.decode().split().count(word) for word in words] for text in texts], np.float64)
    tf = np.where(counts > 0, 1 + np.log2(np.maximum(counts, 1)), 0.0)
    exact = tf * np.log2(40 / np.maximum((counts > 0).sum(0), 1))
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    hashed = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.abs(hashed @ hashed.T - exact @ exact.T).mean() < 0.09
    assert np.abs(np.linalg.norm(vectors, axis=1) - 16384).max() < 16  # rounding of 256 numbers by half at most


@pytest.mark.parametrize("texts", [[b"", b"", b"", b""], [b"\xff\x00", b"a", b"\x80" * 9, b"x" * 100_000, b""]])
def test_files_without_words_are_ordered_too(texts):
    order = content_order(len(texts), texts.__getitem__, cluster_files=2, key="")
    assert sorted(order) == list(range(len(texts)))


FILES = [OrderFile(f"pkg/m{number}.py", "python", 10, (f".m{number + 1}:x",)) for number in range(40)]


def ordered(kind, repository="r", seed=1, files=FILES):
    config = OrderConfig(probabilities={kind: 1.0}, seed=seed)
    return order_repository(repository, files, lambda index: files[index].path.encode() * 3, config)


@pytest.mark.parametrize("kind", ["random", "content", "path", "dependency"])
def test_each_kind_is_a_permutation_that_the_seed_decides(kind):
    result = ordered(kind)
    assert result.kind == kind
    assert sorted(result.order) == list(range(40))
    assert ordered(kind).order == result.order
    if kind == "random":
        assert ordered(kind, seed=2).order != result.order
        assert ordered(kind, repository="other").order != result.order
    if kind == "dependency":
        assert result.order == list(range(40))[::-1]
        assert (result.imports, result.backward) == (39, 0)


def test_kinds_are_drawn_by_their_weights():
    config = OrderConfig(probabilities={"random": 1.0, "path": 3.0})
    kinds = [order_repository(f"r{number}", FILES[:2], lambda _: b"", config).kind for number in range(2000)]
    # Binomial(2000, 0.25): four standard deviations are 77.
    assert abs(kinds.count("random") - 500) < 78
    assert set(kinds) == {"random", "path"}


def test_a_large_repository_is_not_read_for_its_content():
    config = OrderConfig(probabilities={"content": 1.0}, max_content_bytes=399)
    assert order_repository("r", FILES, lambda _: pytest.fail("read"), config).kind == "path"


def test_the_order_is_the_same_in_another_process():
    program = (
        "from tests.unit.corpus.test_corpus_order import ordered\n"
        "print([ordered(kind).order for kind in ('random', 'content', 'path', 'dependency')])"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                       env={**os.environ, "PYTHONHASHSEED": seed}).stdout
        for seed in ("0", "1")
    }  # fmt: skip
    assert len(outputs) == 1


def test_unknown_kinds_and_weights_are_refused():
    found = list(OrderConfig(probabilities={"size": 1.0, "path": -1.0}, cluster_files=1).problems("corpus.order"))
    assert [text.split("=")[0].split(" ")[0] for text in found] == [
        "corpus.order.probabilities", "corpus.order.probabilities", "corpus.order.cluster_files",
    ]  # fmt: skip
