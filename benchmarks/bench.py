"""What watching costs a process: gdbleak, its peers, and the least that is possible, in one run.

    python benchmarks/bench.py [--rounds N] [--seconds S] [--only TEXT...]

Needs root, or the right to trace one's own processes. See docs/benchmarks.md for the columns.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from figures import HEADS, SERVICE_HEADS, raw_stop_us, row
from peers import PEERS, RAW, UNTRACED, Peer, missing
from redis_load import REDIS_HEADS, Load, RedisMissingError, measure_redis, redis_row
from runs import CPUS, Run, RunError, measure
from tabulate import tabulate
from targets import TARGETS, build

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2, help="how often each is run (default: 2)")
    parser.add_argument(
        "--seconds", type=int, default=3, help="how long each run is (default: 3, at least 2)"
    )
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="TEXT", help="only rows with this in their name"
    )
    options = parser.parse_args()
    for number in ENDINGS:
        signal.signal(number, end)
    chosen = [
        p for p in PEERS if p.name == UNTRACED or any(text in p.name for text in options.only)
    ]
    notes = [
        f"not measured, not installed: {peer.name} ({peer.program})"
        for peer in chosen
        if missing(peer)
    ]
    peers = [peer for peer in chosen if not missing(peer)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        os.sched_setaffinity(0, CPUS[-1:])  # out of the way of what is pinned to the first
        run_targets(peers, options.rounds, max(2, options.seconds), folder, notes)
        run_redis(peers, options.rounds, max(2, options.seconds), folder, notes)
    print("\n".join(dict.fromkeys(notes)))


def end(number: int, _: object) -> None:
    """End with the cleaning up undisturbed: nothing that is traced is left behind."""
    for other in ENDINGS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def run_targets(
    every: list[Peer], rounds: int, seconds: int, folder: Path, notes: list[str]
) -> None:
    """Print a table for each target."""
    one_thread: dict[bool, float | None] = {}
    for program in TARGETS:
        runs: dict[str, list[Run]] = defaultdict(list)
        peers = [peer for peer in every if peer.threads >= program.threads]
        for _ in range(rounds):
            for peer in peers:
                progress(f"{program.title}: {peer.name}")
                try:
                    runs[peer.name].append(measure(peer, program, seconds, folder))
                except RunError as error:
                    notes.append(f"{program.title}: {error}")
        if program.hot and program.threads == 1:
            one_thread[program.pinned] = raw_stop_us(runs[RAW])
        raw_us = one_thread.get(program.pinned) if program.hot else None
        rows = [
            row(peer.name, runs[peer.name], raw_us, runs[UNTRACED])
            for peer in peers
            if runs[peer.name]
        ]
        show(program.title, rows, HEADS + SERVICE_HEADS)


def run_redis(every: list[Peer], rounds: int, seconds: int, folder: Path, notes: list[str]) -> None:
    """Print the table of redis."""
    title = "redis under redis-benchmark"
    loads: dict[str, list[Load]] = {}
    for peer in (peer for peer in every if peer.serves):
        progress(f"{title}: {peer.name}")
        try:
            loads[peer.name] = [measure_redis(peer, seconds, folder) for _ in range(rounds)]
        except RunError as error:
            notes.append(f"{title}: {error}")
        except RedisMissingError as error:
            notes.append(f"{title}: not measured: {error}")
            return
    untraced = loads.get(UNTRACED, [])
    show(title, [redis_row(*named, untraced) for named in loads.items()], REDIS_HEADS)


def show(title: str, rows: list[tuple[str, ...]], heads: tuple[str, ...]) -> None:
    """Print a table under its title."""
    progress("")
    width = max((len(cells) for cells in rows), default=0)
    print(f"{title}\n{tabulate(rows, heads[:width], disable_numparse=True)}\n", flush=True)


def progress(text: str) -> None:
    """Say on a terminal what is going on."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


if __name__ == "__main__":
    main()
