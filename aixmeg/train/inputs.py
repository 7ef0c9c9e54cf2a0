"""The datasets of a training, and the losses of a unigram model to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aixmeg.config import Config
from aixmeg.data.stream import TrainDataset, ValidDataset, unigram_loss
from aixmeg.data.turns import Turns, epoch_folder
from aixmeg.errors import UserError
from aixmeg.train.batches import Samples
from aixmeg.train.evaluate import held_out_windows


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the loop reads."""

    train: Samples
    valid: ValidDataset | None
    """None when no repository was held out."""
    windows: list[int]
    """Held-out windows of every validation."""
    unigram: dict[str, float | None] | None
    """Unigram losses over these windows."""
    identity: dict[str, Any]
    """Identifies tokenizer and training tokens in checkpoints."""


def open_inputs(config: Config, identity: dict[str, Any]) -> Inputs:
    """Open the datasets that `aixmeg data build` wrote.

    Raises:
        UserError: a file is missing, cut off, or of another vocabulary.
    """
    folder, model = config.paths.at("data"), config.model
    builds = [
        TrainDataset(
            epoch_folder(folder, number) / "train",
            seq_length=model.seq_length,
            seed=config.train.seed + number,
            vocab_size=model.vocab_size,
            packing=config.data.packing,
            rows=config.train.global_batch_size,
        )
        for number in range(config.data.epochs)
    ]
    train = Turns(builds) if len(builds) > 1 else builds[0]
    if not (folder / "valid.idx").exists():
        return Inputs(train=train, valid=None, windows=[], unigram=None, identity=identity)
    valid = ValidDataset(folder / "valid", seq_length=model.seq_length, vocab_size=model.vocab_size)
    windows = held_out_windows(valid, config.train.eval_samples)
    if not windows:
        raise UserError(f"{folder / 'valid.bin'} counts no held-out label; raise data.valid_share and build again")
    unigram = unigram_loss(folder, valid, windows)
    return Inputs(train=train, valid=valid, windows=windows, unigram=unigram, identity=identity)
