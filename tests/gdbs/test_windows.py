"""A window with each GDB: what the report says, and that its target goes on as it was."""

from __future__ import annotations

import json
import signal

import pytest
from support.crew import assert_released, find_gdb
from support.events import count_turns
from support.exactness import assert_exact
from support.processes import wait_until

import gdbleak

pytestmark = pytest.mark.usefixtures("needs_ptrace", "gdb")

BURSTS = ("--probe", "breakpoint", "--budget", 10)
STANDING = 16
MADE = 50
ROUNDS = 20
EVENTS = 3 * ROUNDS
"""Each round enters malloc, leaves it, and enters free."""


def numbers(line):
    return [int(word) for word in line.split()]


def assert_undamaged(worker):
    """Assert that a program which checks what it has written goes on, and ends in good order."""
    worker.assert_as_found()
    assert worker.ask("end").endswith(" 0 damaged")
    assert worker.wait() == 0


def test_counts_of_every_site_are_exact(cli, build_target, start_target):
    exact = start_target(build_target("exact.cpp", "-fno-optimize-sibling-calls"))
    assert_exact(cli, exact, "glibc")
    exact.assert_as_found()
    assert json.loads(exact.ask("again"))


def test_twenty_allocations_a_second(cli, build_target, start_target):
    paced = start_target(build_target("paced.c"), "20")
    report = cli.start_trace(paced.pid, "--max-events", EVENTS).finish().report

    window = report["window"]
    assert (window["ended_by"], window["events"]) == ("max-events", EVENTS)
    # One block may be older than the window, and one is just being used at its end.
    [site] = report["sites"]
    assert ROUNDS - 1 <= site["freed_count"] <= site["allocated_count"] <= ROUNDS
    assert (window["missed_frees"], window["lost_events"]) == (0, 0)
    assert report["verification"]["ok"] is True
    paced.assert_as_found()
    [rounds, _] = paced.ask("end").split()
    assert (int(rounds) >= ROUNDS, paced.wait()) == (True, 0)


def test_busy_target_is_sampled_in_bursts(cli, build_target, start_target, tmp_path):
    worker = start_target(build_target("worker.c"))
    trace = cli.start_trace(worker.pid, *BURSTS, "--save", tmp_path / "saved")
    wait_until(lambda: count_turns(tmp_path / "saved") > 6, "there were some bursts", 120)
    trace.send(signal.SIGINT)
    report = trace.finish().report

    sampling = report["window"]["sampling"]
    assert sampling["bursts"] > 1
    assert 0 < sampling["recorded_calls"] == report["window"]["allocations"]
    assert report["window"]["ended_by"] == "interrupt"
    assert report["verification"]["ok"] is True
    assert_undamaged(worker)


def test_busy_target_is_recorded_whole(cli, build_target, start_target):
    worker = start_target(build_target("worker.c"))
    trace = cli.start_trace(worker.pid, "--max-events", 2000)
    report = trace.finish().report

    window = report["window"]
    assert (window["ended_by"], window["events"]) == ("max-events", 2000)
    assert (window["missed_frees"], window["lost_events"]) == (0, 0)
    assert report["verification"]["ok"] is True
    assert_undamaged(worker)


def test_sixteen_threads_and_some_that_come_and_go(cli, build_target, start_target):
    threads = start_target(build_target("threads.c"), str(STANDING), "100")
    trace = cli.start_trace(threads.pid)
    assert threads.ask(f"make {MADE}") == str(MADE)
    assert threads.ask("roll") == str(STANDING)
    trace.send(signal.SIGINT)
    report = trace.finish().report

    churn = [site for site in report["sites"] if site["function"] == "churn"]
    actual = [sum(site[key] for site in churn) for key in ("allocated_count", "freed_count")]
    assert actual == [MADE * 3] * 2
    assert (report["window"]["missed_frees"], report["window"]["lost_events"]) == (0, 0)
    assert report["verification"]["ok"] is True
    threads.assert_as_found()
    assert threads.ask("roll") == str(STANDING)
    made = int(threads.ask("made"))
    wait_until(lambda: int(threads.ask("made")) > made, "new threads started and ended")


@pytest.mark.parametrize("how", [(), ("vfork",)], ids=["fork", "vfork"])
def test_children_never_meet_a_breakpoint(cli, build_target, start_target, how):
    forks = start_target(build_target("forks.c", "-Wno-clobbered"), *how)
    trace = cli.start_trace(forks.pid, *BURSTS)
    before, _ = numbers(forks.ask(""))
    wait_until(lambda: numbers(forks.ask(""))[0] > before + 20, "twenty children", 60)
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert report["window"]["children"] >= 20
    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("interrupt", True)
    started, failed = numbers(forks.ask(""))
    wait_until(lambda: numbers(forks.ask(""))[0] > started, "it starts more of them")
    assert failed == 0
    forks.assert_as_found()


def test_tail(build_target, start_target):
    keeper = start_target(build_target("keeper.c"))
    told = []

    def tell(progress):
        if not told:
            told.append("window")
            assert keeper.ask("keep 6") == "kept 6"
        elif progress.elapsed_s > 0.7 and len(told) == 1:
            told.append("tail")
            assert keeper.ask("drop 4") == "dropped 4"
            assert keeper.ask("keep 9") == "kept 9"

    options = gdbleak.ReportOptions(older_ms=0)
    report = gdbleak.trace(
        keeper.pid,
        duration_s=0.5,
        tail_s=1,
        options=options,
        on_progress=tell,
        max_memory=1 << 40,  # that of pytest counts, too
    )

    assert told == ["window", "tail"]
    [site] = report.leaking
    assert (site.allocated_count, site.freed_count, site.outstanding_count) == (6, 4, 2)
    assert report.verification.ok is True
    assert keeper.ask("keep 1") == "kept 1"


def test_ctrl_c(cli, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    trace = cli.start_trace(puppet.pid)
    assert puppet.ask("leak 5") == "leaked"
    trace.press_ctrl_c()
    report = trace.finish().report

    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("interrupt", True)
    assert [site["outstanding_count"] for site in report["sites"]] == [5]
    assert puppet.ask("leak 5") == "leaked"


def test_target_outlives_gdbleak(cli, build_target, start_target):
    worker = start_target(build_target("worker.c"))
    trace = cli.start_trace(worker.pid)
    trace.send(signal.SIGKILL)

    assert_released(worker)
    assert_undamaged(worker)


def test_idle_target_outlives_gdb(cli, build_target, start_target):
    """A busy one may not: docs/safety.md says how often."""
    puppet = start_target(build_target("puppet.c"))
    trace = cli.start_trace(puppet.pid)
    assert puppet.ask("leak 5") == "leaked"
    find_gdb(trace.pid).kill()
    result = trace.finish()

    assert (result.exit_code, result.report["window"]["ended_by"]) == (1, "debugger-died")
    assert_released(puppet)
    assert puppet.ask("leak 5") == "leaked"
