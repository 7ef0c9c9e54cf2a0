"""`python faulty_rank.py HOW WORDS…`: `aixmeg WORDS…` as on a node that computes wrongly, stops, or dies."""

import os
import signal
import sys
import time

import aixmeg.health.exercise as exercise
import aixmeg.health.look as look
from aixmeg.cli import main

real_product, real_sum = look.multiply, look.reduce_all


def wrong_product(device):
    """One element of one of the products is damaged."""
    matmul, calls = exercise.torch.Tensor.__matmul__, []

    def damaged(a, b):
        out = matmul(a, b)
        if a.dtype == exercise.torch.float32 and not calls:
            calls.append(1)
            out[3, 5] += 1
        return out

    exercise.torch.Tensor.__matmul__ = damaged
    return real_product(device)


def wrong_sum(device):
    """One element of what this rank puts in is damaged on the way out."""
    reduce = exercise.dist.all_reduce

    def damaged(vector):
        reduce(vector)
        vector[7] += 1

    exercise.dist.all_reduce = damaged
    return real_sum(device)


def fails(device):
    raise RuntimeError("no device")


def ends_by(what):
    def end(device):
        os.kill(os.getpid(), what)
        time.sleep(600)  # another thread may take the signal, a moment later

    return end


how = sys.argv.pop(1)
if how == "wrong product":
    look.multiply = wrong_product
elif how == "wrong sum":
    look.reduce_all = wrong_sum
elif how == "fails in the product":
    look.multiply = fails
elif how == "stops in the product":
    look.multiply = ends_by(signal.SIGSTOP)
elif how == "stops in the all-reduce":
    look.reduce_all = ends_by(signal.SIGSTOP)
elif how == "dies in the all-reduce":
    look.reduce_all = ends_by(signal.SIGKILL)
elif how != "well":
    raise ValueError(how)
sys.exit(main())
