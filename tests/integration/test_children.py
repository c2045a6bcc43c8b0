"""Children of a target are let go: none meets a breakpoint, and the report says how many."""

from __future__ import annotations

import json
import signal
from unittest.mock import ANY

import pytest
from support.crew import TORTURE

pytestmark = pytest.mark.usefixtures("needs_ptrace")

COUNT = 50 * TORTURE


def site_of(report, function):
    """Return the one site whose innermost frame is `function`."""
    [site] = [site for site in report["sites"] if site["function"] == function]
    return site


def test_children_started_in_every_way_never_meet_a_breakpoint(cli, build_target, start_target):
    target = start_target(build_target("children.c"))
    trace = cli.start_trace(target.pid)
    target.tell(str(COUNT))
    truth = json.loads(target.lines.next(600))
    trace.send(signal.SIGINT)
    report = trace.finish().report

    print(truth)  # noqa: T201 - for -rP
    assert truth["failed"] == 0
    assert truth["started"] == COUNT * 2 + COUNT // 2 + 4 * COUNT // 10
    window = report["window"]
    assert (window["ended_by"], window["children"]) == ("interrupt", truth["started"])
    assert report["verification"]["ok"] is True
    churn = site_of(report, "churn")
    assert (churn["allocated_count"], churn["freed_count"]) == (truth["blocks"],) * 2
    assert (window["missed_frees"], window["lost_events"]) == (0, 0)

    assert json.loads(target.ask("10")) == {
        "started": 10 * 2 + 10 // 2 + 4,
        "failed": 0,
        "blocks": ANY,
    }
