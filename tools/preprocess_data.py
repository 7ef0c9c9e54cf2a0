"""JSON lines to PREFIX_KEY_document.bin and .idx: arguments and output of Megatron-LM's preprocess_data.py.

    python tools/preprocess_data.py --input corpus.jsonl --output-prefix data/corpus --workers 8 --append-eod \\
        --tokenizer-type SentencePieceTokenizer --tokenizer-model tokenizer.model
"""

import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is loaded: a process that forks has one thread

from aixmeg.data.preprocess import main

if __name__ == "__main__":
    sys.exit(main())
