"""A line for every allocation and free, from recordings made by hand."""

from __future__ import annotations

import time

import pytest
import recordings
from recordings import PROGRAM, free, malloc

from gdbleak.follow.event_lines import EventLines
from gdbleak.recording.events import Freed, encode_freed
from gdbleak.recording.frames import MAGIC
from gdbleak.recording.growing import GrowingRecording
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.reader import Recording

S = 10**9


@pytest.fixture
def path(tmp_path):
    """Return the path of a recording that has just begun."""
    return recordings.write(tmp_path / "recording", recordings.head(), recordings.opened(5 * S))


@pytest.fixture
def tell(path, monkeypatch):
    """Return a function that adds to the recording and returns the lines of that, in words."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    recording = Recording(path)
    growing = GrowingRecording(path, recording.head.probes, len(MAGIC))
    lines = EventLines(
        recording.head.probes, recording.head.functions, ModuleMap([PROGRAM]), epoch_ns=0
    )

    def tell(*frames):
        with open(path, "ab") as file:  # noqa: PTH123
            file.write(b"".join(frames))
        return [
            line.split()
            for appended in growing.read_all()
            for line in lines.feed(appended.event, growing.find_caller(appended))
        ]

    with growing:
        yield tell
    monkeypatch.undo()
    time.tzset()


def test_allocation_and_free(tell):
    assert tell(malloc(6 * S, 0xA0, 100, 0x11235, thread=7)) == [
        ["00:00:06.000000", "7", "malloc", "100", "0xa0", "program+0x1235"]
    ]
    assert tell(free(8 * S, 0xA0)) == [["00:00:08.000000", "1", "free", "100", "0xa0", "2.0", "s"]]


def test_free_of_an_older_block(tell):
    [line] = tell(free(8 * S, 0xB0))
    assert line[2:] == ["free", "-", "0xb0", "older"]


def test_block_that_was_found_free(tell):
    assert len(tell(malloc(6 * S, 0xA0, 100, 0x50001))) == 1
    [line] = tell(encode_freed(Freed(9 * S, ((0xA0, 6 * S),))))
    assert line[1:] == ["-", "found", "free", "100", "0xa0", "3.0", "s"]


def test_failed_allocation_and_free_of_null_have_no_line(tell):
    assert tell(malloc(6 * S, 0, 100, 0x50001), free(7 * S, 0)) == []


def test_half_a_frame_waits_for_its_rest(tell):
    whole = malloc(6 * S, 0xA0, 100, 0x50001)
    assert tell(whole[:-5]) == []
    assert [line[2] for line in tell(whole[-5:])] == ["malloc"]


def test_frames_larger_than_what_is_read_at_once(tell, monkeypatch):
    monkeypatch.setattr("gdbleak.recording.growing.CHUNK_BYTES", 16)
    sizes = [line[3] for line in tell(*(malloc(6 * S, n << 8, n, 0x50001) for n in range(1, 99)))]
    assert sizes == [str(n) for n in range(1, 99)]
