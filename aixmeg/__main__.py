"""`python -m aixmeg`, which torchrun needs."""

import sys

from aixmeg.cli import main

if __name__ == "__main__":
    sys.exit(main())
