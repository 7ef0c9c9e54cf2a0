"""What the labels of a training sample are, against a map from each token of the text to its kind."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_data_packing import BOS, EOS, MIDDLE, POST, PRE, SPECIAL, Written, examples
from test_data_stream import numbered, write_stream

from aixmeg.config import PackingConfig
from aixmeg.data.labels import KIND_MIDDLE, KIND_NONE, KIND_NTP
from aixmeg.data.packing import write_plan
from aixmeg.data.stream import TrainDataset, ValidDataset
from aixmeg.errors import UserError


def kind_of_token(written: Written) -> dict[int, int]:
    """Every text token is another number: what it is as a label."""
    found: dict[int, int] = {}
    for kind, ids, middle in written.examples:
        text = [token for token in ids if token >= 10]
        if kind == "ntp":
            found |= dict.fromkeys(text, KIND_NTP)
        else:
            found |= dict.fromkeys(text, KIND_NONE) | dict.fromkeys(text[len(text) - middle :], KIND_MIDDLE)
    return found


plain = examples.filter(lambda example: example[0] != "context")


@example([[("ntp", 3), ("ntp", 30)]], 24, True)  # the end of a cut text behind another one
@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(plain, min_size=1, max_size=6), min_size=1, max_size=5), st.integers(6, 40), st.booleans())
def test_every_label_of_a_sample_has_its_kind(tmp_path_factory, documents, seq_length, packed):
    written = Written(tmp_path_factory.mktemp("k"), documents)
    packing = PackingConfig(policy="best_fit" if packed else "none")
    if packed:
        write_plan(written.prefix, seq_length=seq_length, special=SPECIAL)
    try:
        dataset = TrainDataset(written.prefix, seq_length=seq_length, seed=3, vocab_size=100_000, packing=packing)
    except UserError:  # too few tokens for a sample
        return
    expected = kind_of_token(written)
    for index in range(dataset.samples_per_epoch):
        tokens, kinds = dataset[index], dataset.kinds(index)
        assert (kinds.dtype, kinds.shape) == (np.uint8, (seq_length,))
        assert not kinds[max(dataset.filled(index) - 1, 0) :].any()
        lengths = [length for _, length in dataset.pieces(index)]
        goes_on = set(np.cumsum(lengths)[:-1].tolist())
        kind_here = [KIND_NONE, *kinds.tolist()]
        for place, token in enumerate(tokens.tolist()[: dataset.filled(index)]):
            if place == 0 or token in (BOS, PRE, POST, MIDDLE):
                assert kind_here[place] == KIND_NONE
            elif token == EOS:
                # It closes what stands before it: text, a middle or, in an example of no text, nothing.
                assert kind_here[place] != KIND_NONE or place in goes_on
                assert tokens[place - 1] < 10 or place in goes_on or kind_here[place] >= expected[tokens[place - 1]]
            elif place in goes_on and expected[token] == KIND_NTP:
                assert kind_here[place] == KIND_NONE  # a cut text goes on behind something else
            else:
                assert kind_here[place] == expected[token], (place, token)


@example([[("ntp", 3), ("ntp", 30)]], 24, True)  # the end of a cut text behind another one
@example([[("psm", (30, 4, 30)), ("ntp", 3)]], 24, True)  # a shortened example is one, of three pieces
@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(examples, min_size=1, max_size=6), min_size=1, max_size=5), st.integers(6, 40), st.booleans())
def test_documents_of_a_sample_begin_where_another_example_or_repository_stands(
    tmp_path_factory, documents, seq_length, packed
):
    written = Written(tmp_path_factory.mktemp("d"), documents)
    packing = PackingConfig(policy="best_fit" if packed else "none")
    if packed:
        write_plan(written.prefix, seq_length=seq_length, special=SPECIAL)
    try:
        dataset = TrainDataset(written.prefix, seq_length=seq_length, seed=3, vocab_size=100_000, packing=packing)
    except UserError:  # too few tokens for a sample
        return
    lengths = [len(ids) for _, ids, _ in written.examples]
    repositories = np.repeat(np.arange(len(documents)), [len(document) for document in documents])
    number: dict[Any, np.ndarray] = {
        "example": np.repeat(np.arange(len(lengths)), lengths),
        "repository": np.repeat(repositories, lengths),
    }
    for unit, of_token in number.items():
        held_out = ValidDataset(written.prefix, seq_length=seq_length, vocab_size=100_000)
        windows: list[tuple[Any, int, Any]] = [
            (dataset, index, dataset.pieces(index)) for index in range(dataset.samples_per_epoch)
        ]
        for index in range(len(held_out)):
            start = index * seq_length
            windows.append((held_out, index, [(start, min(seq_length + 1, sum(lengths) - start))]))
        for source, index, pieces in windows:
            inside = [int(of_token[start + place]) for start, length in pieces for place in range(length)]
            inside += [-1] * (seq_length + 1 - len(inside))
            expected = [place for place in range(seq_length) if place == 0 or inside[place] != inside[place - 1]]
            assert source.documents(index, unit).tolist() == expected


def test_foreign_data_has_no_kinds_and_a_sidecar_of_other_data_is_refused(tmp_path):
    prefix = write_stream(tmp_path / "train", numbered([30]))
    dataset = TrainDataset(prefix, seq_length=5, seed=0, vocab_size=100)
    assert not any(dataset.kinds(index).any() for index in range(5))
    with pytest.raises(UserError, match=r"no \.examples\.npy beside it.*train\.document_mask to null"):
        dataset.documents(0, "example")
    (tmp_path / "other").mkdir()
    other = Written(tmp_path / "other", [[("ntp", 3)]])
    other.prefix.with_name("train.examples.npy").rename(tmp_path / "train.examples.npy")
    with pytest.raises(UserError, match=r"describes 5 tokens, but train\.bin has 30"):
        TrainDataset(prefix, seq_length=5, seed=0, vocab_size=100)


def test_held_out_labels_know_their_language(tmp_path):
    written = Written(tmp_path, [[("ntp", 4), ("psm", (2, 3, 2))], [("ntp", 5), ("spm", (1, 2, 1))]])
    names = ["Python", "C", "Python", "Go"]
    (tmp_path / "train.files.jsonl").write_text("".join(json.dumps({"language": name}) + "\n" for name in names))
    language = {
        token: name for name, (_, ids, _) in zip(names, written.examples, strict=True) for token in ids if token >= 10
    }
    dataset = ValidDataset(written.prefix, seq_length=7, vocab_size=100)
    assert dataset.languages == ("C", "Go", "Python")
    seen = set()
    for window in range(len(dataset)):
        tokens, kinds = dataset[window]
        for token, kind, number in zip(tokens[1:].tolist(), kinds, dataset.languages_of(window), strict=True):
            assert (kind == KIND_NONE) == (number == 0)
            if kind != KIND_NONE and token >= 10:
                assert dataset.languages[number - 1] == language[token]
                seen.add(language[token])
    assert seen == set(names)
    (tmp_path / "train.files.jsonl").write_text('{"language": "C"}\n')
    with pytest.raises(UserError, match=r"describes 1 files, but train\.examples\.npy 4"):
        ValidDataset(written.prefix, seq_length=7, vocab_size=100)
