"""Models in fp32, of one process or cut over several, from a run's checkpoint or from a Hugging Face folder."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Parameter

from aixmeg.config import Config, ModelConfig, ParallelConfig, TokenizerConfig, load_config
from aixmeg.config.layout import layout_conflicts
from aixmeg.config.sections import ANY_WEIGHTS
from aixmeg.convert.checkpoint_reader import CheckpointWeights
from aixmeg.convert.hf_config import read_model_config
from aixmeg.convert.mapping import from_hf
from aixmeg.convert.streamed import read_as, streamed
from aixmeg.convert.weights import SafetensorsFolder
from aixmeg.errors import UserError
from aixmeg.tokenizer import CodeTokenizer

if TYPE_CHECKING:
    from aixmeg.model.builder import CodeModel
    from aixmeg.parallel.topology import Topology


@dataclass(frozen=True)
class Native:
    """A model ready to compute, and what belongs to it."""

    model: CodeModel
    config: Config
    """The run's own configuration; for a Hugging Face folder, the defaults around its model."""
    tokenizer: CodeTokenizer
    source: str
    """`step-00000100` or the folder's name, for messages."""


@contextlib.contextmanager
def open_model(folder: Path, *, share: bool = False) -> Iterator[Native]:
    """Load either kind of folder.

    Args:
        folder: Hugging Face folder or run directory.
        share: whether the processes that torchrun, mpirun or srun started together hold a part of each layer
            (tensor parallelism); otherwise this one holds all of it, whatever started it.

    Raises:
        UserError: the folder is missing or is neither kind, or what is in it does not fit together.
    """
    if (folder / "config.json").exists():
        with open_hf(folder, share=share) as native:
            yield native
    elif (folder / "config.yaml").exists():
        with open_run(folder, share=share) as native:
            yield native
    else:
        what = "is neither a Hugging Face folder nor a run directory" if folder.is_dir() else "does not exist"
        raise UserError(
            f"{folder} {what}: looked for config.json (Hugging Face) and for config.yaml (run directory); "
            "give what `aixmeg train` or `aixmeg convert to-hf` wrote"
        )


@contextlib.contextmanager
def open_run(run: Path, *, step: int | None = None, share: bool = False) -> Iterator[Native]:
    """Load a checkpoint of a run, whatever parallel layout wrote it; the newest by default.

    Raises:
        UserError: no run directory, no complete checkpoint, or a tokenizer of another vocabulary.
    """
    config = read_run_config(run)
    tokenizer = read_tokenizer(run / "tokenizer", config.model)
    with run_model(run, config, step, share=share) as (model, source):
        yield Native(model, config, tokenizer, source)


@contextlib.contextmanager
def run_model(
    run: Path, config: Config, step: int | None = None, *, share: bool = False
) -> Iterator[tuple[CodeModel, str]]:
    """The model of a run's checkpoint, and the checkpoint's name.

    The weights are read here, not by megatron-core, whose loading unpickles whatever the checkpoint's table of contents
    holds.

    Raises:
        UserError: no complete checkpoint, or one of another model.
    """
    checkpoint, weights = _open_weights(run, config, step)
    with _for_evaluation(config, share=share) as (model, topology):
        _check_names(set(by_global_name(model, config.model)), set(weights), checkpoint)
        _fill(model, config.model, topology, weights.items())
        yield model, checkpoint.name


@contextlib.contextmanager
def streamed_run_model(
    run: Path, config: Config, step: int | None, *, rounded: torch.dtype
) -> Iterator[tuple[CodeModel, torch.device]]:
    """As `run_model`, of one process, with the weights of one layer in memory at a time, rounded to a type; and the
    device that it computes on.

    Raises:
        UserError: no complete checkpoint, or one of another model.
    """
    from aixmeg.model.names import named_parameters, parameter_table
    from aixmeg.parallel import launch

    device = launch.discover({}).device
    checkpoint, weights = _open_weights(run, config, step)
    with _for_evaluation(config, share=False, filled=False) as (model, _):
        names = {one: info.name for info, one in named_parameters(model, parameter_table(config.model))}
        _check_names(set(names.values()), set(weights), checkpoint)
        # A tied output layer has no parameter and takes the embedding's.
        kept = [model.embedding.word_embeddings] if config.model.share_embeddings_and_output_weights else []

        def read(parameter: Parameter) -> Tensor:
            return read_as(weights[names[parameter]], rounded).to(device)

        with streamed(model, model.decoder.layers, read, kept=kept):
            yield model, device


def _open_weights(run: Path, config: Config, step: int | None) -> tuple[Path, CheckpointWeights]:
    from aixmeg.train.folders import latest_checkpoint, read_manifest

    checkpoint = latest_checkpoint(run, step)
    check_model(checkpoint, read_manifest(checkpoint)["model"], config.model)
    return checkpoint, CheckpointWeights(checkpoint)


