"""Words, 5-grams and signatures against slow references, and on any bytes."""

import math
import random

import near_samples as samples
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aixmeg.config.corpus import NearConfig
from aixmeg.corpus.near import choose_bands, grams, jaccard, signature
from aixmeg.corpus.near.sketch import agreements, band_hashes, drop_in_order

ANY = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(alphabet="ab _.é中", max_size=400).map(str.encode),
)


@settings(max_examples=300, deadline=None)
@given(ANY)
@example(b"")
@example(b"a" * 1000)
@example(b" ".join([b"word"] * 1000))
@example("的".encode() * 300)
@example(b"x" * 63 + b" " + b"y" * 64 + b" a b c d e")
@example(b"a b c d " + b"z" * 128)
def test_grams_are_those_of_the_reference(content):
    found = grams(content)
    assert len(found) == len(samples.gram_set(content))
    assert (np.diff(found.astype(object)) > 0).all()
    values, count = signature(content, 64)
    assert count == max(0, len(samples.words(content)) - 4)
    if count == 0:
        assert (values == 0xFFFF).all()


@settings(max_examples=200, deadline=None)
@given(ANY, ANY, st.binary(max_size=100))
def test_similarity_is_that_of_the_reference(left, right, common):
    left, right = common + b" " + left, common + b" " + right
    assert jaccard(left, right) == samples.jaccard(left, right)


@settings(max_examples=100, deadline=None)
@given(ANY, st.sampled_from([2, 16, 512, 4096]))
def test_signature_depends_on_the_set_of_grams_alone(content, permutations):
    block = content + b" one two three four five "  # every gram of three blocks is in two
    values, count = signature(block * 2, permutations)
    assert (values == signature(block * 3, permutations)[0]).all()
    assert count == len(samples.words(block * 2)) - 4


def test_real_files_of_all_sizes():
    for content in samples.real_files(60):
        assert len(grams(content)) == len(samples.gram_set(content))


def test_punctuation_and_blanks_do_not_count_but_chinese_does():
    assert jaccard(b"if (a == b) { return c(d, e); }", b"if a==b:\n\treturn c ( d,e )") == 1.0
    code = b"def f(a, b):\n    return a + b\n"
    left, right = (
        "# " + text for text in ("这个函数返回两个数字的总和并且打印结果", "读取配置文件然后连接数据库服务器再执行")
    )
    assert jaccard(left.encode() + b"\n" + code, right.encode() + b"\n" + code) < 0.2
    assert samples.words("größe_2 中文 Ж".encode()) == ["größe_2".encode(), "中".encode(), "文".encode(), "Ж".encode()]
    assert len(grams("größe Ж naïve 中文".encode())) == 1  # five words


def test_one_gram_a_million_times_takes_no_rounds_of_a_million():
    values, count = signature(b"a " * 200_000, 4096)
    assert count == 200_000 - 4
    assert (values == signature(b"a a a a a", 4096)[0]).all()


@pytest.mark.parametrize(("size", "edits"), [(30, 1), (300, 5), (3000, 40)])
def test_estimates_are_unbiased_and_within_their_error(size, edits):
    """Mean and spread over 150 independent pairs; a binomial of K trials bounds the spread from above."""
    permutations, errors, variances = 128, [], []
    for seed in range(150):
        left = samples.text(seed, size)
        right = samples.edited(left, seed, edits)
        similarity = samples.jaccard(left, right)
        pair = [signature(content, permutations)[0][None] for content in (left, right)]
        errors.append(agreements(*pair)[0] / permutations - similarity)
        variances.append(similarity * (1 - similarity) / permutations)
    deviation = math.sqrt(sum(variances)) / 150
    assert abs(np.mean(errors)) < 4 * deviation  # 4 sigma: one run in 16,000, and the seeds are fixed
    assert np.mean(np.square(errors)) < np.mean(variances) * (1 + 4 * math.sqrt(2 / 150))


def test_bands_find_what_the_s_curve_says():
    """Candidates among 400 independent pairs, within four standard deviations of the binomial."""
    bands = choose_bands(NearConfig(permutations=256, threshold=0.7))
    found, expected, variance = 0, 0.0, 0.0
    for seed in range(400):
        left = samples.text(seed, 200)
        right = samples.edited(left, seed, 10 + seed % 8)
        hashes = [
            band_hashes(signature(content, 256)[0][None], bands.bands, bands.rows)[0] for content in (left, right)
        ]
        found += bool((hashes[0] == hashes[1]).any())
        probability = float(bands.finds(samples.jaccard(left, right)))
        expected, variance = expected + probability, variance + probability * (1 - probability)
    assert 100 < expected < 300  # else it would say little
    assert abs(found - expected) < 4 * math.sqrt(variance)


@pytest.mark.parametrize(("threshold", "permutations", "recall"), [(0.85, 512, 0.99), (0.7, 256, 0.95), (0.9, 64, 0.9)])
def test_chosen_bands_reach_the_recall_by_independent_integration(threshold, permutations, recall):
    config = NearConfig(threshold=threshold, permutations=permutations, recall=recall)
    bands = choose_bands(config)
    assert bands.bands * bands.rows <= permutations
    draws = np.random.default_rng(0).uniform(threshold, 1.0, 200_000)
    assert (1 - (1 - draws**bands.rows) ** bands.bands).mean() == pytest.approx(bands.recall, abs=1e-3)
    assert bands.recall >= recall
    assert not list(config.problems("corpus.near"))


def test_bad_settings_are_told():
    told = list(NearConfig(threshold=0.0, permutations=500, recall=1.0, memory_bytes=1).problems("corpus.near"))
    assert len(told) == 4
    assert "corpus.near.permutations=500" in told[1]
    assert "512" in told[1]
    with pytest.raises(ValueError, match="raise permutations"):
        choose_bands(NearConfig(threshold=0.01, permutations=64, recall=0.999))
    with pytest.raises(ValueError, match="power of two"):
        signature(b"", 100)
    with pytest.raises(ValueError, match="need 130 values"):
        band_hashes(np.zeros((1, 128), np.uint16), 13, 10)


def test_equal_values_in_two_bands_do_not_meet():
    hashes = band_hashes(np.full((1, 64), 7, np.uint16), 8, 8)
    assert len(set(hashes[0].tolist())) == 8


def test_drops_follow_the_order_and_only_kept_ones_drop_others():
    draw = random.Random(5)
    pairs = sorted({(b, a) for a, b in (sorted(draw.sample(range(60), 2)) for _ in range(150))})
    worse, better = (np.array(side, np.uint32) for side in zip(*pairs, strict=True))
    state, because = np.zeros(60, np.uint8), np.full(60, 99, np.uint32)
    drop_in_order(better, worse, 2, state, because)
    kept = set()
    for document in range(60):
        first = next((b for w, b in pairs if w == document and b in kept), None)
        assert because[document] == (99 if first is None else first)
        if first is None:
            kept.add(document)
    assert set(np.flatnonzero(state == 0)) == kept
    with pytest.raises(ValueError, match="does not exist"):
        drop_in_order(np.array([60], np.uint32), np.array([1], np.uint32), 2, state, because)
