"""Nothing that hangs, stops or dies around a trace keeps its target halted, or halts it later."""

from __future__ import annotations

import os
import signal
from contextlib import closing

import pytest
from support.cli import Cli
from support.crew import assert_released, find_gdb, find_guard, stop
from support.processes import states_of, wait_until

from gdbleak.capture.guard import Journal, has_pending_stop, iter_changes

pytestmark = pytest.mark.usefixtures("needs_ptrace")

CHILD_S = 20
"""How long a child of vfork lives: much longer than the longest pause, 500 ms."""


@pytest.fixture
def vforks(build_target, start_target):
    """Return a program that has a child of vfork when it is told to."""
    return start_target(build_target("heartbeat.c"))


def wait_until_stuck(target):
    wait_until(lambda: "D" in states_of(target.pid), "a thread waited for its child")


def assert_runs(target):
    """Assert that a target whose child still lives was not frozen for as long as that."""
    assert "D" in states_of(target.pid), "its child has ended: it proves nothing"
    assert float(target.ask("gap")) < CHILD_S * 1e3 / 4
    assert not has_pending_stop(target.pid)
    assert not {*states_of(target.pid)} & {"t", "T"}


def test_attach_to_a_process_that_cannot_be_halted(cli, vforks, tmp_path):
    assert vforks.ask(f"vfork {CHILD_S * 1000}") == "started"
    wait_until_stuck(vforks)
    vforks.ask("gap")
    result = cli.run("trace", vforks.pid, env={"GDBLEAK_STATE": str(tmp_path / "state")})

    assert_runs(vforks)
    assert (result.exit_code, result.stdout) == (4, "")
    cause, cure = result.stderr.splitlines()[-2:]
    assert "could not be halted within 500 ms: thread" in cause
    assert "--max-pause" in cure
    assert [*(tmp_path / "state").iterdir()] == []


@pytest.mark.parametrize("duration", [10, 600])
def test_child_of_vfork_that_lives_for_long(cli, vforks, duration):
    """GDB halts every thread for as long as it lives."""
    trace = cli.start_trace(vforks.pid, "--duration", duration)
    assert vforks.ask("leak 5") == "leaked"
    vforks.ask("gap")
    vforks.tell(f"vfork {CHILD_S * 1000}")
    result = trace.finish()

    assert vforks.lines.next() == "started"
    assert_runs(vforks)
    assert result.exit_code == 0
    assert result.report["window"]["ended_by"] == "max-pause"
    assert result.report["window"]["longest_pause_ms"] >= 500
    assert result.report["verification"]["ok"] is True


@pytest.mark.parametrize("duration", [5, 600])
def test_gdb_that_somebody_stops(cli, puppet, duration):
    trace = cli.start_trace(puppet.pid, "--duration", duration)
    gdb = find_gdb(trace.pid)
    stop(gdb.pid)
    puppet.tell("leak 3")
    report = trace.finish().report

    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("max-pause", True)
    assert puppet.lines.next() == "leaked"


def test_gdbleak_that_somebody_stops(cli, puppet, tmp_path):
    trace = cli.start_trace(puppet.pid, env={"GDBLEAK_STATE": str(tmp_path)})
    assert puppet.ask("leak 3") == "leaked"
    plan = Journal(tmp_path / f"{puppet.pid}.journal").plan
    memory = os.open(f"/proc/{puppet.pid}/mem", os.O_RDONLY)
    assert any(iter_changes(memory, plan))
    stop(trace.pid)
    wait_until(lambda: not any(iter_changes(memory, plan)), "the breakpoints were taken out")
    os.close(memory)
    assert puppet.ask("leak 3") == "leaked"
    trace.send(signal.SIGCONT)
    report = trace.finish().report

    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("starved", True)
    assert [site["outstanding_count"] for site in report["sites"]] == [3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU])
def test_signal_to_everything_at_once(cli, puppet, number):
    """As a service manager ends a group, or a terminal a session."""
    trace = cli.start_trace(puppet.pid)
    for process in (find_gdb(trace.pid), find_guard(trace.pid)):
        process.send_signal(number)
    assert puppet.ask("leak 3") == "leaked"
    trace.send(signal.SIGTERM)
    result = trace.finish()

    assert result.exit_code == 0
    assert result.report["window"]["ended_by"] == "terminate"
    assert [site["outstanding_count"] for site in result.report["sites"]] == [3]
    assert_released(puppet)


def test_process_that_traps(cli, build_target, start_target):
    """A SIGTRAP that is none of ours is the target's own."""
    traps = start_target(build_target("traps.c"))
    trace = cli.start_trace(traps.pid)
    sent, got = map(int, traps.ask("go").split())
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert sent == got
    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("interrupt", True)
    assert report["window"]["allocations"] >= 20


def test_of_two_traces_at_once_one_writes_nothing(cli, puppet, tmp_path):
    """Neither knows the journal of the other, as in two containers, and as of two users."""
    (tmp_path / "beside").mkdir()
    beside = Cli(tmp_path / "beside")
    words = ("trace", puppet.pid, "--older", 0, "--format", "json", "--duration", 600)
    traces = [
        each.start(*words, "--budget", 100, env={"GDBLEAK_STATE": str(tmp_path / str(number))})
        for number, each in enumerate((cli, beside))
    ]
    with closing(beside):
        wait_until(lambda: any(trace.has_ended for trace in traces), "one had given up")
        loser, winner = sorted(traces, key=lambda trace: not trace.has_ended)
        refused = loser.finish()
        winner.wait_for_window()
        assert puppet.ask("leak 3") == "leaked"
        winner.send(signal.SIGINT)
        report = winner.finish().report

    assert (refused.exit_code in (3, 4), refused.stdout) == (True, "")
    assert [site["outstanding_count"] for site in report["sites"]] == [3]
    assert report["verification"]["ok"] is True
    assert [*tmp_path.glob("*/*.journal")] == []


def test_journal_that_somebody_removes(cli, puppet, tmp_path):
    trace = cli.start_trace(puppet.pid, env={"GDBLEAK_STATE": str(tmp_path)})
    assert puppet.ask("leak 3") == "leaked"
    (tmp_path / f"{puppet.pid}.journal").unlink()
    find_gdb(trace.pid).kill()
    result = trace.finish()

    assert (result.exit_code, "Traceback" in result.stderr) == (1, False)
    assert result.report["window"]["ended_by"] == "debugger-died"
    assert result.report["verification"]["ok"] is True
