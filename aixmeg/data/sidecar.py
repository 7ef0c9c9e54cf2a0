"""What lies beside the tokens: one row per file, counts of each token id, and data.json.

A row is an example, from `<s>` to `</s>`, unless files were laid out together (`data.sfim.context_share`): then an
example is the rows from a `place` of 0 to the one before the next 0, all but the last of them NTP.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg.config.sfim import STRATEGIES as SFIM_STRATEGIES
from aixmeg.errors import UserError

NTP: Final = 0
FIM: Final = 1
SFIM: Final = 2
OBJECTIVES: Final = ("ntp", "fim", "sfim")
NO_MODE: Final = 0
PSM: Final = 1
SPM: Final = 2
MODES: Final = ("none", "psm", "spm")
STRATEGIES: Final = ("", "random", "lines", *SFIM_STRATEGIES)
"""How a middle was chosen; "" for NTP."""
WITHOUT_TREE: Final = ("", "no_grammar", "parse_limit", "no_place")
"""Why structured FIM, though drawn, became something else."""

ROW: Final = np.dtype(
    [
        ("document", "<i8"),  # index of the repository in this split
        ("offset", "<i8"),  # position of the file's first token, its <s> if it has one, in its document
        ("length", "<i8"),  # tokens, <s> and </s> included
        ("objective", "u1"),  # index in OBJECTIVES
        ("mode", "u1"),  # index in MODES
        ("middle_offset", "<i8"),  # position of the middle in its document, in tokens; -1 for NTP
        ("middle_length", "<i8"),  # tokens of the middle without </s>; 0 for NTP
        ("file", "<i8"),  # index of the file in the corpus
        ("place", "<u4"),  # files before it in its example; 0: the example begins here, with <s>
        ("strategy", "u1"),  # index in STRATEGIES
        ("without_tree", "u1"),  # index in WITHOUT_TREE
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
