"""`python -m gdbleak`, and the `gdbleak` command."""

from __future__ import annotations

import sys

from gdbleak.cli import main


def entry() -> None:
    """Run the command of this process's arguments."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry()
