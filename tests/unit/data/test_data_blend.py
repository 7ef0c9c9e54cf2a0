"""Datasets mixed by weight: exact shares at every prefix, each dataset's own order, nothing stored or counted."""

from __future__ import annotations

import dataclasses
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_data_stream import numbered, write_stream

from aixmeg.config import Config, PackingConfig, conflicts, dump_config, load_config
from aixmeg.config.blend import BlendPart, integer_shares
from aixmeg.data.blend import Blend, one_turn
from aixmeg.data.stream import TrainDataset
from aixmeg.errors import UserError


class Numbers:
    """Sample i of dataset n says so."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getitem__(self, index: int, /) -> np.ndarray:
        return np.array([self.number, index])

    def filled(self, index: int, /) -> int:
        return 100 * self.number + index

    def kinds(self, index: int, /) -> np.ndarray:
        return np.array([self.number + index], np.uint8)

    def documents(self, index: int, unit: str, /) -> np.ndarray:
        return np.array([0, self.number + index + 1])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9))
@example([1, 1, 1])
@example([997, 1, 1, 1])
@example([300, 300, 300, 33, 33, 34])
def test_every_prefix_has_each_share_within_one_sample(shares):
    total = sum(shares)
    counts = [0] * len(shares)
    for place, number in enumerate(one_turn(shares).tolist(), 1):
        counts[number] += 1
        for count, share in zip(counts, shares, strict=True):
            assert abs(Fraction(count) - Fraction(place * share, total)) < 1
    assert counts == shares


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 3))
def test_each_dataset_is_read_in_its_own_order_and_any_sample_by_itself(shares, seed):
    blend = Blend([Numbers(number) for number in range(len(shares))], shares)
    following = [0] * len(shares)
    places = list(range(3 * sum(shares)))
    seen = {}
    for index in random.Random(seed).sample(places, len(places)):
        seen[index] = blend[index].tolist()
        number, inner = seen[index]
        assert (number, inner) == blend.place(index)
        assert blend.filled(index) == 100 * number + inner
        assert blend.kinds(index).tolist() == [number + inner]
        assert blend.documents(index, "example").tolist() == [0, number + inner + 1]
    for index in places:
        number, inner = seen[index]
        assert inner == following[number]
        following[number] += 1
    with pytest.raises(IndexError):
        blend[-1]


def test_every_sample_of_every_dataset_once_per_epoch(tmp_path):
    datasets = []
    for name, lengths in (("a", [40, 25, 61]), ("b", [50, 10, 13])):
        (tmp_path / name).mkdir()
        prefix = write_stream(tmp_path / name / "train", numbered(lengths))
        datasets.append(TrainDataset(prefix, seq_length=8, seed=5, vocab_size=1000))
    blend = Blend(datasets, (3, 2))
    sizes = [dataset.samples_per_epoch for dataset in datasets]
    windows: list[list[tuple[int, int]]] = [[], []]
    for index in range(300):
        number, inner = blend.place(index)
        assert blend[index].tolist() == datasets[number][inner].tolist()
        windows[number].append(datasets[number].place(inner))
    for size, found in zip(sizes, windows, strict=True):
        for epoch in range(len(found) // size):
            whole = found[epoch * size : (epoch + 1) * size]
            assert sorted(whole) == [(epoch, window) for window in range(size)]


def parts(**weights: float) -> tuple[BlendPart, ...]:
    return tuple(BlendPart(path=Path(name), weight=weight) for name, weight in weights.items())


@pytest.mark.parametrize(
    ("weights", "shares"),
    [((0.3, 0.7), (3, 7)), ((1, 1), (1, 1)), ((0.1, 0.2, 0.7), (1, 2, 7)), ((1e-05, 1), (1, 100_000)), ((5.0,), (1,))],
)
def test_weights_are_the_decimals_that_they_are_written_as(weights, shares):
    named = {f"d{number}": float(weight) for number, weight in enumerate(weights)}
    assert integer_shares(parts(**named)) == shares


def of(blend, **packing) -> list[str]:
    config = Config()
    data = dataclasses.replace(config.data, packing=PackingConfig(**packing))
    return conflicts(dataclasses.replace(config, data=data, train=dataclasses.replace(config.train, blend=blend)))


def test_broken_blends_are_told_before_the_start():
    assert of(parts(code=0.3, docs=0.7)) == []
    (text,) = of(parts(code=0.0, docs=1.0))
    assert "weight=0.0 of 'code' must be positive" in text
    (text,) = of(parts(code=float("inf"), docs=1.0))
    assert "weight=inf" in text
    (text,) = of((BlendPart(path=Path("a/code"), weight=1.0), BlendPart(path=Path("b/code"), weight=1.0)))
    assert "the name code stands there twice; give each a `name`" in text
    twice = [BlendPart(path=Path("a"), weight=1.0, name=name) for name in ("x", "y")]
    (text,) = of(tuple(twice))
    assert "the path a stands there twice; add their weights up" in text
    (text,) = of((BlendPart(path=Path("a"), weight=1.0, name="x/y"),))
    assert "'x/y' is no name" in text
    (text,) = of(parts(code=0.1234567, docs=0.5))
    assert "add up to 6,234,567, more than 1,000,000; write them with fewer digits" in text
    (text,) = of(parts(code=0.3, docs=0.7), order="stream")
    assert "needs data.packing.order=shuffle, which is stream" in text


def test_a_blend_on_the_command_line_and_in_a_file(tmp_path):
    given = "[{path: data/code, weight: 0.7}, {path: docs, weight: 3, name: text}]"
    config = load_config(None, {"train.blend": given})
    assert [(part.called, part.weight) for part in config.train.blend] == [("code", 0.7), ("text", 3.0)]
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "config.yaml") == config
    with pytest.raises(UserError, match=r"train\.blend\.0\.weigt is not an option; did you mean .*weight\?"):
        load_config(None, {"train.blend": "[{path: a, weigt: 0.7}]"})
