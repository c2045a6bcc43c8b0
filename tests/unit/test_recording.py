"""The recording: what was written is read; what is cut off or damaged is said to be."""

from __future__ import annotations

import json
import os
import re
import stat
import struct
from dataclasses import replace
from unittest.mock import patch

import pytest
import recordings
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import FREE, MALLOC, MALLOC_RET, PROBES, SP
from support.events import hits_of
from support.fuzz import scaled

import gdbleak
from gdbleak.debugger.program import GdbProgram
from gdbleak.errors import FileError, RecordingError, WriteError
from gdbleak.recording.end import End, EndedBy, Verification
from gdbleak.recording.events import Hit, Resident, encode_resident
from gdbleak.recording.frames import END, FRAME, HEAD, HIT, MAGIC, PHASE, encode_json
from gdbleak.recording.head import Head
from gdbleak.recording.probes import Probe, Role
from gdbleak.recording.reader import Recording
from gdbleak.recording.writer import begin_recording

STACK = struct.pack("<QQ", 0x10123, 0)
FRAMES = [
    recordings.head(),
    recordings.opened(1_000),
    recordings.hit(MALLOC, 1_001, SP, 10),
    recordings.hit(MALLOC_RET, 1_002, SP, 0xA0, 0xBB, 0, stack=STACK),
    recordings.hit(FREE, 1_003, SP, 0xA0, thread=2),
    recordings.end(),
]
DATA = MAGIC + b"".join(FRAMES)
HEAD_OF_DATA = Head.decode(json.loads(FRAMES[0][FRAME.size :]))
NO_GDB = GdbProgram("/nonexistent/gdb", "13.1", "3.11")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder that lasts for all examples of a test."""
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture
def write(tmp_path):
    """Return a function that writes bytes to a file and returns its path."""

    def write(data):
        path = tmp_path / "recording"
        path.write_bytes(data)
        return str(path)

    return write


def load(path):
    """Make the report of a recording as `gdbleak report` does, on a host without gdb."""
    with patch("gdbleak.api.find_gdb", return_value=NO_GDB):
        return gdbleak.load(path)


def test_round_trip(write):
    recording = Recording(write(DATA))
    assert recording.head.target.pid == 4242
    assert recording.head.probes == PROBES
    assert recording.head.modules == recording.end.modules == (recordings.PROGRAM,)
    assert recording.opened_ns == 1_000
    assert recording.end.ended_by is EndedBy.DURATION
    first = len(MAGIC) + len(FRAMES[0]) + len(FRAMES[1])
    second = first + len(FRAMES[2])
    assert list(hits_of(recording)) == [
        Hit(first, MALLOC, 1_001, 1, (SP, 10), 0),
        Hit(second, MALLOC_RET, 1_002, 1, (SP, 0xA0, 0xBB), 0),
        Hit(second + len(FRAMES[3]), FREE, 1_003, 2, (SP, 0xA0), 0),
    ]
    stack, registers = recording.stack(second)
    assert (bytes(stack), registers) == (STACK, {"rsp": SP, "rax": 0xA0, "rbp": 0xBB})


def test_stored_value_is_the_last_of_a_return(write):
    path = write(MAGIC + FRAMES[0] + recordings.hit(MALLOC_RET, 5, SP, 0, 0, 0xCAFE))
    (hit,) = hits_of(Recording(path))
    assert (hit.stored, hit.registers) == (0xCAFE, (SP, 0, 0))


def test_resident_set(write):
    resident = Resident(7, 4096)
    path = write(MAGIC + FRAMES[0] + FRAMES[1] + encode_resident(resident))
    assert [*Recording(path).iter_events()][1:] == [resident]


def test_cut_at_every_byte(write):
    hits = [hit[:2] for hit in hits_of(Recording(write(DATA)))]
    ends = [len(MAGIC) + sum(map(len, FRAMES[: n + 1])) for n in range(len(FRAMES))]
    for size in range(len(DATA)):
        path = write(DATA[:size])
        if size < ends[0]:
            with pytest.raises(RecordingError):
                Recording(path)
            continue
        recording = Recording(path)
        whole = sum(end <= size for end in ends[2:5])
        assert recording.end is None
        assert [hit[:2] for hit in hits_of(recording)] == hits[:whole]
        assert recording.opened_ns == (1_000 if size >= ends[1] else None)
        assert recording.head.modules == (recordings.PROGRAM,)


def test_report_of_a_recording_that_was_cut_off(write):
    assert load(write(DATA)).window.complete is True
    report = load(write(DATA[: -len(FRAMES[-1])]))
    assert (report.window.complete, report.window.ended_by) == (False, "unknown")
    assert report.window.events == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\x7fELF\2\1\1", "not a recording"),
        (b"gdbleak2" + DATA[8:], "not a recording"),
        (MAGIC, "cut off before its first event"),
        (MAGIC + FRAMES[1], "cut off before its first event"),
        (MAGIC + recordings.head(version=1), "version 1"),
        (MAGIC + encode_json(HEAD, {}), "version None"),
    ],
)
def test_refused(write, data, words):
    with pytest.raises(RecordingError, match=words):
        Recording(write(data))


def raw_json(kind, text):
    return FRAME.pack(kind, 0, 0, len(text)) + text


DAMAGE = {
    "head is no JSON": raw_json(HEAD, b"{"),
    "head is no object": raw_json(HEAD, b"[1, 2]"),
    "head is nested without end": raw_json(HEAD, b"[" * 100_000),
    "head is no text": raw_json(HEAD, b"\xff\xfe\xfd"),
    "no probes": raw_json(HEAD, b'{"version": 2}'),
    "probes are no list": recordings.head(probes=5),
    "a probe lacks its registers": recordings.head(probes=[{"id": 0}]),
    "modules are no list": recordings.head(modules=5),
    "a module is no object": recordings.head(modules=[7]),
    "a module without path": recordings.head(modules=[{"start": 1}]),
    "a module's start is a word": recordings.head(
        modules=[{**recordings.PROGRAM.to_json(), "start": "x"}, recordings.PROGRAM.to_json()]
    ),
    "target is a list": recordings.head(target=[]),
    "resident set is a word": recordings.head(rss_before="x") + recordings.end(),
    "opened is too short": FRAMES[0] + FRAME.pack(PHASE, 0, 0, 4) + b"abcd",
    "a hit is too short": FRAMES[0] + FRAME.pack(HIT, 0, MALLOC, 4) + b"abcd",
    "a hit of an unknown probe": FRAMES[0] + FRAME.pack(HIT, 0, 77, 32) + bytes(32),
    "end is no object": FRAMES[0] + raw_json(END, b"[1]"),
    "end is empty": FRAMES[0] + raw_json(END, b"{}"),
    "end's time is a word": FRAMES[0] + recordings.end(end_ns="x"),
    "end's time is past all numbers": FRAMES[0] + FRAMES[1] + recordings.end(end_ns=10**400),
    "end's proof is a list": FRAMES[0] + recordings.end(verification=[1]),
    "end's stops are a word": FRAMES[0] + recordings.end(stops="many"),
    "end's stopped time is not a number": FRAMES[0] + recordings.end(stopped_s=float("nan")),
    "end's pause is without end": FRAMES[0] + recordings.end(longest_pause_ms=float("inf")),
    "end's proof has no letter": FRAMES[0]
    + recordings.end(
        verification={**dict.fromkeys(Verification.__dataclass_fields__), "state_after": 5}
    ),
    "children are negative": FRAMES[0] + recordings.end(children=-1),
    "the window began at a number": recordings.head(started=7) + recordings.end(),
    "the window lasts for ever": recordings.head(duration_s=float("inf")) + recordings.end(),
    "a note is a list": recordings.head(notes=[[]]) + recordings.end(),
    "a command is a number": recordings.head(target={"pid": 1, "command": 2}) + recordings.end(),
    "head has a number of a thousand digits": raw_json(HEAD, b'{"version": 1' + b"0" * 1000 + b"}"),
}


PYTHONS_OWN = re.compile(
    r"\w+Error\b|NoneType|\bobject is|codec|subscript|literal|unpack|\w+\(\)"
    r"|is not a valid|Expecting"
)


@pytest.mark.parametrize("frames", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_told_in_plain_words(write, frames):
    with pytest.raises(RecordingError) as raised:
        load(write(MAGIC + frames))
    assert not PYTHONS_OWN.search(str(raised.value))


def test_what_is_to_be_done_about_damage(write):
    with pytest.raises(RecordingError, match=" is damaged: stops cannot be 'many'") as raised:
        load(write(MAGIC + DAMAGE["end's stops are a word"]))
    assert raised.value.help_text == "copy it here again, or record anew with --save FILE"


@pytest.mark.parametrize("junk", [b"x", FRAMES[1] * 3, bytes(5000), DATA], ids=len)
def test_what_follows_the_end_is_ignored(write, junk):
    whole, longer = load(write(DATA)), load(write(DATA + junk))
    count = "1 byte" if len(junk) == 1 else f"{len(junk):,} bytes"
    note = f"the file goes on for {count} after the end of the recording: they were not read"
    assert longer.notes == (*whole.notes, note)
    assert replace(longer, notes=whole.notes) == whole


def test_recording_that_is_cut_short_while_it_is_read(write):
    """Who has mapped such a file dies of SIGBUS."""
    events = b"".join(recordings.malloc(n, 64 * n, 8, 0x10100 + n) for n in range(1, 20_000))
    path = write(DATA[: len(MAGIC) + len(FRAMES[0])] + events)
    recording = Recording(path)
    found = recording.iter_events()
    first = next(found)
    assert isinstance(first, Hit)
    os.truncate(path, 5000)
    assert len([*found]) < 39_000
    with pytest.raises(RecordingError):
        recording.stack(first.position + (1 << 20))


def test_time_stopped_is_no_more_than_there_was(write):
    """It is measured up to the detach, a moment behind the end of what is recorded."""
    frames = [*FRAMES[:-1], recordings.end(stopped_s=11.36)]
    report = load(write(MAGIC + b"".join(frames)))
    assert report.window.stopped_s == report.window.duration_s


@given(garbage=st.binary(max_size=200))
@settings(max_examples=scaled(200))
def test_garbage_after_the_head(folder, garbage):
    path = folder / "garbage"
    path.write_bytes(MAGIC + FRAMES[0] + FRAMES[2] + garbage)
    try:
        report = load(path)
    except RecordingError:
        return
    assert report.window.events >= 1


@given(st.lists(st.tuples(st.integers(8, len(DATA) - 1), st.integers(0, 255)), max_size=4))
@settings(max_examples=scaled(300))
def test_flipped_bytes(folder, flips):
    data = bytearray(DATA)
    for position, value in flips:
        data[position] = value
    path = folder / "flipped"
    path.write_bytes(data)
    try:
        load(path)
    except RecordingError:
        return


def test_unreadable_paths(tmp_path):
    for path, words in [(tmp_path, "Is a directory"), (tmp_path / "none", "No such file")]:
        with pytest.raises(RecordingError, match=words) as caught:
            Recording(str(path))
        assert isinstance(caught.value, FileError)
        assert "--save" in caught.value.help_text


def test_head_is_private_and_takes_the_place_of_an_older_file(tmp_path):
    path = tmp_path / "recording"
    path.write_text("something else")
    path.chmod(0o644)
    with begin_recording(path, HEAD_OF_DATA):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == MAGIC + HEAD_OF_DATA.encode()


def test_head_goes_through_no_link(tmp_path):
    other = tmp_path / "other"
    other.write_text("untouched")
    (tmp_path / "recording").symlink_to(other)
    with begin_recording(tmp_path / "recording", HEAD_OF_DATA):
        pass
    assert other.read_text() == "untouched"


@pytest.mark.parametrize("recorded", [b"", FRAMES[1]])
def test_older_file_is_put_back_if_nothing_was_recorded(tmp_path, recorded):
    path = tmp_path / "recording"
    path.write_text("older")
    begun = begin_recording(path, HEAD_OF_DATA)
    begun.__enter__()
    with path.open("ab") as file:
        file.write(recorded)
    assert not begun.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert [*tmp_path.iterdir()] == [path]
    expected = MAGIC + HEAD_OF_DATA.encode() + recorded if recorded else b"older"
    assert path.read_bytes() == expected


def test_head_that_cannot_be_written(tmp_path):
    begun = begin_recording(tmp_path / "none" / "recording", HEAD_OF_DATA)
    with pytest.raises(WriteError, match="No such file"):
        begun.__enter__()


def test_head_and_end_round_trip():
    frame = HEAD_OF_DATA.encode()
    assert FRAME.unpack(frame[: FRAME.size]) == (HEAD, 0, 0, len(frame) - FRAME.size)
    assert Head.decode(json.loads(frame[FRAME.size :])) == HEAD_OF_DATA
    end = End.decode(json.loads(FRAMES[-1][FRAME.size :]))
    frame = end.encode()
    assert FRAME.unpack(frame[: FRAME.size]) == (END, 0, 0, len(frame) - FRAME.size)
    assert End.decode(json.loads(frame[FRAME.size :])) == end
    assert len(end.encode(9999)) == FRAME.size + 9999
    assert End.decode(json.loads(end.encode(9999)[FRAME.size :])) == end


def test_reason_that_a_later_gdbleak_knows(write):
    report = load(write(MAGIC + b"".join((*FRAMES[:-1], recordings.end(ended_by="boredom")))))
    assert (report.window.ended_by, report.window.complete) == ("other", True)


def test_what_was_read_is_let_go_of_and_read_again(write, monkeypatch):
    """A recording may be larger than the memory that gdbleak should hold."""
    stacks = [bytes([number]) * 5000 for number in range(40)]
    hits = (
        recordings.hit(recordings.MALLOC_RET, number, recordings.SP, 1, 0, 0, stack=stack)
        for number, stack in enumerate(stacks)
    )
    path = write(MAGIC + recordings.head() + b"".join(hits))
    monkeypatch.setattr("gdbleak.recording.reader.CHUNK_BYTES", 4096)
    recording = Recording(path)
    for _ in range(2):
        found = list(hits_of(recording))
        assert [hit.time_ns for hit in found] == list(range(40))
        for order in (found, found[::-1]):
            assert all(bytes(recording.stack(h.position)[0]) == stacks[h.time_ns] for h in order)


def test_what_is_no_file_is_not_replaced(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    begun = begin_recording(fifo, HEAD_OF_DATA)
    with pytest.raises(WriteError, match="not a regular file"):
        begun.__enter__()
    assert fifo.is_fifo()


def test_recording_of_version_4(tmp_path):
    """Its probes record one word from where a size stands."""
    probe = Probe(
        *(0, 0x1010, "malloc", Role.RETURN, ("rsp", "rax", "rbp"), None, "c3"), size_offset=-8
    )
    values = probe.to_json()
    del values["size_words"]
    stack = struct.pack("<Q", 0x4242)
    frame = recordings.hit(0, 5, SP, 0xA0, 0, 0x71, stack=stack)
    path = recordings.write(tmp_path / "old", recordings.head(version=4, probes=[values]), frame)
    recording = Recording(path)
    [hit] = recording.iter_events()
    assert (hit.registers, hit.stored, hit.mark) == ((SP, 0xA0, 0), 0x71, 0)
    assert bytes(recording.stack(hit.position)[0]) == stack


def test_words_of_a_block_that_is_handed_out(tmp_path):
    probe = Probe(
        *(0, 0x1010, "malloc", Role.RETURN, ("rsp", "rax", "rbp"), None, "c3"),
        size_offset=-8,
        size_words=3,
    )
    frame = recordings.hit(0, 5, SP, 0xA0, 0, 0x71, 0x11, 0x22, stack=b"12345678")
    head = recordings.head(probes=[probe.to_json()])
    recording = Recording(recordings.write(tmp_path / "new", head, frame))
    [hit] = recording.iter_events()
    assert (hit.stored, hit.mark) == (0x71, 0x22)
    assert bytes(recording.stack(hit.position)[0]) == b"12345678"
