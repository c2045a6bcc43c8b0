"""A program that knows what it allocates, and the report that has to say the same."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from support.cli import Cli
from support.processes import Target

COUNTS = (
    "allocated_count",
    "allocated_bytes",
    "freed_count",
    "outstanding_count",
    "outstanding_bytes",
)
SOURCES = ("exact.cpp", "sites.c")


def allocating_line(site: Any) -> int:
    """Return the innermost line of the program itself: allocator and library come before it."""
    lines = (f["line"] for f in site["frames"] if Path(f["file"] or "").name in SOURCES)
    return int(next(lines))


def sum_by_line(report: Any) -> dict[int, Counter[str]]:
    """Return the counts of a report by the line of the program that allocates."""
    sums: dict[int, Counter[str]] = {}
    for site in report["sites"]:
        counts = sums.setdefault(allocating_line(site), Counter())
        counts.update({key: site[key] for key in COUNTS})
    return sums


def assert_exact(cli: Cli, target: Target, allocator: str, *options: object, **how: Any) -> None:
    """Trace a round of a program's allocations, and compare with what it knows about them."""
    trace = cli.start_trace(target.pid, *options, **how)
    truth = json.loads(target.ask("go"))
    trace.send(signal.SIGINT)
    report = trace.finish().report

    expected = {site["line"]: {key: site[key] for key in COUNTS} for site in truth}
    assert expected == sum_by_line(report)
    window = report["window"]
    freed = sum(site["freed_count"] for site in truth)
    assert (window["frees"], window["missed_frees"], window["lost_events"]) == (freed, 0, 0)
    assert (window["complete"], report["verification"]["ok"]) == (True, True)
    assert report["target"]["allocator"].startswith(allocator)
