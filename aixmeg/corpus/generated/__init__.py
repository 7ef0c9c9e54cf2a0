"""Generated, minified, vendored and data-like files, by name, first comment and statistics."""

from aixmeg.corpus.generated.statistics import Statistics, statistics
from aixmeg.corpus.generated.step import make_step

__all__ = ["Statistics", "make_step", "statistics"]
