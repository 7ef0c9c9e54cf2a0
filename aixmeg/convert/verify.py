"""Does the converted folder compute what the run computes? Logits of both on real text, in fp32, and the tokenizer.

Both models are streamed: memory for a layer, the largest matrix and each layer's output is enough for any size.

Legend: s sequence, h hidden, v vocabulary.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import Parameter

from aixmeg.config import Config
from aixmeg.convert.pickled import open_weights
from aixmeg.convert.streamed import read_as, streamed
from aixmeg.errors import UserError
from aixmeg.files import read_json
from aixmeg.tokenizer import SPECIAL_PIECES, CodeTokenizer

TOLERANCE = 1e-4
"""Largest difference of a logit. Both sides add the same fp32 numbers in another order: 3.4e-5 between them, and as
much from either to fp64, in a random model with logits up to 9; 6.7e-5 in one of aiXcoder-7B's size."""
_MEASURED = 9.0
"""Above logits of this size the tolerance grows with them, as the rounding of fp32 does."""
SAMPLE_TOKENS = 512


@dataclass(frozen=True)
class Outputs:
    """What a model computed for the sample."""

    logits: Tensor
    """[s, v] fp32."""
    layers: Tensor
    """Output of each transformer layer, [layers, s, h] fp32."""


@dataclass(frozen=True)
class Verification:
    """The largest difference found, in logits, and on what."""

    largest_difference: float
    position: int
    tokens: int
    text: str


def our_tokenizer(folder: Path) -> CodeTokenizer | None:
    """The folder's tokenizer.model if it is one of ours; a foreign one may change code, or not be there at all."""
    try:
        return CodeTokenizer.from_folder(folder)
    except UserError:
        return None


def sample_ids(config: Config, tokenizer: CodeTokenizer | None) -> tuple[list[int], str]:
    """Ids of real text and where it is from: the run's held-out data if it is there, else a file of Python itself.

    Without a tokenizer of ours, the bytes of that file serve as ids: two models must agree on any.
    """
    from aixmeg.data.indexed import TokenStream  # loads megatron-core, which aixmeg.parallel has to prepare first

    length = min(SAMPLE_TOKENS, config.model.seq_length)
    if tokenizer is None:
        text = Path(inspect.__file__).read_bytes()[:length]
        return [byte * (config.model.vocab_size - 1) // 255 for byte in text], "bytes of Python's inspect module"
    data = config.paths.at("data")
    with contextlib.suppress(UserError, OSError, KeyError, TypeError):
        if read_json(data / "data.json")["tokenizer_sha256"] == tokenizer.sha256:
            stream = TokenStream(data / "valid")
            ids = np.asarray(stream.read(0, min(length, stream.total))).tolist()
            if len(ids) > 1:
                return ids, "held-out data of the run"
    # inspect.py is on every machine; os.__file__ and the like may be frozen
    text = Path(inspect.__file__).read_text(encoding="utf-8")
    return [tokenizer.bos, *tokenizer.encode(text[: 16 * length])][:length], "source of Python's inspect module"


@torch.no_grad()
def native_outputs(model: Any, ids: Sequence[int], *, device: torch.device, vocab_size: int | None = None) -> Outputs:
    """Run a CodeModel of one process; the logits of the first `vocab_size` pieces, without those of padding."""
    tokens = torch.tensor([list(ids)], device=device)
    with _recorded(model.decoder.layers, len(ids)) as layers:  # each [s, b, h]
        logits = model.logits(tokens)  # [1, s, v]
    return Outputs(logits[0, :, :vocab_size].float().cpu(), layers[0])


@torch.no_grad()
def hf_outputs(folder: Path, ids: Sequence[int], *, rounded: torch.dtype = torch.float32) -> Outputs:
    """Run transformers' model of `folder` in fp32, with the weights of one layer in memory at a time.

    Args:
        folder: of any size.
        ids: of the sample.
        rounded: a type that each weight is rounded to first.

    Raises:
        UserError: transformers' model has a weight that the folder lacks.
    """
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        model = LlamaForCausalLM(config).eval()
    model.model.rotary_emb = LlamaRotaryEmbedding(config)  # frequencies follow from the configuration, in no file
    weights = open_weights(folder)
    names = {parameter: name for name, parameter in model.named_parameters()}  # a tied matrix once
    if missing := sorted(set(names.values()) - set(weights)):
        raise UserError(f"{folder} lacks {len(missing)} weights of transformers' model, such as {missing[0]}")
    layers = model.model.layers

    def read(parameter: Parameter) -> Tensor:
        return read_as(weights[names[parameter]], rounded)

    with streamed(model, layers, read), _recorded(layers, len(ids)) as found:  # each [b, s, h]
        logits = model(torch.tensor([list(ids)]), use_cache=False).logits
    return Outputs(logits[0], found[0])


@contextlib.contextmanager
def _recorded(layers: nn.ModuleList, length: int) -> Iterator[list[Tensor]]:
    """A list that afterwards holds one tensor, [layers, s, h] fp32, of the outputs of a batch of one.

    They go into one block of memory: kept each by itself they lie between freed activations, and the process of a large
    model grows by a multiple of them.
    """
    block: list[Tensor] = []

    def keep(index: int, output: Any) -> None:
        values = (output[0] if isinstance(output, tuple) else output).detach().reshape(length, -1)
        if not block:
            block.append(torch.empty(len(layers), *values.shape))
        block[0][index] = values

    handles = [
        layer.register_forward_hook(lambda module, inputs, output, index=index: keep(index, output))
        for index, layer in enumerate(layers)
    ]
    try:
        yield block
    finally:
        for handle in handles:
            handle.remove()


def check_logits(native: Outputs, hf: Outputs, *, text: str) -> Verification:
    """Compare; NaN on either side is a failure.

    Raises:
        UserError: a logit differs by more than TOLERANCE allows; names the place and the first layer that went astray.
    """
    difference = (native.logits - hf.logits).abs().amax(dim=-1)  # [s]
    position = int(difference.argmax())  # the first NaN, if there is one
    largest = float(difference[position])
    limit = TOLERANCE * max(1.0, float(native.logits.abs().max()) / _MEASURED)
    if math.isfinite(largest) and largest <= limit:
        return Verification(largest, position, len(difference), text)
    per_layer = [float((a - b).abs().max()) for a, b in zip(native.layers, hf.layers, strict=True)]
    listed = ", ".join(f"{number}: {value:.2g}" for number, value in enumerate(per_layer))
    raise UserError(
        f"the converted model differs from the run: a logit at position {position} of {len(difference)} ({text}) is "
        f"off by {largest:.3g}, more than {limit:.2g}; largest difference after each layer: {listed}. Nothing was "
        "written; this is a fault of the conversion or of the machine's memory, so please report it"
    )


def check_tokenizer(folder: Path, tokenizer: CodeTokenizer, ids: Sequence[int]) -> None:
    """AutoTokenizer of `folder` must give the ids that the run was trained with.

    Raises:
        UserError: another id for the text of `ids`, or for a special piece.
    """
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    text = tokenizer.decode(ids, special="visible")
    pieces = list(SPECIAL_PIECES.values())
    expected = [tokenizer.special.__getattribute__(name) for name in SPECIAL_PIECES]
    if theirs.convert_tokens_to_ids(pieces) != expected:
        raise UserError(f"{folder.name}: the exported tokenizer gives other ids to the special pieces; report this")
    if theirs(text, add_special_tokens=False)["input_ids"] != tokenizer.encode(text):
        raise UserError(f"{folder.name}: the exported tokenizer gives other ids to the sample text; report this")
