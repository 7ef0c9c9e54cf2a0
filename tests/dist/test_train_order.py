"""Every sample once and in the same order, whatever the layout, also when it changes in mid-run: the numbers and the
tokens of what each rank was given, against the unbroken run of one rank."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from train_ranks import TP2, changed, make_dataset, make_inputs, read_metrics, run_ranks, tiny_config, train_rank

from aixmeg.config import ParallelConfig
from aixmeg.config.blend import BlendPart

STEPS, SIZE = 9, 4
BLEND = (BlendPart(path=Path("data"), weight=0.5, name="code"), BlendPart(path=Path("docs"), weight=0.3),
         BlendPart(path=Path("sql"), weight=0.2))  # fmt: skip
LEGS = (
    (3, 2, ParallelConfig(), 1),
    (6, 2, TP2, 4),
    (STEPS, 2, ParallelConfig(context_parallel_size=2), 2),
)
"""Last step, ranks, layout, micro-batch size."""


def train_and_note(config, resume, notes):
    """Train, and write down what this rank's micro-batches of each step are made of."""
    import os

    from aixmeg.train import loop

    made = loop.micro_batches
    file = Path(f"{notes}.{os.environ['RANK']}").open("a")  # noqa: SIM115 - the process ends with it

    def micro_batches(dataset, samples, *, step, **options):
        batches = list(made(dataset, samples, step=step, **options))
        rows = [row for batch in batches for row in batch.tokens.numpy()]
        assert len(rows) == len(samples)
        for sample, row in zip(samples, rows, strict=True):
            note = sample, *dataset.place(sample), zlib.crc32(row.tobytes())
            file.write(json.dumps(note) + "\n")
        file.flush()
        return batches

    loop.micro_batches = micro_batches
    train_rank(config, resume)


def run(config, ranks, notes, *, resume=False):
    """Train; what each rank wrote down."""
    statuses = run_ranks(train_and_note, ranks, config, resume, notes, log=Path(f"{notes}.log"))
    assert statuses == [0] * ranks, [Path(f"{notes}.log.{rank}").read_text() for rank in range(ranks)]
    return [[json.loads(line) for line in Path(f"{notes}.{rank}").read_text().splitlines()] for rank in range(ranks)]


def named(root, name, last, parallel, micro, **train):
    settings = {"steps": last, "global_batch_size": SIZE, "micro_batch_size": micro, "save_interval": 0, "blend": BLEND}
    config = tiny_config(root, parallel, **{**settings, **train})
    return changed(config, paths={"run": Path(name)}, optimizer={"decay_steps": STEPS})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("order")
    make_inputs(folder)
    for seed, name in enumerate(("docs", "sql")):
        make_dataset(folder / name, folder / "tokenizer/tokenizer.model", seed=seed)
    return folder


@pytest.fixture(scope="module")
def unbroken(root):
    (found,) = run(named(root, "unbroken", STEPS, ParallelConfig(), 2), 1, root / "unbroken-notes")
    return found


