"""Middles completed while training: the same in every layout, without a bit of effect on what is trained."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from launch import run_function
from train_ranks import changed, make_inputs, read_metrics, run_ranks, tiny_config, train_rank, train_ranks

from aixmeg.data.middles import Middle
from aixmeg.train import parity

END = 2
SCORES = ("infill_exact_match", "infill_edit_similarity")
LAYOUTS = {
    2: ("TP2+SP", "PP2", "PP2 x VPP2", "CP2", "DP2", "DP2, overlapped"),
    4: ("TP2+SP x PP2", "TP2+SP x CP2", "DP2 x TP2+SP", "DP2 x CP2", "PP2 x VPP2 x CP2", "CP4"),
}


def examples(count=5):
    """Prompts of different lengths, and short middles."""
    rng = np.random.default_rng(11)
    return [
        Middle(
            prompt=(1, *rng.integers(10, 128, 4 + 5 * number).tolist()),
            tokens=tuple(rng.integers(10, 128, 2 + number).tolist()),
            end=END,
            language=("C", "Go")[number % 2],
        )
        for number in range(count)
    ]


def built(case, **train):
    """A training whose output depends much on what stands before, so that completions vary."""
    from aixmeg.parallel.topology import Topology
    from aixmeg.train.build import build_training

    config = case.config()
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, eval_infill_tokens=8, **train))
    topology = Topology.create(config.parallel, config.train.seed)
    training = build_training(config, topology, torch.device("cpu"))
    with torch.no_grad():
        for model in training.models:
            for parameter in model.parameters():
                parameter.mul_(4.0 if parameter.dim() > 1 else 1.0)
    return training


def completions(cases):
    """Of each case; on one rank also what a loop over single texts writes."""
    from aixmeg.train.infill import complete

    found, middles = [], examples()
    for case in cases:
        training = built(case)
        for model in training.wrapped:
            model.eval()
        written = complete(training, middles)
        plain = [greedy(training.models[0], middle) for middle in middles] if case.ranks == 1 else None
        found.append((written, plain))
        training.topology.destroy()
    return found


def greedy(model, middle):
    ids = list(middle.prompt)
    for _ in range(8):
        chosen = int(model.logits(torch.tensor([ids]))[0, -1].argmax())
        if chosen == middle.end:
            break
        ids.append(chosen)
    return ids[len(middle.prompt) :]


@pytest.fixture(scope="module")
def alone():
    """What one rank writes, which is what a loop over single texts writes."""
    (((written, plain),),) = run_function(completions, 1, [parity.alone()])
    assert written == plain
    assert len({tuple(ids) for ids in written}) == 5 and len({one for ids in written for one in ids}) > 8
    return written


@pytest.mark.parametrize("ranks", LAYOUTS)
def test_layouts_write_what_one_rank_writes(alone, ranks):
    of_ranks = run_function(completions, ranks, [parity.Case(layout=layout, ranks=ranks) for layout in LAYOUTS[ranks]])
    for layout, *written in zip(LAYOUTS[ranks], *of_ranks, strict=True):
        assert [found for found, _ in written] == [alone] * ranks, layout


def memorised():
    """Scores before and after training on the very examples."""
    from aixmeg.train.batches import Batch
    from aixmeg.train.infill import complete, infill_scores
    from aixmeg.train.step import train_step

    case, middles = parity.alone(), examples(4)
    training = built(case)
    length = case.trial.model.seq_length
    ids = torch.zeros(4, length + 1, dtype=torch.int64)
    counted = torch.zeros(4, length, dtype=torch.bool)
    for row, middle in enumerate(middles):
        text = [*middle.prompt, *middle.tokens, middle.end]
        ids[row, : len(text)] = torch.tensor(text)
        counted[row, len(middle.prompt) - 1 : len(text) - 1] = True
    batches = [
        Batch(tokens=ids[at : at + 2, :-1].clone(), labels=ids[at : at + 2, 1:].clone(), counted=counted[at : at + 2])
        for at in (0, 2)
    ]
    scores = []
    for steps in (0, 60):
        for _ in range(steps):
            train_step(training, batches, lr=3e-3)
        for model in training.wrapped:
            model.eval()
        scores.append(infill_scores(middles, complete(training, middles)))
        for model in training.wrapped:
            model.train()
    training.topology.destroy()
    return scores


def test_a_model_that_has_learnt_them_by_heart_scores_one():
    ((before, after),) = run_function(memorised, 1)
    assert before["infill_exact_match"] == 0 and before["infill_edit_similarity"] < 0.5
    perfect = {"infill_exact_match": 1.0, "infill_edit_similarity": 1.0}
    assert after == {**perfect, "infills": 4, "languages": {name: {**perfect, "infills": 2} for name in ("C", "Go")}}


def test_the_command_records_them_and_trains_the_same_bits(tmp_path):
    make_inputs(tmp_path)
    runs = []
    for infills in (0, 7):
        config = changed(
            tiny_config(tmp_path, steps=4, eval_interval=2),
            train={"eval_infills": infills, "eval_infill_tokens": 30}, paths={"run": tmp_path / f"run-{infills}"},
        )  # fmt: skip
        train_ranks(config, 2, log=tmp_path / f"log-{infills}")
        runs.append(config.paths.at("run"))
    names = ("loss", "ntp_loss", "middle_loss", "grad_norm", "norm_attention", "norm_output", "norm_embedding")
    without, beside = (read_metrics(run, "train", names) for run in runs)
    assert without == beside and len(beside) == 4
    saved = [
        {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.distcp"))} for run in runs
    ]  # weights, optimizer, generators
    assert saved[0] == saved[1] and saved[0]
    off, on = (
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines() if '"valid"' in line]
        for run in runs
    )
    assert [record["step"] for record in on] == [2, 4]
    for plain, record in zip(off, on, strict=True):
        assert "infills" not in plain
        assert record["ntp_loss"] == plain["ntp_loss"] and record["middle_loss"] == plain["middle_loss"]
        parts = record["languages"].values()
        assert record["infills"] == sum(part.get("infills", 0) for part in parts) > 0
        for name in SCORES:
            total = sum(part[name] * part["infills"] for part in parts if "infills" in part)
            np.testing.assert_allclose(record[name], total / record["infills"], rtol=1e-12)
    assert on[0]["infill_edit_similarity"] > 0
    assert "infill edit similarity" in (tmp_path / "log-7.0").read_text()


def test_the_command_validates_in_the_interleaved_schedule(tmp_path):
    """Also with three micro-batches, which two stages cannot share."""
    make_inputs(tmp_path)
    config = changed(
        tiny_config(tmp_path, steps=2, eval_samples=6), model={"num_layers": 4},
        train={"eval_infills": 5, "eval_infill_tokens": 30},
    )  # fmt: skip
    records = []
    for ranks, parallel in ((1, {}), parity.LAYOUTS["PP2 x VPP2"]):
        laid_out = changed(config, parallel=parallel, paths={"run": tmp_path / f"run-{ranks}"})
        train_ranks(laid_out, ranks, log=tmp_path / f"log-{ranks}")
        (found,) = read_metrics(laid_out.paths.at("run"), "valid", ("ntp_loss", "middle_loss", *SCORES, "infills"))
        records.append(found)
    np.testing.assert_allclose(records[1], records[0], rtol=1e-5)
    assert records[0][-1] == 5


def test_no_middle_that_fits_is_refused_before_the_start(tmp_path):
    make_inputs(tmp_path)
    config = changed(tiny_config(tmp_path), train={"eval_infills": 4, "eval_infill_tokens": 3})
    assert run_ranks(train_rank, 1, config, log=tmp_path / "log") == [2]
    assert "holds out no middle of up to 3 tokens" in (tmp_path / "log.0").read_text()
