"""Calls that were seen whole: their frames, the books that are kept of them, and their lines."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest
import recordings
from hypothesis import given
from hypothesis import strategies as st
from recordings import PROGRAM, SP
from rings import CODE, FUNCTIONS, PROBES

from gdbleak.analysis.folded import allot
from gdbleak.analysis.options import ReportOptions
from gdbleak.errors import RecordingError
from gdbleak.follow.event_lines import EventLines
from gdbleak.ledger.replay import Replay
from gdbleak.recording.choice import draw_lot
from gdbleak.recording.events import (
    Folded,
    Hit,
    Level,
    encode_folded,
    encode_hit,
    encode_level,
    encode_same,
)
from gdbleak.recording.frames import FOLDED, FRAME, LEVEL, MAGIC, SAME
from gdbleak.recording.growing import GrowingRecording
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.phases import Phase
from gdbleak.recording.reader import Recording
from gdbleak.target.modules import find_again
from gdbleak.tracing.reporting import make_report

CALL, CALLOC, BEGIN, END, MEMALIGN, FREE = range(6)
A, B = 0x1000, 0x2000
STACK = struct.pack("<QQ", CODE[0] + 0x123, 0)
HEAD = recordings.head(
    functions=[function.to_json() for function in FUNCTIONS.values()],
    probes=[probe.to_json() for probe in PROBES],
)
FIRST = len(MAGIC) + len(HEAD) + len(recordings.opened(1))
"""Where the first event is."""
BLOCKS = Folded(
    *(FIRST, CALL, 2_000_000_000, 9_000_000_000),
    ages=((1000, 60), (9000, 40)),
    threads=((1, 90), (2, 10)),
    sizes=((50, 100), (50, 5000)),
    zeros=((0, 70, 4000), (1, 10, 500), (5, 20, 600)),
)


def hit(probe, time_ns, *registers, thread=1, position=FIRST):
    return Hit(position, probe, time_ns, thread, registers, 0)


def call(time_ns, address, size, **values):
    return hit(CALL, time_ns, SP, address, 0, size, **values)


def stores(event):
    return PROBES[event.probe].stores


def write(path, *frames):
    return recordings.write(path, HEAD, recordings.opened(1), *frames, recordings.end())


def load(path, **options):
    chosen = ReportOptions(**{"older_ms": 0, "listed_blocks": 9, **options})
    with Recording(path) as recording:
        return make_report(recording, find_again, chosen, None)


class Books:
    """What is left of a list of hits."""

    def __init__(self, *hits, zeros=0):
        self.retired = []
        replay = Replay(PROBES, FUNCTIONS.values(), self.retired.append, zeros=zeros)
        for each in hits:
            replay.feed(each)
        self.ledger, self.events = replay.ledger, replay.events
        self.ledger.close()
        self.alive = {block.address: block.size for block in self.ledger.survivors}


def test_equal_calls_in_a_row_are_two():
    """GDB reports one hit twice; here, nobody does."""
    books = Books(call(1, A, 8), call(1, A, 8))
    assert (books.ledger.allocations, books.ledger.missed_frees, books.events) == (2, 1, 2)
    books = Books(hit(FREE, 1, SP, A), hit(FREE, 1, SP, A))
    assert (books.ledger.frees, books.ledger.frees_of_older_blocks) == (2, 2)


def test_what_a_call_asks_for_is_the_product_of_its_sizes():
    books = Books(hit(CALLOC, 1, SP, A, 0, 3, 7), hit(MEMALIGN, 2, SP, B, 0, 50))
    assert books.alive == {A: 21, B: 50}


@pytest.mark.parametrize(
    ("hits", "alive", "frees"),
    [
        ([hit(END, 2, SP, A, 0, 50)], {A: 50}, 0),
        ([hit(END, 2, SP, 0, 0, 50)], {}, 0),
        ([call(1, A, 8), hit(BEGIN, 2, SP, A), hit(END, 3, SP, B, 0, 50)], {B: 50}, 0),
        ([call(1, A, 8), hit(BEGIN, 2, SP, A), hit(END, 3, SP, 0, 0, 50)], {A: 8}, 0),
        ([call(1, A, 8), hit(BEGIN, 2, SP, A), hit(END, 3, SP, 0, 0, 0)], {}, 1),
        # Another thread is given the address before the resize is over.
        (
            [
                *(call(1, A, 8), hit(BEGIN, 2, SP, A), call(3, A, 20, thread=2)),
                *(hit(END, 4, SP, B, 0, 50), hit(FREE, 5, SP, A, thread=2)),
            ],
            {B: 50},
            1,
        ),
        ([call(1, A, 8), hit(BEGIN, 2, SP, A)], {A: 8}, 0),
        # Its end was left out: the block is elsewhere, where nobody looks.
        ([call(1, A, 8), hit(BEGIN, 2, SP, A), call(3, B, 5)], {B: 5}, 1),
        # An older block.
        ([hit(BEGIN, 2, SP, A), hit(END, 3, SP, B, 0, 50)], {B: 50}, 1),
    ],
)
def test_resize(hits, alive, frees):
    books = Books(*hits)
    assert (books.alive, books.ledger.frees) == (alive, frees)


def test_only_blocks_that_are_chosen_count():
    kept = next(a for a in range(A, 1 << 20, 16) if not draw_lot(a) & 1)
    other = next(a for a in range(A, 1 << 20, 16) if draw_lot(a) & 1)
    both = [call(1, kept, 8), call(2, other, 8)]
    assert Books(*both, zeros=1).alive == {kept: 8}
    leaves = [hit(BEGIN, 3, SP, kept), hit(END, 4, SP, other, 0, 50)]
    assert Books(*both, *leaves, zeros=1).alive == {}
    joins = [hit(BEGIN, 3, SP, other), hit(END, 4, SP, kept, 0, 50)]
    assert Books(call(2, other, 8), *joins, zeros=1).alive == {kept: 50}


def test_round_trip(tmp_path):
    first = call(5, A, 8)
    same = call(6, B, 9, thread=2)
    resized = hit(END, 7, SP, B, 0, 80)
    frames = [
        *(encode_hit(first, STACK, stores(first)), encode_same(same, stores(same))),
        *(encode_same(resized, stores(resized)), encode_folded(BLOCKS)),
        encode_level(Level(8, 2, 30)),
    ]
    with Recording(write(tmp_path / "it", *frames)) as recording:
        assert [*recording.iter_events()][1:] == [first, same, resized, BLOCKS, Level(8, 2, 30)]
        stack, registers = recording.stack(same.position)
        assert (recording.zeros, recording.dropped) == (2, 30)
        assert bytes(stack) == STACK
        assert registers == {"rsp": SP, "rax": A, "rbp": 0, "rdi": 8}


@pytest.mark.parametrize(
    ("frame", "last_ns"),
    [
        (encode_same(call(77, A, 8), 0), 77),
        (encode_folded(BLOCKS), BLOCKS.to_ns),
        (encode_level(Level(88, 0, 0)), 88),
    ],
)
def test_time_of_the_last_event(tmp_path, frame, last_ns):
    path = recordings.write(tmp_path / "it", HEAD, recordings.opened(1), frame)
    with Recording(path) as recording:
        assert recording.last_ns == last_ns


def test_report_of_folded_blocks(tmp_path):
    first = encode_hit(call(10**9, A, 8), STACK, 0)
    [site] = load(write(tmp_path / "it", first, encode_folded(BLOCKS))).sites
    assert (site.allocated_count, site.freed_count, site.allocated_bytes) == (101, 100, 5108)
    [site] = load(
        write(tmp_path / "it", first, encode_folded(BLOCKS), encode_level(Level(1, 1, 9)))
    ).sites
    assert site.recorded.freed_count == 30
    assert (site.allocated_count - site.outstanding_count, site.freed_count) == (60, 60)


@pytest.mark.parametrize(("turned_ns", "count"), [(10**9, 1), (5 * 10**9, 101), (10**10, 101)])
def test_folded_blocks_of_the_tail_do_not_count(tmp_path, turned_ns, count):
    frames = [encode_hit(call(10**9, A, 8), STACK, 0), recordings.turn(turned_ns, Phase.FREES)]
    report = load(write(tmp_path / "it", *frames, encode_folded(BLOCKS)))
    assert (report.sites[0].allocated_count, report.window.allocations) == (count, count)


def test_what_was_before_the_tail_may_be_written_in_it(tmp_path):
    """The target keeps what it records for a while: only the time of a call says what counts."""
    late = encode_hit(call(10**9, A, 8), STACK, 0)
    new = encode_hit(call(3 * 10**9, B, 8), STACK, 0)
    report = load(write(tmp_path / "it", recordings.turn(2 * 10**9, Phase.FREES), late, new))
    assert [site.outstanding_count for site in report.sites] == [1]
    freed = encode_hit(hit(FREE, 3 * 10**9, SP, A), b"", 0)
    report = load(write(tmp_path / "it", recordings.turn(2 * 10**9, Phase.FREES), late, freed))
    assert (report.sites[0].freed_count, report.window.frees_of_older_blocks) == (1, 0)


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({"by": "thread"}, {"thread 1": 90, "thread 2": 10}),
        ({"by": "size"}, {"2 B to 3 B": 50, "64 B to 127 B": 50}),
        ({"min_size": 50}, {None: 50}),
        ({"max_size": 50, "by": "thread"}, {"thread 1": 45, "thread 2": 5}),
        ({"min_size": 5000}, {}),
    ],
)
def test_parts_of_folded_blocks(tmp_path, options, counts):
    first = encode_hit(hit(FREE, 10**9, SP, A), b"", 0)
    call_with_stack = encode_hit(call(10**9, A, 1), STACK, 0)
    freed = encode_hit(hit(FREE, 10**9, SP, A), b"", 0)
    blocks = BLOCKS._replace(position=FIRST + len(first))
    path = write(tmp_path / "it", first, call_with_stack, freed, encode_folded(blocks))
    found = {site.group: site.freed_count for site in load(path, **options).sites}
    own = {"thread": "thread 1", "size": "1 B"}.get(options.get("by"))
    if "min_size" not in options:  # the one block that was not folded
        found[own] -= 1
    assert {group: count for group, count in found.items() if count} == counts


@given(st.integers(0, 1 << 40), st.lists(st.integers(0, 1 << 40), max_size=9))
def test_what_is_allotted_is_all(amount, shares):
    parts = allot(amount, shares)
    assert len(parts) == len(shares)
    assert min(parts, default=0) >= 0
    assert sum(parts) == (amount if any(shares) else 0)
    if amount == sum(shares):
        assert parts == shares


def frame(kind, probe, payload):
    return FRAME.pack(kind, 0, probe, len(payload)) + payload


DAMAGE = {
    "a stack beyond the end": encode_same(call(5, A, 8, position=1 << 60), 0),
    "a stack at the end of all": encode_same(call(5, A, 8, position=(1 << 64) - 1), 0),
    "a stack in the head": encode_same(call(5, A, 8, position=len(MAGIC)), 0),
    "a stack in the midst of a frame": encode_same(call(5, A, 8, position=FIRST + 3), 0),
    "a stack of its own": encode_same(call(5, A, 8, position=FIRST), 0),
    "the same of an unknown probe": frame(SAME, 99, bytes(80)),
    "the same, too short": frame(SAME, CALL, bytes(20)),
    "folded blocks without a stack": encode_folded(BLOCKS._replace(position=0)),
    "folded, too short": frame(FOLDED, CALL, bytes(10)),
    "folded, its lists too short": frame(FOLDED, CALL, bytes(24) + b"\1\0" * 4),
    "folded, more bytes than there can be": encode_hit(call(5, A, 8), STACK, 0)
    + encode_folded(BLOCKS._replace(zeros=((0, 1 << 63, 1 << 63),))),
    "level, too short": frame(LEVEL, 0, bytes(8)),
    "level, too many zeros": encode_level(Level(1, 1 << 40, 1)),
}


@pytest.mark.parametrize("frames", DAMAGE.values(), ids=DAMAGE)
def test_damage(tmp_path, frames):
    with pytest.raises(RecordingError, match="is damaged"):
        load(write(tmp_path / "it", frames))


def test_folded_blocks_of_breakpoints(tmp_path):
    path = recordings.write(
        tmp_path / "it", recordings.head(), recordings.opened(1), encode_folded(BLOCKS)
    )
    with pytest.raises(RecordingError, match="holds whole calls, and no probe for them"):
        load(path)


def test_lines(tmp_path):
    frames = [
        *(encode_hit(call(10**9, A, 8), STACK, 0), encode_same(call(10**9, B, 9, thread=2), 0)),
        *(encode_hit(hit(FREE, 3 * 10**9, SP, A), b"", 0), encode_folded(BLOCKS)),
    ]
    path = write(tmp_path / "it", *frames)
    lines = EventLines(PROBES, FUNCTIONS.values(), ModuleMap([PROGRAM]), 0)
    with GrowingRecording(path, PROBES, len(MAGIC)) as growing:
        told = [
            line.split(None, 1)[1].split()
            for appended in growing.read_all()
            for line in lines.feed(appended.event, growing.find_caller(appended))
        ]
    assert told == [
        ["1", "malloc", "8", "0x1000", "program+0x123"],
        ["2", "malloc", "9", "0x2000", "program+0x123"],
        ["1", "free", "8", "0x1000", "2.0", "s"],
        ["-", "malloc", "5100", "-", "100", "blocks,", "freed", "within", "0.0", "ms"],
    ]


def test_report_does_not_load_numpy(tmp_path):
    first = encode_hit(call(10**9, A, 8), STACK, 0)
    path = write(tmp_path / "it", first, encode_folded(BLOCKS))
    code = (
        "import sys, gdbleak\n"
        f"report = gdbleak.load({path!r})\n"
        "print(report.window.allocations, 'numpy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["101", "False"]
