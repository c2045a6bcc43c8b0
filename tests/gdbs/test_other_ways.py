"""Recording by hand, and through gdbserver, with each GDB."""

from __future__ import annotations

import json
import signal

import pytest
from support.exactness import COUNTS, sum_by_line
from support.gdbs import find_gdb

OLDEST = "bullseye"
"""Its GDB cannot detach from a process that runs, and so is refused where nobody can halt it."""

HOST_GDB = find_gdb("host") / "gdb"

pytestmark = pytest.mark.usefixtures("needs_ptrace", "gdb")


@pytest.fixture
def exact(build_target, start_target):
    """Return a program that knows what it allocates."""
    return start_target(build_target("exact.cpp", "-fno-optimize-sibling-calls"))


@pytest.fixture
def worker(build_target, start_target):
    """Return a busy program that checks what it has written."""
    return start_target(build_target("worker.c"))


def assert_same(truth, report):
    """Assert that a report counts what a program has."""
    expected = {site["line"]: {key: site[key] for key in COUNTS} for site in truth}
    assert expected == sum_by_line(report)
    window = report["window"]
    assert (window["missed_frees"], window["lost_events"]) == (0, 0)
    assert window["ended_by"] == "interrupt"


def assert_undamaged(worker):
    """Assert that nothing of a busy program was harmed."""
    worker.assert_as_found()
    assert worker.ask("end").endswith(" 0 damaged")
    assert worker.wait() == 0


def test_by_hand(box, exact):
    box.prepare(exact.pid)
    gdb = box.start(exact.pid)
    box.wait_for_window()
    truth = json.loads(exact.ask("go"))
    gdb.send_signal(signal.SIGINT)
    status, said = box.finish()

    assert status == 0, said
    report = box.report()
    assert_same(truth, report)
    assert report["verification"]["ok"] is True
    exact.assert_as_found()
    assert json.loads(exact.ask("again"))


def test_busy_target_by_hand(box, worker):
    box.prepare(worker.pid)
    box.start(worker.pid, GDBLEAK_MAX_EVENTS=2000)
    status, said = box.finish()

    assert status == 0, said
    report = box.report()
    assert (report["window"]["ended_by"], report["window"]["events"]) == ("max-events", 2000)
    assert report["verification"]["ok"] is True
    assert_undamaged(worker)


def test_gdb_is_killed_by_hand(box, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    box.prepare(puppet.pid)
    gdb = box.start(puppet.pid)
    box.wait_for_window()
    gdb.kill()
    box.finish()  # its output ends when the watchman does

    puppet.assert_as_found()
    assert puppet.ask("leak 3") == "leaked"


@pytest.fixture
def client(gdb):
    """Return the GDB that is used with a version's gdbserver: its own, where that can be."""
    return HOST_GDB if gdb.parent.name == OLDEST else gdb / "gdb"


@pytest.mark.parametrize("attached", [False, True], ids=["multi", "attach"])
def test_remote(cli, client, serve, exact, attached):
    how = ("--attach", "127.0.0.1:0", exact.pid) if attached else ("--multi", "127.0.0.1:0")
    address, env = serve(*how).address, {"GDBLEAK_GDB": str(client)}
    trace = cli.start_trace(exact.pid, "--remote", address, env=env)
    truth = json.loads(exact.ask("go"))
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert_same(truth, report)
    exact.assert_as_found()
    assert json.loads(exact.ask("again"))


def test_busy_target_remote(cli, client, serve, worker):
    address, env = serve("--multi", "127.0.0.1:0").address, {"GDBLEAK_GDB": str(client)}
    trace = cli.start_trace(worker.pid, "--remote", address, "--max-events", 500, env=env)
    report = trace.finish().report

    assert (report["window"]["ended_by"], report["window"]["events"]) == ("max-events", 500)
    assert_undamaged(worker)
