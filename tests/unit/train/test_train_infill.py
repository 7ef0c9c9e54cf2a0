"""Scores of completions, against tables of longest common subsequences filled cell by cell."""

import numpy as np

from aixmeg.data.middles import Middle
from aixmeg.train.infill import infill_scores, merged


def table(a, b):
    cells = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            cells[i + 1, j + 1] = cells[i, j] + 1 if x == y else max(cells[i, j + 1], cells[i + 1, j])
    return cells[-1, -1]


def test_scores_overall_and_per_language():
    rng = np.random.default_rng(0)
    middles, completions, expected = [], [], {}
    for number in range(40):
        language = ("C", "Go", "")[number % 3]
        ids = tuple(rng.integers(0, 6, rng.integers(1, 9)).tolist())
        ours = list(ids) if number % 4 == 0 else rng.integers(0, 6, rng.integers(0, 9)).tolist()
        middles.append(Middle(prompt=(1,), tokens=ids, end=2, language=language))
        completions.append(ours)
        similar = 2 * table(ids, ours) / (len(ids) + len(ours))
        expected.setdefault(language, []).append((float(list(ids) == ours), similar))
    found = infill_scores(middles, completions)
    assert found["infills"] == 40 and set(found["languages"]) == {"C", "Go"}
    everything = [pair for pairs in expected.values() for pair in pairs]
    for record, pairs in [(found, everything), *((found["languages"][name], expected[name]) for name in ("C", "Go"))]:
        both = [record["infill_exact_match"], record["infill_edit_similarity"]]
        np.testing.assert_allclose(both, np.mean(pairs, axis=0), rtol=1e-12)
        assert record["infills"] == len(pairs)
    assert infill_scores([], []) == {}


def test_records_are_merged_part_by_part():
    losses = {"ntp_loss": 1.0, "languages": {"C": {"ntp_loss": 2.0}, "Go": {"ntp_loss": 3.0}}}
    scores = {"infills": 1, "languages": {"C": {"infills": 1}}}
    languages = {"C": {"ntp_loss": 2.0, "infills": 1}, "Go": {"ntp_loss": 3.0}}
    assert merged(losses, scores) == {"ntp_loss": 1.0, "infills": 1, "languages": languages}
