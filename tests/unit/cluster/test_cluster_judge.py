"""Which attempts are followed by another, and which causes a log gives."""

import pytest

from aixmeg.cluster.attempts import Attempt
from aixmeg.cluster.causes import find_cause, same_cause
from aixmeg.cluster.judge import STALLED, judge


def attempts(*ends, job="7"):
    """Attempts from (kind, step, cause); each saved at its step, which is where the next began."""
    found, first = [], 0
    for number, (kind, step, cause) in enumerate(ends):
        found.append(
            Attempt(job=job, number=number, began=number, ended=number + 0.5, first_step=first, step=step,
                    checkpoint=step // 10 * 10, kind=kind, cause=cause)
        )  # fmt: skip
        first = step // 10 * 10
    return found


BROKEN = ("failed", 42, "loss nan at sample 17")
ASKED = ("asked", 60, "SIGUSR1")


@pytest.mark.parametrize(
    ("ends", "follow"),
    [
        ([("complete", 100, "")], "complete"),
        ([("ended", 40, "SIGTERM")], "ended"),
        ([ASKED], "again"),
        ([BROKEN], "again"),
        ([BROKEN, BROKEN], "stopped"),
        ([BROKEN, ("failed", 42, "loss nan at sample 18")], "stopped"),  # a number is no other cause
        ([BROKEN, ("failed", 42, "disk full")], "again"),
        ([BROKEN, ("failed", 52, "loss nan at sample 17")], "again"),  # it came further
        ([BROKEN, ("asked", 42, "SIGUSR1"), BROKEN], "stopped"),  # a preemption between them changes nothing
        ([BROKEN, ("lost", 42, "ended without a word"), BROKEN], "again"),
        ([("failed", 42, "n2: task 1: Killed"), ("failed", 42, "n2: task 1: Killed")], "again"),  # from outside
        ([ASKED] * 3, "again"),
    ],
)
def test_what_follows(ends, follow):
    assert judge(attempts(*ends), max_restarts=20).follow == follow


def test_a_job_that_gets_nowhere_ends():
    killed = ("lost", 7, "ended without a word")
    assert judge(attempts(*[killed] * (STALLED - 1)), max_restarts=20).follow == "again"
    verdict = judge(attempts(*[killed] * STALLED), max_restarts=20)
    assert verdict.follow == "stopped"
    assert "no new checkpoint in 5 attempts" in verdict.reason


def test_failures_have_a_limit_and_preemptions_none():
    failures = [("failed", 10 * n, f"cause {'x' * n}") for n in range(1, 5)]
    assert judge(attempts(*failures), max_restarts=4).follow == "again"
    assert judge(attempts(*failures), max_restarts=3).follow == "stopped"
    asked = [("asked", 10 * n, "SIGUSR1") for n in range(1, 9)]
    assert judge(attempts(*asked), max_restarts=0).follow == "again"


def test_another_job_counts_anew():
    before = attempts(BROKEN, job="6")
    assert judge([*before, *attempts(BROKEN)], max_restarts=0).follow == "stopped"  # its first failure is one too many
    assert judge([*before, *attempts(BROKEN)], max_restarts=1).follow == "again"


KILLED = """0: Traceback (most recent call last):
0:   File "loop.py", line 3, in run
0: RuntimeError: [gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:3170
srun: error: n2: task 1: Killed
srun: launch/slurm: _step_signal: Terminating StepId=3.0
srun: error: n1: task 0: Exited with exit code 1
"""
RAISED = """1: Traceback (most recent call last):
1:   File "loop.py", line 3, in run
1: ValueError: index 49153 is out of range
0: RuntimeError: [gloo] Connection closed by peer
srun: error: n2: task 1: Exited with exit code 1
srun: error: n1: task 0: Killed
"""


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (KILLED, "n2: task 1: Killed"),
        (RAISED, "ValueError: index 49153 is out of range"),
        ("0: step 3\n0: aixmeg: cannot write /r/x: No space left on device; free space\n" + KILLED,
         "cannot write /r/x: No space left on device; free space"),
        ("srun: error: Node failure on n2\n" + KILLED, "Node failure on n2"),
        ("RuntimeError: Connection reset by peer\n", "RuntimeError: Connection reset by peer"),
        ("mpirun noticed that process rank 1 with PID 0 on node n2 exited on signal 9 (Killed).\n",
         "process rank 1 with PID 0 on node n2 exited on signal 9 (Killed)."),
        ("all is well\n", "exit status 9"),
        ("srun: error: n1: task 0: Exited with exit code 9\n", "exit status 9"),
        ("srun: error: Invalid MPI type 'pmix', --mpi=list\nsrun: x\n", "Invalid MPI type 'pmix', --mpi=list"),
    ],
)  # fmt: skip
def test_cause(tmp_path, log, cause):
    (tmp_path / "log").write_text(log)
    assert find_cause(tmp_path / "log", 9) == cause


def test_a_missing_log_is_no_trouble(tmp_path):
    assert find_cause(tmp_path / "none", 1) == "exit status 1"


def test_same_cause():
    assert same_cause("rank 3 at 0x7f12: KeyError", "rank 11 at 0xab: KeyError")
    assert not same_cause("KeyError: a", "KeyError: b")
    assert not same_cause("n1: task 0: Killed", "n1: task 0: Killed")
