"""Between native checkpoints, Hugging Face folders and GGUF files: `aixmeg convert` under the name Megatron users know.

python tools/convert_checkpoint.py to-hf RUN OUT --verify
python tools/convert_checkpoint.py from-hf HF_DIR RUN
python tools/convert_checkpoint.py to-gguf RUN OUT.gguf
"""

import sys

from aixmeg.cli import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
