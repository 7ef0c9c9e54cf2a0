"""What lies beside the tokens: one row per example, counts of each token id, and data.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg.errors import UserError

NTP: Final = 0
FIM: Final = 1
SFIM: Final = 2
OBJECTIVES: Final = ("ntp", "fim", "sfim")
NO_MODE: Final = 0
PSM: Final = 1
SPM: Final = 2
MODES: Final = ("none", "psm", "spm")

ROW: Final = np.dtype(
    [
        ("document", "<i8"),  # index of the repository in this split
        ("offset", "<i8"),  # position of the example's <s> in its document, in tokens
        ("length", "<i8"),  # tokens, from <s> to </s> inclusive
        ("objective", "u1"),  # index in OBJECTIVES
        ("mode", "u1"),  # index in MODES
        ("middle_offset", "<i8"),  # position of the middle in its document, in tokens; -1 for NTP
        ("middle_length", "<i8"),  # tokens of the middle without </s>; 0 for NTP
        ("file", "<i8"),  # index of the file in the corpus
    ]
)


def load_array(path: Path, dtype: np.dtype[Any]) -> np.ndarray:
    """Memory-map a one-dimensional .npy of type `dtype`; nothing is unpickled.

    Raises:
        UserError: missing, truncated, or of another type.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"cannot read {path}: {error}; build it again with `aixmeg data build`") from error
    if array.dtype != dtype or array.ndim != 1:
        raise UserError(f"{path} holds {array.dtype} of shape {array.shape} where {dtype} of one dimension belongs; "
                        "build it again with `aixmeg data build`")  # fmt: skip
    return array
