"""Secrets and personal data give way to placeholders that keep the code parsable.

Lines worth a look are found by Hyperscan (`engine.py`), then each kind's rule decides on the line (`emails.py`,
`tokens.py` …), and `placeholders.py` says what is put in.
"""

from aixmeg.corpus.scrub.engine import engine
from aixmeg.corpus.scrub.step import Scrubber, make_rules, make_step

__all__ = ["Scrubber", "engine", "make_rules", "make_step"]
