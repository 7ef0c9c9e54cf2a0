"""From folders of repositories to cleaned source files.

`build.py` reads top to bottom: walk the sources, read and hash every candidate, drop exact copies and what exceeds a
repository's budget, drop what does not parse, publish. Each step is one file; each drop has a reason of `reasons.py`.
"""

from aixmeg.corpus.source_file import SourceFile, read_corpus

__all__ = ["SourceFile", "read_corpus"]
