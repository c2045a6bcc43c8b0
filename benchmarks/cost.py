"""What a trace costs a target: a malloc+free pair, and the longest gap it sees, with and without.

    python benchmarks/cost.py [ROUNDS]

Both sides run in turn on the same process, so that the ratio holds when the machine drifts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Thread

from tabulate import tabulate

import gdbleak

SECONDS = 5
SLOW_US = 50


def read_second(target: subprocess.Popen[str]) -> tuple[float, float]:
    """Return (microseconds a pair, longest gap in ms) of the target's next second."""
    assert target.stdout
    pairs, time, gap = target.stdout.readline().split()
    return float(time) / int(pairs) * 1e6, float(gap)


def main(rounds: int) -> None:
    """Measure and print."""
    source = Path(__file__).with_name("pairs.c")
    untraced: list[tuple[float, float]] = []
    traced: list[tuple[float, float]] = []
    gaps = []
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "pairs")
        subprocess.run(["gcc", "-O2", source, "-o", program], check=True)
        with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as target:
            for _ in range(rounds):
                untraced += (read_second(target) for _ in range(SECONDS))
                trace = Thread(target=gdbleak.trace, args=(target.pid, SECONDS))
                trace.start()
                seconds = []
                while trace.is_alive():
                    seconds.append(read_second(target))
                gaps += (gap for _, gap in seconds)
                # Whole seconds of the window: before and after it a pair costs next to nothing.
                traced += [(cost, gap) for cost, gap in seconds if cost > SLOW_US][1:-1]
            target.terminate()
    rows = [
        (
            name,
            f"{statistics.median(cost for cost, _ in seconds):.3g}",
            f"{min(cost for cost, _ in seconds):.3g} .. {max(cost for cost, _ in seconds):.3g}",
            f"{max(longest):.3g}",
        )
        for name, seconds, longest in (
            ("untraced", untraced, [gap for _, gap in untraced]),
            ("traced", traced, gaps),
        )
    ]
    ratio = statistics.median(c for c, _ in traced) / statistics.median(c for c, _ in untraced)
    print(tabulate(rows, ("", "us a pair", "spread", "longest gap ms")))
    print(f"ratio of the medians: {ratio:,.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
