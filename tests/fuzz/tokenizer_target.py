"""Fuzz target of the tokenizer: UTF-8 comes back byte for byte with SentencePiece's ids, everything else is refused.

python tests/fuzz/tokenizer_target.py TOKENIZER_FOLDER [libFuzzer options]
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["aixmeg.tokenizer"]):
    from aixmeg.tokenizer import CodeTokenizer
    from aixmeg.tokenizer.reference import NotUtf8Error, ReferenceEncoder

TOKENIZER = CodeTokenizer.from_folder(Path(sys.argv.pop(1)))
REFERENCE = ReferenceEncoder(TOKENIZER._processor, split_boundary=True)


def one_input(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        try:
            TOKENIZER.encode_bytes(data)
        except NotUtf8Error as refused:
            assert refused.position == error.start
            return
        raise AssertionError("taken, though no UTF-8") from error
    ids = TOKENIZER.encode_bytes(data).tolist()
    assert TOKENIZER.decode_bytes(ids) == data
    assert ids == REFERENCE.encode(data).tolist()
    middle = len(data[: len(data) // 2].decode(errors="ignore").encode())
    parts = TOKENIZER.encode_slices(data, [(0, middle), (middle, len(data))])
    assert b"".join(TOKENIZER.decode_bytes(part.tolist()) for part in parts) == data


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
