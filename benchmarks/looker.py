"""Looks at a process again and again until its standard input ends, and prints what it took.

    python benchmarks/looker.py PID BLOCKS BYTES_A_SECOND [--only-read]

The blocks are some addresses in the largest mapping. It is what gdbleak starts for a window, and
as nice; it prints a line of JSON, the values of `Looked`.
"""

from __future__ import annotations

import json
import math
import os
import re
import select
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gdbleak.memory.look import Ranges, look
from gdbleak.memory.pieces import Range, choose_regions, iter_pieces, touched
from gdbleak.memory.search import Pace
from gdbleak.memory.table import Table
from gdbleak.target.searched import SearchedProcess

BLOCK_BYTES = 64
NICENESS = 5


class Looked(NamedTuple):
    """What looks took."""

    rates: list[float]
    """Bytes of each look that was ended, for a second of processor time."""
    peak_bytes: int
    """The most resident memory."""


class EndedError(Exception):
    """It was told to end."""


def listen(_: float) -> None:
    """Go on as long as standard input does."""
    if select.select([sys.stdin], [], [], 0)[0]:
        raise EndedError


def choose_blocks(process: SearchedProcess, count: int) -> Table:
    """Return a table of blocks all over the largest mapping."""
    regions = choose_regions(process.read_mappings())
    largest = max(regions, key=lambda region: region.end - region.start)
    places = (largest.end - largest.start) // BLOCK_BYTES
    numbers = np.unique(np.random.default_rng(1).integers(0, places, count))
    return Table([(largest.start + n * BLOCK_BYTES, BLOCK_BYTES) for n in numbers.tolist()])


def read_only(process: SearchedProcess, ranges: Iterable[Range], pace: Pace) -> int:
    """Read what a look reads, and do nothing with it; return how many bytes it is."""
    size = 0
    for _, words in iter_pieces(process.read, ranges):
        size += words.nbytes
        pace.step(words.nbytes)
    return size


def main(pid: int, count: int, bytes_per_s: float, only_read: bool) -> None:
    """Look until told to end."""
    os.nice(NICENESS)
    rates = []
    with SearchedProcess(pid) as process:
        table, nothing = choose_blocks(process, count), Ranges([])
        pace = Pace(bytes_per_s, math.inf, listen)
        try:
            while True:
                began_s = time.process_time()
                ranges = touched(choose_regions(process.read_mappings()), process.find_pages)
                pace.begin_look(0, sum(end - start for start, end in ranges))
                if only_read:
                    size = read_only(process, ranges, pace)
                else:
                    size = look(table, process.read, ranges, pace.step, nothing).scanned_bytes
                rates.append(size / (time.process_time() - began_s))
        except EndedError:
            pass
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps(Looked(rates, int(kilobytes) << 10)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), "--only-read" in sys.argv)
