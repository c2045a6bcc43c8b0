"""Threads are halted for a moment to see their registers, and never for longer."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.processes import states_of, status_of, wait_until

from gdbleak.target.proc import list_threads
from gdbleak.target.registers import read_registers

pytestmark = pytest.mark.usefixtures("needs_ptrace")

KINDS = ("hot", "read", "futex", "sleep", "epoll")


def assert_runs(pid):
    """Assert that nobody traces or has stopped a thread."""
    tracers = {
        status_of(Path(f"/proc/{pid}/task/{each}"))["TracerPid"] for each in list_threads(pid)
    }
    assert tracers == {"0"}
    wait_until(lambda: not {"t", "T"} & {*states_of(pid)}, "every thread ran on")


def test_every_thread_is_read_and_runs_on(build_target, start_target):
    target = start_target(build_target("waiting.c"), *KINDS)
    for _ in range(10):
        found = read_registers(target.pid, 20)
        assert {*found} == {*list_threads(target.pid)}
        assert min(len(numbers) for numbers in found.values()) >= 16
        assert_runs(target.pid)
    target.tell("wake")
    for kind in KINDS:
        name, result = target.lines.next().split()
        assert (name, result.isdecimal()) == (kind, True), result


def test_a_thread_that_does_not_halt(vforks, stuck):
    """It is not held when it halts after all, though whoever has asked for it goes on."""
    stuck.begin("vfork")
    threads = {*list_threads(vforks.pid)}
    found = read_registers(vforks.pid, 0.3)
    assert 0 < len(found) < len(threads)
    assert_runs(vforks.pid)
    stuck.release()
    assert_runs(vforks.pid)


def test_a_process_that_has_ended(build_target, start_target):
    target = start_target(build_target("puppet.c"))
    target.process.kill()
    target.process.wait()
    assert read_registers(target.pid) == {}
