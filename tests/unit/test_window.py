"""A window asks its seams alone: here there is neither a GDB nor a process behind them."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import pytest
import recordings
from recordings import PROBES, opened

from gdbleak.capture.backend import After
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits
from gdbleak.capture.probe import Status
from gdbleak.capture.search import Findings
from gdbleak.capture.tail import Tail
from gdbleak.capture.watch import DISARMED_S
from gdbleak.capture.window import Window
from gdbleak.debugger.interface import DebuggerDiedError, DebuggerSilentError
from gdbleak.recording.end import EndedBy, References, Verification
from gdbleak.recording.functions import MALLOC_FAMILY
from gdbleak.recording.phases import Phase
from gdbleak.recording.reader import Recording

STATUS = Status(
    now_ns=7 * 10**9,
    phase=0,
    armed=True,
    turn_error=None,
    stops=3,
    lost=1,
    write_error=None,
    last_error=None,
    attach_pause_ns=10**6,
    longest_stop_ns=2 * 10**6,
)
PROVED = Verification(0, "S", "S", True, True)


class Recorder:
    """Records nothing, and tells what the test wants it to."""

    pid = os.getpid()
    children = 2
    stop_signal = None

    def __init__(self, ends, statuses, error):
        self.ends = [*ends]
        self.statuses = [*statuses]
        self.error = error
        self.asked = 0
        self.pipe = os.pipe()

    def fileno(self):
        return self.pipe[0]

    def poll(self):
        if self.error:
            raise self.error

    def take_end(self):
        return self.ends.pop(0) if self.ends else None

    def take_forked(self):
        return []

    def ask_status(self):
        self.asked += 1

    def poll_status(self):
        return self.statuses.pop(0) if self.asked and self.statuses else None

    def read_status(self, _timeout_s):
        return STATUS

    def ask_turn(self, _phase):
        raise AssertionError("everything is recorded")

    def wake(self):
        pass


class Observer:
    """Sees nothing but an end, at once or late."""

    is_frozen = False
    disarmed_ns = None

    def __init__(self, end, late_end):
        self.end = end
        self.late_end = late_end

    def look(self, elapsed_s, now_ns):
        pass

    def find_end(self):
        return self.end

    def find_late_end(self):
        return self.late_end

    def slowed_s(self, _elapsed_s):
        return 0.0

    def stopped_s(self, _elapsed_s):
        return 0.0

    def stops(self, status):
        return status and status.stops

    def longest_pause_s(self, status):
        return (status.longest_stop_ns / 1e9, True) if status else (None, False)


class Search:
    """Looks at nothing, for so many ticks."""

    def __init__(self, ticks):
        self.ticks = ticks
        self.reasons = []

    def begin(self, now_ns):
        self.begun_ns = now_ns

    def poll(self):
        self.ticks -= 1
        return 0.5 if self.ticks > 0 else None

    def give_up(self, reason):
        self.reasons.append(reason)

    def conclude(self, registers, is_interrupted):
        assert (registers, is_interrupted()) == ({}, False)
        reason = self.reasons[0] if self.reasons else None
        return Findings(References(3, 0.5, 4096, reason))


class Backend:
    """Writes down in which order a window asks."""

    registers: ClassVar[dict[int, list[int]]] = {}

    def __init__(self, ends=(), statuses=(), error=None, end=None, late_end=None):
        self.asked = []
        self.released_s = None
        self.proof = self
        self._recorder = Recorder(ends, statuses, error)
        self._observer = Observer(end, late_end)

    def __enter__(self):
        self.asked.append("enter")
        return self

    def __exit__(self, *_):
        self.asked.append("exit")
        for file in self._recorder.pipe:
            os.close(file)

    @contextmanager
    def recorder(self, interruption):
        interruption.defer()
        yield self._recorder
        self.asked.append("recorder ends")

    def hold(self):
        return self

    def take(self):
        self.asked.append("take")

    def let_go(self, ended_by):
        self.asked.append(f"let go: {ended_by.value}")
        self.released_s = time.monotonic()

    def observe(self):
        return self._observer

    def look(self, _own_stop):
        self.asked.append("look")
        return PROVED

    def conclude(self, *_, **__):
        self.asked.append("conclude")
        return replace(PROVED, ran_on_s=1.5)

    def read_after(self, _has_exec):
        return After(4096, {}, ())


@pytest.fixture
def run(tmp_path):
    """Return a function that opens a window with a backend and returns the end it has recorded."""

    def run(backend, search=None, **limits):
        path = recordings.write(tmp_path / "recording", recordings.head(), opened(5))
        bounds = Limits(
            **{"duration_s": 600, "budget_percent": 100, "max_memory": 1 << 40, **limits}
        )
        backend.account = Tail(tmp_path / "recording", PROBES, MALLOC_FAMILY, bounds.max_events)
        window = Window(1, tmp_path / "recording", bounds, backend, None, lambda _: None, search)
        with backend.account, window, Interruption() as interruption:
            window.run(interruption)
            window.conclude()
        return Recording(str(path)).end

    return run


def test_what_a_window_asks_and_in_which_order(run):
    backend = Backend()
    end = run(backend, duration_s=0.01)

    assert backend.asked == [
        *("enter", "take", "let go: duration", "recorder ends", "look", "conclude", "exit")
    ]
    assert (end.ended_by, end.end_ns, end.stops) == (EndedBy.DURATION, STATUS.now_ns, STATUS.stops)
    assert (end.lost_events, end.children, end.rss_after) == (1, 2, 4096)
    assert (end.longest_pause_ms, end.longest_pause_is_least) == (2, True)
    assert end.verification == replace(PROVED, ran_on_s=1.5)


def test_a_target_that_has_ended_is_not_waited_for(run):
    backend = Backend(ends=[None, EndedBy.TARGET_EXIT])
    assert run(backend).ended_by is EndedBy.TARGET_EXIT
    assert "conclude" not in backend.asked


@pytest.mark.parametrize(
    ("status", "ended_by"),
    [
        ({"write_error": "No space left on device"}, EndedBy.WRITE_FAILED),
        ({"turn_error": "Input/output error"}, EndedBy.BUDGET),
        ({"armed": False, "now_ns": 10**18}, EndedBy.DISARMED),
    ],
)
def test_what_the_recorder_tells(run, status, ended_by):
    assert run(Backend(statuses=[replace(STATUS, **status)])).ended_by is ended_by


def test_breakpoints_that_are_out_for_a_moment_end_nothing(run):
    statuses = [
        replace(STATUS, now_ns=5),
        replace(STATUS, armed=False, now_ns=5 + int(DISARMED_S * 1e9) - 1),
        replace(STATUS, write_error="the end of this test"),
    ]
    assert run(Backend(statuses=statuses)).ended_by is EndedBy.WRITE_FAILED


def test_breakpoints_that_are_out_between_bursts_end_nothing(run, monkeypatch):
    """A process that starts one child of vfork after the other has them out nearly all the time."""
    slowed = replace(STATUS, skipped=10_000)
    out = replace(slowed, armed=False, phase=Phase.NONE, now_ns=10**18)
    backend = Backend(statuses=[slowed, out, replace(out, write_error="the end of this test")])
    monkeypatch.setattr(backend._recorder, "ask_turn", lambda _phase: None)
    assert run(backend, budget_percent=10).ended_by is EndedBy.WRITE_FAILED


def test_stops_that_were_not_written_slow_the_target_too(run, monkeypatch):
    """A thousand of them take a quarter of a second, at least."""
    statuses = [replace(STATUS, skipped=1000), replace(STATUS, skipped=1000, write_error="over")]
    backend = Backend(statuses=statuses)
    phases = []
    monkeypatch.setattr(backend._recorder, "ask_turn", phases.append)
    run(backend, budget_percent=10)
    assert Phase.NONE in phases


def test_what_the_observer_sees(run):
    assert run(Backend(end=EndedBy.TARGET_EXEC)).ended_by is EndedBy.TARGET_EXEC
    late = Backend(late_end=EndedBy.CHILD_TRAPPED)
    assert run(late, duration_s=0.01).ended_by is EndedBy.CHILD_TRAPPED


@pytest.mark.parametrize(
    ("error", "ended_by"),
    [
        (DebuggerDiedError("it has died"), EndedBy.DEBUGGER_DIED),
        (DebuggerSilentError("it does not answer"), EndedBy.DEBUGGER_SILENT),
    ],
)
def test_a_recorder_that_fails_is_let_go(run, error, ended_by):
    backend = Backend(error=error)
    end = run(backend)
    assert (end.ended_by, end.stops, end.longest_pause_ms) == (ended_by, None, None)
    assert f"let go: {ended_by.value}" in backend.asked


def searched(run, search, backend):
    """Return the end of a window that is searched, and the phases that were asked for."""
    phases = []
    backend._recorder.ask_turn = phases.append
    return run(backend, search=search, duration_s=0.01), phases


def test_only_frees_are_recorded_while_memory_is_searched(run):
    search = Search(ticks=5)
    end, phases = searched(run, search, Backend())
    assert (end.ended_by, search.ticks, search.reasons) == (EndedBy.DURATION, 0, [])
    assert end.searched_ns == search.begun_ns
    assert end.references == References(3, 0.5, 4096)
    assert {*phases} == {Phase.FREES}


@pytest.mark.parametrize(
    ("ended_by", "reason"),
    [
        (EndedBy.TARGET_EXIT, "the process ended meanwhile"),
        (EndedBy.TARGET_EXEC, "the process started another program meanwhile"),
        (EndedBy.STARVED, "the window ended first: starved"),
    ],
)
def test_what_ends_a_search(run, ended_by, reason):
    search = Search(ticks=10**9)
    backend = Backend(ends=[None] * 3 + [ended_by])
    end, _ = searched(run, search, backend)
    assert end.ended_by is ended_by
    assert end.references.reason == reason


def test_limits_hold_while_memory_is_searched(run):
    backend = Backend(statuses=[replace(STATUS, write_error="no room")])
    search = Search(ticks=10**9)
    end, _ = searched(run, search, backend)
    assert end.ended_by is EndedBy.WRITE_FAILED
    assert search.reasons[0] == "the window ended first: write-failed"
