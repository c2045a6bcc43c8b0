"""What a window of the inline probe costs, by how much the process allocates.

    python benchmarks/inline_window.py [--seconds S] [PAIRS_A_SECOND...]

A real window on a program that allocates at a rate, and then the report of its recording.
"""

from __future__ import annotations

import argparse
import re
import signal
import statistics
import sys
import tempfile
from pathlib import Path

from meter import Tool
from report import measure
from runs import END_S, READY_S, SETTLE_S, RunError
from spans import RECORDING, read_window
from tabulate import tabulate
from targets import Target, build, wait_until

from gdbleak.recording.reader import Recording

HEADS = (
    "pairs/s before",
    "in the window",
    "longest gap ms",
    "M calls recorded",
    "lost",
    "1 block in",
    "recorder CPU s/s",
    "recorder MB",
    "recording MB",
    "report s of CPU",
    "report MB",
)


def window(rate: int, seconds: float, folder: Path) -> tuple[str, ...]:
    """Return the row of a rate.

    Raises:
        RunError: there was no window.

    """
    place = folder / RECORDING
    place.unlink(missing_ok=True)
    command = [sys.executable, "-m", "gdbleak", "trace", "--probe", "inline", "--save", str(place)]
    command += ["--duration", str(seconds), "-v", "-o", str(folder / "window.txt")]
    with Target([str(folder / "storm"), str(rate)], folder) as target:
        target.wait_lines(10)
        usual = statistics.median(line.pairs / line.seconds for line in target.lines[1:])
        with Tool([*command, str(target.pid)], target.pid, folder) as tool:
            ended = wait_until(lambda: tool.process.poll() is not None, READY_S + seconds + END_S)
            span = read_window(folder)
            if not ended or span is None:
                raise RunError((folder / "tool.log").read_text())
        begin, end = span
        lines = [ln for ln in target.lines if ln.begin >= begin + SETTLE_S and ln.end <= end]
    weighed = [(at, used) for at, used in tool.cpu if begin + SETTLE_S <= at <= end]
    (first, before), (last, after) = weighed[0], weighed[-1]
    with Recording(str(place)) as recording:
        inline = recording.end.inline if recording.end else None
    events = re.search(r"recorded inline: +([\d,]+)", (folder / "window.txt").read_text())
    if inline is None or events is None or not lines:
        raise RunError((folder / "tool.log").read_text())
    _, report_s, report_mib = measure(place, folder)
    return (
        f"{usual:,.0f}",
        f"{statistics.median(line.pairs / line.seconds for line in lines):,.0f}",
        f"{max(line.longest_gap_ms for line in lines):.1f}",
        f"{int(events[1].replace(',', '')) / 1e6:,.1f}",
        f"{inline.lost:,}",
        str(inline.one_of),
        f"{(after - before) / (last - first):.2f}",
        f"{max((size for at, size in tool.sizes if at <= end), default=0) / 1e6:,.0f}",
        f"{place.stat().st_size / 1e6:,.1f}",
        f"{report_s:.1f}",
        f"{report_mib * 1.048576:,.0f}",
    )


def main() -> None:
    """Measure and print."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rates", nargs="*", type=int, default=[100_000, 1_000_000, 4_000_000])
    parser.add_argument("--seconds", type=float, default=15.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        rows = [window(rate, asked.seconds, folder) for rate in asked.rates]
    print(tabulate(rows, HEADS, disable_numparse=True))


if __name__ == "__main__":
    main()
