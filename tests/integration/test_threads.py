"""Threads that start and end in any moment of a trace are neither left stopped nor missed."""

from __future__ import annotations

import signal

import pytest
from support.crew import TORTURE
from support.processes import wait_until

import gdbleak
from gdbleak.capture.limits import Limits
from gdbleak.preflight.halting import estimate_halt_s, find_sufficient_ms

pytestmark = pytest.mark.usefixtures("needs_ptrace")

STANDING = 500
MANY = 2000
RATE = 500
MADE = 100 * TORTURE
BLOCKS_OF_A_THREAD = 3
SLEEPERS = 8


@pytest.fixture
def start_threads(build_target, start_target):
    """Return a function that starts a program of so many standing and short-lived threads."""
    return lambda standing, rate: start_target(build_target("threads.c"), str(standing), str(rate))


def assert_all_threads_live(target, standing):
    """Assert that no thread is stopped, that each standing one answers, and new ones come."""
    target.assert_as_found()
    assert target.ask("roll") == str(standing)
    made = int(target.ask("made"))
    wait_until(lambda: int(target.ask("made")) > made, "new threads started and ended")


def test_every_thread_is_seen_and_let_go(cli, start_threads):
    target = start_threads(STANDING, RATE)
    trace = cli.start_trace(target.pid, "--max-pause", 60000)
    assert target.ask(f"make {MADE}") == str(MADE)
    assert target.ask("roll") == str(STANDING)
    trace.send(signal.SIGINT)
    report = trace.finish().report

    window = report["window"]
    assert (window["ended_by"], report["verification"]["ok"]) == ("interrupt", True)
    assert report["target"]["threads"] > STANDING
    churn = [site for site in report["sites"] if site["function"] == "churn"]
    actual = [sum(site[key] for site in churn) for key in ("allocated_count", "freed_count")]
    assert actual == [MADE * BLOCKS_OF_A_THREAD] * 2
    assert (window["missed_frees"], window["lost_events"]) == (0, 0)
    assert_all_threads_live(target, STANDING)


@pytest.mark.slow
def test_thousands_of_threads_are_left_alone_unless_asked(cli, start_threads):
    target = start_threads(MANY, 0)
    threads = MANY + 1
    assert estimate_halt_s(threads) * 1e3 > Limits.max_pause_ms
    refused = cli.run("trace", target.pid)
    assert (refused.exit_code, refused.stdout) == (3, "")
    cause, cure = refused.stderr.splitlines()
    assert f"attaching would halt its {threads:,} threads for about " in cause
    assert cure.endswith(f"--max-pause {find_sufficient_ms(threads)}")
    doctor = cli.run("doctor", target.pid)
    assert doctor.exit_code == 0
    assert f"would halt its {threads:,} threads" in doctor.stdout

    trace = cli.start_trace(target.pid, "--max-pause", 60000)
    assert target.ask("make 10") == "10"
    trace.send(signal.SIGINT)
    report = trace.finish().report
    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("interrupt", True)
    target.assert_as_found()
    assert target.ask("roll") == str(MANY)


@pytest.mark.slow
def test_windows_in_a_row_while_threads_come_and_go(start_threads):
    target = start_threads(10, RATE)
    for _ in range(4 * TORTURE):
        report = gdbleak.trace(target.pid, max_events=100, duration_s=60, max_memory=1 << 40)
        assert (report.window.ended_by, report.verification.ok) == ("max-events", True)
        assert_all_threads_live(target, 10)


def test_waiting_threads_are_halted_by_the_attach_and_the_detach_alone(
    cli, build_target, start_target
):
    target = start_target(build_target("sleepers.c"))
    trace = cli.start_trace(target.pid)
    assert target.ask("leak 300") == "leaked"
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert report["window"]["stops"] >= 600
    assert int(target.ask("interrupted")) <= 2 * SLEEPERS
