"""However a window ends, the target goes on, and there is a report of what was recorded."""

from __future__ import annotations

import os
import signal

import pytest
from support.crew import find_gdb
from support.processes import lives, wait_until

pytestmark = pytest.mark.usefixtures("needs_ptrace")


@pytest.fixture
def trace(cli, puppet):
    """Return a trace of the puppet in whose window ten blocks of 100 bytes leaked."""
    trace = cli.start_trace(puppet.pid)
    assert puppet.ask("leak 10") == "leaked"
    return trace


def assert_ten_leaked(result, ended_by):
    """Assert that the report holds what happened before the end, and says which end it was."""
    assert result.report["window"]["ended_by"] == ended_by
    [site] = result.report["sites"]
    actual = site["function"], site["outstanding_count"], site["outstanding_bytes"]
    assert actual == ("leak", 10, 1000)


@pytest.mark.parametrize(
    ("number", "ended_by"),
    [
        (signal.SIGINT, "interrupt"),
        (signal.SIGTERM, "terminate"),
        (signal.SIGHUP, "hangup"),
    ],
)
def test_signal_ends_the_window_with_a_report(puppet, trace, number, ended_by):
    trace.send(number)

    result = trace.finish()
    assert result.exit_code == 0
    assert_ten_leaked(result, ended_by)
    assert result.report["verification"]["ok"] is True
    assert puppet.ask("still there?") == "still there?"


def test_nohup_keeps_the_window_open(cli, puppet):
    options = ["--older", 0, "--format", "json", "--duration", 600]
    trace = cli.start("trace", puppet.pid, *options, wrapper=("nohup",))
    trace.wait_for_window()
    trace.send(signal.SIGHUP)
    assert puppet.ask("leak 10") == "leaked"
    trace.send(signal.SIGINT)

    assert_ten_leaked(trace.finish(), "interrupt")


@pytest.mark.parametrize("times", [1, 2, 5])
def test_ctrl_c_reaches_gdb_too_and_never_skips_the_detach(puppet, trace, times):
    for _ in range(times):
        trace.press_ctrl_c()

    result = trace.finish()
    assert result.exit_code == 0
    assert_ten_leaked(result, "interrupt")
    assert result.report["verification"]["ok"] is True
    assert puppet.ask("still there?") == "still there?"


def test_second_signal_of_another_kind_does_not_skip_the_detach(puppet, trace):
    trace.send(signal.SIGINT)
    trace.send(signal.SIGTERM)

    result = trace.finish()
    assert result.exit_code == 0
    assert result.report["verification"]["ok"] is True
    assert puppet.ask("still there?") == "still there?"


def test_max_events_ends_the_window(cli, build_target, start_target):
    worker = start_target(build_target("worker.c"))
    result = cli.run(
        *("trace", worker.pid, "--probe", "breakpoint", "--max-events", 100),
        *("--duration", 600, "--format", "json"),
    )

    window = result.report["window"]
    assert (result.exit_code, window["ended_by"], window["complete"]) == (0, "max-events", True)
    assert 100 <= window["events"] < 200


def test_exit_of_the_target_ends_the_window_and_keeps_its_exit_code(puppet, trace):
    puppet.tell("exit 7")

    result = trace.finish()
    assert puppet.wait() == 7
    assert result.exit_code == 0
    assert_ten_leaked(result, "target-exit")
    assert result.report["verification"]["ok"] is None


def test_death_of_the_target_by_signal_ends_the_window(puppet, trace):
    os.kill(puppet.pid, signal.SIGKILL)

    result = trace.finish()
    assert puppet.wait() == -signal.SIGKILL
    assert result.exit_code == 0
    assert_ten_leaked(result, "target-killed")


def test_exec_ends_the_window_and_the_new_program_runs(puppet, trace, build_target):
    puppet.tell(f"exec {build_target('puppet.c')}")
    assert puppet.lines.next() == "ready"

    result = trace.finish()
    assert result.exit_code == 0
    assert_ten_leaked(result, "target-exec")
    assert puppet.ask("leak 3") == "leaked"


def test_death_of_gdb_leaves_a_report_and_is_no_success(puppet, trace):
    find_gdb(trace.pid).kill()

    result = trace.finish()
    assert result.exit_code == 1
    assert_ten_leaked(result, "debugger-died")
    puppet.end()  # its code still holds breakpoints


@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        (lambda puppet, _: puppet.tell("exit 7"), 0, None),
        (lambda puppet, _: puppet.process.kill(), 1, "the window ended because a signal killed"),
        (lambda _, trace: find_gdb(trace.pid).kill(), 1, "the window ended because GDB ended"),
    ],
    ids=["program ends", "program killed", "gdb killed"],
)
@pytest.mark.parametrize("options", [(), ("--interval", 600)], ids=["", "interval"])
def test_fail_on_passes_only_where_all_was_seen(cli, puppet, options, end, status, words):
    saved = cli.tmpdir.parent / "saved"
    trace = cli.start_trace(puppet.pid, "--save", saved, "--fail-on", "turnover?", *options)
    assert puppet.ask("leak 10") == "leaked"
    end(puppet, trace)

    for result in (trace.finish(), cli.run("report", saved, "--fail-on", "turnover?")):
        assert result.exit_code == status
        refusals = [
            line for line in result.stderr.splitlines() if line.startswith("gdbleak: the w")
        ]
        if words:
            [refusal] = refusals
            assert words in refusal
            assert "no call stack is `turnover?`" in refusal
        else:
            assert refusals == []
    puppet.end()  # where GDB was killed, its code may hold breakpoints


def test_death_of_gdbleak_lets_the_target_go(puppet, trace):
    gdb = find_gdb(trace.pid)
    assert gdb
    trace.send(signal.SIGKILL)

    wait_until(lambda: not lives(gdb), "gdb had ended")
    puppet.assert_as_found()
    assert puppet.ask("leak 3") == "leaked"
