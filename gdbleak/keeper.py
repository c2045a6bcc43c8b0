"""The keeper of a leash: ends what gdbleak has started without a target, when gdbleak dies.

    python -I -S keeper.py

reads from its input the lines `hold PID` and `release PID` of leaders of process groups. At the end
of its input, which is the end of gdbleak, it kills the groups that it still holds.

It runs as a script, on the standard library alone, to be small and to start fast.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Read to the end of the input, and act."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    held = set()
    for line in sys.stdin:
        word, leader = line.split()
        if word == "hold":
            held.add(int(leader))
        else:
            held.discard(int(leader))
    for group in held:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:  # it has ended by itself
            continue


if __name__ == "__main__":
    main()
