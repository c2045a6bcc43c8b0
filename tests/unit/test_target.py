"""What is refused before anything is attached, and what is said of what is not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest
from support.processes import state_of, wait_until

from gdbleak.errors import (
    AlreadyTracedError,
    NoSuchProcessError,
    NotPermittedError,
    ProcessStoppedError,
    ProcessUnusableError,
    TargetError,
)
from gdbleak.target import process as target
from gdbleak.target.life import find_living_thread, find_obstacle, start_of_living
from gdbleak.target.proc import read_status
from gdbleak.target.process import check_permission, inspect


@pytest.fixture
def child():
    """Return a process that waits for input."""
    with subprocess.Popen(["cat", "-"], stdin=subprocess.PIPE) as process:
        wait_until(lambda: state_of(process.pid) == "S", "it waits")
        yield process
        process.kill()


def refusal(pid, kind):
    """Assert that a process is refused; return the cause and the cure."""
    with pytest.raises(kind) as caught:
        inspect(pid)
    assert type(caught.value) is kind
    assert issubclass(kind, TargetError)
    assert str(pid) in str(caught.value)
    return str(caught.value), caught.value.help_text


def test_what_is_said_of_a_process(child):
    found = inspect(child.pid)
    assert (found.pid, found.command, found.threads, found.state) == (child.pid, "cat -", 1, "S")
    assert found.exe == str(Path(f"/proc/{child.pid}/exe").readlink())
    assert found.started
    age = datetime.now().astimezone() - datetime.fromisoformat(found.started)
    assert -2 < age.total_seconds() < 60
    described = vars(found.describe())
    assert described == {key: getattr(found, key) for key in described}


@pytest.mark.parametrize("pid", [4_194_305, 10**30])
def test_no_such_process(pid):
    refusal(pid, NoSuchProcessError)


def test_thread_of_a_process():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        _, cure = refusal(thread.native_id, NoSuchProcessError)
        assert str(os.getpid()) in cure
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("find_pid", [os.getpid, os.getppid])
def test_ourselves_and_who_waits_for_us(find_pid):
    assert "gdbleak or one of its parents" in refusal(find_pid(), ProcessUnusableError)[0]


def test_zombie():
    with subprocess.Popen(["true"]) as zombie:
        wait_until(lambda: state_of(zombie.pid) == "Z", "it is a zombie")
        cause, cure = refusal(zombie.pid, ProcessUnusableError)
        assert "zombie" in cause
        assert str(os.getpid()) in cure


WITHOUT_MAIN_THREAD = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall(60, 0)  # exit, of this thread alone
"""


def test_main_thread_that_has_ended():
    with subprocess.Popen([sys.executable, "-c", WITHOUT_MAIN_THREAD]) as process:
        try:
            wait_until(lambda: state_of(process.pid) == "Z", "its main thread had ended")
            cause, cure = refusal(process.pid, ProcessUnusableError)
            assert ("main thread has ended" in cause, "restart" in cure) == (True, True)
            assert start_of_living(process.pid) is not None
            assert find_living_thread(process.pid) not in (process.pid, None)
        finally:
            process.kill()
    assert (find_living_thread(process.pid), find_obstacle(process.pid)) == (None, None)


def test_stopped_process_is_left_stopped(child):
    os.kill(child.pid, 19)
    wait_until(lambda: state_of(child.pid) == "T", "it has stopped")
    cause, cure = refusal(child.pid, ProcessStoppedError)
    assert "stopped" in cause
    assert f"kill -CONT {child.pid}" in cure
    assert state_of(child.pid) == "T"


@pytest.fixture
def change_status(monkeypatch):
    """Return a function that changes what /proc says of every process."""

    def change(without=(), **fields):
        def read(pid):
            status = {**read_status(pid), **fields}
            return {key: value for key, value in status.items() if key not in without}

        monkeypatch.setattr(target, "read_status", read)

    return change


@pytest.mark.parametrize(
    ("fields", "namespace_pid"),
    [("{pid}", None), ("{pid}\t7", 7), ("{pid}\t30\t1", 1), ("{pid}\t{pid}", None)],
)
def test_pid_in_a_namespace_of_its_own(child, change_status, fields, namespace_pid):
    change_status(NSpid=fields.format(pid=child.pid))
    assert inspect(child.pid).namespace_pid == namespace_pid


