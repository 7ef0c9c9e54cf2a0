import json
import math

import pytest

from aixmeg.errors import UserError
from aixmeg.train.replay_verdict import Report, read_record
from aixmeg.train.skip import Skipped
from aixmeg.train.step import StepResult

NAN = float("nan")


def report(recorded, *numbers, prints=None, weights=(), begun=3):
    made = Report(step=5, source="step-00000003", begun=begun, recorded={5: recorded} if recorded else {})
    made.samples = range(16, 20)
    made.results = [StepResult(loss=loss, grad_norm=norm, flag=False) for loss, norm in numbers]
    made.prints = prints or [[("aa", 1.0), ("bb", 2.0)]] * len(numbers)
    made.weights = list(weights)
    return made


def verdict(*arguments, **options):
    return " ".join(report(*arguments, **options).verdict())


def test_the_verdicts():
    same = [(2.0, 1.0)] * 3
    assert verdict((2.0, 1.0), *same).startswith("REPRODUCIBLE, AS RECORDED")
    assert "steps 4 to 4 are as recorded: the hardware failed when" in verdict((2.0, 1.5), *same)
    assert "nothing was recorded" in verdict(None, *same)
    assert verdict((NAN, NAN), *[(NAN, NAN)] * 2).startswith("REPRODUCIBLE, AS RECORDED")
    assert "suspect the links between the ranks" in verdict((2.0, 1.0), (2.0, 1.0), (2.0, math.nextafter(1.0, 2.0)))
    assert "One repeat shows nothing" in verdict((2.0, 1.0), (2.0, 1.0))


def test_the_rank_whose_gradients_change_is_named():
    prints = [[("aa", 1.0), ("bb", 2.0), ("cc", 3.0)], [("aa", 1.0), ("b!", 2.0), ("cc", 3.0)]]
    made = report((2.0, 1.0), (2.0, 1.0), (2.0, 1.0), prints=prints)
    assert "NOT REPRODUCIBLE" in made.text() and "suspect the hardware of rank 1." in made.text()
    lines = [line for line in made.text().splitlines() if line.startswith("rank")]
    assert [line.endswith("DIFFERENT") for line in lines] == [False, True, False]


def test_replicas_with_other_weights_are_named():
    weights = [((0, 0), "x"), ((0, 1), "y"), ((0, 0), "x"), ((0, 1), "y"), ((0, 0), "!"), ((0, 1), "y")]
    found = verdict((2.0, 1.0), *[(2.0, 1.0)] * 2, weights=weights)
    assert "REPLICAS DIFFER: ranks 0, 2, 4 should hold the same weights before the step; suspect 4." in found
    found = verdict((2.0, 1.0), *[(2.0, 1.0)] * 2, weights=[((0, 0), "x"), ((0, 0), "y")])
    assert "suspect 0, 1." in found  # two that differ do not tell which of them is right


def test_a_step_on_the_way_that_differs_is_named():
    made = report((2.0, 1.5), *[(2.0, 1.0)] * 2)
    made.recorded[4] = (3.0, 1.0)
    made.on_the_way(4, StepResult(loss=3.1, grad_norm=1.0, flag=False))
    assert "step 4 on the way there differs from the record already" in " ".join(made.verdict())


def test_a_record_of_kernels_that_round_anew_each_time_accuses_nobody():
    made = report((2.0, 1.0), *[(2.5, 1.1)] * 2)
    made.as_it_ran = False
    (found,) = made.verdict()
    assert "REPRODUCIBLE; the recorded loss differs by 2.5e-01 of itself, the gradient norm by 1.0e-01." in found
    made.recorded[5] = (NAN, 1.0)  # rounding makes no such thing
    assert "BUT NOT AS RECORDED" in " ".join(made.verdict())


def test_of_many_ranks_only_some_are_shown():
    prints = [[(f"{rank:02}", 1.0) for rank in range(40)] for _ in range(2)]
    prints[1][33] = ("!!", 1.0)
    text = report((2.0, 1.0), *[(2.0, 1.0)] * 2, prints=prints).text()
    assert "rank 33 " in text and "rank 15 " in text and "rank 16 " not in text
    assert "23 more ranks, each the same in all repeats" in text


def test_what_was_recorded_and_left_out(tmp_path):
    records = [{"kind": "train", "step": n, "loss": 1.0 + n, "grad_norm": 2.0} for n in (4, 5)]
    text = "".join(json.dumps(record) + "\n" for record in (*records, {"kind": "valid", "step": 5}))
    (tmp_path / "metrics.jsonl").write_text(text + '{"kind": "tr')
    skipped, recorded = read_record(tmp_path, 5, with_skipped=False)
    assert (skipped, recorded) == (Skipped(), {4: (5.0, 2.0), 5: (6.0, 2.0)})
    with pytest.raises(UserError, match="because of step 5; steps that broke: none"):
        read_record(tmp_path, 5, with_skipped=True)
    events = [{"start": 4, "stop": 8}, {"start": 20, "stop": 24, "step": 5, "loss": NAN, "grad_norm": NAN},
              {"start": 32, "stop": 36, "step": 7, "loss": 9.0, "grad_norm": 3.0}]  # fmt: skip
    (tmp_path / "skipped.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert read_record(tmp_path, 5, with_skipped=False)[0] == Skipped(((4, 8), (20, 24), (32, 36)))
    skipped, recorded = read_record(tmp_path, 5, with_skipped=True)
    assert skipped == Skipped(((4, 8),)) and math.isnan(recorded[5][0])
    assert read_record(tmp_path, 7, with_skipped=True)[0] == Skipped(((4, 8), (20, 24)))
