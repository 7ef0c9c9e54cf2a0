"""Decodes with models that are cut over the ranks that started, and runs the commands that do."""

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from aixmeg import cli
from aixmeg.convert.native import open_model
from aixmeg.generate.batch import generate
from aixmeg.generate.decode import greedy
from aixmeg.generate.sampling import Sampling
from aixmeg.parallel import launch

NEW = 24
PROMPTS = [[1, *((7 * i + 13 * j) % 900 + 50 for j in range(length))] for i, length in enumerate((3, 40, 17, 90))]


def work(
    folders: Sequence[Path], commands: Sequence[list[str]], ports: Sequence[int]
) -> tuple[list[dict[str, Any]], list[str]]:
    """What the model of each folder writes, and what each command prints; the ranks meet anew for each, at a port."""
    launch.stop()
    meetings, printed, models = iter(ports), [], []
    for words in commands:
        os.environ["MASTER_PORT"] = str(next(meetings))
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert cli.main(words) == 0
        printed.append(out.getvalue())
    for folder in folders:
        os.environ["MASTER_PORT"] = str(next(meetings))
        models.append(written(folder))
    return models, printed


def written(folder: Path) -> dict[str, Any]:
    """Number of weights held, tokens by several ways, logits."""
    options = {"max_new_tokens": NEW, "stop_ids": {2}}
    with open_model(folder, share=True) as native:
        model = native.model
        tokens, sampling = torch.tensor([PROMPTS[3]]), Sampling(temperature=0.8)
        sampled = generate(model, PROMPTS, sampling=sampling, seeds=[1, 2, 3, 4], **options)
        found = {
            "parts": sum(parameter.numel() for parameter in model.parameters()),
            "greedy": [greedy(model, prompt, **options).ids for prompt in PROMPTS],
            "together": [one.ids for one in generate(model, PROMPTS, **options)],
            "sampled": [one.ids for one in sampled],
            "logits": model.logits(tokens),
        }
        model.bfloat16()
        bf16 = [one.ids for one in generate(model, PROMPTS, **options)]
        return found | {"bf16 logits": model.logits(tokens).float(), "bf16": bf16}
