"""Near-duplicate files and repositories: MinHash signatures in the scan, one decision over all shards.

Scan: `Sketches.add` per file, `Sketches.write` per shard. Decide: `find_duplicates`. Alone: `deduplicate`.
"""

from aixmeg.corpus.near.bands import Bands, choose_bands
from aixmeg.corpus.near.decide import OUTCOMES, VERDICT, Duplicates, find_duplicates
from aixmeg.corpus.near.run import Result, deduplicate
from aixmeg.corpus.near.shards import Sketches
from aixmeg.corpus.near.sketch import grams, jaccard, signature

__all__ = [
    "OUTCOMES",
    "VERDICT",
    "Bands",
    "Duplicates",
    "Result",
    "Sketches",
    "choose_bands",
    "deduplicate",
    "find_duplicates",
    "grams",
    "jaccard",
    "signature",
]
