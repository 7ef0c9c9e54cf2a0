"""What the batch script is told before and after an attempt, and what restarts.json remembers."""

import pytest
from cluster_runs import write_run

from aixmeg.cluster import supervise
from aixmeg.cluster.attempts import now, read_attempts
from aixmeg.cluster.supervise import AGAIN, COMPLETE, ENDED, STOPPED
from aixmeg.errors import UserError
from aixmeg.watch.failures import Failure, write_failure


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "n[1-2]")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    write_run(tmp_path)
    return tmp_path


def begin(run):
    return supervise.begin(run, max_restarts=20)


def end(run, status=0, signal="", log="x"):
    (run / "log").write_text(log)
    return supervise.end(run, status=status, signal=signal, max_restarts=20, log=run / "log")


def test_complete(run):
    assert begin(run) == COMPLETE
    write_run(run, step=100, checkpoint=100)
    assert end(run) == COMPLETE
    (one,) = read_attempts(run)
    assert (one.kind, one.step, one.first_step, one.nodes, one.followed) == ("complete", 100, 0, "n[1-2]", "")
    assert one.ended >= one.began


def test_status_zero_alone_is_not_believed(run):
    """srun has been seen to report success for tasks that never ran."""
    begin(run)
    assert end(run, status=0) == AGAIN


def test_a_warning_is_followed_by_another_attempt_and_the_end_from_outside_is_not(run):
    begin(run)
    write_run(run, step=30, checkpoint=30)
    assert end(run, status=0, signal="USR1") == AGAIN
    begin(run)
    assert end(run, status=143, signal="TERM") == ENDED
    assert [one.kind for one in read_attempts(run)] == ["asked", "ended"]
    assert read_attempts(run)[1].first_step == 30


def test_a_crash_loop_ends(run, capsys):
    for status in (AGAIN, STOPPED):
        begin(run)
        write_run(run, step=12, checkpoint=10)
        assert end(run, status=1, log="0: aixmeg: step 13: loss nan\n") == status
    assert "crash loop: failed twice at step 12 for the same reason: step 13: loss nan" in capsys.readouterr().err
    assert [one.followed for one in read_attempts(run)] == ["again", "stopped"]


def test_an_attempt_that_was_lost_is_noticed_by_the_next(run):
    begin(run)
    write_run(run, step=25, checkpoint=20)
    assert begin(run) == COMPLETE
    lost, now = read_attempts(run)
    assert (lost.kind, lost.step, lost.checkpoint, lost.ended, lost.followed) == ("lost", 25, 20, None, "again")
    assert (now.kind, now.first_step) == ("running", 20)


def test_lost_five_times_without_progress_it_is_refused(run, monkeypatch):
    assert [begin(run) for _ in range(6)] == [0, 0, 0, 0, 0, STOPPED]
    monkeypatch.setenv("SLURM_JOB_ID", "8")  # submitted again
    assert begin(run) == COMPLETE


def test_a_full_disk_ends_no_job(run, monkeypatch, capsys):
    begin(run)

    def refuse(*_):
        raise UserError("cannot write: No space left on device")

    monkeypatch.setattr(supervise, "write_attempts", refuse)
    assert end(run, status=1, log="0: aixmeg: cannot write\n") == AGAIN
    assert "restarts.json is not up to date" in capsys.readouterr().err


def test_the_ranks_own_word_comes_before_their_log(run):
    begin(run)
    began = read_attempts(run)[0].began
    for number, moment in enumerate((began - 100, began + 1)):
        failure = Failure(
            kind="hung", rank=number, ranks=4, step=12, phase="data", cause="the others wait", time=moment
        )
        write_failure(run / "failures" / str(number), failure)
    assert end(run, status=3, log="RuntimeError: Connection closed by peer\n") == AGAIN
    assert read_attempts(run)[0].cause.startswith("rank 1 of 4 ")


def test_ranks_that_are_killed_or_lost_are_no_crash_loop(run):
    for cause in ("without a word; killed", "no sign of life for 60 s"):
        for _ in range(2):
            begin(run)
            write_run(run, step=12, checkpoint=10)
            failure = Failure(kind="died", rank=1, ranks=4, step=12, phase="step", cause=cause, time=now())
            write_failure(run / "failures" / f"{len(read_attempts(run))}", failure)
            assert end(run, status=3) == AGAIN


def test_what_the_launcher_knows_of_a_death_is_part_of_the_cause(run):
    log = "0: aixmeg: rank 1 of 4 died\nsrun: error: n2: task 1: Segmentation fault (core dumped)\n"
    for status in (AGAIN, STOPPED):  # and a fault that comes back at the same step is a crash loop
        begin(run)
        write_run(run, step=12, checkpoint=10)
        failure = Failure(
            kind="died", rank=1, ranks=4, host="n2", step=13, phase="step", cause="without a word", time=now()
        )
        write_failure(run / "failures" / f"{len(read_attempts(run))}", failure)
        assert end(run, status=139, log=log) == status
    expected = "rank 1 of 4 (host n2, pid 0) died in step 13: n2: task 1: Segmentation fault (core dumped)"
    assert read_attempts(run)[0].cause == expected
