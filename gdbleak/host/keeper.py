"""The keeper of a leash: cleans up when gdbleak has died before it could.

    python -I -S keeper.py

reads from its input these lines:

    hold PID       kill this process group at the end, by the PID of its leader
    release PID    this process group has ended
    remove PATH    remove this folder at the end; the path is in hexadecimal

and acts when its input ends, which happens when gdbleak ends.

It runs as a script on the standard library alone, so that it is small and starts fast.
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
