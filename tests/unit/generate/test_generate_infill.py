"""Greedy tokens: the same from the checkpoint, the Hugging Face folder and transformers; the cache changes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from aixmeg.convert.native import Native, open_hf, open_model, open_run
from aixmeg.convert.to_hf import convert
from aixmeg.errors import UserError
from aixmeg.generate.command import complete, infill
from aixmeg.generate.decode import greedy
from aixmeg.generate.source import Surroundings, from_cursor
from aixmeg.tokenizer import CodeTokenizer

sys.path.insert(0, str(Path(__file__).parents[1] / "convert"))
from tiny_run import MODELS, make_run

NAMES = ("grouped", "tied")
SOURCE = Path(json.__file__)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> dict[str, tuple[Path, Path]]:
    """Name → (run directory, Hugging Face folder)."""
    folder = tmp_path_factory.mktemp("generate")
    made = {name: (folder / name, folder / f"{name}-hf") for name in NAMES}
    for name, (run, out) in made.items():
        make_run(run, MODELS[name], tiny_tokenizer)
        convert(run, out)
    return made


def prompts(tokenizer: CodeTokenizer) -> Iterator[list[int]]:
    text = SOURCE.read_text(encoding="utf-8")
    for start in range(0, 4000, 400):
        yield [tokenizer.bos, *tokenizer.encode(text[start : start + 300])]


@pytest.mark.parametrize("name", NAMES)
def test_greedy_tokens_are_the_same_three_ways(name: str, models: dict[str, tuple[Path, Path]]) -> None:
    run, out = models[name]
    found = {}
    for key, opened in (("run", open_run(run)), ("folder", open_hf(out))):
        with opened as native:
            found[key] = [
                greedy(native.model, ids, max_new_tokens=32, stop_ids={native.tokenizer.eos}).ids
                for ids in prompts(native.tokenizer)
            ]
    theirs = LlamaForCausalLM.from_pretrained(out)
    expected = []
    for ids in prompts(CodeTokenizer.from_folder(out)):
        tokens = torch.tensor([ids])
        made = theirs.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=32)[
            0, len(ids) :
        ].tolist()
        expected.append(made[: made.index(2)] if 2 in made else made)
    assert found["run"] == found["folder"] == expected
    assert len({token for tokens in expected for token in tokens}) > 20  # not one token again and again


def test_the_cache_gives_the_tokens_of_the_whole_computation(models: dict[str, tuple[Path, Path]]) -> None:
    with open_run(models["grouped"][0]) as native:
        for ids in prompts(native.tokenizer):
            options = {"max_new_tokens": 24, "stop_ids": {native.tokenizer.eos}}
            assert greedy(native.model, ids, use_cache=False, **options) == greedy(native.model, ids, **options)


def test_the_model_is_left_as_it_was(models: dict[str, tuple[Path, Path]]) -> None:
    with open_run(models["grouped"][0]) as native:
        tokens = torch.arange(3, 40)[None]
        before = native.model.logits(tokens)
        greedy(native.model, [1, 5, 6], max_new_tokens=4, stop_ids=())
        assert torch.equal(native.model.logits(tokens), before)


def test_a_stop_id_ends_the_text(models: dict[str, tuple[Path, Path]]) -> None:
    with open_run(models["grouped"][0]) as native:
        free = greedy(native.model, [1, 5, 6], max_new_tokens=8, stop_ids=())
        assert (free.stopped, free.last, len(free.ids)) == ("length", None, 8)
        stop = free.ids[4]
        first = free.ids.index(stop)
        ended = greedy(native.model, [1, 5, 6], max_new_tokens=8, stop_ids={stop})
        assert (ended.ids, ended.stopped, ended.last) == (free.ids[:first], "end", stop)


def _always(native: Native, sequence: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the model say `sequence`, whatever the prompt is."""
    said = iter(sequence)

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        row = torch.zeros(1, 1, native.config.model.vocab_size)
        row[0, 0, next(said)] = 1.0
        return row

    monkeypatch.setattr(native.model, "logits", logits)


