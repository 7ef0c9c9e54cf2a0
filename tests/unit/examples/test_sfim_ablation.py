"""examples/sfim_ablation: only the objective differs, and its arithmetic is what it says."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from aixmeg.config import apply_overrides, check_tree, read_yaml
from aixmeg.eval.task import Task
from aixmeg.languages import LANGUAGES, header_lines
from aixmeg.tokenizer import CodeTokenizer

EXAMPLE = Path(__file__).parents[3] / "examples" / "sfim_ablation"


def _module(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def compare():
    yield _module("compare")
    del sys.modules["compare"]


@pytest.fixture(scope="module")
def run(compare):
    yield _module("run")
    del sys.modules["run"]


def _config(words):
    start = 2 if words[0] != "train" else 1
    given = dict(zip(words[start::2], words[start + 1 :: 2], strict=True))
    tree = read_yaml(Path(given.pop("--config")))
    apply_overrides(tree, {name.removeprefix("--"): value for name, value in given.items()})
    return check_tree(tree, source="test")


def test_models_differ_in_the_shares_alone(run, tmp_path):
    use = ("--config", str(EXAMPLE / "recipe.yaml"), "--paths.root", str(tmp_path))
    words = [words for words, _ in run.commands(tmp_path, use, seeds=[1], per_shape=3)]
    trained = [_config([word for word in one if word != "--resume"]) for one in words if one[0] == "train"]
    built = [_config(one) for one in words if one[:2] == ("data", "build")]
    assert [(c.data.ntp_share, c.data.fim_share) for c in built] == [(1, 0), (0.3, 0.7), (0.3, 0)]
    assert [c.data for c in trained] == [c.data for c in built]
    assert [c.paths.data for c in trained] == [c.paths.data for c in built]
    for part in ("model", "optimizer", "train", "tokenizer", "corpus", "loss"):
        assert len({repr(getattr(config, part)) for config in (*trained, *built)}) <= 2  # seed 1, or the recipe's
        assert len({repr(getattr(config, part)) for config in trained}) == 1


def test_versions_of_a_project_stay_on_one_side(run, tmp_path):
    for name in ("a", "b", "c", "d", "e", "f", "g", "h", "@x+y"):
        for version in ("1.0", "2.0"):
            file = tmp_path / "in" / f"{name}@{version}" / "m.py"
            file.parent.mkdir(parents=True)
            file.write_text("x = 1\n")
    (file.parent / "long.py").write_text("x = 1\n" * 1000)
    (file.parent / "link.py").symlink_to(file)
    run.split([tmp_path / "in"], tmp_path / "out")
    sides = {part: {p.parent.name for p in (tmp_path / "out" / part).rglob("*.py")} for part in ("train", "held_out")}
    assert not sides["train"] & sides["held_out"]
    assert len(sides["train"] | sides["held_out"]) == 18
    projects = [{name[: name.rindex("@")] for name in names} for names in sides.values()]
    assert not projects[0] & projects[1]
    assert {p.name for p in (tmp_path / "out").rglob("*.py")} == {"m.py"}


def test_losses_are_those_of_each_token_reckoned_alone(compare, tiny_tokenizer):
    tokenizer = CodeTokenizer.from_folder(tiny_tokenizer)
    torch.manual_seed(0)
    network = LlamaForCausalLM(
        LlamaConfig(vocab_size=1024, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    ).eval()
    task = Task(name="t", prefix="def f(a):\n", suffix="\n    return b\n", reference="    b = a + 1", language="python",
                group="python/x")  # fmt: skip
    found = compare.losses(network, tokenizer, task)

    header, special = tokenizer.encode(header_lines(LANGUAGES["python"], "")), tokenizer.special
    before = tokenizer.encode(task.prefix)
    psm = [tokenizer.bos, special.prefix, *header, *before, special.suffix, *tokenizer.encode(task.suffix)]
    middle = tokenizer.encode(task.reference)

    def nats(ids, token):
        with torch.inference_mode():
            return -math.log(network(torch.tensor([ids])).logits[0, -1].double().softmax(0)[token])

    def mean(start):
        return sum(nats([*start, *middle[:i]], token) for i, token in enumerate(middle)) / len(middle)

    assert found["middle"] == pytest.approx(mean([*psm, special.middle]), rel=1e-4)  # fp32
    assert found["left"] == pytest.approx(mean([tokenizer.bos, *header, *before]), rel=1e-4)
    assert found["end"] == pytest.approx(nats([*psm, special.middle, *middle], tokenizer.eos), rel=1e-4)


def test_gaps_of_one_file_count_once(compare):
    one = {
        "a": {"file": "f", "middle": 1.0}, "b": {"file": "f", "middle": 3.0}, "c": {"file": "g", "middle": 5.0},
        "d": {"file": "g", "middle": None},
    }  # fmt: skip
    other = {name: {"file": row["file"], "middle": 1.0} for name, row in one.items()}
    assert compare.differences(one, other, "middle", one) == [1.0, 4.0]
    assert compare.differences(one, other, "middle", ["b", "d"]) == [2.0]


def test_table_and_page(compare):
    def rows(base):
        return {
            f"{shape}{i}": {"file": f"f{i}", "shape": shape, "middle": base + i, "end": 1.0, "left": None,
                            "exact_match": 0.0, "edit_similarity": 0.5}
            for shape in ("line", "body") for i in range(4)
        }  # fmt: skip

    made = compare.table({"ntp": rows(3.0), "fim": rows(2.0), "sfim": rows(1.0)})
    assert list(made) == ["all", "line", "body"]
    assert made["all"]["means"]["middle"]["ntp"]["mean"] == 4.5
    assert made["line"]["differences"]["middle"]["sfim - fim"] == {"mean": -1.0, "low": -1.0, "high": -1.0, "files": 4}
    assert made["all"]["differences"]["left"]["fim - ntp"] is None
    page = compare.page(
        {"commit": "<c>", "machine": "m", "torch": "t", "measures": compare.MEASURES, "seeds": {"1": made}}
    )
    assert "&lt;c&gt;" in page
    assert "<b>-1.000 [-1.000, -1.000]</b>" in page
    assert "<b>0.000" not in page
