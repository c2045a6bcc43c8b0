"""Processes that share the memory of a target are neither killed by breakpoints nor kept unsaid."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.processes import state_of, status_of, wait_until

import gdbleak
from gdbleak.capture import observer
from gdbleak.errors import ProcessUnusableError
from gdbleak.target import shared_memory
from gdbleak.target.shared_memory import Sharer, check_sharers, find_sharers

needs_ptrace = pytest.mark.usefixtures("needs_ptrace")

SIGNALS = [signal.SIGCHLD, 0, signal.SIGUSR1]
"""Sent to the parent at the end. For the kernel, and for GDB, only the first is a fork."""


@pytest.fixture
def target(build_target, start_target):
    """Return a program that makes processes which share its memory, when it is told to."""
    target = start_target(build_target("sharers.c"))
    yield target
    assert target.ask("end") == "ended"


@pytest.fixture
def without_kcmp(monkeypatch):
    """Have the kernel know no kcmp."""
    monkeypatch.setattr(shared_memory, "share_memory", lambda *_: None)


def assert_allocates(target, sharer):
    """Assert that a process that shares the memory lives, untraced, and goes on allocating."""
    assert state_of(sharer) in "SR"
    assert status_of(Path(f"/proc/{sharer}"))["TracerPid"] == "0"
    before = int(target.ask("count"))
    wait_until(lambda: int(target.ask("count")) > before, "it allocated")


@pytest.mark.parametrize("number", SIGNALS)
def test_one_from_before_the_attach(cli, target, number):
    sharer = int(target.ask(f"share {int(number)}"))
    for command in ("trace", "doctor"):
        result = cli.run(command, target.pid)
        text = result.stderr + result.stdout
        assert result.exit_code == (3 if command == "trace" else 1)
        assert f"process {target.pid} (sharers) shares its memory with process {sharer} (s" in text
        assert f"try: try again when process {sharer} has ended" in text
    assert_allocates(target, sharer)


def test_one_that_has_ended(target):
    target.ask(f"share {int(signal.SIGCHLD)}")
    with pytest.raises(ProcessUnusableError):
        check_sharers(target.pid)
    target.ask("end")
    check_sharers(target.pid)


def test_child_of_vfork_that_lives_for_long(cli, build_target, start_target):
    vforks = start_target(build_target("vforks.c"))
    assert vforks.ask("vfork 20") == "started"
    [child] = wait_until(lambda: find_sharers(vforks.pid), "its child shares its memory")
    result = cli.run("trace", vforks.pid)
    os.kill(child, signal.SIGKILL)  # it still lives
    assert (result.exit_code, result.stdout) == (3, "")
    assert "shares its memory with process" in result.stderr


def test_others_are_not_taken_for_one(target):
    """Neither threads, nor a child of fork, nor anybody else."""
    target.ask("fork")
    assert find_sharers(target.pid) == {}
    assert find_sharers(os.getpid()) == {}


@pytest.mark.usefixtures("without_kcmp")
def test_kernel_that_does_not_tell(target):
    """Of a child of fork the one difference is the id of its thread, somewhere in its memory."""
    target.ask("fork")
    assert find_sharers(target.pid) == {}
    sharer = int(target.ask(f"share {int(signal.SIGCHLD)}"))
    assert find_sharers(target.pid) == {sharer: Sharer(sharer, "sharers", is_sure=False)}
    with pytest.raises(ProcessUnusableError, match=r"seems to share.* not tell for sure"):
        check_sharers(target.pid)


@needs_ptrace
def test_one_child_of_vfork_after_the_other(cli, build_target, start_target):
    """Who makes them without pause is not refused: none of them stays."""
    forks = start_target(build_target("forks.c", "-Wno-clobbered"), "vfork")
    result = cli.run("trace", forks.pid, "--duration", 1, "--format", "json")
    assert result.report["verification"]["ok"] is True
    assert forks.ask("how many?").endswith(" 0")


def test_always_another_one(monkeypatch):
    pids = iter(range(1, 1 << 20))
    monkeypatch.setattr(shared_memory, "find_sharers", lambda _: {next(pids): None})
    check_sharers(os.getpid())


@needs_ptrace
def test_one_that_begins_while_gdb_is_tried(cli, target):
    """It is looked for again right before the attach."""
    trace = cli.start("trace", target.pid, "--duration", 600)
    wait_until(lambda: [*cli.tmpdir.glob("*/running")], "the rehearsal had begun")
    sharer = int(target.ask(f"share {int(signal.SIGCHLD)}"))
    result = trace.finish()
    assert_allocates(target, sharer)
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"shares its memory with process {sharer}" in result.stderr


@needs_ptrace
def test_one_that_is_forked_in_the_window(cli, target):
    """GDB takes its breakpoints out for it, and would put them in again after the next vfork."""
    trace = cli.start_trace(target.pid)
    sharer = int(target.ask(f"share {int(signal.SIGCHLD)}"))
    report = trace.finish().report

    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("disarmed", True)
    assert target.ask("spawn") == "spawned"
    assert_allocates(target, sharer)


@needs_ptrace
def test_one_that_dies_before_the_window_is_closed(target, monkeypatch):
    """As at a breakpoint that GDB has put in again."""
    made = []

    def find_and_kill(_pid, child):
        os.kill(child, signal.SIGTRAP)
        wait_until(lambda: state_of(child) == "Z", "it had died")
        return True

    def make(_):
        if not made:
            made.append(target.ask(f"share {int(signal.SIGCHLD)}"))

    monkeypatch.setattr(observer, "share_memory", find_and_kill)
    report = gdbleak.trace(target.pid, 600, on_progress=make, max_memory=1 << 40)
    assert (report.window.ended_by, report.verification.ok) == ("child-trapped", True)


@needs_ptrace
@pytest.mark.parametrize("number", SIGNALS[1:])
def test_one_that_gdb_takes_for_a_thread(cli, target, number):
    trace = cli.start_trace(target.pid)
    sharer = int(target.ask(f"share {int(number)}"))
    assert target.ask("spawn") == "spawned"
    before = int(target.ask("count"))
    wait_until(lambda: int(target.ask("count")) > before, "it allocated")
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("interrupt", True)
    assert_allocates(target, sharer)