def test_the_order_goes_on_over_changes_of_layout(root, unbroken):
    assert [note[0] for note in unbroken] == list(range(STEPS * SIZE))
    assert [sum(note[1] == number for note in unbroken) for number in range(3)] == [18, 11, 7]  # of 18, 10.8 and 7.2
    assert len({tuple(note[1:3]) for note in unbroken}) == STEPS * SIZE
    begun = 0
    for last, ranks, parallel, micro in LEGS:
        config = named(root, "changing", last, parallel, micro)
        found = run(config, ranks, root / f"to-{last}", resume=begun > 0)
        dp = ranks // parallel.model_parallel_size
        expected = unbroken[begun * SIZE : last * SIZE]
        for rank, notes in enumerate(found):
            dp_rank = rank if dp > 1 else 0  # here ranks are data-parallel, or all hold the same samples
            assert notes == [note for note in expected if note[0] % SIZE // (SIZE // dp) == dp_rank], (last, rank)
        begun = last
    losses = read_metrics(root / "changing", names=("loss", "grad_norm"))
    # float32 sums in another order, whose differences grow with the updates
    np.testing.assert_allclose(losses, read_metrics(root / "unbroken", names=("loss", "grad_norm")), rtol=1e-4)


def test_batch_sizes_ramp_up_over_a_change_of_layout(root):
    """Three steps of 2 samples, two of 4, then 6: a function of the samples taken, which a resumed run knows."""
    sizes, length = [2, 2, 2, 4, 4, 6, 6], 64
    begins = [sum(sizes[:step]) for step in range(len(sizes))]
    ramp = {"global_batch_size": 6, "rampup_batch_size": (2, 2, 12), "log_interval": 1}
    (whole,) = run(named(root, "ramp", 7, ParallelConfig(), 1, **ramp), 1, root / "ramp-notes")
    assert [note[0] for note in whole] == list(range(sum(sizes)))
    first = run(named(root, "ramp-broken", 4, ParallelConfig(), 1, **ramp), 2, root / "ramp-first")
    for rank, notes in enumerate(first):
        mine = [begin + rank * size // 2 + i for begin, size in zip(begins[:4], sizes, strict=False)
                for i in range(size // 2)]  # fmt: skip
        assert notes == [whole[sample] for sample in mine]
    manifest = json.loads((root / "ramp-broken/checkpoints/step-00000004/aixmeg.json").read_text())
    assert (manifest["consumed_samples"], manifest["train"]["rampup_batch_size"]) == (10, [2, 2, 12])
    (rest,) = run(named(root, "ramp-broken", 7, ParallelConfig(), 2, **ramp), 1, root / "ramp-rest", resume=True)
    assert rest == whole[10:]
    names = ("tokens", "lr", "loss", "grad_norm")
    expected = read_metrics(root / "ramp", names=names)
    assert [record[1] for record in expected] == [length * sum(sizes[: step + 1]) for step in range(7)]
    # float32 sums in another order, whose differences grow with the updates
    np.testing.assert_allclose(read_metrics(root / "ramp-broken", names=names), expected, rtol=1e-4)


def test_held_out_losses_of_each_dataset_and_of_all(root, unbroken):
    from aixmeg.data.stream import ValidDataset
    from aixmeg.train.evaluate import held_out_windows
    from aixmeg.train.kinds import KINDS

    *_, record = (json.loads(line) for line in (root / "unbroken/metrics.jsonl").read_text().splitlines())
    assert list(record["datasets"]) == ["code", "docs", "sql"]
    sums, labels = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0)
    for folder, losses in zip(("data", "docs", "sql"), record["datasets"].values(), strict=True):
        assert set(losses["languages"]) == {"C", "Go", "Python"}
        dataset = ValidDataset(root / folder / "valid", seq_length=64, vocab_size=128)
        for name, kind in KINDS.items():
            count = sum(int((dataset[window][1] == kind).sum()) for window in held_out_windows(dataset, 6))
            sums[name] += losses[name] * count
            labels[name] += count
    for name in KINDS:
        assert record[name] == pytest.approx(sums[name] / labels[name], rel=1e-12)  # float64 sums in another order
    assert len({losses["ntp_loss"] for losses in record["datasets"].values()}) == 3
    assert json.loads((root / "unbroken/run.json").read_text())["unigram"] is None


def test_another_blend_is_refused_on_resume(root, unbroken):
    other = (*BLEND[:2], BlendPart(path=Path("sql"), weight=0.4))
    log = root / "refused"
    config = named(root, "unbroken", STEPS + 1, ParallelConfig(), 2, blend=other)
    assert run_ranks(train_rank, 1, config, True, log=log) == [2]
    text = Path(f"{log}.0").read_text()
    assert (
        "data.blend was ['5/10 code', '3/10 docs', '2/10 sql'], is now ['5/12 code', '3/12 docs', '4/12 sql']" in text
    )
