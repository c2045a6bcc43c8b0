"""A process that is held for a census: it runs on whatever happens, and nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress

import psutil
import pytest
from support.crew import tracer_of
from support.heaps import counts_of, examine, truth_of
from support.processes import TRACER, Target, state_of, states_of, wait_until

from gdbleak.census.examine import Examination
from gdbleak.census.wish import HeapWish
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import AlreadyTracedError, NoSuchProcessError, TargetError
from gdbleak.target.examined import ExaminedProcess
from gdbleak.target.held import HeldProcess
from gdbleak.target.proc import list_threads

pytestmark = pytest.mark.usefixtures("needs_ptrace")

_HOLD = """
import sys
from gdbleak.target.held import HeldProcess
with HeldProcess(int(sys.argv[1]), float(sys.argv[2])) as held:
    print("held", flush=True)
    sys.stdin.read()
print(held.pause_ms, held.was_let_go)
"""
LONG_S = 600
SHORT_S = 2
"""Longer than it takes to halt all threads on a busy host."""


@pytest.fixture
def start(build_target, start_target):
    """Return a function that starts a program of tests/targets/heaps."""
    return lambda name, *words: start_target(build_target(f"heaps/{name}.c"), *map(str, words))


@pytest.fixture
def busy(start):
    """Return a program that allocates 20,000 times a second in four threads."""
    return start("census", "rate", 20_000, 1000)


@contextmanager
def holding(pid, limit_s=LONG_S):
    """Hold a process from a process of its own, which is ended before the target is looked at."""
    holder = Target([sys.executable, "-c", _HOLD, str(pid), str(limit_s)])
    try:
        assert holder.lines.next() == "held"
        yield holder
    finally:
        holder.end()


def is_held(pid):
    return {state for state in states_of(pid) if state} == {"t"}


def assert_runs(target):
    """Assert that it goes on, and that nobody traces or stops it any more."""
    before = truth_of(target)["allocations"]
    wait_until(lambda: truth_of(target)["allocations"] > before + 100, "it ran on")
    wait_until(lambda: "t" not in states_of(target.pid), "all of it ran on")
    target.assert_as_found()


def test_nothing_runs_while_it_is_held(busy):
    with HeldProcess(busy.pid, LONG_S) as held:
        assert is_held(busy.pid)
        assert held.registers.keys() == {*list_threads(busy.pid)}
        assert min(map(len, held.registers.values())) >= 16
        busy.tell("truth")
        first = counts_of(examine(busy.pid))
        assert counts_of(examine(busy.pid)) == first
    assert held.pause_ms > 0
    assert not held.was_let_go
    json.loads(busy.lines.next())
    assert_runs(busy)


def test_it_is_let_go_when_its_time_is_up(busy):
    with HeldProcess(busy.pid, SHORT_S) as held:
        wait_until(lambda: "t" not in states_of(busy.pid), "it was let go")
        assert_runs(busy)
        held.release()
        assert held.was_let_go
        assert 0 <= held.pause_ms - SHORT_S * 1000 < 5000


@pytest.mark.parametrize("end", ["SIGKILL", "Ctrl-C", "SIGTERM", "the holder is killed"])
def test_whoever_is_killed_it_runs_on(busy, end):
    with holding(busy.pid) as holder:
        assert is_held(busy.pid)
        if end == "the holder is killed":
            os.kill(tracer_of(busy.pid), signal.SIGKILL)
        elif end == "Ctrl-C":
            os.killpg(holder.pid, signal.SIGINT)
        else:
            os.kill(holder.pid, signal.Signals[end])
        assert_runs(busy)
        children = psutil.Process(holder.pid).children() if holder.process.poll() is None else []
        assert all(child.status() == psutil.STATUS_ZOMBIE for child in children)


def test_gdbleak_that_freezes_does_not_hold_it(busy):
    with holding(busy.pid, SHORT_S) as holder:
        os.kill(holder.pid, signal.SIGSTOP)
        assert_runs(busy)
        os.kill(holder.pid, signal.SIGCONT)
        holder.process.stdin.close()
        holder.process.stdin = None
        pause_ms, was_let_go = holder.lines.next().split()
        assert (float(pause_ms) >= SHORT_S * 1000, was_let_go) == (True, "True")


def test_whatever_stops_all_programs_of_the_terminal_does_not_stop_the_holder(busy):
    with holding(busy.pid, SHORT_S) as holder:
        os.killpg(holder.pid, signal.SIGSTOP)
        assert_runs(busy)
        os.killpg(holder.pid, signal.SIGCONT)


_FREEZE = """
import os, signal, sys
def freeze():
    print("forked", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
os.register_at_fork(after_in_parent=freeze)
"""
_HOLD_FOR_A_MOMENT = """
from gdbleak.target.held import HeldProcess
HeldProcess(int(sys.argv[1]), 2).__enter__()
"""
_READ = """
from gdbleak.target.registers import read_registers
read_registers(int(sys.argv[1]))
"""


@contextmanager
def frozen(code, pid):
    """Run code that forks, and freeze it at once: it reads nothing of what it is told."""
    command = [sys.executable, "-c", _FREEZE + code, str(pid)]
    frozen = Target([*command])
    try:
        assert frozen.lines.next() == "forked"
        wait_until(lambda: state_of(frozen.pid) == "T", "it was frozen")
        yield frozen
    finally:
        frozen.process.kill()
        frozen.end()


@pytest.mark.parametrize("end", [None, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.parametrize("code", [_HOLD_FOR_A_MOMENT, _READ], ids=["hold", "registers"])
def test_who_does_not_read_does_not_hold_it(start, code, end):
    """The registers of 500 threads do not fit into a pipe."""
    target = start("census", "quiet", 500)
    with frozen(code, target.pid) as reader:
        if end:
            os.kill(reader.pid, end)
        else:
            [holder] = psutil.Process(reader.pid).children()
            assert os.getsid(holder.pid) == holder.pid
            wait_until(lambda: holder.status() == psutil.STATUS_ZOMBIE, "the holder had ended")
        wait_until(lambda: not {"t", "T"} & {*states_of(target.pid)}, "every thread ran on")
        target.assert_as_found()


def test_nobody_is_left_of_a_gdbleak_that_was_killed(busy):
    with holding(busy.pid) as holder:
        [child] = psutil.Process(holder.pid).children()
        os.kill(holder.pid, signal.SIGKILL)
        child.wait(20)
        assert_runs(busy)


def test_it_is_killed_while_it_is_held(busy):
    with HeldProcess(busy.pid, LONG_S) as held:
        busy.process.kill()
        busy.wait()
        held.release()
    with pytest.raises(NoSuchProcessError), HeldProcess(busy.pid, LONG_S):
        pass


def test_it_is_killed_while_it_is_counted(busy):
    """In the second census: the first is shown, with a note."""
    tells = []

    def tell(number, _share):
        tells.append(number)
        if number == 1 and busy.process.poll() is None:
            busy.process.kill()
            busy.wait()

    wish = HeapWish(stop=True, count=3, interval_s=0.1, max_pause_ms=20_000)
    with ImageCache() as images, ExaminedProcess(busy.pid, images) as process:
        report = Examination(process, images, wish, tell).run()
    assert 1 in tells
    assert any("ended" in note for note in report.notes)
    assert report.in_use.count > 1000


@pytest.mark.parametrize("end", [signal.SIGSTOP, signal.SIGKILL])
def test_a_holder_that_is_stopped_or_killed(busy, end):
    with HeldProcess(busy.pid, LONG_S) as held:
        os.kill(held._holder, end)
    assert held.was_let_go
    assert held.pause_ms > 0
    wait_until(lambda: not {"t", "T"} & {*states_of(busy.pid)}, "every thread ran on")


def test_a_process_that_is_stopped_by_job_control_stays_stopped(busy):
    os.kill(busy.pid, signal.SIGSTOP)
    wait_until(lambda: state_of(busy.pid) == "T", "it had stopped")
    report = examine(busy.pid, stop=True, max_pause_ms=20_000)
    assert (report.taking.pause_ms or 0) > 0
    wait_until(lambda: {*states_of(busy.pid)} == {"T"}, "it was as stopped as before")
    assert tracer_of(busy.pid) == 0
    os.kill(busy.pid, signal.SIGCONT)
    assert_runs(busy)


def test_a_process_that_somebody_else_traces(busy):
    with subprocess.Popen(
        [*TRACER, str(busy.pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as tracer:
        assert tracer.stdout.readline() == b"ready\n"
        with pytest.raises(AlreadyTracedError, match=f"traced by process {tracer.pid}") as caught:
            examine(busy.pid, stop=True, max_pause_ms=20_000)
        assert "--stop" in caught.value.help_text
        assert examine(busy.pid).in_use.count > 1000, "without a stop it can be counted"
        before = truth_of(busy)["allocations"]
        wait_until(lambda: truth_of(busy)["allocations"] > before, "it ran on")
        assert tracer_of(busy.pid) == tracer.pid
        tracer.stdin.close()
    assert_runs(busy)


@pytest.mark.parametrize("way", ["vfork", "FUSE"])
def test_a_thread_that_does_not_halt(vforks, stuck, way):
    """It waits in the kernel; the others run on as soon as it is given up."""
    stuck.begin(way)
    with pytest.raises(TargetError, match="not all of its threads halted in 200 ms") as caught:
        examine(vforks.pid, stop=True, max_pause_ms=200)
    assert "--stop" in caught.value.help_text
    vforks.assert_as_found()
    assert float(vforks.ask("gap")) < 5000
    assert examine(vforks.pid).in_use.count > 0
    stuck.release()
    vforks.assert_as_found()


def test_500_threads(start):
    target = start("census", "quiet", 500)
    with HeldProcess(target.pid, 20) as held:
        assert is_held(target.pid)
        assert len(held.registers) == 501
    target.assert_as_found()
    assert held.pause_ms < 10_000


def test_threads_that_come_and_go(build_target, start_target):
    target = start_target(build_target("threads.c"), "20", "500")
    for _ in range(10):
        with HeldProcess(target.pid, 20):
            assert is_held(target.pid)
        wait_until_it_makes_more(target)


def wait_until_it_makes_more(target):
    made = int(target.ask("made"))
    wait_until(lambda: int(target.ask("made")) > made, "it made more")


def test_signals_that_come_meanwhile_are_not_lost(build_target, start_target):
    target = start_target(build_target("signals.c"), "handler")
    for number in range(1, 6):
        with HeldProcess(target.pid, 20):
            os.kill(target.pid, signal.SIGUSR1)
            os.kill(target.pid, signal.SIGTERM)
        wait_until_signals_came(target, number)
    counts = json.loads(target.ask("counts"))
    assert counts["wrong"] == {"SIGALRM": 0, "SIGPROF": 0, "queued": 0, "SIGCHLD": 0}


def wait_until_signals_came(target, number):
    def came():
        counts = json.loads(target.ask("counts"))
        return counts["SIGUSR1"] == counts["SIGTERM"] == number

    wait_until(came, "both signals came")


def test_a_pause_that_is_too_long_is_ended_and_said(start):
    """Then it is counted once more, as it runs."""
    target = start("census", "rate", 20_000, 300_000)
    shares = []

    def tell(_number, share):
        shares.append(share)
        if len(shares) == 1:
            wait_until(lambda: "t" not in states_of(target.pid), "it was let go")

    wish = HeapWish(stop=True, max_pause_ms=300)
    with ImageCache() as images, ExaminedProcess(target.pid, images) as process:
        report = Examination(process, images, wish, tell).run()
    [note] = [note for note in report.notes if "--max-pause" in note]
    assert "it was counted again as it ran" in note
    assert (report.taking.pause_ms or 0) >= 300
    counts, expected = counts_of(report), truth_of(target)["in_use"]
    assert [counts[size] for size in (40, 72)] == [expected[size] for size in (40, 72)]
    assert_runs(target)


def test_the_command_ends_by_ctrl_c_while_it_holds(cli, start):
    target = start("census", "scale", 3_000_000, 24)
    running = cli.start("heap", target.pid, "--stop", "--max-pause", 60_000)
    wait_until(lambda: is_held(target.pid), "it was held", 60)
    running.press_ctrl_c()
    result = running.finish()
    assert result.exit_code == 130
    assert "Traceback" not in result.stderr
    wait_until(lambda: "t" not in states_of(target.pid), "it ran on")
    target.assert_as_found()


def test_ctrl_c_is_pressed_until_it_has_ended(cli, start):
    target = start("census", "scale", 3_000_000, 24)
    running = cli.start("heap", target.pid, "--stop", "--max-pause", 60_000)
    wait_until(lambda: is_held(target.pid), "it was held", 60)

    def press():
        with suppress(ProcessLookupError):
            running.press_ctrl_c()
        return running.has_ended

    wait_until(press, "it had ended")
    result = running.finish()
    assert result.exit_code in (130, -signal.SIGINT)
    assert "Traceback" not in result.stderr
    wait_until(lambda: "t" not in states_of(target.pid), "it ran on")
    target.assert_as_found()
