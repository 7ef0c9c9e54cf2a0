"""One source file to one training example: choice, header lines, token ids."""

from __future__ import annotations

from aixmeg.config import DataConfig
from aixmeg.corpus import SourceFile
from aixmeg.languages import LANGUAGES, header_lines
from aixmeg.sfim.choose import Choice, choose
from aixmeg.sfim.format import Example, ntp_example, psm_example, spm_example
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer


def header_of(language: str, path: str) -> str:
    """Header lines of a file; a language that the table does not list has none."""
    known = LANGUAGES.get(language)
    return "" if known is None else header_lines(known, path)


def encode_source(source: SourceFile, tokenizer: CodeTokenizer, config: DataConfig) -> tuple[Example, Choice]:
    """Choose the form of a file's example and lay it out."""
    data = source.text.encode()
    choice = choose(config, repository=source.repository, path=source.path, language=source.language, source=data)
    header = header_of(source.language, source.path)
    if choice.span is None:
        return ntp_example(tokenizer, header=header, text=source.text), choice
    parts = {
        "prefix": data[: choice.span.start].decode(),
        "middle": data[choice.span.start : choice.span.end].decode(),
        "suffix": data[choice.span.end :].decode(),
    }
    layout = spm_example if choice.mode == "spm" else psm_example
    return layout(tokenizer, header=header, **parts), choice
