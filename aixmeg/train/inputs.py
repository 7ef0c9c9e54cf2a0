"""The datasets of a training, and the losses of a unigram model to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aixmeg.config import Config
from aixmeg.config.blend import integer_shares
from aixmeg.data.blend import Blend
from aixmeg.data.middles import choose_middles
from aixmeg.data.stream import TrainDataset, ValidDataset, unigram_loss
from aixmeg.data.turns import Turns, epoch_folder
from aixmeg.errors import UserError
from aixmeg.train.batches import Samples
from aixmeg.train.evaluate import HeldOut, held_out_windows


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the loop reads."""

    train: Samples
    held_out: Sequence[HeldOut]
    """What validation reads, of each dataset that holds out repositories."""
    unigram: dict[str, float | None] | None
    """Unigram losses over these windows; None without any, and where datasets are mixed."""
    identity: dict[str, Any]
    """Identifies tokenizer and training tokens in checkpoints."""


def data_folders(config: Config) -> dict[str, Path]:
    """Where each dataset lies: those of the blend by name, in its order, or the one of paths.data under ""."""
    if not config.train.blend:
        return {"": config.paths.at("data")}
    return {part.called: config.paths.root / part.path for part in config.train.blend}


def open_inputs(config: Config, identity: dict[str, Any]) -> Inputs:
    """Open the datasets that `aixmeg data build` wrote.

    Raises:
        UserError: a file is missing, cut off, or of another vocabulary.
    """
    folders = data_folders(config)
    datasets = [_train(config, folder) for folder in folders.values()]
    train = Blend(datasets, integer_shares(config.train.blend)) if config.train.blend else datasets[0]
    held_out = [_held_out(config, name, folder) for name, folder in folders.items() if (folder / "valid.idx").exists()]
    _check_middles(config, held_out)
    unigram = None
    if held_out and not config.train.blend:
        unigram = unigram_loss(folders[""], held_out[0].dataset, held_out[0].windows)
    return Inputs(train=train, held_out=held_out, unigram=unigram, identity=identity)


def _train(config: Config, folder: Path) -> TrainDataset | Turns:
    """The training samples of one dataset."""
    builds = [
        TrainDataset(
            epoch_folder(folder, number) / "train",
            seq_length=config.model.seq_length,
            seed=config.train.seed + number,
            vocab_size=config.model.vocab_size,
            packing=config.data.packing,
            rows=config.train.global_batch_size,
        )
        for number in range(config.data.epochs)
    ]
    return Turns(builds) if len(builds) > 1 else builds[0]


def _held_out(config: Config, name: str, folder: Path) -> HeldOut:
    """What validation reads of one dataset."""
    model = config.model
    dataset = ValidDataset(folder / "valid", seq_length=model.seq_length, vocab_size=model.vocab_size)
    windows = held_out_windows(dataset, config.train.eval_samples)
    if not windows:
        raise UserError(f"{folder / 'valid.bin'} counts no held-out label; raise data.valid_share and build again")
    options = config.train
    middles = choose_middles(
        dataset, wanted=options.eval_infills, seed=options.seed, longest=options.eval_infill_tokens,
        room=min(options.eval_infill_context, model.seq_length),
    )  # fmt: skip
    return HeldOut(name=name, dataset=dataset, windows=windows, middles=middles)


def _check_middles(config: Config, held_out: Sequence[HeldOut]) -> None:
    """Refuse a training that is asked to complete middles and has none."""
    train = config.train
    if train.eval_infills and not any(one.middles for one in held_out):
        where = ", ".join(str(folder / "valid.bin") for folder in data_folders(config).values())
        raise UserError(
            f"train.eval_infills={train.eval_infills}, but {where} holds out no middle of up to "
            f"{train.eval_infill_tokens} tokens (train.eval_infill_tokens) whose prompt leaves room for that in "
            f"{min(train.eval_infill_context, config.model.seq_length)} (train.eval_infill_context, model.seq_length); "
            "raise these, hold out more (data.valid_share), or set train.eval_infills=0"
        )
