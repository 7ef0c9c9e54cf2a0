"""Packing: no infilling example is cut, nothing is lost without a count, and best fit is best fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_stream import write_stream

import aixmeg.data.packing as packing
from aixmeg.config import PackingConfig
from aixmeg.data.packing import PackedSamples, plan_file, write_plan
from aixmeg.data.sidecar import FIM, NTP, PSM, ROW, SFIM, SPM
from aixmeg.data.stream import TrainDataset
from aixmeg.errors import UserError

BOS, EOS, PRE, POST, MIDDLE = 1, 2, 3, 4, 5
SPECIAL = {"suffix": POST, "middle": MIDDLE}
parts = st.tuples(st.integers(0, 12), st.integers(0, 6), st.integers(0, 12))
examples = st.one_of(
    st.tuples(st.just("ntp"), st.integers(0, 40)),
    st.tuples(st.just("psm"), parts),
    st.tuples(st.just("spm"), parts),
    st.tuples(st.just("context"), st.lists(st.integers(0, 8), min_size=1, max_size=3), parts),
)


class Written:
    """Examples as files of a split; every text token is another number."""

    def __init__(self, folder: Path, documents) -> None:
        self.prefix, self.next = folder / "train", 10
        self.examples, rows, laid = [], [], []
        for number, document in enumerate(documents):
            tokens = []
            for example in document:
                begin = len(tokens)
                rows += self._rows(example, number, tokens)
                middle = example[-1][1] if example[0] != "ntp" else 0
                self.examples.append((example[0], tokens[begin:], middle))
            laid.append(tokens)
        write_stream(self.prefix, laid, vocab_size=100_000)
        np.save(folder / "train.examples.npy", np.array(rows, ROW))

    def text(self, count):
        self.next += count
        return list(range(self.next - count, self.next))

    def _rows(self, example, document, tokens):
        kind, *rest = example
        if kind == "ntp":
            return [self._row(document, tokens, [BOS, *self.text(rest[0]), EOS], NTP, 0, -1, 0, 0)]
        if kind == "context":
            found = [
                self._row(document, tokens, [BOS] * (place == 0) + self.text(count), NTP, 0, -1, 0, place)
                for place, count in enumerate(rest[0])
            ]
            prefix, middle, suffix = (self.text(count) for count in rest[1])
            ids = [PRE, *prefix, POST, *suffix, MIDDLE, *middle, EOS]
            at = len(ids) - 1 - len(middle)
            return [*found, self._row(document, tokens, ids, SFIM, PSM, at, len(middle), len(rest[0]))]
        prefix, middle, suffix = (self.text(count) for count in rest[0])
        if kind == "psm":
            ids = [BOS, PRE, *prefix, POST, *suffix, MIDDLE, *middle, EOS]
        else:
            ids = [BOS, PRE, POST, *suffix, MIDDLE, *prefix, *middle, EOS]
        at = len(ids) - 1 - len(middle)
        return [self._row(document, tokens, ids, FIM, PSM if kind == "psm" else SPM, at, len(middle), 0)]

    @staticmethod
    def _row(document, tokens, ids, objective, mode, at, length, place):
        offset = len(tokens)
        tokens += ids
        middle = offset + at if at >= 0 else -1
        return (document, offset, len(ids), objective, mode, middle, length, 0, place, 0, 0)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.lists(examples, min_size=1, max_size=8), min_size=1, max_size=4), st.integers(6, 40))
def test_examples_are_whole_and_every_token_is_there_once(tmp_path_factory, documents, seq_length):
    written = Written(tmp_path_factory.mktemp("p"), documents)
    summary = write_plan(written.prefix, seq_length=seq_length, special=SPECIAL)
    samples = PackedSamples(written.prefix, seq_length=seq_length)
    assert summary["examples"] == len(written.examples)
    found: list[list[int]] = []
    for index in range(len(samples)):
        tokens, filled = samples[index]
        assert len(tokens) == seq_length + 1
        assert not tokens[filled:].any()
        pieces = samples.pieces(index)
        assert sum(length for _, length in pieces) == filled > 0
        found.append(tokens[:filled].tolist())
    cut = shortened = out = 0
    for kind, ids, middle in written.examples:
        if len(ids) <= seq_length + 1:
            assert any(ids == sample[i : i + len(ids)] for sample in found for i in range(len(sample))), (kind, ids)
        elif kind == "ntp":
            cut += 1
            labels = [label for sample in found for label in sample if label >= 10]
            assert set(ids[1:-1]) <= set(labels)
        elif kind != "context" and middle + 5 <= seq_length + 1:  # five marks stay
            shortened += 1
            tail = ids[len(ids) - 1 - middle :]
            assert any(tail == sample[i : i + len(tail)] for sample in found for i in range(len(sample))), (kind, ids)
        else:
            out += 1
    assert (summary["cut"], summary["shortened"], summary["left_out"]) == (cut, shortened, out)


def test_a_long_example_keeps_its_middle_and_the_context_next_to_it(tmp_path):
    written = Written(
        tmp_path, [[("psm", (30, 4, 30)), ("spm", (30, 4, 30)), ("psm", (2, 4, 40)), ("psm", (5, 30, 5))]]
    )
    summary = write_plan(written.prefix, seq_length=24, special=SPECIAL)
    samples = PackedSamples(written.prefix, seq_length=24)
    first, second, third = (samples[index][0].tolist() for index in range(3))
    numbers = iter(range(10, 10_000))

    def take(count):
        return [next(numbers) for _ in range(count)]

    prefix, middle, suffix = take(30), take(4), take(30)
    # 25 tokens, of which 5 are marks and 4 the middle: 16 for context, a fourth of them for the suffix.
    assert first == [BOS, PRE, *prefix[-12:], POST, *suffix[:4], MIDDLE, *middle, EOS]
    prefix, middle, suffix = take(30), take(4), take(30)
    assert second == [BOS, PRE, POST, *suffix[:4], MIDDLE, *prefix[-12:], *middle, EOS]
    prefix, middle, suffix = take(2), take(4), take(40)
    assert third == [BOS, PRE, *prefix, POST, *suffix[:14], MIDDLE, *middle, EOS]  # a short prefix leaves its room
    assert (summary["shortened"], summary["left_out"], len(samples)) == (3, 1, 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), max_size=60), st.integers(30, 64))
def test_best_fit_decreasing_against_the_plain_algorithm(lengths, capacity):
    order, first = packing._pack(lengths, capacity, np.arange(len(lengths)))
    bins: list[tuple[int, list[int]]] = []
    for item in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fitting = [index for index, (room, _) in enumerate(bins) if room >= lengths[item]]
        if fitting:
            best = min(fitting, key=lambda index: (bins[index][0], index))
            bins[best] = (bins[best][0] - lengths[item], [*bins[best][1], item])
        else:
            bins.append((capacity - lengths[item], [item]))
    expected = sorted(sorted(items) for _, items in bins)
    ends = [*first[1:].tolist(), len(lengths)] if len(first) else []
    assert [sorted(order[a:b].tolist()) for a, b in zip(first.tolist(), ends, strict=True)] == expected


def test_pools_join_at_whole_examples(tmp_path, monkeypatch):
    documents = [[("context", [3, 2, 1], (4, 2, 4)), ("ntp", 5)] * 7]
    written = Written(tmp_path, documents)
    whole = write_plan(written.prefix, seq_length=40, special=SPECIAL)
    monkeypatch.setattr(packing, "_POOL", 6)
    small = write_plan(written.prefix, seq_length=40, special=SPECIAL)
    assert (whole["examples"], whole["tokens"]) == (small["examples"], small["tokens"])
    monkeypatch.setattr(packing, "_POOL", 3)
    with pytest.raises(UserError, match="context_tokens"):
        write_plan(written.prefix, seq_length=40, special=SPECIAL)


def test_training_reads_the_plan(tmp_path):
    written = Written(tmp_path, [[("ntp", 9), ("psm", (5, 3, 5)), ("ntp", 60), ("spm", (4, 4, 4))]] * 3)
    options = {"seq_length": 30, "seed": 1, "vocab_size": 100_000, "packing": PackingConfig(policy="best_fit")}
    with pytest.raises(UserError, match="not packed for model.seq_length=30"):
        TrainDataset(written.prefix, **options)
    write_plan(written.prefix, seq_length=30, special=SPECIAL)
    dataset, samples = TrainDataset(written.prefix, **options), PackedSamples(written.prefix, seq_length=30)
    n = dataset.samples_per_epoch
    assert n == len(samples)
    for epoch in range(2):
        seen = sorted(dataset[epoch * n + index].tolist() for index in range(n))
        assert seen == sorted(samples[index][0].tolist() for index in range(n))
    assert [dataset.filled(index) for index in range(n)] == [samples[dataset.place(index)[1]][1] for index in range(n)]
    damaged = json.loads(plan_file(written.prefix, 30, "json").read_text()) | {"stream_tokens": 1}
    plan_file(written.prefix, 30, "json").write_text(json.dumps(damaged))
    with pytest.raises(UserError, match="made for other data"):
        TrainDataset(written.prefix, **options)
