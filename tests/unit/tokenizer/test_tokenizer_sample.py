"""The sample: decided by seed and name alone, within its budget, even over the corpus."""

import random

import pytest

from aixmeg.errors import UserError
from aixmeg.tokenizer.sample import CHECK_BYTES, CHECK_FILES, choose, document_key


def corpus(count: int = 5000) -> list[tuple[int, int]]:
    return [(document_key(7, f"repo{i // 100}", f"{i}.py"), 500 + i) for i in range(count)]


def test_keys_depend_on_every_part_and_on_nothing_else():
    key = document_key(1, "a", "b/c.py")
    assert key == 8941040978834355152  # a change here trains other tokenizers from the same seed
    others = {document_key(2, "a", "b/c.py"), document_key(1, "a", "b/d.py"), document_key(1, "a\0b", "c.py")}
    assert len(others | {key}) == 4


def test_order_of_the_corpus_does_not_matter():
    documents = corpus()
    shuffled = random.Random(0).sample(documents, len(documents))
    assert choose(documents, 1_000_000) == choose(shuffled, 1_000_000)


def test_the_budget_is_kept_and_used():
    documents = corpus()
    sample = choose(documents, 1_000_000)
    taken = [size for key, size in documents if sample.trains_on(key)]
    assert sum(taken) == sample.train_bytes
    assert len(taken) == sample.train_files
    assert 1_000_000 - max(size for _, size in documents) < sample.train_bytes <= 1_000_000


def test_the_sample_is_even_over_the_corpus():
    documents = corpus()
    sample = choose(documents, sum(size for _, size in documents) // 2)
    share = [sum(sample.trains_on(key) for key, _ in documents[start : start + 1000]) for start in range(0, 5000, 1000)]
    assert all(abs(count - 500) < 80 for count in share)  # 5 standard deviations of a fair coin over 1,000 files


def test_checked_files_are_held_out_and_few():
    documents = corpus()
    sample = choose(documents, 1_000_000)
    checked = [(key, size) for key, size in documents if sample.checks(key)]
    assert sample.held_out
    assert len(checked) == CHECK_FILES
    assert not any(sample.trains_on(key) for key, _ in checked)


def test_large_files_shorten_the_check():
    documents = [(key, 1_000_000) for key, _ in corpus(200)]
    sample = choose(documents, 20_000_000)
    assert sum(sample.checks(key) for key, _ in documents) == CHECK_BYTES // 1_000_000


@pytest.mark.parametrize("budget", [0, 10**9])
def test_a_small_corpus_is_used_whole_and_checked_on_itself(budget: int):
    documents = corpus(20)
    sample = choose(documents, budget)
    assert all(sample.trains_on(key) and sample.checks(key) for key, _ in documents)
    assert not sample.held_out


def test_one_file_is_left_for_the_check_where_all_but_one_fit():
    documents = sorted(corpus(20))
    sample = choose(documents, sum(size for _, size in documents) - 1)
    assert [sample.checks(key) for key, _ in documents] == [False] * 19 + [True]


def test_an_empty_corpus_is_refused():
    with pytest.raises(UserError, match="holds no files"):
        choose([], 0)


def test_a_budget_below_one_file_is_refused():
    with pytest.raises(UserError, match=r"max_training_bytes=10 is less than the first sampled file of \d+ bytes"):
        choose(corpus(20), 10)
