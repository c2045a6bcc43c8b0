"""What is seen of a process while its window is open, and what ends that."""

from __future__ import annotations

import os
from unittest.mock import Mock

import pytest

from gdbleak.capture.halts import Pauses
from gdbleak.capture.limits import Limits
from gdbleak.capture.observer import LocalObserver
from gdbleak.recording.end import EndedBy


@pytest.fixture
def pauses():
    """Return for how long the process stood still."""
    return Pauses()


@pytest.fixture
def tail():
    """Return what the recording says: of a call that was not held up."""
    return Mock(longest_call_s=(0.0, 0.0), probes=[Mock(address=0)])


@pytest.fixture
def observe(pauses, tail):
    """Return a function that observes this process, which nobody traces."""
    pid = os.getpid()
    recorder = Mock(pid=pid)
    recorder.take_forked.return_value = []
    memory = Mock()
    memory.read.return_value = b"\0"

    def observe(max_pause_ms=500):
        limits = Limits(max_pause_ms=max_pause_ms)
        guard = Mock(disarmed_ns=None)
        return LocalObserver(pid, memory, recorder, guard, tail, limits, Mock(), pauses)

    return observe


def test_nothing_ends_the_window_of_a_process_that_runs(observe):
    assert observe().find_end() is None


def test_a_halt_that_is_noticed_when_it_is_over(observe, pauses):
    """Who looks had no processor for as long."""
    observer = observe()
    for now_s, run in ((0.0, None), (0.01, 5), (1.8, 5), (1.81, None)):
        pauses.halts.note(7, run, now_s)
    assert pauses.halts.oldest is None
    assert observer.find_end() is EndedBy.MAX_PAUSE


def test_the_attach_may_have_taken_longer(observe, pauses):
    """It has a bound of its own, and to end the window would not make it shorter."""
    pauses.halts.longest_s = 0.9
    observer = observe()
    assert observer.find_end() is None
    pauses.halts.longest_s = 0.95
    assert observer.find_end() is EndedBy.MAX_PAUSE


def test_a_call_that_waits_for_those_of_others(observe, tail):
    observer = observe()
    tail.longest_call_s = 0.4, 2.0
    assert observer.find_end() is None
    tail.longest_call_s = 0.6, 2.0
    assert observer.find_end() is EndedBy.MAX_PAUSE


def test_gdb_at_work_slows_nobody_while_no_breakpoint_is_in(observe, monkeypatch):
    busy_ns = [0]
    monkeypatch.setattr(
        "gdbleak.capture.standstill.read_runnable_ns", lambda _pid: 10**9 + busy_ns[0]
    )
    observer = observe()
    observer.look(0.1, 1)
    busy_ns[0] = 2 * 10**9
    observer.is_armed = False
    observer.look(0.2, 2)  # so far they were in
    assert observer.slowed_s(10) == pytest.approx(2)
    busy_ns[0] = 5 * 10**9
    observer.is_armed = True
    observer.look(0.3, 3)
    assert observer.slowed_s(10) == pytest.approx(2)
    busy_ns[0] = 6 * 10**9
    assert observer.slowed_s(10) == pytest.approx(3)
