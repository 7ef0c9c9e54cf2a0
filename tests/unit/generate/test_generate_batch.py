"""Texts decoded together are the texts decoded alone, and transformers'; chance depends on the text's seed alone."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM
from transformers.generation.logits_process import TopPLogitsWarper

from aixmeg.convert.native import Native, open_hf
from aixmeg.convert.to_hf import convert
from aixmeg.errors import UserError
from aixmeg.generate.batch import generate
from aixmeg.generate.decode import greedy
from aixmeg.generate.sampling import Sampling, choose, text_seed, uniform

sys.path.insert(0, str(Path(__file__).parents[1] / "convert"))
from tiny_run import MODELS, make_run

SOURCE = Path(json.__file__)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    place = tmp_path_factory.mktemp("batch")
    convert(make_run(place / "run", MODELS["grouped"], tiny_tokenizer), place / "hf")
    return place / "hf"


@pytest.fixture(scope="module")
def native(folder: Path) -> Iterator[Native]:
    with open_hf(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def prompts(native: Native) -> list[list[int]]:
    """Of 2 to 130 tokens, in no order."""
    text = SOURCE.read_text(encoding="utf-8")
    cuts = [(start, start + 1 + 37 * ((7 * i) % 10)) for i, start in enumerate(range(0, 4000, 400))]
    return [[native.tokenizer.bos, *native.tokenizer.encode(text[start:end])] for start, end in cuts]


def test_together_is_alone_is_transformers(native: Native, folder: Path, prompts: list[list[int]]) -> None:
    stop = {native.tokenizer.eos}
    together = generate(native.model, prompts, max_new_tokens=24, stop_ids=stop)
    assert together == [greedy(native.model, ids, max_new_tokens=24, stop_ids=stop) for ids in prompts]
    theirs = LlamaForCausalLM.from_pretrained(folder)
    for ids, made in zip(prompts, together, strict=True):
        tokens = torch.tensor([ids])
        found = theirs.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=24, do_sample=False
        )[0, len(ids) :].tolist()  # fmt: skip
        assert made.ids == (found[: found.index(2)] if 2 in found else found)
    assert len({token for made in together for token in made.ids}) > 20  # not one token again and again


def test_texts_end_one_by_one(native: Native, prompts: list[list[int]]) -> None:
    free = generate(native.model, prompts, max_new_tokens=16, stop_ids=())
    stop = Counter(token for made in free for token in set(made.ids)).most_common(1)[0][0]
    ended = generate(native.model, prompts, max_new_tokens=16, stop_ids={stop})
    assert 0 < sum(made.stopped == "end" for made in ended) < len(prompts)
    for before, after in zip(free, ended, strict=True):
        if stop in before.ids:
            assert (after.ids, after.stopped, after.last) == (before.ids[: before.ids.index(stop)], "end", stop)
        else:
            assert after == before


@pytest.mark.parametrize("sampling", [Sampling(temperature=1.0), Sampling(temperature=0.8, top_p=0.9)])
def test_the_batch_does_not_change_a_sample(sampling: Sampling, native: Native, prompts: list[list[int]]) -> None:
    seeds = [text_seed(3, "task", i) for i in range(len(prompts))]
    options = {"max_new_tokens": 16, "stop_ids": {native.tokenizer.eos}, "sampling": sampling}
    whole = generate(native.model, prompts, seeds=seeds, **options)
    order = random.Random(1).sample(range(len(prompts)), len(prompts))
    for part in (order[:1], order[1:4], order[4:]):
        made = generate(native.model, [prompts[i] for i in part], seeds=[seeds[i] for i in part], **options)
        assert made == [whole[i] for i in part]
    assert generate(native.model, prompts, seeds=[seed + 1 for seed in seeds], **options) != whole
    twice = generate(native.model, [prompts[0]] * 2, seeds=[1, 2], **options)
    assert twice[0] != twice[1]


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([1.0, 0.0, 2.0, -1.0, 0.5])
    for sampling in (Sampling(temperature=1.0), Sampling(temperature=0.7), Sampling(temperature=1.0, top_p=0.8)):
        scaled = logits[None] / sampling.temperature
        if sampling.top_p < 1:
            scaled = TopPLogitsWarper(sampling.top_p)(torch.zeros(1, 1, dtype=torch.long), scaled)
        expected = scaled.softmax(-1)[0].tolist()
        draws = 4000
        counts = Counter(choose(logits, sampling, text_seed(0, i), 0) for i in range(draws))
        for token, share in enumerate(expected):  # five standard deviations of a binomial share
            assert abs(counts[token] / draws - share) <= 5 * (share * (1 - share) / draws) ** 0.5, token
    assert choose(logits, Sampling(), 0, 0) == 2
    assert choose(logits, Sampling(temperature=1.0, top_p=1e-6), 5, 5) == 2


def test_chance_is_uniform_and_independent_of_order() -> None:
    drawn = [uniform(text_seed(1, "a"), i) for i in range(4000)]
    assert 0 <= min(drawn) < 0.01
    assert 0.99 < max(drawn) < 1
    assert abs(sum(drawn) / 4000 - 0.5) < 5 * (1 / 12 / 4000) ** 0.5  # five standard deviations
    assert drawn[7] == uniform(text_seed(1, "a"), 7)
    assert text_seed(1, "a") != text_seed(1, "b") != text_seed(2, "b")


def test_bf16_texts_together(native: Native, prompts: list[list[int]]) -> None:
    """Rounding may part two texts at a near-tie, so alone and together are compared by their first tokens."""
    try:
        native.model.bfloat16()
        options = {"max_new_tokens": 8, "stop_ids": {native.tokenizer.eos}}
        together = generate(native.model, prompts, **options)
        alone = [generate(native.model, [ids], **options)[0] for ids in prompts]
        assert sum(a.ids[:1] == b.ids[:1] for a, b in zip(together, alone, strict=True)) >= len(prompts) - 1
    finally:
        native.model.float()


def test_bad_input(native: Native) -> None:
    with pytest.raises(UserError, match="a prompt has no token"):
        generate(native.model, [[1], []], max_new_tokens=4, stop_ids=())
    for options, name in (({"temperature": -1}, "temperature=-1"), ({"top_p": 0}, "top_p=0"), ({"top_p": 1.5}, "1.5")):
        with pytest.raises(UserError, match=name):
            Sampling(**options)
    assert generate(native.model, [], max_new_tokens=4, stop_ids=()) == []
