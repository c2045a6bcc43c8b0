"""The report's counts and bytes are those the program itself knows."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("needs_ptrace")

COUNTS = (
    "allocated_count",
    "allocated_bytes",
    "freed_count",
    "outstanding_count",
    "outstanding_bytes",
)


def allocating_line(site):
    """Return the innermost line of the program itself: allocator and library come before it."""
    return next(
        frame["line"]
        for frame in site["frames"]
        if Path(frame["file"] or "").name in ("exact.cpp", "sites.c")
    )


def sum_by_line(report):
    """Return the counts of a report by the line of the program that allocates."""
    sums = {}
    for site in report["sites"]:
        counts = sums.setdefault(allocating_line(site), Counter())
        counts.update({key: site[key] for key in COUNTS})
    return sums


def test_counts_and_bytes_of_every_site_are_exact_twenty_times(cli, build_target, start_target):
    exact = start_target(build_target("exact.cpp", "-fno-optimize-sibling-calls"))
    for _ in range(20):
        trace = cli.start_trace(exact.pid)
        truth = json.loads(exact.ask("go"))
        trace.send(signal.SIGINT)
        report = trace.finish().report

        expected = {site["line"]: {key: site[key] for key in COUNTS} for site in truth}
        assert expected == sum_by_line(report)

        window = report["window"]
        freed = sum(site["freed_count"] for site in truth)
        assert (window["frees"], window["missed_frees"], window["lost_events"]) == (freed, 0, 0)
        assert (window["complete"], report["verification"]["ok"]) == (True, True)
