"""megatron-core's optimizer without collectives of one rank: what is left out, and what is not."""

import pytest
import torch
from launch import run_function

from aixmeg.parallel import one_rank


class Group:
    def __init__(self, ranks):
        self.size = lambda: ranks


@pytest.mark.parametrize(
    ("ranks", "output", "runs"),
    [(1, slice(0, 8), False), (2, slice(0, 8), True), (1, slice(0, 4), True), (1, None, True)],
)
def test_only_what_one_rank_would_copy_onto_itself_is_left_out(ranks, output, runs):
    calls = []
    collective = one_rank._unless_alone(lambda *arguments, **options: calls.append((arguments, options)) or "handle")
    source = torch.arange(8.0)
    target = torch.zeros(8) if output is None else source[output]
    assert collective(target, source, group=Group(ranks), async_op=True) == ("handle" if runs else None)
    assert bool(calls) == runs


def trained() -> dict[str, list]:
    """(losses, whether buffers' collectives ran) of the distributed optimizer with and without them."""
    from megatron.core.distributed import param_and_grad_buffer as buffers
    from model_worker import Trainer, config

    names = ("dist_all_gather_func", "dist_reduce_scatter_func")
    originals = {name: getattr(buffers, name) for name in names}
    calls, found = [], {}

    def counted(original):
        return lambda *arguments, **options: (calls.append(original), original(*arguments, **options))[1]

    for left_out in (False, True):
        for name, original in originals.items():
            collective = counted(original)
            setattr(buffers, name, one_rank._unless_alone(collective) if left_out else collective)
        for overlap in (False, True):
            calls.clear()
            trainer = Trainer(config(overlap_grad_reduce=overlap, overlap_param_gather=overlap))
            found[left_out, overlap] = ([trainer.step(number) for number in range(4)], len(calls))
            trainer.close()
    return found


def test_training_is_the_same_to_the_bit():
    (found,) = run_function(trained, 1)
    for overlap in (False, True):
        assert found[True, overlap][0] == found[False, overlap][0]
        assert found[False, overlap][1] > 0
        assert found[True, overlap][1] == 0
