"""Who fills the gaps: a folder's model, an OpenAI-compatible server, or a stand-in that checks the benchmark itself."""

from __future__ import annotations

import contextlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from aixmeg.corpus.mpi_ranks import refuse_copies
from aixmeg.errors import UserError
from aixmeg.eval.task import Task
from aixmeg.languages import LANGUAGES, header_lines

_TRIES: Final = 6
STAND_INS: Final = ("oracle", "empty")


@dataclass(frozen=True, kw_only=True)
class GenerateSettings:
    """How completions are made."""

    samples: int = 1
    """Completions of each task."""
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    """Share of probability that is drawn from."""
    seed: int = 0
    """Of all draws."""
    max_new_tokens: int = 256
    """Longest completion."""
    mode: Literal["psm", "spm"] = "psm"
    """Order of the prompt's parts."""
    batch_size: int = 8
    """Prompts decoded together."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """Of weights and activations."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One completion."""

    text: str
    stopped: str
    """`end`: the model ended it; `length`: the limit did."""
    tokens: int | None = None
    note: str = ""
    """What did not fit into the context."""


class Completer(Protocol):
    """Fills gaps; its answers depend on (settings, task, number of the sample) alone."""

    name: str

    def complete(self, jobs: Sequence[tuple[Task, int]]) -> list[Answer]:
        """An answer for each (task, number of the sample)."""
        ...


@contextlib.contextmanager
def open_completer(model: str, settings: GenerateSettings, *, workers: int) -> Iterator[Completer]:
    """What `--model` names: `oracle`, `empty`, an http(s) address, or a folder.

    Raises:
        UserError: the folder holds no model, or sampling from a stand-in.
    """
    if model in STAND_INS:
        yield _StandIn(model)
    elif model.startswith(("http://", "https://")):
        yield _Endpoint(model, settings, workers)
    else:
        from aixmeg.generate.ranks import lead  # loads torch

        with lead(Path(model), dtype=settings.dtype) as native:
            yield _Folder(native, settings)


def followed(model: str, settings: GenerateSettings) -> bool:
    """Whether this is one of the processes behind the first one; if so, it has done its share of the work.

    Raises:
        UserError: the folder holds no model, or srun or mpirun started several processes for what one does.
    """
    if model in STAND_INS or model.startswith(("http://", "https://")):
        refuse_copies("aixmeg eval", remedy=f"`--model {model}` is not shared out: start one process (`srun -n 1`)")
        return os.environ.get("RANK", "0") != "0"  # torchrun's: one is enough
    from aixmeg.generate.ranks import follow  # loads torch

    return follow(Path(model), dtype=settings.dtype)


class _StandIn:
    """The reference solution, or nothing: what the benchmark's scorer says of them is known."""

    def __init__(self, name: str) -> None:
        self.name = name

    def complete(self, jobs: Sequence[tuple[Task, int]]) -> list[Answer]:
        return [Answer(text=task.reference if self.name == "oracle" else "", stopped="end") for task, _ in jobs]


class _Folder:
    """A model of ours, in this process or cut over several."""

    def __init__(self, native: Any, settings: GenerateSettings) -> None:
        from aixmeg.generate.command import stop_ids

        self.name = native.source
        self._native, self._settings = native, settings
        self._stop = stop_ids(native)

    def complete(self, jobs: Sequence[tuple[Task, int]]) -> list[Answer]:
        from aixmeg.generate.command import decode_text
        from aixmeg.generate.ranks import decode_together
        from aixmeg.generate.sampling import Sampling, text_seed

        settings = self._settings
        prompts = [self._prompt(task) for task, _ in jobs]
        made = decode_together(
            self._native, [ids for ids, _ in prompts], max_new_tokens=settings.max_new_tokens,
            stop_ids=self._stop, sampling=Sampling(temperature=settings.temperature, top_p=settings.top_p),
            seeds=[text_seed(settings.seed, task.name, number) for task, number in jobs],
        )  # fmt: skip
        return [
            Answer(
                text=decode_text(self._native.tokenizer, one.ids), stopped=one.stopped, tokens=len(one.ids), note=note
            )
            for one, (_, note) in zip(made, prompts, strict=True)
        ]

    def _prompt(self, task: Task) -> tuple[list[int], str]:
        from aixmeg.generate.context import build_prompt
        from aixmeg.generate.source import Surroundings

        tokenizer, context = self._native.tokenizer, self._native.config.model.seq_length
        header = header_lines(LANGUAGES[task.language], "")
        if task.suffix is not None:
            around = Surroundings(task.prefix, task.suffix, header)
            prompt = build_prompt(
                tokenizer, around, mode=self._settings.mode, context=context,
                max_new_tokens=self._settings.max_new_tokens,
            )  # fmt: skip
            return prompt.ids, prompt.note
        before, text = tokenizer.encode(header), tokenizer.encode(task.prefix)
        room = context - self._settings.max_new_tokens - 1 - len(before)
        if room < 1:
            raise UserError(
                f"max_new_tokens={self._settings.max_new_tokens} leaves no room for a prompt in the model's {context} "
                "tokens; choose fewer"
            )
        note = f"the first {len(text) - room} tokens of the prompt were left out" if len(text) > room else ""
        return [tokenizer.bos, *before, *text[-room:]], note


class _Endpoint:
    """A server's `/v1/completions`; the prompt's form is the server's business."""

    def __init__(self, address: str, settings: GenerateSettings, workers: int) -> None:
        base, _, self._model = address.partition("#")
        base = base.rstrip("/").removesuffix("/completions")
        self._url = f"{base if base.endswith('/v1') else base + '/v1'}/completions"
        self.name = address
        self._settings, self._workers = settings, workers

    def complete(self, jobs: Sequence[tuple[Task, int]]) -> list[Answer]:
        with ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(self._one, jobs))

    def _one(self, job: tuple[Task, int]) -> Answer:
        from aixmeg.generate.sampling import text_seed

        task, number = job
        body = {
            "model": self._model or "default", "prompt": task.prefix, "max_tokens": self._settings.max_new_tokens,
            "temperature": self._settings.temperature, "top_p": self._settings.top_p,
            "seed": text_seed(self._settings.seed, task.name, number) % 2**31,
        }  # fmt: skip
        if task.suffix is not None:
            body["suffix"] = task.suffix
        answer = self._post(json.dumps(body).encode())
        try:
            choice = answer["choices"][0]
            text, why = choice["text"], choice.get("finish_reason")
        except (KeyError, IndexError, TypeError) as error:
            raise UserError(f"{self._url} answered {str(answer)[:200]}, which holds no choices[0].text") from error
        tokens = (answer.get("usage") or {}).get("completion_tokens")
        return Answer(text=text or "", stopped="length" if why == "length" else "end", tokens=tokens)

    def _post(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(min(30, 2**attempt / 4))
            try:
                request = urllib.request.Request(self._url, body, headers)  # noqa: S310 (http or https, checked)
                with urllib.request.urlopen(request, timeout=600) as response:  # noqa: S310
                    return json.load(response)
            except urllib.error.HTTPError as error:
                problem = f"status {error.code}: {error.read(300).decode('utf-8', 'replace')}"
                if error.code not in (408, 409, 429) and error.code < 500:
                    break
            except (OSError, ValueError) as error:
                problem = str(error)
        raise UserError(f"{self._url} gave no completion: {problem}; run the same command again to go on")
