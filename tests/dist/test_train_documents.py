"""Attention inside documents, in layouts that cut the sequence, the layers or the heads, equals one rank's."""

import numpy as np
from launch import run_function
from train_ranks import changed, make_inputs, read_metrics, run_ranks, tiny_config, train_rank, train_ranks
from varlen_reference import varlen

from aixmeg.train import parity
from aixmeg.train.documents import DocumentMask

STEPS = 3
LAYOUTS = (("TP2+SP", "selective"), ("PP2 x VPP2", "full"), ("CP2", "none"), ("CP2", "full"), ("DP2", "none"))


class Documents(parity._Samples):
    """One to five documents in each sample."""

    def documents(self, index, unit, /):
        rng = np.random.default_rng((4, index))
        inner = rng.choice(np.arange(1, self.seq_length), rng.integers(0, 5), replace=False)
        return np.sort(np.append(inner, 0))


def squares(config, step):
    """What a step's documents attend to, in pairs of tokens."""
    from aixmeg.train.batches import step_samples

    length, source = config.model.seq_length, Documents(config.model)
    starts = [source.documents(index, "example") for index in step_samples(step, config.train)]
    return sum(int((np.diff(np.append(begins, length)) ** 2).sum()) for begins in starts)


def courses(cases, mask, packed=False):
    """Loss, gradient norm and squared lengths of the documents, of each step of each case; `packed` attends to all
    documents in one call, of a stand-in for the kernel."""
    import torch

    from aixmeg.model import attention

    from aixmeg.parallel.topology import Topology
    from aixmeg.train.batches import micro_batches, rank_samples, step_samples
    from aixmeg.train.build import build_training
    from aixmeg.train.step import train_step

    calls, found = [], []

    def noted(*arguments, **options):
        calls.append(arguments)
        return varlen(*arguments, **options)

    if packed:
        attention.varlen_for = lambda query, backend: noted
    for case in cases:
        config = case.config()
        topology = Topology.create(config.parallel, config.train.seed)
        training, device = build_training(config, topology, torch.device("cpu")), torch.device("cpu")
        with torch.no_grad():  # attention that is far from even
            for model in training.models:
                for name, parameter in model.named_parameters():
                    if "linear_qkv" in name and "norm" not in name:
                        parameter.mul_(10.0)
        numbers, source = [], Documents(config.model)
        for step in range(STEPS):
            samples = step_samples(step, config.train)
            mine = rank_samples(samples, dp_rank=topology.dp_rank, dp_size=topology.dp_size)
            batches = micro_batches(source, mine, micro_batch_size=2, device=device, step=samples, mask=mask)
            result = train_step(training, list(batches), lr=1e-3)
            numbers.append((result.loss, result.grad_norm, result.attended or 0.0))
        found.append(numbers)
        topology.destroy()
        assert bool(calls) is packed
        calls.clear()
    return found


def test_layouts_train_as_one_rank():
    mask = DocumentMask(unit="example", reset_position_ids=True)
    ((alone,),) = run_function(courses, 1, [parity.alone()], mask)
    ((crossing,),) = run_function(courses, 1, [parity.alone()], None)
    assert np.abs(np.array(alone) - crossing)[:, :2].max() > 1e-3, "the mask must matter, or equal losses prove nothing"
    cases = [parity.Case(layout=layout, ranks=2, recompute=recompute) for layout, recompute in LAYOUTS]
    first, second = run_function(courses, 2, cases, mask)
    assert first == second
    config = parity.alone().config()
    assert [attended for *_, attended in alone] == [squares(config, step) for step in range(STEPS)]
    for case, numbers in zip(cases, first, strict=True):
        np.testing.assert_allclose(numbers, alone, rtol=parity.LOSS, err_msg=str(case))


def test_all_documents_in_one_call_train_as_one_by_one():
    """The path of a GPU, in layouts that cut the sequence in one place and in three, the heads, and the layers."""
    mask = DocumentMask(unit="example", reset_position_ids=True)
    ((alone,),) = run_function(courses, 1, [parity.alone()], mask)
    ((packed,),) = run_function(courses, 1, [parity.alone()], mask, True)
    np.testing.assert_allclose(packed, alone, rtol=parity.LOSS)
    two, four = (("TP2+SP", "selective"), ("CP2", "full")), (("CP4", "none"), ("PP2 x CP2", "full"))
    for ranks, layouts in ((2, two), (4, four)):
        cases = [parity.Case(layout=layout, ranks=ranks, recompute=recompute) for layout, recompute in layouts]
        for case, numbers in zip(cases, run_function(courses, ranks, cases, mask, True)[0], strict=True):
            np.testing.assert_allclose(numbers, alone, rtol=parity.LOSS, err_msg=str(case))


def test_the_command_trains_and_validates_inside_documents(tmp_path):
    make_inputs(tmp_path)
    # Weights that stay, so that losses differ by the mask alone.
    plain = changed(tiny_config(tmp_path, steps=2), optimizer={"lr": 1e-20, "min_lr": 1e-20})
    runs = []
    for mask in (None, "example", "repository"):
        config = changed(plain, train={"document_mask": mask}, paths={"run": tmp_path / f"run-{mask}"})
        train_ranks(config, 1, log=tmp_path / "log")
        run = config.paths.at("run")
        records = [*read_metrics(run, "train", ("loss",)), *read_metrics(run, "valid", ("ntp_loss", "middle_loss"))]
        runs.append([value for _, *values in records for value in values])
    none, example, repository = np.array(runs)
    assert none.shape == (4,)
    assert (np.abs(none - example) > 1e-5).all()
    assert (np.abs(none - example) > np.abs(none - repository)).all()  # a repository holds six examples
    assert (np.abs(none - repository)[:2] > 1e-7).any()


def test_another_mask_is_refused_on_resume(tmp_path):
    make_inputs(tmp_path)
    config = tiny_config(tmp_path, steps=2)
    train_ranks(config, 1, log=tmp_path / "log")
    log = tmp_path / "refused"
    assert run_ranks(train_rank, 1, changed(config, train={"document_mask": "example"}), True, log=log) == [2]
    assert "train.document_mask was None, is now 'example'" in (tmp_path / "refused.0").read_text()
