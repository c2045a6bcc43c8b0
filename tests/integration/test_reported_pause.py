"""The longest pause that a report tells of is the one that the target has seen by its own clock."""

from __future__ import annotations

import os
import signal
import time

import pytest
from support.crew import find_gdb, stop
from support.processes import state_of, states_of, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]

FREEZE_MS = 300


class Heartbeat:
    """A target that watches the clock, and a trace of it."""

    def __init__(self, cli, target):
        self.target = target
        self._cli = cli
        self._seen_ms = 0.0
        self.look()
        # What it misses on a busy host while nobody traces it.
        cli.run("doctor", target.pid)
        self._control_ms, self._seen_ms = self.look(), 0.0
        self.trace = cli.start_trace(target.pid)

    def look(self):
        """Return the longest gap in ms that the target has seen so far."""
        self._seen_ms = max(self._seen_ms, float(self.target.ask("gap")))
        return self._seen_ms

    def finish(self):
        """End the trace, assert that it tells of the longest gap, and return its window."""
        self.trace.send(signal.SIGINT)
        window = self.trace.finish().report["window"]
        seen_ms, reported_ms = self.look(), window["longest_pause_ms"]
        tolerance_ms = max(0.2 * seen_ms, 10) + self._control_ms
        assert reported_ms <= seen_ms + tolerance_ms
        assert reported_ms >= seen_ms - tolerance_ms or window["longest_pause_is_least"]
        return window


@pytest.fixture
def watch(build_target, cli, start_target):
    """Return a function that starts so many threads, of which some watch the clock, and a trace."""
    return lambda threads: Heartbeat(cli, start_target(build_target("heartbeat.c"), str(threads)))


@pytest.mark.parametrize("threads", [3, 64])
def test_child_of_vfork(watch, threads):
    """Most GDBs halt every other thread for as long as it lives."""
    heartbeat = watch(threads)
    target = heartbeat.target
    target.tell(f"vfork {FREEZE_MS}")
    wait_until(lambda: "D" in states_of(target.pid), "a thread waited for its child")
    wait_until(lambda: "D" not in states_of(target.pid), "its child had ended")
    assert target.lines.next() == "started"
    window = heartbeat.finish()

    assert 0 < window["stopped_s"] <= window["duration_s"]


def test_gdb_that_is_stopped_for_a_moment(watch):
    """Only the thread that comes to a breakpoint stands still."""
    heartbeat = watch(3)
    target, gdb = heartbeat.target, find_gdb(heartbeat.trace.pid)
    stop(gdb.pid)
    target.tell("leak 1")
    wait_until(lambda: state_of(target.pid) == "t", "it had come to a breakpoint")
    until_s = time.monotonic() + FREEZE_MS / 1e3
    wait_until(lambda: time.monotonic() > until_s, "it had stood there for long enough")
    os.kill(gdb.pid, signal.SIGCONT)
    assert target.lines.next() == "leaked"

    assert heartbeat.look() > FREEZE_MS
    assert heartbeat.finish()["longest_pause_ms"] > FREEZE_MS / 2


def test_gdb_that_is_stopped_while_nobody_needs_it(watch):
    """Whether somebody did is not known for each of many threads."""
    heartbeat = watch(64)
    gdb = find_gdb(heartbeat.trace.pid)
    stop(gdb.pid)
    until_s = time.monotonic() + FREEZE_MS / 1e3
    wait_until(lambda: time.monotonic() > until_s, "it was stopped for long enough")
    os.kill(gdb.pid, signal.SIGCONT)

    assert heartbeat.finish()["longest_pause_is_least"]


def test_attach_and_detach_of_many_threads(watch):
    """None of them stands still for as long as it takes to halt all and let them go."""
    assert watch(500).finish()["longest_pause_ms"] > 0
