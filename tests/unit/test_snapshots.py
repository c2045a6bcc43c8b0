"""Reports of recordings that grow, made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import recordings
from recordings import malloc

from gdbleak.analysis.options import ReportOptions
from gdbleak.capture.limits import Progress
from gdbleak.debugger.program import GdbProgram
from gdbleak.follow.snapshots import FREE_S, SHARE, Snapshots
from gdbleak.follow.view import Subject
from gdbleak.report.model import Frame

S = 10**9


class Names:
    """Names that need no GDB."""

    def resolve(self, addresses):
        return {address: (Frame(address),) for address in addresses}


@pytest.fixture
def path(tmp_path):
    """Return the path of a recording of five blocks, a second apart, and then half a frame."""
    blocks = [malloc((6 + n) * S, 0xA0 + n, 100, 0x50001) for n in range(5)]
    first = [recordings.head(), recordings.opened(5 * S)]
    return recordings.write(tmp_path / "recording", *first, *blocks, blocks[0][:30])


@pytest.fixture
def snapshots(path):
    subject = Subject(path, (), ReportOptions(older_ms=0), GdbProgram("gdb", "1", "3"))
    return Snapshots(subject, 2.0, Names())  # type: ignore[arg-type]


def progress(path, **values):
    made = Progress(
        elapsed_s=6.0,
        duration_s=60,
        events=10,
        events_per_s=2.0,
        outstanding=5,
        stopped_s=0.5,
        stops=10,
        now_ns=11 * S,
        recorded_bytes=Path(path).stat().st_size - 30,
    )
    return replace(made, **values)


def test_it_is_of_the_window_so_far(snapshots, path):
    report = snapshots.take(progress(path))
    window = report.window
    assert (window.duration_s, window.ended_by, window.complete) == (6.0, "running", True)
    assert (window.stops, window.stopped_s) == (10, 0.5)
    [site] = report.sites
    assert (site.outstanding_count, site.oldest_s) == (5, 5.0)


def test_what_came_later_is_not_in_it(snapshots, path):
    two = len(malloc(0, 0, 0, 0)) * 3 + 30
    earlier = progress(path, recorded_bytes=Path(path).stat().st_size - two, now_ns=8 * S)
    [site] = snapshots.take(earlier).sites
    assert (site.outstanding_count, site.oldest_s) == (2, 2.0)


def test_when_one_is_due(snapshots, path):
    assert not snapshots.is_due(1.9)
    assert snapshots.is_due(2.1)
    snapshots.take(progress(path, elapsed_s=2.1))
    assert not snapshots.is_due(3.9)
    snapshots.take(progress(path, elapsed_s=9.5))
    assert snapshots.is_due(9.6)  # of those at 4, 6 and 8 s, one is made up for
    snapshots.take(progress(path, elapsed_s=9.6))
    assert not snapshots.is_due(9.9)


def test_they_take_a_share_of_the_time(snapshots, path, monkeypatch):
    seconds = iter([0.0, FREE_S + 10 * SHARE])
    monkeypatch.setattr("time.process_time", lambda: next(seconds))
    snapshots.take(progress(path, elapsed_s=2))
    assert not snapshots.is_due(9.9)
    assert snapshots.is_due(10.1)


@pytest.mark.parametrize(("end_s", "expected"), [(6.9, False), (7.1, True)])
def test_the_last_one_falls_on_the_end(path, end_s, expected):
    file = Path(path)
    end = recordings.end(end_ns=round(end_s * S))
    file.write_bytes(file.read_bytes()[:-30] + end)
    subject = Subject(path, (), ReportOptions(older_ms=0), GdbProgram("gdb", "1", "3"))
    last = Snapshots(subject, 2.0, Names()).take_last()  # type: ignore[arg-type]
    assert (last is not None) == expected
