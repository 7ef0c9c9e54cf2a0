"""Running generated programs where they can harm nothing."""

from aixmeg.eval.sandbox.run import Limits, Mode, Outcome, Sandbox

__all__ = ["Limits", "Mode", "Outcome", "Sandbox"]
