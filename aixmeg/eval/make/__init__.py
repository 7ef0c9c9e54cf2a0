"""`aixmeg eval make`: a FIM-Eval set from repositories that were held out of the training."""

from aixmeg.eval.make.command import make

__all__ = ["make"]
