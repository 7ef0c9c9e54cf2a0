"""The model of time against public runs; docs/plan.md shows these errors."""

from pathlib import Path

import pytest

from aixmeg.plan.counts import flops_per_token
from aixmeg.plan.published import BEGIN, END, LLAMA3_8B, MPT_7B, NANOTRON, RUNS, predicted_mfu, table

PAGE = Path(__file__).parents[3] / "docs/plan.md"
FITTED, PREDICTED = 0.05, 0.15
"""Largest relative errors: what docs/plan.md promises."""


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_error_is_within_what_the_page_promises(run):
    assert predicted_mfu(run) == pytest.approx(run.mfu, rel=FITTED if run.fitted else PREDICTED)


def test_half_of_the_runs_are_predictions_and_three_numbers_are_fitted():
    assert sum(not run.fitted for run in RUNS) >= len(RUNS) / 2
    assert {run.fitted for run in RUNS if run.fitted} == {"gemm_bf16", "gemm_fp8", "clock_500_watts"}


def test_table_in_the_page_is_current():
    text = PAGE.read_text()
    assert text.split(BEGIN)[1].split(END)[0] == table(), "run python -m aixmeg.plan.published docs/plan.md"


@pytest.mark.parametrize(
    ("shape", "tokens_per_second", "mfu"),
    [(LLAMA3_8B, 8532, 50.0), (LLAMA3_8B, 10_938, 64.1), (LLAMA3_8B, 13_812, 80.9), (LLAMA3_8B, 14_451, 84.6),
     (MPT_7B, 10_643, 46.4)],
)  # fmt: skip
def test_shapes_turn_published_tokens_into_published_shares(shape, tokens_per_second, mfu):
    # 1 %: MPT's share is theirs, whose count of FLOPs includes what is small here (norms, biases).
    assert 100 * tokens_per_second * flops_per_token(shape).full / 989e12 == pytest.approx(mfu, rel=0.01)


def test_nanotrons_shape_has_the_published_size():
    assert NANOTRON.parameters / 1e9 == pytest.approx(8.86, abs=0.005)
