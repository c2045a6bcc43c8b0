"""What it costs to be traced, side by side in one run: see docs/benchmarks.md.

python benchmarks/bench.py [ROUNDS]
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis_bench
from peers import EXACT, MODES, OTHERS, RAW, TENTH, THIRD, Peer
from tabulate import tabulate
from targets import Second, Target, compile_all, run
from usage import Usage

UNTRACED_S, ATTACH_S, TRACED_S = 2, 3, 4
END_S = 60.0
VALGRIND = ("valgrind", "-q")


@dataclass
class Measured:
    """What was seen of a target under one tool."""

    name: str
    seconds: list[Second] = field(default_factory=list)
    attach_ms: list[float] = field(default_factory=list)
    """The longest gap in the seconds in which the tool started."""
    cpu: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Pairs or requests a second, the median."""
        return statistics.median(second.done for second in self.seconds)

    @property
    def cost_us(self) -> list[float]:
        """Microseconds a pair: the least, the median, the most."""
        costs = sorted(1e6 / max(second.done, 1e-3) for second in self.seconds)
        return [costs[0], statistics.median(costs), costs[-1]]


def measure(
    command: Sequence[object], peers: Iterable[Peer], folder: Path, rounds: int, pinned: bool
) -> list[Measured]:
    """Measure a target without a tool and with each, in turn, so many times."""
    prefix = _pin() if pinned else ()
    measured = [Measured("untraced"), *(Measured(peer.name) for peer in peers if peer.is_there)]
    for _ in range(rounds):
        for peer, into in zip((p for p in peers if p.is_there), measured[1:]):
            with run((*prefix, *command)) as target:
                target.read()
                measured[0].seconds += [target.read() for _ in range(UNTRACED_S)]
                _measure(target, (*prefix, *peer.command(target.pid, folder)), peer, into)
    return measured


def measure_valgrind(command: Sequence[object], rounds: int) -> list[Measured]:
    """Measure a target that runs under valgrind from its start, for scale."""
    if shutil.which(VALGRIND[0]) is None:
        return []
    measured = Measured("valgrind, from the start")
    for _ in range(rounds):
        with run((*_pin(), *VALGRIND, *command)) as target:
            target.read()
            measured.seconds += [target.read() for _ in range(TRACED_S)]
    return [measured]


def _pin() -> tuple[str, ...]:
    return "taskset", "-c", str(min(os.sched_getaffinity(0)))


def _measure(target: Target, command: Sequence[str], peer: Peer, into: Measured) -> None:
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as tool:
        try:
            with Usage(tool.pid) as usage:
                started = [target.read() for _ in range(ATTACH_S)]
                into.seconds += [target.read() for _ in range(TRACED_S)]
                into.cpu.append(usage.cpu)
                into.memory.append(usage.memory)
            into.attach_ms.append(max(second.times_ms[-1] for second in started))
            tool.send_signal(peer.end)
            tool.wait(END_S)
        finally:
            tool.kill()


Row = Callable[[Measured], Sequence[str]]


def rows_of_pairs(measured: list[Measured]) -> list[Sequence[str]]:
    """Return the rows of a table of pairs of malloc and free."""
    raw_us = [m.cost_us[1] / 2 for m in measured if m.name == RAW.name]
    rows = []
    for each in measured:
        least, median, most = each.cost_us
        rows.append(
            (
                each.name,
                f"{median:.3g}",
                f"{least:.3g} .. {most:.3g}",
                f"{each.rate:,.0f}",
                f"{each.rate / measured[0].rate:.2%}",
                f"{median / raw_us[0]:.2g}" if raw_us and each.attach_ms else "",
                f"{max(second.times_ms[-1] for second in each.seconds):.3g}",
                *_costs(each),
            )
        )
    return rows


def rows_of_requests(measured: list[Measured]) -> list[Sequence[str]]:
    """Return the rows of a table of requests."""
    rows = []
    for each in measured:
        median, worst = (
            statistics.median(second.times_ms[number] for second in each.seconds)
            for number in range(2)
        )
        longest = max(second.times_ms[-1] for second in each.seconds)
        rows.append(
            (
                each.name,
                f"{each.rate:,.0f}",
                f"{median:.3g}",
                f"{worst:.3g}",
                f"{longest:.3g}",
                *_costs(each),
            )
        )
    return rows


def _costs(each: Measured) -> tuple[str, ...]:
    if not each.cpu:
        return ("", "", "")
    return (
        f"{statistics.median(each.attach_ms):.3g}",
        f"{statistics.median(each.cpu):.0%}",
        f"{max(each.memory) / (1 << 20):.0f}",
    )


COSTS = ("attach ms", "CPU", "MiB")
PAIRS = ("", "us a pair", "spread", "pairs/s", "of it", "raw stops", "gap ms", *COSTS)
REQUESTS = ("", "requests/s", "p50 ms", "p99 ms", "longest ms", *COSTS)


def show(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    sys.stdout.write(f"\n{title}\n\n{tabulate(rows, headers, disable_numparse=True)}\n")
    sys.stdout.flush()


def main(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compile_all(folder)
        hot = (folder / "pairs", 1)
        crowd = (folder / "pairs", 16)
        service = (folder / "service", 2000)
        one_cpu = measure(hot, (*OTHERS, *MODES), folder, rounds, pinned=True)
        one_cpu += measure_valgrind(hot, rounds)
        show("One hot thread, on one processor with the tool", PAIRS, rows_of_pairs(one_cpu))
        free = measure(hot, (RAW, *MODES), folder, rounds, pinned=False)
        show("One hot thread, wherever the kernel runs it", PAIRS, rows_of_pairs(free))
        many = measure(crowd, (EXACT, THIRD, TENTH), folder, rounds, pinned=False)
        show("16 hot threads", PAIRS, rows_of_pairs(many))
        served = measure(service, MODES, folder, rounds, pinned=False)
        show("2,000 requests/s of 20 allocations each", REQUESTS, rows_of_requests(served))
        if redis_bench.is_there():
            asked = redis_bench.measure((EXACT, THIRD, TENTH), folder, rounds)
            show("redis under redis-benchmark: SET", redis_bench.HEADERS, asked)
    missing = sorted({peer.needs for peer in OTHERS if not peer.is_there})
    if not redis_bench.is_there():
        missing.append("redis")
    if shutil.which(VALGRIND[0]) is None:
        missing.append(VALGRIND[0])
    if missing:
        sys.stdout.write(f"\nNot measured, because not installed: {', '.join(missing)}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
