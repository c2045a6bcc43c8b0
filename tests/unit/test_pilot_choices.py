"""What the pilot counts first, and what it says when it cannot count."""

from __future__ import annotations

import errno
import os
import resource

import pytest

from gdbleak.plan.allocators import Entry
from gdbleak.preflight import perf_counter, pilot
from gdbleak.preflight.busy_threads import choose_threads
from gdbleak.preflight.pilot import measure_rate
from gdbleak.recording.functions import MALLOC_FAMILY, OPERATORS


def names_of(functions):
    entries = [Entry(number, function) for number, function in enumerate(functions)]
    return [[entry.function.name for entry in each] for each in pilot._make_sets(entries)]


def test_usual_functions_come_first():
    first, *others = names_of(MALLOC_FAMILY)
    assert first == ["malloc", "calloc", "realloc", "free"]
    assert [len(each) for each in others] == [4, 4]


def test_operators_are_counted_with_them():
    sets = names_of(MALLOC_FAMILY + OPERATORS)
    assert [len(each) for each in sets] == [4, 4, 4]
    assert {"_Znwm", "_ZdlPv", "_ZdlPvm", "_Znam"} <= {*sets[1], *sets[2]}


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EPERM, "does not permit perf_event_open (kernel.perf_event_paranoid is 3)"),
        (errno.EACCES, "does not permit perf_event_open"),
        (errno.ENOSYS, "this kernel has no perf_event_open"),
        (errno.ENOSPC, "its debug registers are in use"),
        (errno.ESRCH, "its threads have ended"),
        (errno.ENOENT, "this machine has no debug registers to count with"),
    ],
)
def test_reason(monkeypatch, tmp_path, number, words):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    (tmp_path / "paranoid").write_text("3\n")
    monkeypatch.setattr(perf_counter, "_PARANOID", tmp_path / "paranoid")
    monkeypatch.setattr(perf_counter, "_perf_event_open", refuse)
    rate = measure_rate(os.getpid(), [Entry(0x1000, MALLOC_FAMILY[0])])
    assert rate.reason
    assert words in rate.reason


def test_nothing_to_count():
    assert measure_rate(os.getpid(), []).reason == "there is no function to count"


@pytest.mark.parametrize(
    ("soft", "expected"), [(resource.RLIM_INFINITY, 64), (1 << 20, 64), (10, 2)]
)
def test_threads_that_can_be_counted(monkeypatch, soft, expected):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert pilot._find_limit() == expected


def test_threads_stand_for_all(monkeypatch):
    """Of a hundred threads, of which three run."""
    reads = []

    def read(_, thread):
        reads.append(thread)
        return (len(reads) / 1e3 if thread in (7, 8, 9) else 0.0), 0.0

    monkeypatch.setattr("gdbleak.preflight.busy_threads.list_threads", lambda _: [*range(100)])
    monkeypatch.setattr("gdbleak.preflight.busy_threads._read_demand", read)
    weights = choose_threads(1, 20)
    assert len(weights) == 20
    assert sum(weights.values()) == pytest.approx(100)
    assert {weights[thread] for thread in (7, 8, 9)} == {1.0}
    assert choose_threads(1, 100) == dict.fromkeys(range(100), 1.0)