def test_control_pieces_end_a_completion(models: dict[str, tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    around = Surroundings("x = ", "\n", "")
    with open_hf(models["grouped"][1]) as native:
        text = native.tokenizer.encode("é + 1")
        for end in (native.tokenizer.eos, native.tokenizer.special.middle, native.tokenizer.bos):
            _always(native, [*text, end], monkeypatch)
            found = infill(native, around, max_new_tokens=32)
            assert (found.text, found.tokens, found.stopped) == ("é + 1", text, "end")


def test_a_character_cut_by_the_limit_is_left_out(
    models: dict[str, tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_hf(models["grouped"][1]) as native:
        text = native.tokenizer.encode("a\U0001f600")
        _always(native, text, monkeypatch)
        found = infill(native, Surroundings("x = ", "\n", ""), max_new_tokens=len(text) - 1)
        assert (found.text, found.stopped) == ("a", "length")


@pytest.mark.parametrize("mode", ["psm", "spm"])
def test_the_command_agrees_between_both_kinds_of_folder(
    mode: str, models: dict[str, tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = []
    for folder in models["grouped"]:
        answers.append(complete(folder, file=SOURCE, cursor="120:1", mode=mode, max_new_tokens=16, as_json=True))
        assert json.loads(capsys.readouterr().out) == answers[-1]
    assert answers[0] == answers[1]
    assert len(answers[0]["tokens"]) > 4
    assert answers[0]["prompt_tokens"] <= 256 - 16
    assert "left out" in answers[0]["note"]


def test_the_command_prints_the_file_around_the_completion(
    models: dict[str, tuple[Path, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.py").write_text("def f(x):\n    return \n\n\nprint(f(1))\n", encoding="utf-8")
    answer = complete(models["grouped"][1], file=tmp_path / "a.py", cursor="2:12", max_new_tokens=8)
    printed = capsys.readouterr()
    assert printed.out.startswith("1   def f(x):\n2 +     return ")
    assert printed.out.rstrip().endswith("print(f(1))\n" + printed.out.rstrip().splitlines()[-1])
    assert f"{len(answer['tokens'])} tokens from a prompt of {answer['prompt_tokens']}" in printed.err


def test_two_files(models: dict[str, tuple[Path, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "def f(x):\n    return \n"
    for name, part in (("a.py", text), ("p.py", text[:-1]), ("s.py", text[-1:])):
        (tmp_path / name).write_text(part, encoding="utf-8")
    two = complete(models["grouped"][1], prefix_file=tmp_path / "p.py", suffix_file=tmp_path / "s.py", as_json=True)
    with open_hf(models["grouped"][1]) as native:
        around = from_cursor(tmp_path / "a.py", "2:12")
        header = around.header.replace("a.py", "p.py")
        one = infill(native, Surroundings(around.prefix, around.suffix, header))
    assert two["tokens"] == one.tokens


def test_contradictory_options(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    for options, message in (
        ({}, "nothing to complete"),
        ({"file": file}, "needs --cursor"),
        ({"cursor": "1:1"}, "needs --file"),
        ({"file": file, "cursor": "1:1", "prefix_file": file}, "one of the two pairs"),
        ({"prefix_file": file, "max_new_tokens": 0}, "--max-new-tokens 0"),
        ({"suffix_file": file}, "nothing to complete"),
    ):
        with pytest.raises(UserError, match=message):
            complete(tmp_path, **options)


def test_folders_without_a_model(models: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none does not exist: looked for config.json"):
        complete(tmp_path / "none", prefix_file=SOURCE)
    with pytest.raises(UserError, match="neither a Hugging Face folder nor a run directory"):
        complete(tmp_path, prefix_file=SOURCE)
    run, out = models["grouped"]
    (tmp_path / "hf").mkdir()
    for file in out.iterdir():
        if file.name != "tokenizer.model":
            (tmp_path / "hf" / file.name).symlink_to(file)
    with pytest.raises(UserError, match=r"tokenizer\.model"):
        complete(tmp_path / "hf", prefix_file=SOURCE)
    with open_model(run) as native:
        assert native.source == "step-00000007"
