"""Fuzz target of the index reader: whatever the bytes, they are read whole or refused with a UserError.

python tests/fuzz/index_target.py [libFuzzer options, such as -runs=100000 -seed=1 or a corpus folder]
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["aixmeg.data.indexed"]):
    from aixmeg.data.indexed import MAGIC, TokenStream
from aixmeg.errors import UserError

FOLDER = Path(tempfile.mkdtemp())


def one_input(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    prefix = FOLDER / "x"
    tokens = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 64))
    head = MAGIC + (1).to_bytes(8, "little") if provider.ConsumeBool() else b""
    prefix.with_suffix(".bin").write_bytes(tokens)
    prefix.with_suffix(".idx").write_bytes(head + provider.ConsumeBytes(provider.remaining_bytes()))
    try:
        stream = TokenStream(prefix)
        parts = [stream.document(index) for index in range(min(len(stream), 100))]
        stream.verify()
    except UserError:
        return
    assert len(stream) > 100 or b"".join(part.tobytes() for part in parts) == tokens


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
