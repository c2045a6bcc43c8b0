"""What the guard writes where, on a file in the place of a process's memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from support.processes import Lines, state_of, wait_until

from gdbleak.safety.forced_end import end_debugger
from gdbleak.safety.journal import Journal
from gdbleak.safety.repair import repair, restore
from gdbleak.target.life import start_of_living

PLAN = {
    "pid": 4_194_305,  # above the largest PID the kernel gives
    "started": 1,
    "state": "S",
    "command": "program",
    "controller": 4_194_306,
    "controller_started": 2,
    "breakpoint": "cc",
    "modules": [{}],
    "probes": [{"address": 0, "original": "55"}, {"address": 2, "original": "c3"}],
    "scratch": {"address": 4, "original": "f30f1efa", "program": [1, 2]},
}


@pytest.fixture
def memory(tmp_path):
    """Return a file that stands for the memory of a process."""
    file = os.open(tmp_path / "memory", os.O_RDWR | os.O_CREAT)
    yield file
    os.close(file)


@pytest.fixture
def make_journal(tmp_path):
    """Return a function that writes a journal with some changes to its plan."""

    def make(rest="", **changes):
        path = tmp_path / "1.journal"
        path.write_text(json.dumps({**PLAN, **changes}) + "\n" + rest)
        return Journal(path)

    return make


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        (b"\xcc\xcc\xcc", b"\x55\xcc\xc3", 2),  # the second is no breakpoint of the plan
        (b"\x55\x90\xcc", b"\x55\x90\xc3", 1),
        (b"\x55\x90\xc3", b"\x55\x90\xc3", 0),
        (b"\x01\x02\x03", b"\x01\x02\x03", 0),  # something else is there now
        (b"\xcc", b"\x55", 1),
        (b"", b"", 0),
        (b"\x55\x90\xc3\x90\xf3\x0f\x1e\xfa", b"\x55\x90\xc3\x90\xf3\x0f\x1e\xfa", 0),
        (b"\xcc\x90\xc3\x90\x41\x57\x1e\xfa", b"\x55\x90\xc3\x90\xf3\x0f\x1e\xfa", 2),
    ],
)
def test_only_what_the_plan_names_is_restored(memory, before, after, count):
    os.write(memory, before)

    assert restore(memory, PLAN) == count
    assert os.pread(memory, 10, 0) == after


def test_repair_is_written_down(memory, make_journal):
    os.write(memory, b"\xcc\xcc\xcc")
    journal = make_journal()
    repair(memory, journal, "somebody")

    again = Journal(journal.path)
    assert again.events == journal.events
    assert again.closed
    [event] = again.events
    del event["time"]
    assert event == {
        "who": "somebody",
        "restored": 2,
        "continued": False,
        "target_lives": False,
        "closed": True,
    }


def test_what_cannot_be_written_leaves_the_journal_open(tmp_path, memory, make_journal):
    os.write(memory, b"\xcc\xcc\xcc")
    journal = make_journal()
    read_only = os.open(tmp_path / "memory", os.O_RDONLY)
    repair(read_only, journal, "somebody")
    os.close(read_only)

    assert not Journal(journal.path).closed


@pytest.mark.parametrize(
    ("before", "after"),
    [("S", "S"), ("T", "T")],
)
def test_only_what_ran_before_is_continued(memory, make_journal, before, after):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as cat:
        os.kill(cat.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(cat.pid) == "T", "it had stopped")
        journal = make_journal(pid=cat.pid, started=start_of_living(cat.pid), state=before)
        repair(memory, journal, "somebody")

        assert journal.events[0]["continued"] is (before == "S")
        wait_until(lambda: state_of(cat.pid) == after, f"it was in state {after}")
        cat.kill()


def test_another_process_of_that_pid_is_not_continued(memory, make_journal):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as cat:
        os.kill(cat.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(cat.pid) == "T", "it had stopped")
        repair(memory, make_journal(pid=cat.pid, started=1), "somebody")

        assert state_of(cat.pid) == "T"
        cat.kill()


def test_half_an_event_does_not_hide_the_plan(make_journal):
    journal = make_journal('{"who": "guard", "closed": false}\n{"who": "gu')

    assert journal.plan == PLAN
    assert [event["who"] for event in journal.events] == ["guard"]
    assert not journal.closed


@pytest.mark.parametrize(
    "content", ["", "\n", "{", "[]", "null", "{}", '{"pid": 1}', "[" * 100_000]
)
def test_damaged_journal(tmp_path, content):
    path = tmp_path / "1.journal"
    path.write_text(content)

    with pytest.raises(ValueError, match=r"."):
        Journal(path)


def test_zombie_has_no_start():
    with subprocess.Popen(["true"]) as process:
        wait_until(lambda: state_of(process.pid) == "Z", "it is a zombie")
        assert start_of_living(process.pid) is None
    assert start_of_living(process.pid) is None
    assert start_of_living(os.getpid()) is not None


_STEP = """
import ctypes, os, signal, sys
libc, target = ctypes.CDLL(None), int(sys.argv[1])
for request in (16, 9):  # PTRACE_ATTACH, PTRACE_SINGLESTEP
    if libc.ptrace(request, target, None, None):
        sys.exit("not permitted")
    os.waitpid(target, 0)
print("stepped", flush=True)
signal.pause()
"""


@pytest.mark.usefixtures("needs_ptrace")
def test_end_of_a_debugger_that_has_stepped_a_thread():
    """Killed alone, it leaves the thread to run into a trap after its next instruction."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as target:
        step = [sys.executable, "-c", _STEP, str(target.pid)]
        with subprocess.Popen(
            step, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        ) as debugger:
            assert Lines(debugger.stdout).next() == "stepped"
            end_debugger(debugger.pid, target.pid)
        worked_s = psutil.Process(target.pid).cpu_times().user
        wait_until(
            lambda: target.poll() or psutil.Process(target.pid).cpu_times().user > worked_s,
            "it had run on",
        )
        assert target.poll() is None
        assert state_of(target.pid) == "R"
        target.kill()
