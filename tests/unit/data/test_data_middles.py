"""Which held-out middles are completed, against the stored examples read by hand."""

import json
from collections import Counter

import numpy as np
import pytest
from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

from aixmeg.data.middles import choose_middles
from aixmeg.data.sidecar import PSM, ROW, SFIM
from aixmeg.data.stream import ValidDataset
from aixmeg.errors import UserError

END = 2
LANGUAGES = ("C",) * 6 + ("Go",) * 6 + ("Python",) * 2


def example(rng, prompt, middle):
    return [1, *rng.integers(10, 99, prompt - 1).tolist()], [*rng.integers(10, 99, middle).tolist(), END]


@pytest.fixture
def written(tmp_path):
    """One repository per language: infilling examples, text between them, and one example whose first file is text."""
    import torch

    rng, rows, expected = np.random.default_rng(3), [], {}
    builder = IndexedDatasetBuilder(str(tmp_path / "valid.bin"), dtype=np.uint16)
    for document, language in enumerate(("C", "Go", "Python")):
        stored: list[int] = []
        for number in range(LANGUAGES.count(language)):
            prompt, middle = example(rng, 5 + number, 1 + number)
            expected.setdefault(language, []).append((tuple(prompt), tuple(middle[:-1])))
            before = [1, *rng.integers(10, 99, 3).tolist()] if number == 1 else []
            if before:  # laid out together: the prompt begins with the other file
                rows.append((document, len(stored), len(before), 0, 0, -1, 0, len(rows), 0, 0, 0))
                stored += before
                expected[language][-1] = (tuple(before + prompt), tuple(middle[:-1]))
            at = len(stored) + len(prompt)
            place = int(bool(before))
            rows.append(
                (document, len(stored), len(prompt + middle), SFIM, PSM, at, len(middle) - 1, len(rows), place, 0, 0)
            )
            stored += prompt + middle
            text = [1, *rng.integers(10, 99, 4).tolist(), END]
            rows.append((document, len(stored), len(text), 0, 0, -1, 0, len(rows), 0, 0, 0))
            stored += text
        builder.add_item(torch.tensor(stored))
        builder.end_document()
    builder.finalize(str(tmp_path / "valid.idx"))
    np.save(tmp_path / "valid.examples.npy", np.array(rows, dtype=ROW))
    names = [("C", "Go", "Python")[row[0]] for row in rows]
    (tmp_path / "valid.files.jsonl").write_text("".join(json.dumps({"language": name}) + "\n" for name in names))
    return ValidDataset(tmp_path / "valid", seq_length=16, vocab_size=128), expected


def test_all_middles_are_found_with_their_whole_prompts(written):
    dataset, expected = written
    found = choose_middles(dataset, wanted=100, seed=1, longest=64, room=1000)
    pairs = {name: sorted((one.prompt, one.tokens) for one in found if one.language == name) for name in expected}
    assert pairs == {name: sorted(examples) for name, examples in expected.items()}
    assert {one.end for one in found} == {END}


def test_languages_take_turns(written):
    dataset, _ = written
    found = choose_middles(dataset, wanted=8, seed=1, longest=64, room=1000)
    assert Counter(one.language for one in found) == {"C": 3, "Go": 3, "Python": 2}
    assert found == choose_middles(dataset, wanted=8, seed=1, longest=64, room=1000)
    assert found != choose_middles(dataset, wanted=8, seed=2, longest=64, room=1000)
    assert choose_middles(dataset, wanted=4, seed=1, longest=64, room=1000) == found[:4]


def test_long_ones_are_left_out(written):
    dataset, expected = written
    found = choose_middles(dataset, wanted=100, seed=1, longest=4, room=12)
    fits = [(p, m) for examples in expected.values() for p, m in examples if len(m) + 1 <= 4 and len(p) + 4 <= 12]
    assert sorted((one.prompt, one.tokens) for one in found) == sorted(fits)
    assert 0 < len(fits) < len(LANGUAGES)
    assert choose_middles(dataset, wanted=100, seed=1, longest=1, room=12) == []


def test_ids_outside_the_vocabulary_are_refused(written):
    dataset, _ = written
    dataset.vocab_size = 40
    with pytest.raises(UserError, match="vocab_size is 40"):
        choose_middles(dataset, wanted=100, seed=1, longest=64, room=1000)
