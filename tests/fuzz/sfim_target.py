"""Fuzz target of SFIM: any text in any language and configuration gives an example that gives its file back.

python tests/fuzz/sfim_target.py TOKENIZER_FOLDER [libFuzzer options]
"""

import dataclasses
import sys
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["aixmeg.sfim", "aixmeg.syntax", "aixmeg.data.encode"]):
    from aixmeg.config import DataConfig
    from aixmeg.config.sfim import STRATEGIES, SfimConfig
    from aixmeg.corpus.source_file import SourceFile
    from aixmeg.data.encode import Encoder, Input, header_of
    from aixmeg.languages import LANGUAGES
    from aixmeg.sfim.format import undo
    from aixmeg.syntax import ParseLimit, SyntaxTree, parse
    from aixmeg.syntax.store import StaleSyntax, pack, unpack
    from aixmeg.tokenizer.code_tokenizer import CodeTokenizer

TOKENIZER = CodeTokenizer.from_folder(Path(sys.argv.pop(1)))
GRAMMARS = sorted(name for name, language in LANGUAGES.items() if language.grammar)
WORDS = ["if", "else", "for", "while", "def", "return", "class", "func", "fn", "int", "begin", "end", "do", "try",
         "x", "name", "1", "'s'", '"s"', "=", "==", "+", ".", ",", ";", ":", "(", ")", "{", "}", "[", "]", "<", ">",
         "->", "//", "/*", "*/", "#", "\n", "\n    ", "\r\n", "\r", "\t", " ", "é", "😀", "\u2028", "▁", "<s>", '"""',
         "\\", "\f", "<a>", "</a>"]  # fmt: skip


def one_input(data: bytes) -> None:
    """Small choices first, so that a mutation of the text keeps them."""
    provider = atheris.FuzzedDataProvider(data)
    language = GRAMMARS[provider.ConsumeIntInRange(0, len(GRAMMARS) - 1)]
    config = _config(provider)
    source = _text(provider)
    example(language, config, source)
    damage(language, source, provider)


def _config(provider: atheris.FuzzedDataProvider) -> DataConfig:
    chosen = [name for name in STRATEGIES if provider.ConsumeBool()] or list(STRATEGIES)
    limits = SfimConfig(
        strategies=dict.fromkeys(chosen, 1.0), min_middle_tokens=provider.ConsumeIntInRange(1, 8),
        max_middle_tokens=provider.ConsumeIntInRange(8, 99),
        without_tree=("line", "random", "ntp")[provider.ConsumeIntInRange(0, 2)],
    )  # fmt: skip
    return DataConfig(
        ntp_share=0.0, fim_share=0.1, max_middle_bytes=provider.ConsumeIntInRange(1, 300),
        seed=provider.ConsumeIntInRange(0, 1 << 40), sfim=limits,
    )  # fmt: skip


def _text(provider: atheris.FuzzedDataProvider) -> bytes:
    """Words of many languages, and now and then any text."""
    parts = []
    while provider.remaining_bytes() and len(parts) < 400:
        word = provider.ConsumeIntInRange(0, 63)
        parts.append(WORDS[word] if word < len(WORDS) else provider.ConsumeUnicodeNoSurrogates(4))
    return "".join(parts).encode()


def example(language: str, config: DataConfig, source: bytes) -> None:
    """From parsed and from stored syntax the same example, and the file back."""
    file = SourceFile(
        repository="r", path="p", language=language, text=source.decode(), bytes=len(source), sha256="", error_share=0.0
    )
    encoder = Encoder(TOKENIZER, config)
    given = Input(file, source)
    encoded = encoder.lay_out(given, choice := encoder.choose(given))
    ids = encoded.example.ids.tolist()
    parts = undo(ids, TOKENIZER, header=header_of(language, "p"), middle_offset=encoded.example.middle_offset)
    assert parts.file == source
    if choice.span is not None:
        assert parts.middle == source[choice.span.start : choice.span.end]
    tree = _tree(language, source)
    if tree is not None:
        blob = pack(tree)
        stored = dataclasses.replace(given, stored=lambda: unpack(blob, LANGUAGES[language], source))
        assert encoder.choose(stored) == choice


def damage(language: str, source: bytes, provider: atheris.FuzzedDataProvider) -> None:
    """A stored tree with a byte changed is refused, or is a tree of this text all the same."""
    tree = _tree(language, source)
    if tree is None:
        return
    blob = bytearray(pack(tree))
    blob[zlib.crc32(blob) % len(blob)] ^= 1 + len(source) % 255
    try:
        found = unpack(bytes(blob), LANGUAGES[language], source)
    except StaleSyntax:
        return
    assert len(found.start) == len(found.end) == len(found.parent)
    assert int(found.end.max(initial=0)) <= len(source)


def _tree(language: str, source: bytes) -> SyntaxTree | None:
    try:
        return parse(LANGUAGES[language], source)
    except ParseLimit:
        return None


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
