"""A checkpoint written by several ranks converts in one process to the bytes of a single rank's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_run import GROUPED, make_run_in_layout

from aixmeg.config import ParallelConfig
from aixmeg.convert.to_hf import convert
from aixmeg.files import sha256_file

sys.path.insert(0, str(Path(__file__).parents[2] / "dist"))
from launch import run_function


@pytest.mark.parametrize(
    "parallel",
    [
        ParallelConfig(tensor_model_parallel_size=2, sequence_parallel=True),
        ParallelConfig(pipeline_model_parallel_size=3),
    ],
    ids=["tp2_sp", "pp3"],
)
def test_the_layout_does_not_show(
    parallel: ParallelConfig, runs: Callable[..., Path], tiny_tokenizer: Path, tmp_path: Path
) -> None:
    run_function(make_run_in_layout, parallel.model_parallel_size, tmp_path / "run", GROUPED, tiny_tokenizer, parallel)
    convert(tmp_path / "run", tmp_path / "hf", verify=True)
    convert(runs("grouped"), tmp_path / "alone")
    assert sha256_file(tmp_path / "hf/model.safetensors") == sha256_file(tmp_path / "alone/model.safetensors")
