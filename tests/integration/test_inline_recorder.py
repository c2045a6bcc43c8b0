"""The recorder of the inline probe, in a program that knows what it did: every event is right.

No debugger takes part: the test writes the image and the jumps while the program waits for a
command, and the program itself goes into the routine that maps the ring.
"""

from __future__ import annotations

import platform
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from operator import attrgetter

import pytest
from support.probed import Probed

from gdbleak.inline import ring as layout
from gdbleak.inline.payload import build_in_any
from gdbleak.inline.recorder import read_code, read_labels
from gdbleak.inline.ring import draw_lot, hash_address
from gdbleak.target.proc import read_mappings

HANDS_OUT = attrgetter("hands_out")
pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the recorder is written for x86-64"
)

ALLOCATE, FORK = 0, 1
MIX, PAIRS = 0, 1
PAGE = 4096
NO_SUCH_ADVICE = 99


@pytest.fixture(params=["calls", "pad"])
def start(request, build_target, start_target) -> Iterator[Callable[..., Probed]]:
    """Return a function that starts the program, for a recorder with a ring of some size.

    Its functions return into the recorder, or to a pad, as if they might throw.
    """
    probes = []

    def start(unit_bits: int = 18) -> Probed:
        target = start_target(build_target("inline_probe.c", "-fno-builtin"))
        probes.append(Probed(target, unit_bits, request.param == "pad"))
        return probes[-1]

    yield start
    for probed in probes:
        probed.restore()
        probed.close()


def ring_of(probed):
    """Return the mappings where the ring should be."""
    ring = probed.ring
    return [
        (mapping.start, mapping.end, mapping.permissions)
        for mapping in read_mappings(probed.target.pid)
        if ring.address < mapping.end and mapping.start < ring.address + ring.size
    ]


def whole(ring):
    return [(ring.address, ring.address + ring.size, "rw-p")]


@pytest.mark.parametrize(("back", "said"), [(0, "once"), (2, "again")])
@pytest.mark.parametrize("stepping", [0, 1], ids=["", "signals"])
def test_routines_change_nothing_but_the_ring(start, back, said, stepping):
    probed = start()
    probed.write_image()
    assert probed.target.ask(f"enter {probed.image.map_ring - back} {stepping}") == said
    assert ring_of(probed) == whole(probed.ring)
    assert probed.get(layout.MAPPED) == layout.DONE + layout.WIPED
    assert probed.target.ask(f"enter {probed.image.unmap_ring - back} {stepping}") == said
    assert ring_of(probed) == []
    # Unmapped already: nothing happens.
    assert probed.target.ask(f"enter {probed.image.unmap_ring - back} {stepping}") == said


def test_what_is_there_is_left_alone(start):
    probed = start()
    probed.write_image()
    probed.set_up()
    probed.put(layout.READ, 1234)
    assert probed.target.ask(f"enter {probed.image.map_ring} 0") == "once"
    assert probed.get(layout.READ) == 1234


def replace_number(probed, old, new):
    """Change a number in the routines, which is there once."""
    start = probed.image.address + read_labels()["map_ring"]
    code = probed.memory.read(start, len(read_code()) - read_labels()["map_ring"])
    old, new = (struct.pack("<I", number) for number in (old, new))
    assert code.count(old) == 1
    probed.write(start + code.index(old), new)


def test_kernel_that_takes_the_address_for_a_hint(start):
    probed = start()
    probed.write_image()
    replace_number(probed, 0x104022, 0x4022)
    probed.set_up()
    before = [str(mapping) for mapping in read_mappings(probed.target.pid)]
    assert probed.target.ask(f"enter {probed.image.map_ring} 0") == "once"
    assert [str(mapping) for mapping in read_mappings(probed.target.pid)] == before


def test_kernel_that_cannot_wipe(start):
    probed = start()
    probed.write_image()
    replace_number(probed, 18, NO_SUCH_ADVICE)
    probed.set_up()
    assert probed.get(layout.MAPPED) == layout.DONE
    probed.patch()
    probed.switch(True)
    assert probed.target.ask("fork") == "0"
    assert probed.read_events() == []


