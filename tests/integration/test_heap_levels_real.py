"""What a trace knows because it has counted the heap: real processes, real GDBs."""

from __future__ import annotations

import time

import psutil
import pytest
from support.libraries import find_library
from support.processes import wait_until

pytestmark = pytest.mark.usefixtures("needs_ptrace")

OLD_S = 10.5
"""A process is old when it is ten times as old as the window."""


@pytest.fixture
def start(build_target, start_target):
    """Return a function that starts the program that keeps, replaces and works so often a tick."""
    return lambda *each: start_target(build_target("levels.c"), *map(str, each))


def words(report):
    """Return the verdicts, by function."""
    return {site["function"]: site["verdict"]["word"] for site in report["sites"]}


def evidence(report, function):
    [site] = [site for site in report["sites"] if site["function"] == function]
    return site["verdict"]["evidence"]


def test_a_sample_is_sure_of_what_the_heap_holds(cli, start):
    """In bursts, blocks of a full ring get old too: but there are no more of them than before."""
    target = start(2, 1, 20)
    target.ask("keep")
    options = (target.pid, "--probe", "breakpoint", "--no-references", "--duration", 5)
    report = cli.run("trace", *options, "--format", "json").report
    assert report["window"]["sampling"] is not None
    found = words(report)
    assert found["keep"] == "leak", report["sites"]
    assert "the heap holds more and more blocks of this size" in evidence(report, "keep")
    assert found.get("replace", "churn") == "churn", evidence(report, "replace")
    assert report["heap"]["growing"][0]["high"] == 200
    assert report["heap"]["growing"][0]["blocks_per_s"] > 0
    target.assert_as_found()


@pytest.mark.slow
def test_blocks_that_cannot_have_lived_for_long_are_no_definite_leak(cli, start):
    """The process is old, and has only as many of them as came in a second."""
    target = start(1, 0, 0)
    process = psutil.Process(target.pid)
    wait_until(lambda: time.time() - process.create_time() > OLD_S, "a process that is old")
    options = ("--duration", 1, "--no-references")
    tracing = cli.start_trace(target.pid, *options)
    target.ask("keep")
    report = tracing.finish().report
    said = evidence(report, "keep")
    assert words(report)["keep"] == "leak?", said
    assert "they are freed later, or it began lately" in said
    without = cli.start_trace(target.pid, *options, "--no-heap").finish().report
    assert "began lately" not in evidence(without, "keep")
    assert without["heap"] == {"censuses": 0, "took_s": 0, "reason": "--no-heap", "growing": []}


def test_another_allocator_is_not_counted(cli, build_target, start_target):
    jemalloc = find_library("libjemalloc.so.2")
    program = build_target("levels.c")
    target = start_target("/usr/bin/env", f"LD_PRELOAD={jemalloc}", program, "1", "0", "0")
    target.ask("keep")
    report = cli.run("trace", target.pid, "--duration", 0.5, "--format", "json").report
    assert report["heap"]["reason"] == "only the heap of glibc's malloc can be counted"
    assert report["sites"]


def test_a_window_that_ends_early_has_its_censuses(cli, start):
    target = start(1, 0, 0)
    target.ask("keep")
    report = cli.start_trace(target.pid, "--max-events", 5000).finish().report
    assert report["window"]["ended_by"] == "max-events"
    assert report["heap"]["censuses"] >= 1, report["heap"]
    target.assert_as_found()
