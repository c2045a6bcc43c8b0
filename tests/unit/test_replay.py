"""Which register means what, for every function of the allocator."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gdbleak.ledger.replay import Replay
from gdbleak.recording.events import Freed, Hit, Turn
from gdbleak.recording.functions import MALLOC_FAMILY, THREAD_END
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe, Role
from gdbleak.recording.references import HELD, LOST, Held, Holding, Reached

A, B, C, SP = 0xA0, 0xB0, 0xC0, 0x7000


def forget(_: object) -> None:
    """Take a block that has ended, and keep nothing of it."""


def replay(name, *calls):
    """Replay calls of a function, each its recorded arguments, its result and what it stored."""
    probes = (
        Probe(0, 0x1000, name, Role.ENTRY, ("rsp", "…"), None, "55"),
        Probe(1, 0x2000, name, Role.RETURN, ("rsp", "rax", "rbp"), None, "c3"),
    )
    replay = Replay(probes, MALLOC_FAMILY, forget)
    for number, (arguments, result, stored) in enumerate(calls):
        replay.feed(Hit(number, 0, number, 1, (SP, *arguments), 0))
        replay.feed(Hit(number + 1000, 1, number, 1, (SP, result, 0), stored))
    return replay


@pytest.mark.parametrize(
    ("name", "arguments", "result", "stored", "size"),
    [
        # The arguments are those the table of functions declares, in ascending order.
        ("malloc", (10,), A, 0, 10),
        ("calloc", (3, 7), A, 0, 21),
        ("calloc", (0, 7), A, 0, 0),
        ("realloc", (0, 10), A, 0, 10),
        ("reallocarray", (0, 3, 7), A, 0, 21),
        ("posix_memalign", (0x6000, 10), 0, A, 10),
        ("aligned_alloc", (10,), A, 0, 10),
        ("memalign", (10,), A, 0, 10),
        ("valloc", (10,), A, 0, 10),
        ("pvalloc", (10,), A, 0, 10),
    ],
)
def test_requested_size(name, arguments, result, stored, size):
    (block,) = replay(name, (arguments, result, stored)).ledger.outstanding.values()
    assert (block.address, block.size, block.stack) == (A, size, 1000)


def test_every_function_that_allocates_is_in_the_table():
    rows = test_requested_size.pytestmark[0].args[1]
    assert {row[0] for row in rows} == {f.name for f in MALLOC_FAMILY if f.allocates}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        # By their manual pages; argument 0 is the first.
        ("malloc", (0,)),
        ("calloc", (0, 1)),
        ("realloc", (0, 1)),
        ("reallocarray", (0, 1, 2)),
        ("posix_memalign", (0, 2)),
        ("aligned_alloc", (1,)),
        ("memalign", (1,)),
        ("valloc", (0,)),
        ("pvalloc", (0,)),
        ("free", (0,)),
        ("cfree", (0,)),
    ],
)
def test_recorded_arguments(name, arguments):
    [function] = (function for function in MALLOC_FAMILY if function.name == name)
    assert function.arguments == arguments


@pytest.mark.parametrize(("name", "resize"), [("realloc", (A, 90)), ("reallocarray", (A, 9, 10))])
def test_resized_block_is_the_first_argument(name, resize):
    first = (0, *resize[1:])
    (block,) = replay(name, (first, A, 0), (resize, B, 0)).ledger.outstanding.values()
    assert (block.address, block.size, block.reallocations) == (B, 90, 1)


@pytest.mark.parametrize("name", ["free", "cfree"])
def test_freed_block_is_the_first_argument(name):
    probes = (Probe(0, 0x1000, name, Role.ENTRY, ("rsp", "rdi"), None, "55"),)
    replay = Replay(probes, MALLOC_FAMILY, forget)
    replay.feed(Hit(0, 0, 0, 1, (SP, A), 0))
    assert (replay.ledger.frees, replay.events) == (1, 1)


def test_calloc_that_overflows_and_fails_is_no_block():
    result = replay("calloc", ((1 << 63, 4), 0, 0))
    assert (len(result.ledger.outstanding), result.events) == (0, 2)


def test_hit_that_gdb_reports_twice_counts_once():
    probes = [Probe(0, 0, "free", Role.ENTRY, ("rsp", "rdi"), None, "")]
    replay = Replay(probes, MALLOC_FAMILY, forget)
    for number, (thread, pointer) in enumerate([(1, A), (1, A), (2, A), (1, A + 16)]):
        replay.feed(Hit(number, 0, number, thread, (SP, pointer), 0))
    assert (replay.events, replay.ledger.frees) == (3, 3)


def test_free_of_what_another_thread_was_given_in_between():
    """A thread that only frees is given blocks at one address, again and again."""
    replay = Replay(SIZED, MALLOC_FAMILY, forget)
    for number in range(3):
        replay.feed(Hit(number, 0, number, 2, (SP, 10), 0))
        replay.feed(Hit(number, 1, number, 2, (SP, A, 0), WORD))
        for _ in range(2):  # GDB reports the second hit again
            replay.feed(Hit(number, 2, number, 1, (SP, A), 0))
    assert (replay.ledger.frees, replay.ledger.outstanding) == (3, {})
    assert (replay.ledger.missed_frees, replay.events) == (0, 9)


def test_size_of_an_older_block():
    registers = ("rsp", "rdi")
    probes = [Probe(0, 0, "free", Role.ENTRY, registers, None, "", size_offset=-8)]
    sizes = []
    replay = Replay(probes, MALLOC_FAMILY, forget, free_older=lambda size, _: sizes.append(size))
    for number, word in enumerate((0x71, 0x79, 0)):  # the second one is no size
        replay.feed(Hit(number, 0, number, 1, (SP, A + 16 * number), word))
    assert sizes == [104, 0, 0]


SEEN = Phase.ALL, Phase.FEWER, Phase.FREES, Phase.SETTLING
NEW = Phase.ALL, Phase.FEWER, Phase.SETTLING
SIZED = (
    Probe(0, 0x1000, "malloc", Role.ENTRY, ("rsp", "rdi"), None, "55", phases=(Phase.ALL,)),
    Probe(
        1,
        0x1010,
        "malloc",
        Role.RETURN,
        ("rsp", "rax", "rbp"),
        None,
        "c3",
        size_offset=-8,
        phases=NEW,
    ),
    Probe(2, 0x2000, "free", Role.ENTRY, ("rsp", "rdi"), None, "55", phases=SEEN),
    Probe(3, 0x3000, "realloc", Role.ENTRY, ("rsp", "rdi", "rsi"), None, "55", phases=SEEN),
    Probe(
        4,
        0x3010,
        "realloc",
        Role.RETURN,
        ("rsp", "rax", "rbp"),
        None,
        "c3",
        phases=SEEN,
    ),
)
WORD = 0x71
"""Of a chunk with 104 usable bytes."""


class Story:
    """Events in a row, and the books of them."""

    def __init__(self) -> None:
        self.blocks = []
        self.replay = Replay(SIZED, MALLOC_FAMILY, self.blocks.append)
        self.ledger = self.replay.ledger
        self._now = 0

    def hit(self, probe, *registers, stored=0):
        self._now += 1
        self.replay.feed(Hit(self._now, probe, self._now, 1, (SP, *registers), stored))
        return self

    def turn(self, phase):
        self._now += 1
        self.replay.feed(Turn(self._now, phase))
        return self

    def call(self, size=10):
        return self.hit(0, size)

    def back(self, result):
        return self.hit(1, result, 0, stored=WORD)

    def free(self, pointer):
        return self.hit(2, pointer)

    def books(self):
        """Return address and size of what is alive, and every count that is not 0."""
        counts = {
            name: getattr(self.ledger, name)
            for name in (
                *("allocations", "usable_sizes", "frees", "frees_of_older_blocks"),
                *("missed_frees", "unfinished_calls", "found_free"),
            )
        }
        alive = [(b.address, b.size) for b in self.ledger.outstanding.values()]
        return alive, {name: count for name, count in counts.items() if count}


def test_size_is_as_requested_while_calls_are_seen():
    books = Story().call(10).back(A).books()
    assert books == ([(A, 10)], {"allocations": 1})


def test_return_at_the_opening_is_of_no_call():
    assert Story().back(A).books() == ([], {})


def test_size_stands_before_the_block_where_calls_are_not_seen():
    books = Story().turn(Phase.FEWER).back(A).free(A).back(B).books()
    assert books == ([(B, 104)], {"allocations": 2, "usable_sizes": 2, "frees": 1})


def test_call_that_was_seen_keeps_its_size_when_calls_are_no_longer():
    books = Story().call(10).turn(Phase.FEWER).back(A).back(B).books()
    assert books == ([(A, 10), (B, 104)], {"allocations": 2, "usable_sizes": 1})


def test_hits_while_breakpoints_go_in_and_out_are_nothing():
    story = Story().turn(Phase.FEWER).back(A).turn(Phase.NONE)
    assert story.back(B).free(A).call().books() == (
        [(A, 104)],
        {"allocations": 1, "usable_sizes": 1},
    )


def test_calls_under_way_are_forgotten_when_breakpoints_are_taken_out():
    story = Story().call(10).turn(Phase.NONE).turn(Phase.FEWER).back(A)
    assert story.books() == ([(A, 104)], {"allocations": 1, "usable_sizes": 1})


def test_block_in_realloc_is_where_it_was_when_breakpoints_are_taken_out():
    story = Story().call(10).back(A).hit(3, A, 20).turn(Phase.NONE)
    assert story.books() == ([(A, 10)], {"allocations": 1})


def test_address_that_comes_again_was_freed_between_bursts():
    story = Story().call(10).back(A).turn(Phase.NONE).turn(Phase.FEWER).back(A)
    assert story.books() == (
        [(A, 104)],
        {"allocations": 2, "usable_sizes": 1, "missed_frees": 1},
    )


def test_blocks_do_not_count_that_come_while_a_burst_settles():
    story = Story().turn(Phase.NONE).turn(Phase.SETTLING).back(A).turn(Phase.FEWER).back(B)
    assert story.books() == ([(B, 104)], {"allocations": 1, "usable_sizes": 1})


def test_what_becomes_of_earlier_blocks_is_seen_while_a_burst_settles():
    story = Story().call(10).back(A).call(20).back(B).call(30).back(C)
    story.turn(Phase.NONE).turn(Phase.SETTLING).free(B).back(A).hit(3, C, 50).hit(4, C, 0)
    assert story.books() == ([(C, 50)], {"allocations": 3, "frees": 1, "missed_frees": 1})


def test_a_call_counts_that_returns_when_a_burst_has_settled():
    story = Story().turn(Phase.NONE).turn(Phase.SETTLING).hit(3, 0, 50).turn(Phase.FEWER)
    assert story.hit(4, A, 0).books() == ([(A, 50)], {"allocations": 1})


def test_block_that_was_found_free():
    story = Story().call(10).back(A).call(20).back(B)
    born = [(block.address, block.born_ns) for block in story.ledger.survivors]
    story.replay.feed(Freed(99, (born[0], (B, 1), (0xD0, 5))))
    assert story.books() == ([(B, 20)], {"allocations": 2, "found_free": 1})
    assert story.blocks[0].freed_ns == 99


def test_what_was_found_of_blocks_by_references():
    story = Story().call(10).back(A).call(20).back(B)
    first, second = story.ledger.survivors
    before = (A, second.born_ns, LOST), (B, second.born_ns, LOST), (0xD0, 5, HELD)
    story.replay.feed(Reached(99, before))
    assert (first.reach, second.reach) == (0, LOST)
    story.replay.feed(Holding(99, (Held(A, first.born_ns, 1, 2, 0, 0),)))
    story.free(B)
    story.replay.feed(Reached(99, ((A, first.born_ns, HELD), (B, second.born_ns, HELD))))
    assert (first.reach, second.reach) == (HELD, LOST)


def test_tail_sees_blocks_end_and_none_begin():
    story = Story().call(10).back(A).call(20).back(B).call(30).turn(Phase.FREES)
    story.back(0xC0).call(30).back(0xC0)  # still in while the others are taken out
    story.free(A).free(0xD0).hit(3, B, 40).hit(4, 0xE0, 0).hit(3, 0xF0, 50).hit(4, 0xF8, 0)
    assert story.books() == (
        [(0xE0, 40)],
        {"allocations": 2, "frees": 3, "frees_of_older_blocks": 2},
    )


def test_plan_without_calls_takes_every_size_from_the_block():
    probes = [probe for probe in SIZED if probe.phases != (Phase.ALL,)]
    probes = [replace(probe, id=number) for number, probe in enumerate(probes)]
    replay = Replay(probes, MALLOC_FAMILY, forget)
    replay.feed(Hit(1, 0, 1, 1, (SP, A, 0), WORD))
    assert [block.size for block in replay.ledger.outstanding.values()] == [104]


def test_last_blocks_of_a_burst_are_marked():
    """Their frees fall behind it: who they are is told by their births alone."""
    story = Story().turn(Phase.NONE).turn(Phase.FEWER)
    for number in range(1, 9):
        story.back(0x1000 * number)
    story.turn(Phase.NONE)
    last = [0x7000, 0x8000]
    assert [block.address for block in story.ledger.survivors if block.is_last] == last
    story.turn(Phase.FEWER).back(0x9000).turn(Phase.FREES)
    assert [block.address for block in story.ledger.survivors if block.is_last] == last


def test_block_has_the_mark_with_which_it_was_handed_out():
    story = Story().call(10)
    story.replay.feed(Hit(8, 1, 8, 1, (SP, A, 0), WORD, mark=77))
    story.turn(Phase.FEWER).replay.feed(Hit(9, 1, 9, 1, (SP, B, 0), WORD, mark=88))
    assert [(b.address, b.mark) for b in story.ledger.survivors] == [(A, 77), (B, 88)]


def test_calls_of_glibc_itself_are_told_by_their_function():
    own = (
        Probe(0, 0x1000, THREAD_END.name, Role.ENTRY, ("rsp",), None, "55"),
        Probe(1, 0x1010, THREAD_END.name, Role.RETURN, ("rsp", "rax", "rbp"), None, "c3"),
        Probe(2, 0x2000, "free", Role.ENTRY, ("rsp", "rdi"), None, "55"),
    )
    replay = Replay(own, (*MALLOC_FAMILY, THREAD_END), forget)
    for number, (probe, *registers) in enumerate(
        [(0, SP), (2, SP - 80, A), (2, SP - 80, B), (1, SP, 0, 0), (2, SP - 80, A)]
    ):
        replay.feed(Hit(number, probe, number, 1, tuple(registers), 0))
    assert (replay.ledger.frees, replay.ledger.frees_of_older_blocks) == (1, 1)
