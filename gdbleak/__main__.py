"""`python -m gdbleak`, and the `gdbleak` command."""

from __future__ import annotations

import os
import signal
import sys

from gdbleak.cli import main


def entry() -> None:
    """Run the command of this process's arguments."""
    _fill_standard_streams()
    # Leave by way of every `finally`: there are files to remove, and perhaps a process to release.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    status = main(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is over: one more Ctrl-C changes nothing
    sys.exit(status)


def _fill_standard_streams() -> None:
    """Open what was closed when we were started; other files would be taken for it else."""
    while os.open(os.devnull, os.O_RDWR) <= 2:
        pass
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - for good


if __name__ == "__main__":
    entry()
