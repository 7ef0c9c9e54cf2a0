"""A checkpoint of any layout goes on in any other: every pair of the layouts below.

Loaded and saved again, it holds the same weights and optimizer states bit for bit, and the next steps have the losses
of the run that was not broken.
"""

import functools
from pathlib import Path

import pytest
import torch
from launch import run_function
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint import load as load_torch
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from train_ranks import TP2, changed, make_inputs, tiny_config

from aixmeg.config import ParallelConfig

BEFORE, AFTER = 4, 3
"""Steps before the checkpoint and after it."""
LAYOUTS = {
    "one": (1, ParallelConfig()),
    "tp2-sp": (2, TP2),
    "pp2": (2, ParallelConfig(pipeline_model_parallel_size=2)),
    "pp2-vpp2": (
        2,
        ParallelConfig(pipeline_model_parallel_size=2, virtual_pipeline_model_parallel_size=2, overlap_p2p_comm=True),
    ),
    "dp2": (2, ParallelConfig(overlap_grad_reduce=True, overlap_param_gather=True)),
    "dp2-plain": (2, ParallelConfig(use_distributed_optimizer=False)),
    "cp2": (2, ParallelConfig(context_parallel_size=2)),
    "tp2-pp2": (4, ParallelConfig(tensor_model_parallel_size=2, pipeline_model_parallel_size=2)),
}
NAMES = {"fp32": tuple(LAYOUTS), "bf16": ("tp2-sp", "dp2", "dp2-plain")}
"""In bf16 the fp32 master weights are one more state, and no more depends on the layout."""
PATIENCE = 600  # seconds, on a busy machine


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reshard")
    make_inputs(folder)
    return folder


def named(root, run, parallel, precision):
    steps = BEFORE + AFTER
    config = tiny_config(root, parallel, steps=steps, micro_batch_size=1, precision=precision)
    return changed(config, paths={"run": Path(run)}, model={"num_layers": 4})


def in_training(config, action):
    """`action(training, inputs, identity)` on a rank."""
    from aixmeg.parallel.topology import Topology
    from aixmeg.train.build import build_training
    from aixmeg.train.inputs import open_inputs
    from aixmeg.train.run_folder import check_inputs

    identity = check_inputs(config)
    inputs = open_inputs(config, identity)
    topology = Topology.create(config.parallel, config.train.seed)
    result = action(build_training(config, topology, torch.device("cpu")), inputs, identity)
    topology.destroy()
    return result


def losses(training, inputs, first, last):
    from aixmeg.train.loop import step_batches
    from aixmeg.train.schedule import learning_rate
    from aixmeg.train.skip import Skipped
    from aixmeg.train.step import train_step

    found = []
    for step in range(first, last + 1):
        _, batches = step_batches(training, inputs, Skipped(), step)
        lr = learning_rate(step, training.config.optimizer, steps=BEFORE + AFTER)
        result = train_step(training, batches, lr=lr)
        found.append((result.loss, result.grad_norm))
    return found


def train_and_save(root, name, precision):
    """Train, save, train on: the unbroken run's numbers after the checkpoint."""
    from aixmeg.train.saver import save_checkpoint

    config = named(root, f"{name}-{precision}", LAYOUTS[name][1], precision)

    def action(training, inputs, identity):
        losses(training, inputs, 1, BEFORE)
        save_checkpoint(training, config.paths.at("run"), BEFORE, data=identity)
        return losses(training, inputs, BEFORE + 1, BEFORE + AFTER)

    return in_training(config, action)


def load_all(root, name, precision):
    """Load the checkpoint of every layout into this one, save it again and train on: {source: numbers}."""
    from aixmeg.train.checkpoint import load_checkpoint
    from aixmeg.train.saver import save_checkpoint

    config = named(root, f"{name}-{precision}", LAYOUTS[name][1], precision)

    def action(training, inputs, identity):
        found = {}
        for source in NAMES[precision]:
            manifest, _ = load_checkpoint(training, root / f"{source}-{precision}", data=identity)
            assert manifest is not None and manifest["step"] == BEFORE
            save_checkpoint(training, root / f"again-{source}-{name}-{precision}", BEFORE, data=identity)
            found[source] = losses(training, inputs, BEFORE + 1, BEFORE + AFTER)
        return found

    return in_training(config, action)


