"""Several looks at a process that is made up: how many, how fast, for how long."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gdbleak.memory import search
from gdbleak.memory.judgement import State, judge
from gdbleak.memory.look import Ranges
from gdbleak.memory.pieces import PIECE_BYTES, Range
from gdbleak.memory.search import APART_S, LOOKS, MOST_LOOKS, Pace, TooLongError, take_looks
from gdbleak.memory.source import Pages, Waiting
from gdbleak.memory.table import Table
from gdbleak.target.proc import parse_mapping

MIB = 1 << 20
BLOCK, LOST, ROOT, STACK = 0x10000, 0x10800, 0x200000, 0x700000000000
BLOCKS = (BLOCK, 64), (LOST, 64)
FAST = float(1 << 40)


class Clock:
    """A time that passes only when it is said to, or waited for."""

    def __init__(self):
        self.now_s = 1000.0
        self.slept_s = 0.0

    def monotonic(self):
        return self.now_s

    def sleep(self, seconds):
        assert seconds >= 0
        self.now_s += seconds
        self.slept_s += seconds


@pytest.fixture
def clock(monkeypatch):
    """Return the clock that a search looks at."""
    clock = Clock()
    stand_in = SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep)
    monkeypatch.setattr(search, "time", stand_in)
    return clock


def ignore(_):
    pass


class Process:
    """Mappings of zeros, but for the words that a test puts into them."""

    def __init__(self, clock, *mappings, bytes_per_s=FAST):
        self.clock = clock
        self.mappings = [
            parse_mapping(f"{start:x}-{start + size:x} rw-p 0 00:00 0 {path}")
            for start, size, path in mappings
        ]
        self.bytes_per_s = bytes_per_s
        self.words: dict[int, int] = {}
        self.reads: list[tuple[int, int]] = []
        self.waiting: dict[int, Waiting] = {}
        self.stacks: dict[int, tuple[int, int]] = {}
        self.looks = 0
        self.on_look = self.on_read = ignore

    def read(self, address, size):
        self.on_read(address)
        self.reads.append((address, size))
        self.clock.now_s += size / self.bytes_per_s
        data = np.zeros(size // 8, np.uint64)
        for place, word in self.words.items():
            if address <= place < address + size:
                data[(place - address) // 8] = word
        return data.tobytes()

    def read_mappings(self):
        self.looks += 1
        self.on_look(self.looks)
        return self.mappings

    def find_pages(self, start, end):
        return [Pages(start, end, False)]

    def find_waiting(self):
        return dict(self.waiting)

    def find_stacks(self, waiting):
        return {thread: span for thread, span in self.stacks.items() if thread in waiting}


def run(process, blocks=((BLOCK, 64),), rate=FAST, limit_s=60.0, tell=lambda _: None, **options):
    """Return the looks at a process."""
    pace = Pace(rate, limit_s, tell)
    find_free = options.pop("find_free", lambda: Ranges([]))
    return take_looks(Table(blocks), process, [], pace, find_free, **options)


@pytest.fixture
def process(clock):
    """Return a process of 4 MiB that holds one block, and has lost another."""
    process = Process(clock, (BLOCK, 4096, ""), (ROOT, 4 * MIB, ""))
    process.words[ROOT + 8] = BLOCK
    return process


def test_looks_at_what_rests(clock, process):
    """Three are enough, each of them at all memory, at least a tenth of a second apart."""
    began = []
    process.on_look = lambda _: began.append(clock.now_s)
    looks = run(process)
    assert len(looks) == LOOKS == process.looks
    assert [each.scanned_bytes for each in looks] == [4 * MIB + 4096] * LOOKS
    assert all(later - one >= APART_S - 1e-9 for one, later in zip(began, began[1:]))
    assert clock.now_s - began[0] < 3 * APART_S


def test_every_other_look_goes_backwards(process):
    run(process)
    addresses = [address for address, _ in process.reads]
    one = [BLOCK, *range(ROOT, ROOT + 4 * MIB, PIECE_BYTES)]
    assert addresses == [*one, *reversed(one), *one]


@pytest.mark.parametrize(
    ("first", "count"), [(1, LOOKS), (2, MOST_LOOKS), (3, MOST_LOOKS), (4, LOOKS)]
)
def test_more_looks_at_what_moves(process, first, count):
    """A block that is reached by some looks and not by others is one that is missed at times."""
    process.on_look = lambda look: process.words.update({ROOT + 8: BLOCK if look >= first else 0})
    assert len(run(process, BLOCKS)) == count


def test_one_that_was_freed_does_not_move(process):
    """It is reached no more, for a good reason."""
    process.on_look = lambda look: process.words.update({ROOT + 8: BLOCK if look == 1 else 0})
    assert len(run(process, BLOCKS, find_gone=lambda: np.array([True, False]))) == LOOKS
    process.looks = 0
    assert len(run(process, BLOCKS, find_gone=lambda: np.array([False, False]))) == MOST_LOOKS


def test_no_more_looks_where_nothing_seems_lost(process):
    process.on_look = lambda look: process.words.update({ROOT + 8: BLOCK * (look % 2)})
    assert len(run(process)) == LOOKS
    process.looks = 0
    assert len(run(process, BLOCKS, find_gone=lambda: np.array([False, True]))) == LOOKS


@pytest.mark.parametrize(("seconds", "count"), [(1.9, MOST_LOOKS), (2.1, LOOKS)])
def test_no_more_looks_where_each_takes_long(process, seconds, count):
    process.bytes_per_s = 4 * MIB / seconds
    process.on_look = lambda look: process.words.update({ROOT + 8: BLOCK * (look % 2)})
    assert len(run(process, BLOCKS)) == count


def test_pace(clock, process):
    """As much is read in a second as may be, whatever the pieces, and all is told."""
    told = []
    began_s = clock.now_s
    run(process, rate=MIB, tell=told.append)
    assert clock.now_s - began_s == pytest.approx(3 * (4 * MIB + 4096) / MIB, abs=0.1)
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, 1)


def test_share_grows_though_there_are_more_looks(process):
    process.on_look = lambda look: process.words.update({ROOT + 8: BLOCK * (look % 2)})
    told = []
    run(process, BLOCKS, tell=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


def test_end_by_whoever_is_told(process):
    def refuse(_):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run(process, tell=refuse)
    assert process.reads == []


def test_memory_that_is_only_reserved(clock, process):
    """It may take long to find out that it is, and the limit holds for that."""
    process.mappings += Process(clock, (1 << 40, 1 << 44, "")).mappings

    def find_pages(start, end):
        clock.now_s += (end - start) / (1 << 37)
        return [Pages(start, end, False)] if start < 1 << 40 else []

    process.find_pages = find_pages
    told = []
    with pytest.raises(TooLongError, match=r"^more than 20$"):
        run(process, limit_s=20, tell=told.append)
    assert (process.reads, len(told) > 20) == ([], True)


def test_too_much_memory_for_the_limit(process):
    """Nothing is read if it is known before that it takes too long."""
    with pytest.raises(TooLongError, match=r"^12$"):
        run(process, rate=MIB, limit_s=11)
    assert process.reads == []
    assert len(run(process, rate=MIB, limit_s=13)) == LOOKS


def test_slower_than_the_pace(clock):
    """The limit holds when reading takes longer than the pace allows."""
    process = Process(clock, (ROOT, 40 * MIB, ""), bytes_per_s=10 * MIB)
    began_s = clock.now_s
    with pytest.raises(TooLongError, match=r"^12$"):
        run(process, limit_s=8)
    assert clock.now_s - began_s < 5  # after the first look it is known
    with pytest.raises(TooLongError, match=r"^more than 2$"):
        run(process, limit_s=2)
    assert clock.now_s - began_s < 8


def test_no_time_for_more_looks(process):
    """Those that were taken count."""
    process.bytes_per_s = 4 * MIB
    process.on_look = lambda look: process.words.update({ROOT + 8: BLOCK * (look % 2)})
    assert len(run(process, BLOCKS, limit_s=5)) == 4
    process.looks = 0
    assert len(run(process, BLOCKS, limit_s=3.5)) == 3


def test_time_of_the_first_look(clock, process):
    process.bytes_per_s = 8 * MIB
    pace = Pace(FAST, 60, lambda _: None)
    began_s = clock.now_s
    take_looks(Table([(BLOCK, 64)]), process, [], pace, lambda: Ranges([]))
    assert pace.first_ended_s - began_s == pytest.approx(0.5, abs=0.02)


def test_memory_that_grows_beyond_the_limit(process):
    def grow(look):
        if look == 2:
            process.mappings += Process(process.clock, (1 << 32, 20 * MIB, "")).mappings

    process.on_look = grow
    with pytest.raises(TooLongError):
        run(process, rate=MIB, limit_s=20)


def test_left_out(process):
    pace = Pace(FAST, 60, lambda _: None)
    ours = [Range(ROOT, ROOT + 4096)]
    looks = take_looks(Table([(BLOCK, 64)]), process, ours, pace, lambda: Ranges([]))
    assert judge(looks, np.zeros(1, bool)).states.tolist() == [State.LOST]


# Stacks of threads that wait.

POINTER = STACK + 0x9000
BELOW, RED, ABOVE = POINTER - 0x1000, POINTER - 64, POINTER + 64


@pytest.fixture
def stacked(clock):
    """Return a process with one thread, which waits."""
    process = Process(clock, (BLOCK, 4096, ""), (STACK, 0x10000, "[stack]"))
    process.waiting = {7: Waiting(POINTER, 100)}
    process.stacks = {7: (STACK, STACK + 0x10000)}
    return process


def states(looks, count=1):
    return judge(looks, np.zeros(count, bool)).states.tolist()


@pytest.mark.parametrize(("place", "state"), [(BELOW, State.LOST), (RED, 1), (ABOVE, 1)])
def test_unused_part_of_a_stack(stacked, place, state):
    stacked.words[place] = BLOCK
    looks = run(stacked)
    assert states(looks) == [state]
    assert looks[0].scanned_bytes == 4096 + 0x10000 - (POINTER - 128 - STACK)


def test_stack_that_nobody_knows(stacked):
    stacked.words[BELOW] = BLOCK
    stacked.stacks = {}
    assert states(run(stacked)) == [State.HELD]
    stacked.stacks, stacked.waiting = {7: (STACK, STACK + 0x10000)}, {}
    assert states(run(stacked)) == [State.HELD]


def test_stack_pointer_elsewhere(stacked):
    """Its own stack is not unused if it runs on another one."""
    stacked.words[BELOW] = BLOCK
    stacked.waiting = {7: Waiting(ROOT, 100)}
    assert states(run(stacked)) == [State.HELD]


@pytest.mark.parametrize("after", [{7: Waiting(POINTER, 101)}, {7: Waiting(BELOW, 100)}, {}])
def test_thread_that_runs_meanwhile(stacked, after):
    """The part of its stack that it did not use before is looked at as well."""

    def go_on(address):
        if address >= STACK and stacked.waiting:
            stacked.waiting = after
            stacked.words[BELOW] = BLOCK

    stacked.on_read = go_on
    stacked.on_look = lambda _: setattr(stacked, "waiting", {7: Waiting(POINTER, 100)})
    looks = run(stacked)
    assert states(looks) == [State.HELD]
    assert looks[0].scanned_bytes == 4096 + 0x10000


def test_thread_on_a_stack_that_is_a_block(clock):
    """What it has put there holds as much as what the rest of that block says."""
    process = Process(clock, (BLOCK, 4096, ""), (ROOT, 4096, ""), (STACK, 0x10000, ""))
    process.words[ROOT] = STACK
    process.waiting = {7: Waiting(POINTER, 100)}
    process.stacks = {7: (STACK, STACK + 0x10000)}

    def go_on(address):
        if address >= STACK:
            process.waiting = {}
            process.words[BELOW] = BLOCK

    process.on_read = go_on
    blocks = [(BLOCK, 64), (STACK, 0x10000)]
    assert states(run(process, blocks), 2) == [State.HELD] * 2


# Memory in nobody's use.


def test_free_memory(process):
    free = Ranges([(ROOT, ROOT + 64)])
    assert states(run(process, find_free=lambda: free)) == [State.LOST]
    answers = iter([free, Ranges([])])
    assert states(run(process, find_free=lambda: next(answers))) == [State.HELD]