def test_everything_one_thread_does(start):
    probed = start()
    probed.start()
    probed.tell("mix 1 3000")
    recorded = probed.read_events()
    thread, log = probed.read_log()
    assert [each.event for each in recorded] == log
    assert {each.thread for each in recorded} == {thread}
    names = Counter(each.function for each in recorded)
    assert set(names) >= {"malloc", "calloc", "realloc", "reallocarray", "posix_memalign", "free"}
    assert probed.dropped == [0] * 16
    begin, end = probed.main_stack
    code = [
        m for m in read_mappings(probed.target.pid) if m.executable and "inline_probe" in m.path
    ]
    for each in recorded:
        assert begin < each.stack_pointer < end
        assert len(each.stack) == (192 // 8 if each.hands_out else 0)
        assert not each.stack or any(m.start <= each.stack[0] < m.end for m in code)


def test_nothing_while_it_is_off(start):
    probed = start()
    probed.start()
    probed.switch(False)
    probed.tell("mix 1 100")
    assert probed.read_events() == []
    assert probed.get(layout.TICKETS) == 0
    probed.read_log()
    probed.switch(True)
    probed.tell("pairs 1")
    assert [each.event for each in probed.read_events()] == probed.read_log()[1] != []


def test_ring_goes_round(start):
    probed = start(13)
    probed.start()
    for seed in range(20):
        probed.tell(f"mix {seed} 300")
        assert [each.event for each in probed.read_events()] == probed.read_log()[1]
    assert probed.get(layout.TICKETS) > 3 * probed.ring.units
    assert probed.dropped == [0] * 16


@pytest.mark.parametrize("known", [False, True], ids=["", "stacks known"])
def test_everything_many_threads_do(start, known):
    probed = start(19)
    probed.tell("threads 6")
    probed.start(1024)
    probed.tell("crowd 1 0")
    probed.read_events()
    threads = [probed.read_log(number)[0] for number in range(1, 7)]
    stacks = {thread: probed.stack_of(thread) for thread in threads}
    if known:
        probed.put(layout.STACK_BLOCK, probed.find_stack_block(stacks))
    for _ in range(3):
        probed.tell(f"crowd 1200 {MIX}")
        recorded = probed.read_events()
        for number, (thread, stack) in enumerate(stacks.items(), 1):
            log = probed.read_log(number)[1]
            own = [each for each in recorded if each.thread == thread]
            assert [each.event for each in own] == log
            for each in own:
                end = thread if known else (each.stack_pointer // PAGE + 1) * PAGE
                assert stack.start < each.stack_pointer < thread
                kept = min(1024, end - each.stack_pointer) // 8
                assert len(each.stack) == (kept if each.hands_out else 0)
        assert len(recorded) > 6 * 1200
    assert probed.dropped == [0] * 16


def test_a_stack_of_one_page(start):
    probed = start()
    probed.start(4096)
    probed.tell("coroutine")
    recorded = probed.read_events()
    assert [each.event for each in recorded] == probed.read_log()[1]
    assert [each.function for each in recorded] == ["malloc", "realloc", "realloc", "free"]
    for each in filter(HANDS_OUT, recorded):
        assert len(each.stack) == (PAGE - each.stack_pointer % PAGE) // 8


def test_a_signal_handler_on_a_stack_of_its_own(start):
    probed = start()
    probed.start(512)
    probed.tell("sigaltstack")
    recorded = probed.read_events()
    assert [each.event for each in recorded] == probed.read_log()[1]
    begin, end = probed.main_stack
    assert len(recorded) == 4
    assert not any(begin <= each.stack_pointer < end for each in recorded)


@pytest.mark.parametrize("words", [0, 1, 6, 7, 8, 14, 15, 500, 8191])
def test_the_stack_is_copied_as_it_is(start, words):
    probed = start()
    probed.start(words * 8)
    probed.tell("pattern 9000")
    recorded = probed.read_events()
    assert [each.event for each in recorded] == probed.read_log()[1]
    for each in filter(HANDS_OUT, recorded):
        assert len(each.stack) == words
        known = [word for word in each.stack if word >> 32 == 0x5EED]
        assert known == [0x5EED00000000 + number for number in range(len(known))]
        assert len(known) > words - 40


def test_the_stack_ends_where_it_ends(start):
    probed = start()
    _, end = probed.main_stack
    probed.start(65528)
    probed.tell("mix 1 10")
    for each in filter(HANDS_OUT, probed.read_events()):
        assert each.stack_pointer + 8 * len(each.stack) == end


def test_more_of_the_stack_of_some_blocks(start):
    probed = start()
    probed.start(64, MORE_STACK_BYTES=1024, MORE_STACK_MASK=7)
    probed.tell("mix 1 2000")
    lengths = Counter()
    for each in filter(HANDS_OUT, probed.read_events()):
        more = hash_address(each.event.address) & 7 == 0
        assert len(each.stack) == (128 if more else 8)
        lengths[len(each.stack)] += 1
    assert lengths[128] > 100
    assert lengths[8] > 3 * lengths[128]


def test_little_of_most_stacks_while_the_ring_fills(start):
    probed = start(14)
    probed.start(512, LITTLE_STACK_BYTES=64, MORE_STACK_BYTES=512, MORE_STACK_MASK=7)
    probed.tell("mix 1 3000")
    quarter = probed.ring.units // 4
    early, late = Counter(), Counter()
    for each in filter(HANDS_OUT, probed.read_events()):
        lengths = late if each.ticket > quarter else early
        lengths[len(each.stack), hash_address(each.event.address) & 7 == 0] += 1
    assert set(early) == {(64, False), (64, True)}
    assert set(late) == {(8, False), (64, True)}


def test_what_is_left_when_the_ring_fills_is_complete(start):
    probed = start(14)
    probed.start()
    probed.tell("mix 5 20000")
    expected = probed.read_log()[1]
    recorded = probed.read_events()
    dropped = probed.dropped
    assert len(recorded) + sum(dropped) == len(expected)
    assert all(dropped[1 : layout.LEVELS + 2])
    assert dropped[0] == 0
    assert not any(dropped[layout.LEVELS + 2 :])
    # Up to the first event for which there was no room: each of those that the last level keeps.
    for each in recorded:
        level = level_at(each.ticket, probed.ring.units)
        assert draw_lot(each.event.address) % (1 << level) == 0
    assert_subset([each.event for each in recorded], expected)
    kept = {each.event for each in recorded}
    early = expected[: expected.index(recorded[-1].event)]
    last = [each for each in early if draw_lot(each.address) % (1 << layout.LEVELS) == 0]
    assert {*last} <= kept


def test_a_reader_that_is_too_slow(start):
    probed = start(10)
    probed.tell("threads 4")
    probed.start(64)
    recorded = []
    probed.target.tell(f"crowd 20000 {PAIRS}")
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(probed.target.lines.next)
        while not ended.done():
            recorded += probed.read_ready()
    recorded += probed.read_events()
    for number in range(1, 5):
        thread, log = probed.read_log(number)
        assert len(log) == 4 * 20000
        assert_subset([each.event for each in recorded if each.thread == thread], log)
    assert len(recorded) + sum(probed.dropped) == 4 * 4 * 20000
    assert sum(probed.dropped) > 0


def level_at(taken, units):
    """Return the level when so many units are taken."""
    level = 0
    while taken >= units - (units >> level + 1):
        level += 1
    return level


def assert_subset(some, everything):
    """Assert that a list is another with elements left out."""
    others = iter(everything)
    assert all(each in others for each in some)


def test_a_ring_that_nobody_reads_switches_itself_off(start):
    probed = start(8)
    probed.start()
    calls = layout.MANY_UNREAD // 2
    probed.tell(f"unnoted {calls - 1000} 100")
    assert probed.get(layout.ON) == 1
    probed.tell("unnoted 2000 100")
    assert probed.get(layout.ON) == 0
    assert layout.MANY_UNREAD < sum(probed.dropped) <= layout.MANY_UNREAD + 1
    assert sum(probed.dropped) + len(probed.read_events()) < 2 * calls + 2000


def test_a_larger_stack_than_the_ring(start):
    probed = start(6)
    probed.start(4096)
    probed.tell("pattern 1000")
    # The free of the block takes one unit.
    assert [each.function for each in probed.read_events()] == ["free"]
    assert probed.dropped == [0] * 6 + [1] + [0] * 9


def test_a_hole_costs_nothing_else(start):
    probed = start()
    probed.start()
    probed.tell("mix 1 100")
    probed.put(layout.TICKETS, probed.get(layout.TICKETS) + 5)  # somebody claimed units, and died
    probed.tell("mix 2 100")
    assert [each.event for each in probed.read_events()] == probed.read_log()[1]


def test_a_signal_handler_that_allocates_at_every_instruction(start):
    probed = start()
    probed.start()
    steps = int(probed.target.ask(f"step {ALLOCATE}"))
    recorded = probed.read_events()
    assert steps > 500
    assert probed.dropped == [0] * 16
    counts = Counter((each.function, each.event.role) for each in recorded)
    assert counts["free", "entry"] == steps + 2  # one for each step, and the program's two
    assert counts["realloc", "entry"] == counts["realloc", "return"] == 1
    assert counts["posix_memalign", "call"] == 1
    assert counts["malloc", "call"] == steps + 3


def test_a_fork_at_every_instruction(start):
    probed = start()
    probed.start()
    assert int(probed.target.ask(f"step {FORK}")) > 500
    counts = Counter(each.function for each in probed.read_events())
    assert counts == {"malloc": 3, "realloc": 2, "free": 2, "posix_memalign": 1}


def test_a_jump_out_of_every_instruction(start):
    probed = start()
    probed.start()
    steps = int(probed.target.ask("leave"))
    recorded = probed.read_events()
    assert steps > 80
    assert Counter(each.function for each in recorded)["malloc"] == steps + 1
    probed.read_log()
    probed.tell("mix 3 500")
    assert [each.event for each in probed.read_events()] == probed.read_log()[1]


def test_a_child_of_fork_records_nothing(start):
    probed = start()
    probed.start()
    assert probed.target.ask("fork") == "0"
    assert probed.read_events() == []


def test_threads_that_come_and_go(start):
    probed = start()
    probed.start()
    probed.tell("churn 30")
    recorded = probed.read_events()
    counts = Counter((each.function, *each.stack[:1]) for each in recorded)
    # In the program: a block for each thread, which it frees, and one that it returns.
    assert [*counts.values()].count(240) >= 2
    assert counts[("free",)] >= 2 * 240


def test_calls_of_the_allocator_itself_are_left_out(start):
    """Here the program is taken for the allocator."""
    probed = start()
    [*own] = (m for m in read_mappings(probed.target.pid) if "inline_probe" in m.path)
    probed.plan = replace(probed.plan, own_code=(own[0].start, own[-1].end))
    probed.cave, probed.image = build_in_any(probed.plan, probed.ring)
    probed.start()
    probed.tell("mix 1 100")
    callers = [each.stack[0] for each in filter(HANDS_OUT, probed.read_events())]
    assert not any(own[0].start <= caller < own[-1].end for caller in callers)


def test_put_back_while_the_program_lives(start):
    probed = start()
    for _ in range(3):
        probed.start()
        probed.tell("mix 1 100")
        assert [each.event for each in probed.read_events()] == probed.read_log()[1]
        probed.switch(False)
        for jump in probed.image.jumps:
            probed.write(jump.address, jump.original)
        assert probed.target.ask(f"enter {probed.image.unmap_ring} 0") == "once"
        probed.restore()
        probed.target.assert_as_found()
        probed.tell("mix 1 100")
        probed.read_log()
