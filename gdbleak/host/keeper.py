"""The keeper of a leash: does what gdbleak was to do in the end, when gdbleak has died before.

    python -I -S keeper.py

reads from its input these lines:

    hold PID       the leader of a process group that is to be killed
    release PID    it has ended
    remove PATH    a folder that is to be removed; its path in hexadecimal

and acts at the end of its input, which is that of gdbleak.

It runs as a script, on the standard library alone, to be small and to start fast.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys


def main() -> None:
    """Read to the end of the input, and act."""
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    groups: set[int] = set()
    folders: list[bytes] = []
    for line in sys.stdin:
        word, value = line.split()
        if word == "hold":
            groups.add(int(value))
        elif word == "release":
            groups.discard(int(value))
        else:
            folders.append(bytes.fromhex(value))
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:  # it has ended by itself
            continue
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