def whole_tensors(run):
    """Every tensor of a run's checkpoint, whole, read by torch alone; random-number states belong to a layout."""
    folder = run / f"checkpoints/step-{BEFORE:08}"
    described = FileSystemReader(folder).read_metadata().state_dict_metadata
    state = {
        name: torch.empty(one.size, dtype=one.properties.dtype)
        for name, one in described.items()
        if isinstance(one, TensorStorageMetadata) and not name.startswith("random.")
    }
    load_torch(state, storage_reader=FileSystemReader(folder), no_dist=True)
    return in_one_form(state)


def in_one_form(state):
    """Master weights by the distributed optimizer's keys; the plain one has others in bf16, and none in float32."""
    prefix = "optimizer.state."
    state = {name.replace(f"{prefix}fp32_param.", f"{prefix}param."): one for name, one in state.items()}
    if not any(name.startswith(f"{prefix}param.") for name in state):
        moments = [name for name in state if name.startswith(f"{prefix}exp_avg.")]
        weights = [name.removeprefix(f"{prefix}exp_avg.") for name in moments]
        state |= {f"{prefix}param.{name}": state[name] for name in weights}
    return state


@pytest.fixture(scope="module")
def unbroken(root):
    """Precision → {layout: numbers after the checkpoint}; trained once, where pytest would make a parametrized fixture
    anew for every target."""

    @functools.cache
    def trained(precision):
        return {
            name: run_function(train_and_save, LAYOUTS[name][0], root, name, precision, timeout=PATIENCE)[0]
            for name in NAMES[precision]
        }

    return trained


@pytest.mark.parametrize(
    ("precision", "target"), [(precision, target) for precision, names in NAMES.items() for target in names]
)
def test_any_layout_goes_on_from_any_other(root, unbroken, precision, target):
    expected = unbroken(precision)
    found = run_function(load_all, LAYOUTS[target][0], root, target, precision, timeout=PATIENCE)[0]
    for source in NAMES[precision]:
        saved = whole_tensors(root / f"{source}-{precision}")
        again = whole_tensors(root / f"again-{source}-{target}-{precision}")
        assert saved.keys() == again.keys(), (source, saved.keys() ^ again.keys())
        assert len(saved) > 20
        for name, tensor in saved.items():
            assert torch.equal(tensor, again[name]), (source, name)
        if source == target:
            assert found[source] == expected[source]  # the same sums in the same order
            continue
        # Sums in another order: fp32 rounds at 6e-8 of the values, bf16 activations at 4e-3, of which means over
        # 256 labels keep a fraction.
        tolerance = 1e-5 if precision == "fp32" else 2e-3
        for (loss, norm), (expected_loss, expected_norm) in zip(found[source], expected[source], strict=True):
            assert loss == pytest.approx(expected_loss, rel=tolerance), source
            assert norm == pytest.approx(expected_norm, rel=10 * tolerance), source


def change_optimizer(root, saved_by, loaded_by):
    """Numbers after the checkpoint: of the run that wrote it, and of one with the other optimizer."""
    from aixmeg.train.checkpoint import load_checkpoint
    from aixmeg.train.saver import save_checkpoint

    def config(backend, distributed):
        one = named(root, f"by-{saved_by}", ParallelConfig(use_distributed_optimizer=distributed), "fp32")
        return changed(one, optimizer={"backend": backend})

    def first(training, inputs, identity):
        losses(training, inputs, 1, BEFORE)
        save_checkpoint(training, training.config.paths.at("run"), BEFORE, data=identity)
        return losses(training, inputs, BEFORE + 1, BEFORE + AFTER)

    def then(training, inputs, identity):
        load_checkpoint(training, training.config.paths.at("run"), data=identity)
        return losses(training, inputs, BEFORE + 1, BEFORE + AFTER)

    return in_training(config(*saved_by), first), in_training(config(*loaded_by), then)


@pytest.mark.parametrize(
    ("saved_by", "loaded_by"),
    [
        (("torch", False), ("torch", True)),
        (("torch", True), ("torch", False)),
        (("torch", False), ("aixmeg", True)),
        (("aixmeg", True), ("torch", False)),
    ],
)
def test_torch_s_optimizer_changes_its_form_too(root, saved_by, loaded_by):
    straight, resumed = run_function(change_optimizer, 1, root, saved_by, loaded_by, timeout=PATIENCE)[0]
    # The same formula rounded elsewhere, 6e-8 per update; as in test_fused_optimizer.py.
    assert [loss for loss, _ in resumed] == pytest.approx([loss for loss, _ in straight], rel=2e-6)
    assert [norm for _, norm in resumed] == pytest.approx([norm for _, norm in straight], rel=1e-5)
