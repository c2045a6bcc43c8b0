"""The guard repairs a target whose GDB was killed, whatever became of gdbleak."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from support.crew import (
    assert_released,
    find_gdb,
    find_guard,
    leave_copied_instruction,
    stop,
    tracer_of,
)
from support.processes import lives, wait_until

from gdbleak.safety.journal import Journal

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state")


@pytest.fixture
def trace(cli, puppet):
    """Return a trace of the puppet in whose window ten blocks leaked."""
    trace = cli.start_trace(puppet.pid)
    assert puppet.ask("leak 10") == "leaked"
    return trace


def assert_well(puppet):
    puppet.assert_as_found()
    assert puppet.ask("leak 3") == "leaked"


def assert_nothing_left(cli, state):
    assert list(cli.tmpdir.iterdir()) == []
    assert list(state.iterdir()) == []


def test_report_of_a_window_whose_gdb_was_killed(puppet, trace, state):
    find_gdb(trace.pid).kill()

    result = trace.finish()
    assert result.exit_code == 1
    assert "the window ended because GDB ended unexpectedly\n  try: trace again" in result.stderr
    assert result.report["window"]["ended_by"] == "debugger-died"
    assert result.report["verification"]["ok"] is True
    assert [site["outstanding_count"] for site in result.report["sites"]] == [10]
    assert list(state.iterdir()) == []
    assert_well(puppet)


def test_guard_is_deaf_to_signals_and_repairs_without_gdbleak(puppet, trace, state):
    guard = find_guard(trace.pid)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        guard.send_signal(number)
    stop(trace.pid)
    find_gdb(trace.pid).kill()

    [journal] = state.iterdir()
    wait_until(lambda: Journal(journal).closed, "the guard had written down what it did")
    plan, done = map(json.loads, journal.read_text().splitlines())
    assert done.pop("time")
    assert done == {
        "who": "guard",
        "restored": len(plan["probes"]),
        "continued": False,
        "target_lives": True,
        "closed": True,
    }
    wait_until(lambda: tracer_of(puppet.pid) == 0, "the kernel had let go of it")
    assert_well(puppet)

    trace.send(signal.SIGCONT)
    assert trace.finish().report["window"]["ended_by"] == "debugger-died"


def test_guard_takes_out_an_instruction_that_gdb_had_copied(puppet, trace):
    leave_copied_instruction(puppet.pid)
    find_gdb(trace.pid).kill()

    assert trace.finish().report["verification"]["ok"] is True
    assert_well(puppet)


def test_proof_sees_an_instruction_that_gdb_had_copied(cli, puppet, trace):
    leave_copied_instruction(puppet.pid)
    trace.send(signal.SIGINT)
    result = trace.finish()

    verification = result.report["verification"]
    assert (result.exit_code, verification["text_intact"], verification["ok"]) == (1, False, False)
    assert cli.run("rescue", puppet.pid).exit_code == 0
    assert_well(puppet)


def test_guard_cleans_up_after_gdbleak(cli, puppet, trace, state):
    trace.send(signal.SIGKILL)

    assert_released(puppet)
    assert_nothing_left(cli, state)
    assert_well(puppet)


def test_guard_repairs_when_both_are_killed(cli, puppet, trace, state):
    stop(trace.pid)
    find_gdb(trace.pid).kill()
    trace.send(signal.SIGKILL)

    assert_released(puppet)
    assert_nothing_left(cli, state)
    assert_well(puppet)


def test_guard_continues_a_stopped_gdb_whose_gdbleak_was_killed(cli, puppet, trace, state):
    stop(find_gdb(trace.pid).pid)
    trace.send(signal.SIGKILL)

    assert_released(puppet)
    assert_nothing_left(cli, state)
    assert_well(puppet)


def test_gdbleak_repairs_when_the_guard_was_killed_first(puppet, trace):
    guard = find_guard(trace.pid)
    assert guard
    guard.kill()
    wait_until(lambda: not lives(guard), "the guard had ended")
    find_gdb(trace.pid).kill()

    result = trace.finish()
    assert result.exit_code == 1
    assert result.report["verification"]["ok"] is True
    assert_well(puppet)


def test_window_needs_no_guard_to_end_well(puppet, trace):
    find_guard(trace.pid).kill()
    trace.send(signal.SIGINT)

    result = trace.finish()
    assert result.exit_code == 0
    assert result.report["verification"]["ok"] is True
    assert_well(puppet)


def test_kernel_is_asked_to_spare_them(trace):
    own = Path("/proc/self/oom_score_adj")
    before = own.read_text()
    try:
        own.write_text("-1")
    except PermissionError:
        pytest.skip("the kernel lets us spare nobody")
    own.write_text(before)
    for process in (find_gdb(trace.pid), find_guard(trace.pid)):
        assert int(Path(f"/proc/{process.pid}/oom_score_adj").read_text()) < 0
    trace.send(signal.SIGINT)
    trace.finish()
