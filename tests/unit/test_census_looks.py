"""Several looks at the heap of a process that is made up, and that changes in between."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from gdbleak.census.lost.around import Around
from gdbleak.census.lost.looks import Looks
from gdbleak.errors import NoSuchProcessError
from gdbleak.memory.pieces import Range
from gdbleak.memory.search import MOST_LOOKS, Pace, TooLongError
from gdbleak.memory.source import Pages
from gdbleak.recording.modules import ModuleMap
from gdbleak.target.examined import ThreadName
from gdbleak.target.proc import parse_mapping
from gdbleak.target.stacks import ThreadArea, find_areas

DATA, HEAP, STACK, PLAIN = 0x400000, 0x500000, 0x700000, 0x800000
SIZE = 0x8000
BLOCKS = [HEAP + 64 * number for number in range(8)]
USABLE = 56
FREE = HEAP + 64 * 8, HEAP + 64 * 12
AREA = STACK + 0x3000


class Process:
    """Mappings of zeros, but for the words that a test puts into them."""

    pid = 1

    def __init__(self, is_core=False):
        self.is_core = is_core
        self.words: dict[int, int] = {}
        self.registers: dict[int, list[int]] = {}
        self.looks = self.halts = 0
        self.on_look = lambda _: None
        self.mappings = [
            parse_mapping(f"{start:x}-{start + SIZE:x} rw-p 0 00:00 0 {path}")
            for start, path in ((DATA, "/bin/x"), (HEAP, "[heap]"), (STACK, ""), (PLAIN, ""))
        ]

    def read(self, address, size):
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
        return {}

    def find_stacks(self, waiting):
        assert not waiting
        return {}

    def read_threads(self):
        return [ThreadName(thread, "") for thread in (1, 7)]

    def read_registers(self):
        self.halts += 1
        return self.registers


@pytest.fixture
def process(monkeypatch):
    """Return a process whose looks follow each other at once."""
    stand_in = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _: None)
    monkeypatch.setattr("gdbleak.memory.search.time", stand_in)
    monkeypatch.setattr("gdbleak.census.lost.looks.read_kernel_words", lambda _: [])
    return Process()


def as_arrays(blocks, size=USABLE):
    return np.array(blocks, np.uint64), np.full(len(blocks), size, np.uint64)


def look(process, blocks=BLOCKS, again=None, is_still=False, ended=(), mappings=(), tell=None):
    """Return the numbers of the blocks that are lost, and the looks."""
    around = Around(1, ModuleMap([]), [*ended], [Range(*each) for each in mappings])
    pace = Pace(float("inf"), 60.0, tell or (lambda _: None))
    left_out = np.array([FREE], np.uint64)
    looks = Looks(process, around, as_arrays(blocks), left_out, pace, is_still)
    found = looks.run(None if is_still else (lambda: again or as_arrays(blocks)))
    numbers = [BLOCKS.index(address) for address in found.starts.tolist()]
    assert found.sizes.tolist() == [USABLE] * len(numbers)
    return numbers, found


def hold(process, *numbers):
    """Have variables refer to blocks."""
    for number in numbers:
        process.words[DATA + 8 * number] = BLOCKS[number]


def test_what_nothing_refers_to(process):
    hold(process, 0, 1, 2)
    process.words[BLOCKS[2] + 8] = BLOCKS[3]
    process.words[BLOCKS[5] + 8] = BLOCKS[6]
    process.words[BLOCKS[7] + 8] = BLOCKS[0]
    lost, found = look(process)
    assert lost == [4, 5, 6, 7]
    assert found.looks == 4
    assert [*zip(found.graph.holders.tolist(), found.graph.targets.tolist())] == [(1, 2)]


def test_nothing_is_halted_where_all_is_held(process):
    hold(process, *range(8))
    assert look(process)[0] == []
    assert (process.looks, process.halts) == (1, 0)


@pytest.mark.parametrize("is_still", [False, True])
def test_registers_hold(process, is_still):
    hold(process, 1, 2, 3)
    process.registers = {7: [5, BLOCKS[4] + 8, BLOCKS[5]]}
    process.words[BLOCKS[5]] = BLOCKS[6]
    lost, found = look(process, is_still=is_still)
    assert lost == [0, 7]
    assert found.looks == (1 if is_still else 4)
    assert found.unknown_threads == 1


@pytest.mark.parametrize("number", [2, 3, 4])
def test_what_any_look_reaches_is_held_with_all_that_it_leads_to(process, number):
    hold(process, 0, 1, 2, 3)
    process.words[BLOCKS[5]] = BLOCKS[6]

    def move(look):
        process.words[DATA + 0x100] = BLOCKS[5] if look == number else 0

    process.on_look = move
    assert look(process)[0] == [4, 7]


def test_there_are_more_looks_while_something_moves(process):
    def move(look):
        process.words[DATA] = BLOCKS[look % 2]

    process.on_look = move
    lost, found = look(process)
    assert lost == [*range(2, 8)]
    assert found.looks == 1 + MOST_LOOKS


def test_what_other_words_refer_to_is_held(process):
    """It is moved about by somebody whom no look has met, and who has block 4 then."""

    def move(look):
        process.words[BLOCKS[4] + 8 * (look % 4)] = BLOCKS[5]
        process.words[BLOCKS[4] + 8 * ((look - 1) % 4)] = 0

    process.on_look = move
    assert look(process)[0] == [0, 1, 2, 3, 6, 7]


def test_what_begins_otherwise_is_held(process):
    def write(look):
        process.words[BLOCKS[3]] = look
        process.words[BLOCKS[4] + 8] = look
        process.words[BLOCKS[5] + 16] = look

    process.on_look = write
    assert look(process)[0] == [0, 1, 2, 6, 7]


def test_what_was_freed_is_not_lost(process):
    starts, sizes = as_arrays(BLOCKS[:5])
    sizes[2] = 72
    process.words[BLOCKS[7]] = BLOCKS[4]
    assert look(process, again=(starts, sizes))[0] == [0, 1, 3]
    assert look(process, again=as_arrays([]))[0] == []


def test_what_a_new_block_refers_to_is_held(process):
    process.words[FREE[0] + 8] = BLOCKS[3]
    process.words[BLOCKS[3]] = BLOCKS[4]
    assert look(process)[0] == [*range(8)]
    assert look(process, again=as_arrays([*BLOCKS, FREE[0]]))[0] == [0, 1, 2, 5, 6, 7]


def write_area(process, thread):
    words = {AREA: AREA, AREA + 16: AREA, AREA + 0x2D0: thread, AREA + 0x308: 0x20}
    process.words.update(words)
    process.words[AREA + 0x2C0], process.words[DATA + 0x1008] = DATA + 0x1000, AREA + 0x2C0
    process.words[AREA + 0x690], process.words[AREA + 0x698] = STACK, SIZE
    [area] = find_areas(process, [(STACK, STACK + SIZE)])
    return area


def test_stacks_of_ended_threads_hold_nothing_until_they_are_used_again(process):
    process.words[STACK + 0x2000] = BLOCKS[3]
    process.words[AREA + 0x640] = BLOCKS[4]
    process.words[AREA + 8] = BLOCKS[5]
    ended = [write_area(process, 0)]
    assert ended[0].is_over
    assert look(process, ended=ended)[0] == [0, 1, 2, 3, 4, 6, 7]
    write_area(process, 4711)
    assert look(process, ended=ended)[0] == [0, 1, 2, 6, 7]


@pytest.mark.parametrize(
    ("thread", "state", "is_over", "dead"),
    [
        (4711, 0, False, []),
        (0, 0x10, True, [(STACK, AREA)]),
        (0, 0x30, True, [(STACK, AREA), (AREA + 16, STACK + SIZE)]),
        (0xFFFFFFFF, 0x30, True, [(STACK, AREA), (AREA + 16, STACK + SIZE)]),
    ],
    ids=["runs", "not joined", "detached", "joined"],
)
def test_areas_of_threads(process, thread, state, is_over, dead):
    write_area(process, thread)
    process.words[AREA + 0x308] = state
    [area] = find_areas(process, [(STACK, STACK + SIZE)])
    assert area == ThreadArea(AREA, (STACK, STACK + SIZE), is_over, bool(state & 0x20))
    assert area.list_dead() == dead


def test_stacks_that_programs_have_given_to_threads_are_theirs_again(process):
    assert write_area(process, 0).is_over
    process.words[DATA + 0x1008] = 0
    [area] = find_areas(process, [(STACK, STACK + SIZE)])
    assert not area.is_over


def test_what_only_looks_like_an_area_at_first(process):
    process.words[AREA] = AREA
    assert find_areas(process, [(STACK, STACK + SIZE)]) == []


def test_mappings(process):
    hold(process, *range(8))
    mappings = [(STACK, STACK + SIZE), (PLAIN, PLAIN + SIZE)]
    process.words[PLAIN + 8] = PLAIN + 64
    process.words[DATA + 0x100] = PLAIN + SIZE  # that is what follows it
    assert look(process, mappings=mappings)[1].mappings == (*mappings,)
    process.words[BLOCKS[3]] = STACK + 64
    assert look(process, mappings=mappings)[1].mappings == (mappings[1],)
    process.words[STACK + 64] = PLAIN
    assert look(process, mappings=mappings)[1].mappings == ()


def test_what_a_mapping_refers_to_is_held_though_nothing_refers_to_it(process):
    process.words[PLAIN + 8] = BLOCKS[3]
    process.words[BLOCKS[3]] = BLOCKS[4]
    lost, found = look(process, mappings=[(PLAIN, PLAIN + SIZE)])
    assert lost == [0, 1, 2, 5, 6, 7]
    assert found.mappings == ((PLAIN, PLAIN + SIZE),)


def test_a_process_that_has_ended(process):
    process.mappings = []
    with pytest.raises(NoSuchProcessError):
        look(process)


def test_no_time_is_left_for_further_looks(process, monkeypatch):
    """What three looks have found stands; with fewer there is nothing to tell."""

    def move(number):
        process.words[DATA] = BLOCKS[number % 2]

    process.on_look = move
    left = [4]

    def begin_look(_pace, _number, _size):
        left[0] -= 1
        if left[0] < 0:
            raise TooLongError("100")

    monkeypatch.setattr(Pace, "begin_look", begin_look)
    lost, found = look(process)
    assert (lost, found.looks) == ([*range(2, 8)], 4)
    left[0] = 3
    with pytest.raises(TooLongError):
        look(process)


def test_no_blocks(process):
    assert look(process, blocks=[], again=as_arrays([]))[0] == []


def test_a_block_at_the_border_of_a_piece_begins_with_what_follows(process):
    """Words that are told of a block may lie in two pieces."""
    place = BLOCKS[0]
    process.words[place], process.words[place + 8] = struct.unpack("<2Q", b"sixteen bytes...")
    assert look(process)[0] == [*range(8)]
