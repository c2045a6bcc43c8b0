"""What it costs to search a process for references: beside reading alone, and for the process.

    python benchmarks/references.py [--rounds N] [--seconds S] [GIGABYTES...]

The processes are a program that waits for its memory all the time, and a redis under its own
benchmark, each with so much resident memory (0.2 and 2 GB). The search is that of a window, done
again and again, with the pace that `--scan-rate` has by default and without one. What runs in turns
is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import sleep

from figures import ratio, short, spread
from looker import Looked
from redis_load import Load, RedisMissingError, grow, put_load, start_redis
from runs import SETTLE_S
from tabulate import tabulate
from targets import Target, build

from gdbleak.capture.limits import Limits

GIGABYTES = [0.2, 2.0]
BLOCKS = 10, 10_000, 100_000
USUAL = 10_000
"""So many blocks are searched for where something else is measured."""
PACED, UNPACED = float(Limits().scan_rate), 1e15
VALUE_BYTES = 1000
OVERHEAD = 1.1
"""Redis takes so many times the bytes of its values."""
FIRST_S = 120.0
RATE_HEADS = (
    "GB",
    "reading alone",
    *(f"{count:,} blocks" for count in BLOCKS),
    "look : read",
    "tool MB",
)
SLOW_HEADS = ("GB", "alone", "paced", "paced : alone", "unpaced", "unpaced : alone")


@contextmanager
def looking(pid: int, blocks: int, bytes_per_s: float, *options: str) -> Iterator[list[Looked]]:
    """Look at a process meanwhile; what was seen is in the list when that is over."""
    script = Path(__file__).with_name("looker.py")
    command = [sys.executable, str(script), str(pid), str(blocks), str(bytes_per_s), *options]
    seen: list[Looked] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        sleep(SETTLE_S * 2)  # it imports numpy
        yield seen
        said, _ = process.communicate()
        seen.append(Looked(*json.loads(said)))


def look_for(pid: int, seconds: float, blocks: int, *options: str) -> Looked:
    """Look at full speed at a process that stands still, and that often enough."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        with looking(pid, blocks, UNPACED, *options) as seen:
            sleep(seconds)
        os.kill(pid, signal.SIGCONT)
        if seen[0].rates:
            return seen[0]
        seconds *= 2


def measure_rates(pid: int, rounds: int, seconds: float) -> tuple[str, ...]:
    """Return how fast a process is read, and searched."""
    read: list[float] = []
    rates: dict[int, list[float]] = defaultdict(list)
    peaks = []
    for _ in range(rounds):
        read += look_for(pid, seconds, USUAL, "--only-read").rates
        for blocks in BLOCKS:
            looked = look_for(pid, seconds, blocks)
            rates[blocks] += looked.rates
            peaks.append(looked.peak_bytes)
    speeds = [spread([rate / 1e9 for rate in each]) for each in (read, *rates.values())]
    return (*speeds, ratio(rates[USUAL], read), short(max(peaks) / 1e6))


def compare(pid: int, rounds: int, measure: Callable[[], list[float]]) -> tuple[str, ...]:
    """Return what a process gets done alone, with looks at the usual pace, and without a pace."""
    alone: list[float] = []
    found: dict[float, list[float]] = defaultdict(list)
    for _ in range(rounds):
        alone += measure()
        for pace in (PACED, UNPACED):
            with looking(pid, USUAL, pace):
                found[pace] += measure()
    cells = [spread(alone)]
    for values in found.values():
        cells += [spread(values), ratio(values, alone)]
    return tuple(cells)


def measure_roaming(
    size: float, rounds: int, seconds: float, folder: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rates of the search, and the millions of reads a second of the program."""
    with Target([folder / "roam", str(int(size * 1e9))], folder) as target:
        target.wait_lines(2)
        rates = measure_rates(target.pid, rounds, seconds)

        def count_reads() -> list[float]:
            before = len(target.lines)
            sleep(seconds)
            return [line.pairs / line.seconds / 1e6 for line in target.lines[before + 1 :]]

        return rates, compare(target.pid, rounds, count_reads)


def measure_redis(
    size: float, rounds: int, seconds: float, folder: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the requests a second of a redis, and its latency."""
    with ExitStack() as stack:
        redis, socket = start_redis(stack, folder, "--enable-debug-command", "local")
        count = str(int(size * 1e9 / VALUE_BYTES / OVERHEAD))
        fill = ["redis-cli", "-s", str(socket), "DEBUG", "POPULATE", count, "key", str(VALUE_BYTES)]
        subprocess.run(fill, check=True, stdout=subprocess.DEVNULL, timeout=FIRST_S)
        requests = int(grow(socket, seconds).rate * seconds)
        loads: list[Load] = []

        def count_requests() -> list[float]:
            loads.append(put_load(socket, requests))
            return [loads[-1].rate]

        rates = compare(redis.pid, rounds, count_requests)
    cells: list[str] = []
    alone, paced, unpaced = ([load.p99 for load in loads[kind::3]] for kind in range(3))
    cells = [spread(alone), spread(paced), ratio(paced, alone), spread(unpaced)]
    return rates, (*cells, ratio(unpaced, alone))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gigabytes", nargs="*", type=float, default=GIGABYTES)
    parser.add_argument("--rounds", type=int, default=3, help="how often (default: 3)")
    parser.add_argument("--seconds", type=float, default=3, help="how long (default: 3)")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tables: dict[tuple[str, tuple[str, ...]], list[tuple[str, ...]]] = defaultdict(list)
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        for size in asked.gigabytes:
            how = size, asked.rounds, asked.seconds, folder
            rates, reads = measure_roaming(*how)
            tables["GB for a second of processor time", RATE_HEADS].append((short(size), *rates))
            tables["million random reads/s", SLOW_HEADS].append((short(size), *reads))
            try:
                requests, latencies = measure_redis(*how)
            except RedisMissingError as error:
                print(f"redis: not measured: {error}")
                continue
            tables["redis, requests/s", SLOW_HEADS].append((short(size), *requests))
            tables["redis, p99 ms", SLOW_HEADS].append((short(size), *latencies))
    for (title, heads), rows in tables.items():
        print(f"\n{title}\n{tabulate(rows, heads, disable_numparse=True)}")
    print(f"\nload after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
