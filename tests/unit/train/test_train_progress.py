import io

import pytest
from rich.console import Console

from aixmeg.train import progress as module
from aixmeg.train.progress import TrainProgress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def show(progress, step):
    progress.step(
        step, loss=2.34567, parts={"text": 2.5, "middles": None}, grad_norm=0.5, lr=3e-4, tokens_per_second=12345.6
    )


def test_plain_lines_come_every_few_seconds_and_at_both_ends(clock):
    text = io.StringIO()
    with TrainProgress(steps=100, start=10, enabled=True, console=Console(file=text, width=40)) as progress:
        for step in range(11, 101):
            clock[0] += 1.0
            show(progress, step)
    lines = text.getvalue().splitlines()
    assert [int(line.split()[1].split("/")[0]) for line in lines] == [11, *range(16, 100, 5), 100]
    assert (
        lines[1] == "step 16/100  loss 2.3457 (text 2.5000)  grad norm 0.500  lr 3.00e-04  12,346 tokens/s  ETA 0:01:24"
    )


def test_a_terminal_gets_one_live_line():
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    with TrainProgress(steps=10, start=0, enabled=True, console=console) as progress:
        show(progress, 1)
        progress.say("saved [a checkpoint]")
        show(progress, 10)
    shown = text.getvalue()
    for part in ("step 10/10", "loss 2.3457", "12,346 tokens/s", "ETA", "saved [a checkpoint]"):
        assert part in shown


def test_other_ranks_are_silent(capfd):
    with TrainProgress(steps=2, start=0, enabled=False) as progress:
        show(progress, 1)
        progress.say("nothing")
    assert capfd.readouterr() == ("", "")
