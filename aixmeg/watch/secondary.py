"""Whether a rank's error is its own, or what another rank's end left behind in it."""

from __future__ import annotations

from typing import Any

from aixmeg.errors import OthersError, UserError

_BROKEN = ("onnection", "Broken pipe", "imed out", "imeout", "NCCL", "gloo", "ocket", "peer")
"""In what torch.distributed raises (RuntimeError and its subclasses) when another rank is gone."""
_LONGEST = 500


def report_of(error: BaseException) -> dict[str, Any]:
    """What a rank tells of its error.

    Returns:
        kind: refused for an error that is explained, else raised. secondary: whether it, or an error that it came
        from, is another rank's end. cause: one line.
    """
    explained = isinstance(error, UserError)
    text = str(error) if explained else f"{type(error).__name__}: {error}"
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    return {
        "kind": "refused" if explained else "raised",
        "secondary": any(_is_anothers(one) for one in chain),
        "cause": " ".join(text.split())[:_LONGEST],
    }


def _is_anothers(error: BaseException) -> bool:
    broken = isinstance(error, RuntimeError) and any(word in str(error) for word in _BROKEN)
    return broken or isinstance(error, OthersError)