def test_kernel_that_does_not_tell_the_pid_in_a_namespace(child, change_status):
    change_status(without=["NSpid"])
    assert inspect(child.pid).namespace_pid is None


def test_traced_process_names_its_tracer(child, change_status):
    change_status(TracerPid=str(os.getpid()))
    cause, cure = refusal(child.pid, AlreadyTracedError)
    assert f"process {os.getpid()}" in cause
    assert "detach that tracer" in cure


def test_tracer_that_cannot_be_seen(child, change_status):
    change_status(TracerPid="4194305")
    assert "not visible" in refusal(child.pid, AlreadyTracedError)[0]


def test_process_traced_and_stopped_is_traced(child, change_status):
    change_status(TracerPid="4194305", State="t (tracing stop)")
    refusal(child.pid, AlreadyTracedError)


def test_kernel_thread(child, change_status):
    change_status(without=["VmSize"])
    assert "kernel thread" in refusal(child.pid, ProcessUnusableError)[0]


def test_real_kernel_thread():
    if "kthreadd" not in Path("/proc/2/status").read_text(errors="replace"):
        pytest.skip("no kernel thread can be seen from this container")
    assert "kernel thread" in refusal(2, ProcessUnusableError)[0]


@pytest.mark.parametrize("error", [ProcessLookupError, FileNotFoundError])
def test_process_that_ends_while_it_is_looked_at(child, monkeypatch, error):
    def vanish(*_):
        raise error

    monkeypatch.setattr(target, "check_permission", vanish)
    refusal(child.pid, NoSuchProcessError)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x03\x00", "32-bit"),
        (b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00", "32-bit"),  # x32
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00", "x86-64"),  # AArch64
    ],
)
def test_other_machines(child, monkeypatch, header, words):
    assert target._read_program(child.pid)[:6] == b"\x7fELF\2\1"
    monkeypatch.setattr(target, "_read_program", lambda _: header)
    assert words in refusal(child.pid, ProcessUnusableError)[0]


@pytest.mark.parametrize(
    ("euid", "owner", "scope", "capable", "cause", "cure"),
    [
        (1000, 0, None, False, "belongs to user root", "sudo gdbleak trace 77"),
        (1000, 987654, None, False, "belongs to user 987654", "sudo gdbleak trace 77"),
        (1000, 0, "1", False, "belongs to user root", "sudo gdbleak trace 77"),
        (1000, 1000, "1", False, "ptrace_scope is 1", "sudo gdbleak trace 77"),
        (1000, 1000, "2", False, "ptrace_scope is 2", "ptrace_scope=0"),
        (1000, 1000, "3", False, "ptrace_scope is 3", "boot"),
        (0, 0, "3", True, "ptrace_scope is 3", "boot"),
        (1000, 1000, "0", False, "does not let us", "CAP_SYS_PTRACE"),
        (0, 1000, "1", False, "does not let us", "--cap-add SYS_PTRACE"),
        (0, 1000, None, False, "does not let us", "--cap-add SYS_PTRACE"),
        (1000, 0, "1", True, "user root, and CAP_SYS", "CAP_DAC_OVERRIDE"),
        (0, 987654, "0", True, "user 987654, and CAP_SYS", "CAP_DAC_OVERRIDE"),
        (0, 1000, "3", True, "ptrace_scope is 3", "boot"),
    ],
)
def test_permission(monkeypatch, tmp_path, euid, owner, scope, capable, cause, cure):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(target, "Memory", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    monkeypatch.setattr(target, "has_cap_sys_ptrace", lambda: capable)
    yama = tmp_path / "ptrace_scope"
    if scope is not None:
        yama.write_text(scope + "\n")
    monkeypatch.setattr(target, "YAMA", yama)
    with pytest.raises(NotPermittedError) as caught:
        check_permission(77, {"Name": "daemon", "Uid": f"{owner}\t{owner}\t{owner}\t{owner}"})
    assert cause in str(caught.value)
    assert cure in caught.value.help_text


def test_command_of_a_process_without_a_name():
    script = "import sys; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        ["", "-c", script], executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        assert inspect(process.pid).command.strip()
        process.communicate()
