"""Nothing that hangs, stops or dies around a trace keeps its target halted, or halts it later."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import closing, suppress

import psutil
import pytest
from support.cli import Cli
from support.crew import TORTURE, assert_released, find_gdb, find_guard, stop, tracer_of
from support.processes import states_of, wait_until

from gdbleak.safety.journal import Journal
from gdbleak.safety.repair import has_pending_stop, iter_changes

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]

MAX_PAUSE_MS = 500
MOST_MS = MAX_PAUSE_MS + 250
"""Attach, window and detach together freeze nobody for longer, says docs/safety.md."""

WAITS = 5
"""How often gdbleak, GDB and the guard have to get to run, one after the other, until it does."""

DURATIONS = (5, 10, 60, 600)
ATTEMPTS = TORTURE
STOPPED = RACES = 1 if TORTURE == 1 else 4 * TORTURE


@pytest.fixture
def vforks(vforks, build_target, start_target):
    """Return that program with another beside it, whose gaps are those of the host.

    Nobody can promise shorter ones.
    """
    vforks.host = start_target(build_target("vforks.c"))
    return vforks


def forget_gaps(target):
    target.ask("gap")
    target.host.ask("gap")


def assert_runs(target):
    """Assert that no thread of a target is halted or will be, and none was for long."""
    assert not has_pending_stop(target.pid)
    assert not {*states_of(target.pid)} & {"t", "T"}
    gap_ms, host_ms = int(target.ask("gap")), int(target.host.ask("gap"))
    print(f"froze for {gap_ms} ms; the host for {host_ms} ms")  # noqa: T201 - for -rP
    assert gap_ms <= MOST_MS + WAITS * host_ms


@pytest.mark.parametrize("way", ["child", "FUSE"])
def test_attach_to_a_process_that_cannot_be_halted(cli, vforks, stuck, way, tmp_path):
    stuck.begin(way)
    forget_gaps(vforks)
    result = cli.run("trace", vforks.pid, env={"GDBLEAK_STATE": str(tmp_path / "state")})

    assert "D" in states_of(vforks.pid)
    assert_runs(vforks)
    assert (result.exit_code, result.stdout) == (4, "")
    cause, cure = result.stderr.splitlines()[-2:]
    assert f"could not be halted within {MAX_PAUSE_MS} ms: thread" in cause
    assert "--max-pause" in cure
    assert [*(tmp_path / "state").iterdir()] == []
    stuck.release()
    assert_runs(vforks)


@pytest.mark.parametrize("duration", DURATIONS)
def test_child_of_vfork_that_lives_for_long(cli, vforks, stuck, duration):
    """GDB halts every thread for as long as it lives."""
    trace = cli.start_trace(vforks.pid, "--duration", duration)
    assert vforks.ask("leak 5") == "leaked"
    forget_gaps(vforks)
    stuck.begin("vfork")
    result = trace.finish()

    assert "D" in states_of(vforks.pid)
    assert_runs(vforks)
    assert result.exit_code == 0
    window = result.report["window"]
    # A GDB of before 11 takes its breakpoints out for so long, and halts nobody.
    assert window["ended_by"] in ("max-pause", "disarmed")
    assert window["longest_pause_ms"] >= MAX_PAUSE_MS
    assert result.report["verification"]["ok"] is True


def test_detach_from_a_process_that_cannot_be_halted(cli, vforks, stuck):
    trace = cli.start_trace(vforks.pid)
    stuck.begin("FUSE")
    forget_gaps(vforks)
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert "D" in states_of(vforks.pid)
    assert_runs(vforks)
    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("interrupt", True)


FAULTS = {
    "vfork": lambda stuck, _: stuck.begin("vfork"),
    "FUSE": lambda stuck, _: stuck.begin("FUSE"),
    "GDB stopped": lambda _, gdbleak: signal_to(find_gdb(gdbleak), signal.SIGSTOP),
    "gdbleak stopped": lambda _, gdbleak: os.kill(gdbleak, signal.SIGSTOP),
}


def signal_to(process, number):
    with suppress(psutil.NoSuchProcess):
        if process:
            process.send_signal(number)


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_freezes_for_long(cli, vforks, stuck, fault):
    """At a random moment, and whether or not the threads run into breakpoints."""
    dice = random.Random(fault)
    for attempt in range(ATTEMPTS):
        busy, late_s = dice.choice((0, 1)), dice.random() * 0.8
        duration, moment = dice.choice(DURATIONS), dice.choice(("start", "attached", "end"))
        print(f"{attempt}: {moment}, {late_s:.3f} s, {busy=}, {duration=}")  # noqa: T201 - for -rP
        vforks.ask(f"busy {busy}")
        forget_gaps(vforks)
        run_into(cli, vforks, stuck, FAULTS[fault], moment, late_s, duration)
        assert_runs(vforks)


def run_into(cli, vforks, stuck, fault, moment, late_s, duration):
    """Trace a target, and have something happen so long after a moment; return after the end."""
    trace = cli.start("trace", vforks.pid, "--probe", "breakpoint", "--duration", duration)
    if moment != "start":
        wait_until(lambda: trace.has_ended or tracer_of(vforks.pid), "it was attached to", 60)
    if moment == "end":
        trace.wait_for_window()
        trace.send(signal.SIGINT)
        late_s /= 100
    time.sleep(late_s)
    fault(stuck, trace.pid)
    time.sleep(2 * MOST_MS / 1e3)
    os.kill(trace.pid, signal.SIGCONT)
    trace.send(signal.SIGINT)
    trace.finish()
    stuck.release()


@pytest.mark.parametrize("duration", [20, 600])
def test_gdb_that_somebody_stops(cli, puppet, duration):
    trace = cli.start_trace(puppet.pid, "--duration", duration)
    gdb = find_gdb(trace.pid)
    stop(gdb.pid)
    puppet.tell("leak 3")
    report = trace.finish().report

    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("max-pause", True)
    assert puppet.lines.next() == "leaked"


def test_gdbleak_that_somebody_stops(cli, puppet, state):
    for _ in range(STOPPED):
        stop_gdbleak(cli, puppet, state)


def stop_gdbleak(cli, puppet, state):
    """Trace a target with a gdbleak that is stopped.

    Nobody reads then what GDB says, such as of each thread that starts; once a pipe is full it
    would wait, and the target with it. So GDB has to detach.
    """
    trace = cli.start_trace(puppet.pid)
    assert puppet.ask("leak 3") == "leaked"
    plan = Journal(state / f"{puppet.pid}.journal").plan
    memory = os.open(f"/proc/{puppet.pid}/mem", os.O_RDONLY)
    assert any(iter_changes(memory, plan))
    stop(trace.pid)
    stopped_s = time.monotonic()
    wait_until(lambda: not any(iter_changes(memory, plan)), "the breakpoints were taken out")
    print(f"out after {time.monotonic() - stopped_s:.3f} s")  # noqa: T201 - for -rP
    os.close(memory)
    wait_until(lambda: tracer_of(puppet.pid) == 0, "nobody traced the target")
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
    dice = random.Random(1)
    with closing(Cli(tmp_path / "beside")) as beside:
        for attempt in range(RACES):
            late_s = dice.choice((0, dice.random() * 0.1, dice.random()))
            race(cli, beside, puppet, tmp_path / str(attempt), late_s)


def race(cli, beside, puppet, folder, late_s):
    """Trace a target twice, the second time so much later, and compare what was recorded."""
    folder.mkdir()
    words = ("trace", puppet.pid, "--older", 0, "--format", "json", "--duration", 600)
    traces = []
    for number, each in enumerate((cli, beside)):
        state = str(folder / str(number))
        traces.append(each.start(*words, "--budget", 100, env={"GDBLEAK_STATE": state}))
        time.sleep(late_s)
    wait_until(lambda: any(trace.has_ended for trace in traces), "one had given up", 60)
    loser, winner = sorted(traces, key=lambda trace: not trace.has_ended)
    refused = loser.finish()
    winner.wait_for_window()
    assert puppet.ask("leak 3") == "leaked"
    winner.send(signal.SIGINT)
    report = winner.finish().report
    print(f"{late_s:.3f} s: {refused.exit_code}, {refused.stderr!r}")  # noqa: T201 - for -rP

    assert (refused.exit_code in (3, 4), refused.stdout) == (True, "")
    assert [site["outstanding_count"] for site in report["sites"]] == [3]
    assert report["verification"]["ok"] is True
    assert [*folder.glob("*/*.journal")] == []
    puppet.assert_as_found()


def test_journal_that_somebody_removes(cli, puppet, tmp_path):
    trace = cli.start_trace(puppet.pid, env={"GDBLEAK_STATE": str(tmp_path)})
    assert puppet.ask("leak 3") == "leaked"
    (tmp_path / f"{puppet.pid}.journal").unlink()
    find_gdb(trace.pid).kill()
    result = trace.finish()

    assert (result.exit_code, "Traceback" in result.stderr) == (1, False)
    assert result.report["window"]["ended_by"] == "debugger-died"
    assert result.report["verification"]["ok"] is True
