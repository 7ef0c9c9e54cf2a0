"""A checkpoint generates on two ranks what it generates on one, and what transformers does; so do the commands."""

import json
import sys
from pathlib import Path

import pytest
import torch
from generate_worker import NEW, PROMPTS, work
from launch import free_port, run_function

from aixmeg.convert.native import open_model
from aixmeg.convert.to_hf import convert
from aixmeg.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "convert"))
from tiny_run import MODELS, make_run


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tiny_tokenizer):
    """(run directory, Hugging Face folder) of one model."""
    place = tmp_path_factory.mktemp("ranks")
    run = make_run(place / "run", MODELS["grouped"], tiny_tokenizer)
    convert(run, place / "hf")
    return run, place / "hf"


@pytest.fixture(scope="module")
def found(folders, tmp_path_factory):
    """By number of ranks, of each rank: what each folder's model writes, what each command prints; and the folder."""
    place = tmp_path_factory.mktemp("found")
    file, data = place / "some.py", place / "python.jsonl"
    file.write_text("def total(items):\n    count = 0\n    \n    return count\n")
    data.write_text("".join(json.dumps({
        "task_id": f"{i}", "task_type": "line", "pre_mask_code": f"a = {i}\n" * i, "post_mask_code": "\n",
        "canonical_solution": "b = 1"}) + "\n" for i in range(1, 6)))  # fmt: skip
    complete = f"complete --file {file} --cursor 3:5 --max-new-tokens 12 --json --model {folders[0]}".split()
    evaluate = f"eval fim-eval --data {data} --model {folders[0]} --batch-size 2 --max-new-tokens 12 --temperature 0.8"
    results = {}
    for ranks in (1, 2):
        commands = [complete, [*evaluate.split(), "--samples", "2", "--out", f"{place}/{ranks}"]]
        results[ranks] = run_function(work, ranks, folders, commands, [free_port() for _ in range(4)])
    return results | {"folder": place}


def test_two_ranks_write_what_one_writes(found):
    ((alone, _), _) = found[1][0]
    for models, _ in found[2]:
        for rank in models:
            assert rank["parts"] < 0.6 * alone["parts"]  # norms are on both
            for how in ("greedy", "together", "sampled"):
                assert rank[how] == alone[how], how
            # float32 sums, cut otherwise
            torch.testing.assert_close(rank["logits"], alone["logits"], rtol=1e-5, atol=1e-5)
    assert len({token for text in alone["greedy"] for token in text}) > 20  # not one token again and again


def test_two_ranks_write_what_transformers_writes(found, folders):
    from transformers import LlamaForCausalLM

    theirs = LlamaForCausalLM.from_pretrained(folders[1])
    ours = found[2][0][0][0]["greedy"]
    for prompt, made in zip(PROMPTS, ours, strict=True):
        tokens = torch.tensor([prompt])
        options = {"attention_mask": torch.ones_like(tokens), "max_new_tokens": NEW, "do_sample": False}
        text = theirs.generate(tokens, **options)[0, len(prompt) :].tolist()
        assert made == (text[: text.index(2)] if 2 in text else text)


def test_bf16_errs_on_two_ranks_as_on_one(found):
    """Partial sums are rounded before they are added, so tokens may part at a near-tie; float32 is the reference."""
    alone, ranks = found[1][0][0][0], [models[0] for models, _ in found[2]]
    errors = [(one["bf16 logits"] - alone["logits"]).pow(2).mean().sqrt() for one in (alone, ranks[0])]
    assert 0 < errors[1] < 1.5 * errors[0]
    assert ranks[0]["bf16"] == ranks[1]["bf16"]  # the ranks never part from each other
    same = sum(a[:1] == b[:1] for a, b in zip(alone["greedy"], ranks[0]["bf16"], strict=True))
    assert same >= len(PROMPTS) - 1


def test_commands_write_the_same_once(found):
    ((_, (alone, _)),) = found[1]
    first, second = (printed for _, printed in found[2])
    assert json.loads(first[0]) == json.loads(alone)
    assert "samples.jsonl" in first[1]
    assert second == ["", ""]
    for name in ("completions.jsonl", "samples.jsonl"):
        assert (found["folder"] / "1" / name).read_bytes() == (found["folder"] / "2" / name).read_bytes()


def test_a_model_that_cannot_be_cut(folders, monkeypatch):
    for name, value in {"RANK": 1, "WORLD_SIZE": 3, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    for folder in folders:
        with (
            pytest.raises(UserError, match=r"cannot be cut over the 3 processes: .*num_query_groups=2 is not"),
            open_model(folder, share=True),
        ):
            pass
