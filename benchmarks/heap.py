"""What a look at a heap takes, and how exact it is: beside the program's own truth.

    python benchmarks/heap.py [--rounds N] [--blocks MILLIONS...] [--gigabytes GB] [--lost]

The processes are one that has so many blocks of 24 bytes (1 and 10 million), every tenth of which
it has freed again; and one of so many gigabytes in blocks of 1,000 bytes, as far as this machine
has the memory. They are counted as they run and as they stand, by the command as a user types it.
For comparison the same memory is read, and nothing done with it.

Another process allocates 100,000 times a second: how many blocks are off is beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from figures import short, spread
from tabulate import tabulate

from gdbleak.target.searched import SearchedProcess

SOURCE = Path(__file__).parents[1] / "tests/targets/heaps/census.c"
MILLIONS = [1.0, 10.0]
SIZE, LARGE_SIZE = 24, 1000
CHUNK_BYTES = 32, 1008
FREED = 10
"""Every such block is freed again."""
THREADS = 4
RATE, STEADY = 100_000, 1_000_000
PIECE_BYTES = 4 << 20
SPARE_BYTES = 3 << 30
"""So much of the memory of this machine is left to others."""
HEADS = ("", "blocks", "heap MB", "s", "whole command s", "tool MB", "pause ms", "off")


class Seen(NamedTuple):
    """One look."""

    seconds: float
    command_s: float
    """From when the command was typed to its last line."""
    peak_bytes: int
    pause_ms: float | None
    counts: dict[int, int]
    """Blocks in use, by the smallest size of each class."""
    read_bytes: int
    lost_s: float | None


class Truthful:
    """A program that knows what it has allocated."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def ask(self) -> dict[str, Any]:
        """Return what it says of itself: see tests/targets/heaps/truth.h."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("truth\n")
        self._process.stdin.flush()
        truth: dict[str, Any] = json.loads(self._process.stdout.readline())
        return truth


@contextmanager
def running(program: Path, *words: object) -> Iterator[Truthful]:
    """Run a program of tests/targets/heaps."""
    command = [str(program), *map(str, words)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield Truthful(process)
        process.kill()


def look(pid: int, *options: str) -> Seen:
    """Look at a heap, as a user does."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "gdbleak", "heap", str(pid), "--format", "json", *options]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took_s = time.monotonic() - begun
        output.seek(0)
        report = json.load(output)
    taking, lost = report["taking"], report["lost"]
    return Seen(
        taking["took_s"],
        took_s,
        usage.ru_maxrss << 10,
        taking["pause_ms"],
        {each["low"]: each["in_use"]["count"] for each in report["sizes"]},
        taking["read_bytes"],
        lost["took_s"] if lost else None,
    )


def count_off(seen: Seen, truth: dict[str, Any]) -> float:
    """Return by how much a look is off, as a share of all blocks."""
    expected: dict[int, tuple[int, int]] = {
        int(size): (count, count) for size, count in truth["in_use"].items()
    }
    for size, low, high in truth.get("churn", []):
        count = expected.get(size, (0, 0))[0]
        expected[size] = count + low, count + high
    off = sum(
        max(low - seen.counts.get(size, 0), seen.counts.get(size, 0) - high, 0)
        for size, (low, high) in expected.items()
        if size <= 1032  # larger ones are counted by classes of several sizes
    )
    return off / (sum(low for low, _ in expected.values()) or 1)


def read_alone(pid: int, rounds: int) -> tuple[str, ...]:
    """Return what it takes to read a heap, and to do nothing with it."""
    taken, size = [], 0
    with SearchedProcess(pid) as process:
        heaps = [
            (each.start, each.end)
            for each in process.read_mappings()
            if not each.inode and each.permissions == "rw-p" and each.path in ("", "[heap]")
        ]
        for _ in range(rounds):
            begun, size = time.monotonic(), 0
            for start, end in heaps:
                for at in range(start, end, PIECE_BYTES):
                    size += len(process.read(at, min(PIECE_BYTES, end - at)))
            taken.append(time.monotonic() - begun)
    return ("reading alone", "", short(size / 1e6), spread(taken), "", "", "", "")


def measure(target: Truthful, rounds: int, names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each way to look at a heap."""
    options = {"running": (), "stopped": ("--stop", "--max-pause", "60000"), "lost": ("--lost",)}
    for name in names:
        seen, off = [], []
        for _ in range(rounds):
            truth = target.ask()
            seen.append(look(target.pid, *options[name]))
            off.append(count_off(seen[-1], truth))
        pauses = [each.pause_ms for each in seen if each.pause_ms is not None]
        yield (
            name,
            f"{sum(seen[-1].counts.values()):,}",
            short(seen[-1].read_bytes / 1e6),
            spread([each.seconds for each in seen]),
            spread([each.command_s for each in seen]),
            short(max(each.peak_bytes for each in seen) / 1e6),
            spread(pauses) if pauses else "",
            f"{100 * max(off):.3g} %",
        )


def show(title: str, rows: Iterable[tuple[str, ...]]) -> None:
    """Print a table."""
    print(f"\n{title}\n")
    print(tabulate([*rows], HEADS, disable_numparse=True))


def main() -> None:
    """Measure all, and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", type=float, nargs="*", default=MILLIONS, metavar="MILLIONS")
    parser.add_argument("--gigabytes", type=float, default=8.0)
    parser.add_argument("--lost", action="store_true", help="look for lost blocks too")
    options = parser.parse_args()
    names = ("running", "stopped", *(["lost"] if options.lost else []))
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / SOURCE.stem
        subprocess.run(["cc", "-O2", "-pthread", "-o", program, SOURCE], check=True)
        for millions in options.blocks:
            count = int(millions * 1e6)
            with running(program, "scale", count, SIZE, 1, FREED) as target:
                rows = [*measure(target, options.rounds, names)]
                rows.append(read_alone(target.pid, options.rounds))
            show(f"{count:,} blocks of {SIZE} bytes, every {FREED}th freed", rows)
        room: float = psutil.virtual_memory().available - SPARE_BYTES
        size = min(options.gigabytes * 1e9, room)
        if size >= 1e8:
            with running(program, "scale", int(size / CHUNK_BYTES[1]), LARGE_SIZE) as target:
                rows = [*measure(target, options.rounds, names)]
                rows.append(read_alone(target.pid, options.rounds))
            show(f"{size / 1e9:.3g} GB in blocks of {LARGE_SIZE:,} bytes", rows)
        with running(program, "rate", RATE, STEADY, THREADS) as target:
            rows = [*measure(target, 2 * options.rounds, names)]
        show(f"{RATE:,} allocations a second beside {STEADY:,} blocks that stay", rows)


if __name__ == "__main__":
    main()
