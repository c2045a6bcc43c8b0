"""What is recorded of censuses: it comes back as it was written, and damage is said to be."""

from __future__ import annotations

import struct
from dataclasses import asdict

import pytest
import recordings
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.errors import RecordingError
from gdbleak.recording.censuses import MOST_CLASSES, Censuses, CountedSize, encode_censuses
from gdbleak.recording.end import HeapCount
from gdbleak.recording.frames import CENSUS, FRAME
from gdbleak.recording.reader import Recording, reading

WORDS = st.integers(0, (1 << 64) - 1)
CENSUSES = Censuses(
    (100, 200, 300),
    (CountedSize(24, 24, 6_400, (100, 150, 200)), CountedSize(1_040, 1_100, 0, (3, 2, 0))),
)


def write(path, *frames):
    return recordings.write(path, recordings.head(), recordings.opened(1), *frames)


def read_events(path):
    with reading(str(path)), Recording(str(path)) as recording:
        return [*recording.iter_events()][1:]


def test_round_trip(tmp_path):
    path = write(tmp_path / "recording", encode_censuses(CENSUSES))
    assert read_events(path) == [CENSUSES]
    assert Recording(str(path)).last_ns == 300


@given(st.data(), st.lists(WORDS, min_size=1, max_size=5, unique=True))
def test_any_sizes_come_back(tmp_path_factory, data, times):
    counts = st.lists(WORDS, min_size=len(times), max_size=len(times)).map(tuple)
    sizes = data.draw(st.lists(st.builds(CountedSize, WORDS, WORDS, WORDS, counts)))
    censuses = Censuses(tuple(sorted(times)), tuple(sizes))
    path = write(tmp_path_factory.getbasetemp() / "any", encode_censuses(censuses))
    assert read_events(path) == [censuses]


def test_nothing_is_written_of_no_census_or_of_more_sizes_than_there_can_be():
    size = CountedSize(24, 24, 32, (1,))
    assert encode_censuses(Censuses((), ())) == b""
    assert encode_censuses(Censuses((1,), (size,) * (MOST_CLASSES + 1))) == b""
    assert encode_censuses(Censuses((1,), (size,))) != b""


@pytest.mark.parametrize(
    "words",
    [
        (100, 0, 0),
        (100, 1, 1, 100),
        (100, 1, 1 << 60, 100),
        (100, 1 << 60, 1, 100),
        (100, 2, 0, 200, 100),
        (100,),
    ],
)
def test_damage(tmp_path, words):
    payload = struct.pack(f"<{len(words)}Q", *words)
    path = write(tmp_path / "damaged", FRAME.pack(CENSUS, 0, 0, len(payload)) + payload)
    with pytest.raises(RecordingError, match="is damaged"):
        read_events(path)


def test_the_end_says_how_often_the_heap_was_counted(tmp_path):
    counted = HeapCount(11, 0.02, None)
    end = recordings.end(heap=asdict(counted))
    assert Recording(str(write(tmp_path / "recording", end))).end.heap == counted
    assert Recording(str(write(tmp_path / "earlier", recordings.end()))).end.heap is None
