"""``python -m numbacnn.compat SCRIPT [ARGS]``."""

import sys

from .run import run

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m numbacnn.compat SCRIPT [ARGS]")
    sys.exit(run(sys.argv[1], sys.argv[2:]))