@torch.no_grad()
def _fill(model: CodeModel, section: ModelConfig, topology: Topology, weights: Iterable[tuple[str, Tensor]]) -> None:
    """This rank's part of each whole tensor, which are read one at a time."""
    from aixmeg.model.names import named_parameters, parameter_table, shard

    known = {info.name: (info, parameter) for info, parameter in named_parameters(model, parameter_table(section))}
    for name, tensor in weights:
        info, parameter = known[name]
        parameter.copy_(shard(info, tensor, tp_rank=topology.tp_rank, tp_size=topology.tp_size))


def _check_names(wanted: set[str], found: set[str], checkpoint: Path) -> None:
    if wanted != found:
        raise UserError(
            f"the checkpoint {checkpoint} does not hold the weights of its model: "
            f"{', '.join(sorted(wanted ^ found)[:3])} … are in only one of the two; it is damaged, use another one"
        )


@contextlib.contextmanager
def open_hf(folder: Path, *, share: bool = False) -> Iterator[Native]:
    """Load a Llama folder that has our tokenizer.

    Raises:
        UserError: not a Llama folder, damaged, or without tokenizer.model.
    """
    section = read_model_config(folder)
    config = Config(model=section, tokenizer=TokenizerConfig(vocab_size=section.vocab_size))
    tokenizer = read_tokenizer(folder, section)
    weights = SafetensorsFolder(folder)
    with _for_evaluation(config, share=share) as (model, topology):
        _fill(model, section, topology, from_hf(weights, section))
        yield Native(model, config, tokenizer, folder.name)


def check_model(checkpoint: Path, saved: Mapping[str, Any], model: ModelConfig) -> None:
    """Refuse a checkpoint of another model: a changed rotary_base would load without a sign and compute something else.

    Raises:
        UserError: names the options that differ.
    """
    current = dataclasses.asdict(model)
    how = (*ANY_WEIGHTS, "init_method_std")  # not what the weights are
    changed = [
        f"model.{name} was {saved.get(name)!r}, is now {value!r}"
        for name, value in current.items()
        if name not in how and saved.get(name) != value
    ]
    if changed:
        raise UserError(
            f"the checkpoint {checkpoint} belongs to another model than config.yaml of its run says: "
            f"{'; '.join(changed)}; restore config.yaml"
        )


def by_global_name(model: CodeModel, section: ModelConfig) -> dict[str, Parameter]:
    """Parameters of an unsplit model by the names that the table uses, whichever layer set made it."""
    from aixmeg.model.names import named_parameters, parameter_table

    return {info.name: parameter for info, parameter in named_parameters(model, parameter_table(section))}


def read_run_config(run: Path) -> Config:
    """The resolved configuration of a run.

    Raises:
        UserError: `run` is not a run directory.
    """
    file = run / "config.yaml"
    if not file.exists():
        what = "has no config.yaml, so it is not a run directory" if run.is_dir() else "does not exist"
        raise UserError(f"{run} {what}; give the folder that `aixmeg train` wrote (paths.run)")
    return load_config(file)


def read_tokenizer(folder: Path, model: ModelConfig) -> CodeTokenizer:
    """The tokenizer of a folder, which must fit the model.

    Raises:
        UserError: missing, not one of ours, or of more pieces than the model has rows.
    """
    tokenizer = CodeTokenizer.from_folder(folder)
    if tokenizer.vocab_size > model.vocab_size:
        raise UserError(
            f"the tokenizer in {folder} has {tokenizer.vocab_size} pieces, but the model {model.vocab_size}; "
            "it belongs to another model"
        )
    return tokenizer


@contextlib.contextmanager
def _for_evaluation(config: Config, *, share: bool, filled: bool = True) -> Iterator[tuple[CodeModel, Topology]]:
    """An fp32 model of this process alone or of all that were started, in evaluation mode, its weights not yet set; not
    `filled`, it has no memory for them.

    fp32 holds every bf16 weight exactly, so nothing is lost between a checkpoint and a file.

    Raises:
        UserError: the model cannot be cut into as many parts as there are processes.
    """
    from aixmeg.parallel import launch

    here = launch.discover() if share else launch.discover({})
    from aixmeg.model.builder import build_model  # after aixmeg.parallel, which prepares megatron-core
    from aixmeg.parallel.topology import Topology

    whole = dataclasses.replace(
        config,
        # Of the options that change how a model computes, these two need more than fp32 on any device.
        model=dataclasses.replace(config.model, fp8=None, attention_backend="auto"),
        parallel=ParallelConfig(tensor_model_parallel_size=here.world_size),
        train=dataclasses.replace(config.train, precision="fp32"),
    )
    if problems := list(layout_conflicts(whole)) if share else []:
        raise UserError(f"the model cannot be cut over the {here.world_size} processes: {'; '.join(problems)}")
    launch.start(here)
    try:
        topology = Topology.create(whole.parallel, whole.train.seed)
        try:
            # Built without memory first: every weight is about to be read, so initial ones would be drawn for nothing.
            (model,) = build_model(whole, topology, device="meta")
            if filled:
                model.to_empty(device=here.device)
            yield model.eval(), topology
        finally:
            topology.destroy()
    finally:
        launch.stop()
