"""`aixmeg complete`: fill in code at a cursor."""

from __future__ import annotations

import codecs
import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aixmeg.errors import UserError
from aixmeg.generate.source import Surroundings, from_cursor, from_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from aixmeg.tokenizer import CodeTokenizer


@dataclasses.dataclass(frozen=True)
class Completion:
    """What the model wrote, and how it came to an end."""

    text: str
    tokens: list[int]
    stopped: Literal["end", "length"]
    """`end`: the model closed the middle; `length`: max_new_tokens were reached."""
    prompt_tokens: int
    note: str
    """Which part of the file did not fit in the context; empty when all of it did."""


def complete(
    model: Path,
    *,
    file: Path | None = None,
    cursor: str | None = None,
    prefix_file: Path | None = None,
    suffix_file: Path | None = None,
    mode: Literal["psm", "spm"] = "psm",
    max_new_tokens: int = 64,
    as_json: bool = False,
) -> dict[str, Any]:
    """Print the completion among the lines around the cursor, or one JSON object; return that object.

    Raises:
        UserError: contradictory options, a cursor outside the file, a file that is no text, or no model in `model`.
    """
    if max_new_tokens < 1:
        raise UserError(f"--max-new-tokens {max_new_tokens} must be at least 1")
    around = _surroundings(file, cursor, prefix_file, suffix_file)
    import torch  # after the cheap checks

    from aixmeg.convert.native import open_model

    with open_model(model, share=True) as native, _progress(max_new_tokens) as advance:
        found = infill(native, around, mode=mode, max_new_tokens=max_new_tokens, on_token=advance)
        leads = torch.distributed.get_rank() == 0
    answer = dataclasses.asdict(found)
    if not leads:
        pass  # all ranks of a model that is cut have the same text
    elif as_json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        _print(around, found)
    return answer


def infill(
    native: Any,
    around: Surroundings,
    *,
    mode: Literal["psm", "spm"] = "psm",
    max_new_tokens: int = 64,
    on_token: Callable[[int], None] = lambda token: None,
) -> Completion:
    """Complete with a model that is already loaded (`aixmeg.convert.native.open_model`)."""
    from aixmeg.generate.context import build_prompt
    from aixmeg.generate.decode import greedy

    tokenizer: CodeTokenizer = native.tokenizer
    context = native.config.model.seq_length
    prompt = build_prompt(tokenizer, around, mode=mode, context=context, max_new_tokens=max_new_tokens)
    made = greedy(native.model, prompt.ids, max_new_tokens=max_new_tokens, stop_ids=stop_ids(native), on_token=on_token)
    return Completion(decode_text(tokenizer, made.ids), made.ids, made.stopped, len(prompt.ids), prompt.note)


def stop_ids(native: Any) -> set[int]:
    """Ids that end a completion: a middle holds no control piece, and ids beyond the tokenizer's are padding."""
    tokenizer: CodeTokenizer = native.tokenizer
    stop = {token for token in range(tokenizer.vocab_size) if tokenizer.is_control(token)}
    return stop | set(range(tokenizer.vocab_size, native.config.model.vocab_size))


def _surroundings(
    file: Path | None, cursor: str | None, prefix_file: Path | None, suffix_file: Path | None
) -> Surroundings:
    if file is not None and (prefix_file or suffix_file):
        raise UserError("--file goes with --cursor, --prefix-file with --suffix-file; give one of the two pairs")
    if file is not None:
        if cursor is None:
            raise UserError(f"--file {file} needs --cursor LINE:COLUMN, both counted from 1")
        return from_cursor(file, cursor)
    if cursor is not None:
        raise UserError(f"--cursor {cursor} needs --file FILE")
    if prefix_file is None:
        raise UserError("nothing to complete: give --file FILE --cursor LINE:COLUMN, or --prefix-file FILE")
    return from_files(prefix_file, suffix_file)


def decode_text(tokenizer: CodeTokenizer, ids: list[int]) -> str:
    """Text of the new tokens; a character of which the limit cut off the last bytes is left out."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(tokenizer.decode_bytes(ids))


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("writing", total=total)
        yield lambda token: bar.advance(task)


def _print(around: Surroundings, found: Completion) -> None:
    from rich.console import Console

    from aixmeg.generate.show import show

    show(Console(), around, found.text)
    end = "the model ended it" if found.stopped == "end" else "cut at --max-new-tokens"
    lines = [f"{len(found.tokens)} tokens from a prompt of {found.prompt_tokens}; {end}", found.note]
    print("\n".join(filter(None, lines)), file=sys.stderr)
