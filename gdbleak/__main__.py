"""`python -m gdbleak`, and the `gdbleak` command."""

from __future__ import annotations

import signal
import sys

from gdbleak.cli import main


def entry() -> None:
    """Run the command of this process's arguments."""
    # Leave by way of every `finally`: there are files to remove, and perhaps a process to release.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry()
