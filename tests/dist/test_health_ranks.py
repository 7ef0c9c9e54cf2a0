"""`aixmeg health` on two ranks: a bad node is named, wrong arithmetic is seen, and so is who hangs or dies."""

import os
import subprocess
import sys
from pathlib import Path

import fake_nvml
import pytest
import torch
from launch import rank_variables, run_function

import aixmeg.health.exercise as exercise
from aixmeg.cluster.fit import unfit

ROOT = Path(__file__).parents[2]


def test_a_right_product():
    product = exercise.multiply(torch.device("cpu"), size=64)
    assert product.right
    assert product.tflops > 0


@pytest.mark.parametrize("fault", [1.0, 1e-3])
def test_a_wrong_element_is_seen(monkeypatch, fault):
    """A device that damages one element of one of the products."""
    real, calls = torch.Tensor.__matmul__, []

    def matmul(a, b):
        out = real(a, b)
        if a.dtype == torch.float32:
            calls.append(1)
            if len(calls) == 2:
                out[3, 5] += fault
        return out

    monkeypatch.setattr(torch.Tensor, "__matmul__", matmul)
    assert not exercise.multiply(torch.device("cpu"), size=64).right


def test_ranks_that_are_slow():
    assert exercise.slow_ranks([600.0, 610.0, 505.0, 590.0]) == [2]
    assert exercise.slow_ranks([600.0, 610.0, 560.0, 590.0]) == []


def neighbour_worker():
    right = exercise.right_from_neighbour(torch.device("cpu"), elements=1000)
    real, rank = torch.distributed.batch_isend_irecv, torch.distributed.get_rank()

    def damaged(operations):
        if rank == 1:
            operations[0].tensor[7] += 1
        return real(operations)

    torch.distributed.batch_isend_irecv = damaged
    return right, exercise.right_from_neighbour(torch.device("cpu"), elements=1000)


def test_a_link_is_checked_by_itself():
    """What rank 1 sends is damaged: rank 2 sees it."""
    assert run_function(neighbour_worker, 3) == [(True, True), (True, True), (True, False)]


def reduce_worker():
    right = exercise.reduce_all(torch.device("cpu"), elements=1000)
    real = torch.distributed.all_reduce

    def damaged(tensor):
        real(tensor)
        tensor[7] += 1

    torch.distributed.all_reduce = damaged
    wrong = exercise.reduce_all(torch.device("cpu"), elements=1000)
    return right.right, wrong.right, right.gigabytes_per_second > 0


def test_an_all_reduce_is_checked():
    assert run_function(reduce_worker, 2) == [(True, False, True)] * 2


def test_the_command_names_the_bad_node(tmp_path):
    """Two ranks on two nodes of one fake GPU each, the second with memory errors."""
    processes = []
    for variables in rank_variables(2):
        rank = int(variables["RANK"])
        values = tmp_path / f"gpus{rank}"
        fake_nvml.write_gpus(values, fake_nvml.SOUND | {"uncorrected": rank})
        node = {"SLURMD_NODENAME": f"n{rank + 1}", "LOCAL_RANK": "0", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "aixmeg", "health", "--gpus-per-node", "1", "--out", tmp_path / "out"]
        processes.append(
            subprocess.Popen(
                command, env={**fake_nvml.environment(values), **variables, **node}, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, cwd=Path(__file__).parents[2],
            )
        )  # fmt: skip
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [2, 0], outputs
    assert "1 of 2 nodes are not fit: --exclude=n2" in outputs[0]
    assert "GPU 0: 1 uncorrected memory errors" in outputs[0]
    assert "all-reduce over 2 ranks" in outputs[0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["n1-0.json", "n2-1.json"]


def two_ranks(folder, *, bad, how):
    """Outputs of two ranks on nodes n0 and n1, of which rank `bad` misbehaves; both have ended, or have been ended."""
    processes = []
    for variables in rank_variables(2):
        rank = int(variables["RANK"])
        command = [sys.executable, ROOT / "tests/faulty_rank.py", how if rank == bad else "well", "health",
                   "--timeout", "15", "--out", folder]  # fmt: skip
        environment = {**os.environ, **variables, "SLURMD_NODENAME": f"n{rank}", "LOCAL_RANK": "0",
                       "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}  # fmt: skip
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                          text=True))  # fmt: skip
    well = processes[1 - bad].communicate(timeout=120)[0]
    if how.startswith("stops"):
        processes[bad].kill()
    ill = processes[bad].communicate(timeout=60)[0]
    return (ill, well) if bad == 0 else (well, ill)


@pytest.mark.parametrize(
    ("bad", "how", "what"),
    [
        (1, "wrong product", "CPU: a matrix product is wrong"),
        (1, "wrong sum", "node: rank 1 got wrong sums from an all-reduce, other ranks did not"),
        (1, "fails in the product", "node: a matrix product failed: RuntimeError: no device"),
        (1, "stops in the product", "node: rank 1 did not come past a matrix product within 15 s"),
        (1, "dies in the all-reduce", "node: rank 1 no longer answered in an all-reduce"),
        (0, "stops in the all-reduce", "rank 0 began an all-reduce and did not end it"),
    ],
)
def test_a_node_that_is_wrong_or_hangs_is_the_one_to_exclude(tmp_path, bad, how, what):
    outputs = two_ranks(tmp_path / "out", bad=bad, how=how)
    if bad != 0:  # else there is no rank 0 to say it; its file does
        assert f"1 of 2 nodes are not fit: --exclude=n{bad}" in outputs[0], outputs
    assert unfit(tmp_path / "out", ["n0", "n1"]) == {f"n{bad}": [what]}, outputs


def test_a_node_without_the_expected_gpus_is_not_fit(tmp_path):
    values = tmp_path / "gpus"
    fake_nvml.write_gpus(values)
    result = subprocess.run(
        [sys.executable, "-m", "aixmeg", "health", "--gpus-per-node", "8"], env=fake_nvml.environment(values),
        capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert result.returncode == 2
    assert "1 of 1 nodes are not fit: --exclude=" in result.stderr
    assert "0 GPUs answer, 8 are expected" in result.stdout
