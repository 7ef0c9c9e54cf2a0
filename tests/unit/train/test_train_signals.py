"""What each signal asks for, which may come twice, and what is carried from the start into the loop."""

import os
import signal

import pytest

from aixmeg.train.signals import StopSignal


@pytest.fixture(autouse=True)
def handlers():
    """Nothing is left behind."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_stop(name):
    with StopSignal() as wishes:
        assert not wishes.stop_requested()
        os.kill(os.getpid(), signal.Signals[name])
        assert wishes.requested == name
        assert wishes.stop_requested()
        assert not wishes.take_save()


def test_save_and_go_on_is_taken_once():
    with StopSignal() as wishes:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert not wishes.stop_requested()
        assert [wishes.take_save(), wishes.take_save()] == [True, False]


def test_a_second_interrupt_alone_is_not_caught():
    with StopSignal() as wishes:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR1, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert wishes.stop_requested()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("number", "stop", "save"), [(signal.SIGUSR1, True, False), (signal.SIGUSR2, False, True)])
def test_what_arrives_while_the_training_starts_is_wished_of_its_loop(number, stop, save):
    with StopSignal():
        os.kill(os.getpid(), number)
        with StopSignal() as loop:
            assert (loop.stop_requested(), loop.take_save()) == (stop, save)
