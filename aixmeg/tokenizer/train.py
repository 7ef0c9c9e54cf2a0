"""Training SentencePiece BPE so that code round-trips and the same text gives the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from aixmeg.errors import UserError
from aixmeg.files import atomic_write
from aixmeg.tokenizer.pieces import SPECIAL_PIECES, WORD_BOUNDARY

CHUNK = 4096
"""Characters per training sentence. A sentence above `max_sentence_length` is skipped without a word: with the default
of 4192 bytes, most of a corpus, whole files being sentences, would be. 4096 characters are at most 16 KB."""
_NEVER_LEARNT = re.compile(f"[\0{WORD_BOUNDARY}\ud800-\udfff]+")


def train_sentencepiece(texts: Iterable[str], out_file: Path, *, vocab_size: int) -> None:
    """Train on `texts` and write `out_file`, atomically; the same texts give the same bytes on any machine.

    Raises:
        UserError: no text, or a vocabulary that the text cannot fill or that is smaller than the text's alphabet.
    """
    import sentencepiece

    model = io.BytesIO()
    feed = _Feed(texts)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(feed),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            control_symbols=list(SPECIAL_PIECES.values()),  # user-defined symbols would match source text
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            required_chars="\t\n\r" + WORD_BOUNDARY,  # rare in some corpora; a byte piece never merges into "\t\t"
            max_sentence_length=65_536,
            num_threads=4,  # stored in the model, so fixed; the pieces do not depend on it
            minloglevel=3,
        )
    except RuntimeError as error:
        raise feed.error or _training_error(error, vocab_size) from error
    with atomic_write(out_file, "wb") as file:
        file.write(model.getvalue())


def chunks(text: str) -> Iterator[str]:
    """Cut `text` into pieces of at most CHUNK characters, after a newline where there is one.

    U+2581 and NUL mean something else to SentencePiece; text is cut there too, so neither is learnt.
    """
    for part in _NEVER_LEARNT.split(text):
        start = 0
        while start < len(part):
            end = start + CHUNK
            if end < len(part):
                end = part.rfind("\n", start, end) + 1 or end
            yield part[start:end]
            start = end


class _Feed:
    """Iterates over training sentences; keeps the error that SentencePiece would turn into a string."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = texts
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for text in self.texts:
                yield from chunks(text)
        except Exception as error:
            self.error = error
            raise


def _training_error(error: RuntimeError, vocab_size: int) -> UserError:
    """What SentencePiece says, without its source lines, and what to do."""
    said = str(error).rpartition("] ")[2].strip()
    if "sentences_.empty()" in str(error):
        return UserError("no text to train a tokenizer on: every text is empty; build a corpus with more files")
    if "too high" in said:
        limit = re.search(r"<= (\d+)", said)
        remedy = f"at most {limit[1]}" if limit else "smaller"
        return UserError(
            f"vocab_size={vocab_size} is more than this text has pieces for (SentencePiece: {said}); "
            f"make tokenizer.vocab_size {remedy}, or train on more text (tokenizer.max_training_bytes)"
        )
    if "required_chars" in said:
        needed = re.search(r"vs (\d+)", said)
        least = f"at least {needed[1]}" if needed else "larger"
        return UserError(
            f"vocab_size={vocab_size} does not hold this text's alphabet beside 256 byte pieces and 9 control pieces; "
            f"make tokenizer.vocab_size {least}, with room for the pieces to learn"
        )
    return UserError(f"SentencePiece cannot train a tokenizer with vocab_size={vocab_size}: {said or error}")
