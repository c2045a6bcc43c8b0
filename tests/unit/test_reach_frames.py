"""What is recorded of references: it comes back as it was written, and damage is said to be."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import recordings
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.errors import RecordingError
from gdbleak.recording.end import References
from gdbleak.recording.frames import FRAME, HOLD, MAGIC, REACH
from gdbleak.recording.growing import GrowingRecording
from gdbleak.recording.reader import Recording, reading
from gdbleak.recording.references import (
    BLOCKS_IN_FRAME,
    HELD,
    LOST,
    LOST_WITH,
    UNKNOWN,
    Held,
    Holding,
    Reached,
    encode_holding,
    encode_reached,
)

WORDS = st.integers(0, (1 << 64) - 1)
BLOCKS = [(0xA0, 5, HELD), (0xB0, 6, LOST), (0xC0, 7, LOST_WITH), (0xD0, 8, UNKNOWN)]
HELD_BLOCKS = [Held(0xA0, 5, 0x10008, 0x601000, 0, 3), Held(0xE0, 9, 0x7000, 0, 77, 0)]


def write(path, *frames):
    return recordings.write(path, recordings.head(), recordings.opened(1), *frames)


def test_round_trip(tmp_path):
    frames = encode_reached(100, BLOCKS), encode_holding(200, HELD_BLOCKS)
    path = write(tmp_path / "recording", *frames)
    recording = Recording(path)
    expected = [Reached(100, tuple(BLOCKS)), Holding(200, tuple(HELD_BLOCKS))]
    assert [*recording.iter_events()][1:] == expected
    assert recording.last_ns == 200
    position = len(MAGIC) + len(recordings.head()) + len(recordings.opened(1))
    with GrowingRecording(path, recordings.PROBES, position) as growing:
        assert [appended.event for appended in growing.read_all()] == expected


@given(WORDS, st.lists(st.tuples(WORDS, WORDS, st.integers(HELD, UNKNOWN)), min_size=1))
def test_any_blocks_come_back(tmp_path_factory, time_ns, blocks):
    path = write(tmp_path_factory.getbasetemp() / "any", encode_reached(time_ns, blocks))
    assert [*Recording(path).iter_events()][1:] == [Reached(time_ns, tuple(blocks))]


def test_many_blocks_take_several_frames(tmp_path):
    blocks = [(16 * number, number, HELD) for number in range(2 * BLOCKS_IN_FRAME + 1)]
    _, *found = Recording(write(tmp_path / "many", encode_reached(1, blocks))).iter_events()
    assert [len(event.blocks) for event in found] == [BLOCKS_IN_FRAME, BLOCKS_IN_FRAME, 1]
    assert [block for event in found for block in event.blocks] == blocks


def test_no_blocks_take_no_frame():
    assert encode_reached(1, []) == encode_holding(1, []) == b""


def frame(kind, *words, more=b""):
    payload = struct.pack(f"<{len(words)}Q", *words) + more
    return FRAME.pack(kind, 0, 0, len(payload)) + payload


LARGEST = (1 << 64) - 1
DAMAGE = {
    "no time": frame(REACH),
    "no count": frame(REACH, 5),
    "a block is missing": frame(REACH, 5, 2, 0xA0, 1, HELD),
    "a block too many": frame(REACH, 5, 0, 0xA0, 1, HELD),
    "half a block": frame(REACH, 5, 1, 0xA0, 1),
    "a few bytes more": frame(REACH, 5, 1, 0xA0, 1, HELD, more=b"abc"),
    "more blocks than there is memory": frame(REACH, 5, LARGEST, 0xA0, 1, HELD),
    "as many as 24 bytes each make none": frame(REACH, 5, 1 << 61),
    "found in no way": frame(REACH, 5, 1, 0xA0, 1, 0),
    "found in a way nobody knows": frame(REACH, 5, 1, 0xA0, 1, 5),
    "no holders": frame(HOLD, 5),
    "a holder is missing": frame(HOLD, 5, 2, *range(6)),
    "half a holder": frame(HOLD, 5, 1, *range(5)),
    "more holders than there is memory": frame(HOLD, 5, LARGEST, *range(6)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage(tmp_path, damage):
    recording = Recording(write(tmp_path / "damaged", damage, recordings.end()))
    with pytest.raises(RecordingError, match="is damaged: "), reading("it"):
        [*recording.iter_events()]


@pytest.mark.parametrize("cut", [1, 8, 24])
def test_frame_that_is_cut_off_is_none(tmp_path, cut):
    path = Path(write(tmp_path / "cut", encode_reached(100, BLOCKS)))
    path.write_bytes(path.read_bytes()[:-cut])
    recording = Recording(str(path))
    assert len([*recording.iter_events()]) == 1
    assert recording.last_ns == 1


def test_what_the_end_says(tmp_path):
    told = {"looks": 3, "took_s": 0.9, "scanned_bytes": 1 << 30, "reason": None}
    path = write(tmp_path / "told", recordings.end(references=told))
    assert Recording(path).end.references == References(3, 0.9, 1 << 30)
    end = Recording(path).end
    again = write(tmp_path / "again", end.encode())
    assert Recording(again).end == end
    path = write(tmp_path / "none", recordings.end(references={**told, "reason": "it ended"}))
    assert Recording(path).end.references.reason == "it ended"
    assert Recording(write(tmp_path / "older", recordings.end())).end.references is None


@pytest.mark.parametrize(
    "told", [[1], "x", {"looks": 3}, {"looks": -1, "took_s": 1.0, "scanned_bytes": 0}]
)
def test_end_that_is_damaged(tmp_path, told):
    with pytest.raises(RecordingError, match="is damaged"):
        Recording(write(tmp_path / "damaged", recordings.end(references=told)))
