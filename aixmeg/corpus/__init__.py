"""From sources to cleaned source files, repository by repository.

`build.py` reads top to bottom: scan every file, gather what is known of each repository, judge licences, decide which
files are kept, clean those, order them, publish. `phases.py` is what an executor needs to know, `steps.py` the table of
what is done to a file by itself; each drop has a reason of `reasons.py`.
"""

from aixmeg.corpus.source_file import SourceFile, read_corpus

__all__ = ["SourceFile", "read_corpus"]
