"""A trace through a gdbserver of the distribution, over the loopback interface."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from support.crew import find_gdb
from support.exactness import COUNTS, sum_by_line
from support.processes import status_of, wait_until

pytestmark = [
    pytest.mark.usefixtures("needs_ptrace"),
    pytest.mark.skipif(shutil.which("gdbserver") is None, reason="gdbserver: run .ci/setup test"),
]


def is_untraced(pid):
    return status_of(Path(f"/proc/{pid}"))["TracerPid"] == "0"


@pytest.mark.parametrize("attached", [False, True], ids=["multi", "attach"])
def test_counts_of_every_site_are_exact(cli, serve, build_target, start_target, attached):
    exact = start_target(build_target("exact.cpp", "-fno-optimize-sibling-calls"))
    how = ("--attach", "127.0.0.1:0", exact.pid) if attached else ("--multi", "127.0.0.1:0")
    trace = cli.start_trace(exact.pid, "--remote", serve(*how).address)
    truth = json.loads(exact.ask("go"))
    trace.send(signal.SIGINT)
    report = trace.finish().report

    expected = {site["line"]: {key: site[key] for key in COUNTS} for site in truth}
    assert expected == sum_by_line(report)
    window = report["window"]
    assert (window["missed_frees"], window["lost_events"], window["complete"]) == (0, 0, True)
    assert window["ended_by"] == "interrupt"
    assert report["memory"]["rss_before"] > 0
    proof = report["verification"]
    assert (proof["tracer_pid"], proof["text_intact"], proof["ok"]) == (0, None, None)
    exact.assert_as_found()


def test_an_idle_process_is_released_when_the_time_is_up(cli, serve, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    address = serve("--attach", "127.0.0.1:0", puppet.pid).address
    result = cli.run("trace", "--remote", address, "--duration", 0.3, "-v")

    assert result.exit_code == 0, result.stderr
    assert "released: nobody traces it" in result.stdout
    assert puppet.ask("leak 3") == "leaked"


def test_the_number_of_events_bounds_the_window(cli, serve, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    address = serve("--multi", "127.0.0.1:0").address
    trace = cli.start_trace(puppet.pid, "--remote", address, "--max-events", 20)
    assert puppet.ask("leak 50") == "leaked"
    window = trace.finish().report["window"]

    assert (window["ended_by"], window["events"]) == ("max-events", 20)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_process_lives_when_gdbleak_dies(cli, serve, build_target, start_target, number):
    puppet = start_target(build_target("puppet.c"))
    address = serve("--multi", "127.0.0.1:0").address
    trace = cli.start_trace(puppet.pid, "--remote", address)
    assert puppet.ask("leak 5") == "leaked"
    trace.send(number)

    wait_until(lambda: is_untraced(puppet.pid), "nobody traced it")
    puppet.assert_as_found()
    assert puppet.ask("leak 5") == "leaked"
    if number == signal.SIGKILL:  # another process clears up
        trace.end()
        wait_until(lambda: not any(cli.tmpdir.iterdir()), "nothing was left in its TMPDIR")


def test_a_signal_kills_the_process(cli, serve, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    trace = cli.start_trace(puppet.pid, "--remote", serve("--multi", "127.0.0.1:0").address)
    assert puppet.ask("leak 5") == "leaked"
    os.kill(puppet.pid, signal.SIGKILL)
    report = trace.finish().report

    assert report["window"]["ended_by"] == "target-killed"
    assert not [note for note in report["notes"] if "trace again" in note]


@pytest.mark.parametrize("status", [0, 7])
def test_the_process_ends_as_it_likes(cli, serve, build_target, start_target, status):
    puppet = start_target(build_target("puppet.c"))
    trace = cli.start_trace(puppet.pid, "--remote", serve("--multi", "127.0.0.1:0").address)
    assert puppet.ask("leak 5") == "leaked"
    puppet.tell(f"exit {status}")
    report = trace.finish().report

    assert report["window"]["ended_by"] == "target-exit"
    assert puppet.wait() == status


def test_another_program_runs_free(cli, serve, build_target, start_target):
    program = build_target("puppet.c")
    puppet = start_target(program)
    trace = cli.start_trace(puppet.pid, "--remote", serve("--multi", "127.0.0.1:0").address)
    assert puppet.ask("leak 5") == "leaked"
    assert puppet.ask(f"exec {program}") == "ready"
    report = trace.finish().report

    assert report["window"]["ended_by"] == "target-exec"
    assert puppet.ask("leak 5") == "leaked"


def test_another_gdb_repairs_what_a_killed_one_leaves(cli, serve, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    trace = cli.start_trace(puppet.pid, "--remote", serve("--multi", "127.0.0.1:0").address)
    assert puppet.ask("leak 5") == "leaked"
    gdb = find_gdb(trace.pid)
    gdb.kill()
    result = trace.finish()

    assert (result.exit_code, result.report["window"]["ended_by"]) == (1, "debugger-died")
    puppet.assert_as_found()
    assert puppet.ask("leak 5") == "leaked"


def test_without_gdbserver_it_says_what_may_be_left(cli, serve, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    server = serve("--multi", "127.0.0.1:0")
    trace = cli.start_trace(puppet.pid, "--remote", server.address)
    server.process.kill()
    result = trace.finish()

    assert result.exit_code == 4
    assert f"process {puppet.pid} may hold breakpoints" in result.stderr
    puppet.end()


def test_nobody_listens(cli):
    result = cli.run("trace", "--remote", "127.0.0.1:1")

    assert result.exit_code == 4
    assert "no gdbserver answers at 127.0.0.1:1" in result.stderr
    assert "try: on the other machine" in result.stderr


def test_which_process_was_not_said(cli, serve):
    result = cli.run("trace", "--remote", serve("--multi", "127.0.0.1:0").address)

    assert result.exit_code == 4
    assert "is not attached to a process" in result.stderr


def test_there_is_no_such_process(cli, serve):
    result = cli.run("trace", 999_999_999, "--remote", serve("--multi", "127.0.0.1:0").address)

    assert result.exit_code == 3
    assert "there is no process 999999999" in result.stderr


def test_gdbserver_holds_another_process(cli, serve, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    address = serve("--attach", "127.0.0.1:0", puppet.pid).address
    result = cli.run("trace", 1, "--remote", address)

    assert result.exit_code == 4
    assert f"is attached to process {puppet.pid}, not 1" in result.stderr


@pytest.mark.parametrize("address", ["127.0.0.1", ":2345", "| true", "host:port"])
def test_an_address_that_is_none(cli, address):
    result = cli.run("trace", "--remote", address)

    assert result.exit_code == 2
    assert f"--remote needs HOST:PORT: {address}" in result.stderr


@pytest.mark.parametrize("option", ["--budget", "--tail"])
def test_what_needs_a_hand_on_the_process_is_refused(cli, option):
    result = cli.run("trace", 1, "--remote", "127.0.0.1:1", option, 5)

    assert result.exit_code == 2
    assert f"{option} does not work with --remote" in result.stderr


def test_a_gdb_that_holds_too_much_ends_the_window(cli, serve, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    options = ("--remote", serve("--multi", "127.0.0.1:0").address, "--max-memory", "1M")
    result = cli.run("trace", puppet.pid, *options, "--duration", 600, "--format", "json")

    assert result.report["window"]["ended_by"] == "max-memory"
    puppet.assert_as_found()
