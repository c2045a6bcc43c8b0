"""Whether bursts find the call stack that leaks, and what they leave of the target's throughput.

    python benchmarks/sampling.py [RUNS [SECONDS [BUDGET]]]

The target has 20 sites that allocate about 200,000 times a second in all, and hold 100 blocks each.
One of them forgets every 20th. Both sides of each ratio are measured on the same process.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

import gdbleak
from gdbleak.api import Progress

SOURCE = Path(__file__).parents[1] / "tests/targets/twenty_sites.c"
LIVE, WORK, RARELY = 100, 18_000, 20
LEAK = "site_13"
CALM_S = 3.0
HEADS = ("first", "its bytes", "next", "calls", "estimated", "scale", "true", "throughput")


class Count(NamedTuple):
    """What the target says of itself."""

    time_s: float
    allocated: int
    forgotten: int

    def rate_since(self, before: Count) -> float:
        """Return how many blocks it has allocated a second."""
        return (self.allocated - before.allocated) / (self.time_s - before.time_s)


def main(runs: int, seconds: float, budget: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "twenty_sites")
        subprocess.run(["cc", "-O2", "-g", "-pthread", SOURCE, "-o", program], check=True)
        rows = [run(program, seconds, budget) for _ in range(runs)]
    print(tabulate([(*cells, f"{kept:.1%}") for cells, kept in rows], HEADS))
    found = sum(cells[0] == LEAK for cells, _ in rows)
    kept = statistics.median(kept for _, kept in rows)
    print(f"{LEAK} first in {found} of {runs}; median throughput {kept:.1%}")


def run(program: Path, seconds: float, budget: float) -> tuple[tuple[object, ...], float]:
    """Trace one process; return the cells of a row, and the throughput that was kept."""
    command = [str(word) for word in (program, LIVE, WORK, RARELY)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as target:
        assert target.stdout
        target.stdout.readline()
        time.sleep(1)
        before = ask(target)
        time.sleep(CALM_S)
        calm = ask(target)
        marks: list[Count] = []

        def mark(progress: Progress) -> None:
            if not marks or progress.elapsed_s > seconds - 0.5:
                marks.append(ask(target))

        report = gdbleak.trace(
            target.pid, seconds, probe="breakpoint", budget_percent=budget, on_progress=mark
        )
        target.kill()
    first, second = report.sites[:2]
    assert first.caller
    sampling = report.window.sampling
    assert sampling
    cells = (
        first.caller.function,
        f"{first.outstanding_bytes:,}",
        f"{second.outstanding_bytes:,}",
        f"{sampling.recorded_calls:,}",
        f"{first.outstanding_count:,}",
        f"{sampling.scale_low:,.0f} to {sampling.scale_high:,.0f}: {sampling.scale:,.0f}",
        marks[-1].forgotten - marks[0].forgotten,
    )
    return cells, marks[-1].rate_since(marks[0]) / calm.rate_since(before)


def ask(target: subprocess.Popen[str]) -> Count:
    """Return what the target has done so far."""
    assert target.stdin
    assert target.stdout
    target.stdin.write("\n")
    target.stdin.flush()
    allocated, forgotten = map(int, target.stdout.readline().split())
    return Count(time.monotonic(), allocated, forgotten)


if __name__ == "__main__":
    defaults = (10.0, 30.0, 10.0)
    given = tuple(float(word) for word in sys.argv[1:])
    runs, seconds, budget = given + defaults[len(given) :]
    main(int(runs), seconds, budget)
