"""A census of real heaps: each block in use, what is free and where, with every C library."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from support.gdbs import debian_root
from support.heaps import (
    CACHE_SIZES,
    assert_exact,
    by_class,
    count_own,
    counts_of,
    examine,
    info_of,
    size_of,
    truth_of,
)
from support.processes import wait_until
from support.roots import HOST, LIBRARIES, flags_for

from gdbleak.census.examine import Examination
from gdbleak.census.glibc import Census
from gdbleak.census.kept import gather_blocks
from gdbleak.census.threads import read_thread_words
from gdbleak.census.wish import HeapWish
from gdbleak.elf.cache import ImageCache
from gdbleak.report.heap import Free
from gdbleak.target.examined import ExaminedProcess

pytestmark = pytest.mark.usefixtures("needs_ptrace")

STATIC = "static"


class Starter:
    """Starts programs of tests/targets/heaps with one of the C libraries."""

    def __init__(self, library, run):
        self._run = run
        self.library = library
        self.own: Counter[int] = Counter()
        """How many blocks the C library of a static program has: it reads its paths itself."""
        if library == STATIC:
            target = self("corrupt", "nothing")
            self.own = count_own(examine(target.pid), truth_of(target))

    def __call__(self, name, *words):
        return self._run(f"heaps/{name}.c", *map(str, words))


@pytest.fixture(params=[*LIBRARIES, STATIC])
def start(request, build_target, start_target):
    """Return what starts programs with one of the C libraries."""
    own = {HOST: (), STATIC: ("-static",)}
    library = request.param
    flags = own[library] if library in own else flags_for(debian_root(library))
    return Starter(
        library, lambda source, *words: start_target(build_target(source, *flags), *words)
    )


@pytest.fixture
def start_here(build_target, start_target):
    """Return a function that starts a program of tests/targets/heaps."""
    return lambda name, *words: start_target(build_target(f"heaps/{name}.c"), *map(str, words))


@pytest.mark.parametrize("stop", [False, True], ids=["running", "stopped"])
def test_a_quiet_heap(start, stop):
    target = start("census", "quiet")
    truth = truth_of(target)
    report = examine(target.pid, stop=stop, max_pause_ms=20_000)
    assert_exact(report, truth, start.own)
    assert report.notes == ()
    assert (report.taking.pause_ms is not None) == stop
    has_fast_bins = start.library != "sid"
    free = [arena.free for arena in report.arenas]
    told = info_of(target)
    assert [each[Free.FAST].count for each in free] == [each.fast[0] for each in told]
    assert [each[Free.FAST].bytes for each in free] == [each.fast[1] for each in told]
    assert [each[Free.UNSORTED].count for each in free] == [each.unsorted for each in told]
    assert [sum_binned(each) for each in free] == [each.rest for each in told]
    assert [arena.system_bytes for arena in report.arenas] == [each.system for each in told]
    assert any(each[Free.FAST].count for each in free) == has_fast_bins
    assert all(each[Free.CACHED].count for each in free[:1])
    for size in (200, 504):
        assert size_of(report, size).free.count == truth["freed"][size]


def sum_binned(free):
    """Return how many blocks bins and the top hold, and their bytes."""
    amounts = [free[each] for each in (Free.SMALL, Free.LARGE, Free.UNSORTED, Free.TOP)]
    return sum(each.count for each in amounts), sum(each.bytes for each in amounts)


def test_each_thread_has_its_arena(start_here):
    target = start_here("census", "quiet", 3)
    truth = truth_of(target)
    report = examine(target.pid)
    names = [f"{thread} (census)" for thread in truth["threads"]]
    assert report.arenas[0].threads == (f"{target.pid} (census)",)
    assert sorted(each for arena in report.arenas[1:] for each in arena.threads) == sorted(names)


def test_many_arenas(start):
    """Some belong to no thread any more, and some threads may share one."""
    target = start("many_arenas", 12, 3, 2, 2)
    truth = truth_of(target)
    report = examine(target.pid)
    counts = counts_of(report) - start.own
    assert counts[1000] == truth["in_use"][1000]
    assert report.mmapped.count == 2
    assert report.mmapped.bytes >= 2 * 60_000_000
    users = [int(name.split()[0]) for arena in report.arenas for name in arena.threads]
    assert sorted(users) == sorted([target.pid, *truth["threads"]])
    assert sum(arena.in_use.count for arena in report.arenas) + 2 == report.in_use.count


def test_blocks_that_are_kept_for_a_search(start):
    """Each is counted once, and what belongs to nobody lies between them."""
    target = start("census", "quiet")
    with ImageCache() as images, ExaminedProcess(target.pid, images) as process:
        mappings = process.read_mappings()
        words = read_thread_words(process, mappings, images)
        known = frozenset(np.concatenate([*words.values()]).tolist())
        count = Census(process, mappings, known, True).take()
    assert count is not None
    blocks, sizes, left_out = gather_blocks(count)
    report = examine(target.pid)
    assert len(blocks) == report.in_use.count
    assert (blocks[1:] >= blocks[:-1] + sizes[:-1]).all()
    assert (left_out[:, 0] < left_out[:, 1]).all()
    assert (left_out[1:, 0] >= left_out[:-1, 1]).all()
    at = np.searchsorted(blocks, left_out[:, 0], "right") - 1
    before = blocks[np.maximum(at, 0)] + sizes[np.maximum(at, 0)]
    is_cache = np.isin(left_out[:, 0], blocks)  # they are blocks, and belong to nobody
    assert ((at < 0) | (before <= left_out[:, 0]) | is_cache).all()
    expected = sorted(address for address, _ in truth_of(target)["mmapped"])
    assert {*expected} <= {*blocks.tolist()}


@pytest.mark.parametrize("words", [("scale", 100_000, 24, 1, 3), ("scale", 40_000, 1000, 4, 0)])
def test_large_heaps(start_here, words):
    """Lists of free blocks too long to be followed one by one, and arenas of several heaps."""
    target = start_here("census", *words)
    report = examine(target.pid)
    assert_exact(report, truth_of(target))
    free = sum(arena.free[Free.FAST].count for arena in report.arenas)
    assert free >= (33_000 if words[4] else 0)


def assert_within_churn(report, truth, slack, own):
    """Assert that the steady blocks are all there, and of the others as many as there may be."""
    counts, expected = counts_of(report) - own, by_class(truth["in_use"])
    whole = sum(expected.values())
    off = {}
    churn = {size: bounds for size, *bounds in truth["churn"]}
    low, high = (by_class({size: bounds[n] for size, bounds in churn.items()}) for n in (0, 1))
    for size in {*expected, *low}:
        under = expected[size] + low[size] - counts[size]
        over = counts[size] - expected[size] - high[size]
        off[size] = max(under, over, 0)
    assert sum(off.values()) <= slack * whole, f"{off} of {whole}; {report.notes}"


def test_a_heap_that_allocates_100_000_times_a_second(start):
    """Without a stop; several times over, since a census may have luck."""
    target = start("census", "rate", 100_000, 60_000)
    begun = truth_of(target)
    for number in range(4):
        at = truth_of(target)["allocations"]
        report = examine(target.pid)
        assert_within_churn(report, begun, 0.001, start.own)
        counts = counts_of(report) - start.own
        assert all(counts[size] == begun["in_use"][size] for size in (40, 72, 136, 392)), number
        unsettled = report.taking.unsettled
        assert unsettled.bytes < 0.1 * report.in_use.bytes
        assert truth_of(target)["allocations"] - at > 1000, "nothing went on meanwhile"


def test_a_heap_that_allocates_100_000_times_a_second_is_exact_when_it_is_stopped(start):
    target = start("census", "rate", 100_000, 60_000)
    begun = truth_of(target)
    for _ in range(2):
        report = examine(target.pid, stop=True, max_pause_ms=20_000)
        assert_within_churn(report, begun, 0, start.own)
        assert report.taking.unsettled.count == report.taking.unclear_bytes == 0
        assert 0 < (report.taking.pause_ms or 0) < 20_000
        wait_until_it_allocates(target)


def wait_until_it_allocates(target):
    before = truth_of(target)["allocations"]
    wait_until(lambda: truth_of(target)["allocations"] > before, "it ran on")


@pytest.mark.parametrize("place", [(), ("thread",)], ids=["main arena", "arena of a thread"])
@pytest.mark.parametrize("how", ["pinned", "scattered", "leaked"])
def test_how_much_could_be_given_back(start, how, place):
    """What malloc_trim(3) is said to give back is what it gives back."""
    target = start("fragmented", how, 16, *place)
    truth = truth_of(target)
    report = examine(target.pid)
    arena = report.arenas[len(place)]
    assert_exact(report, truth, start.own)
    pin = arena.pin
    if how == "pinned":
        is_last = (pin.address, pin.size) == (truth["last"], 104)
        # Since 2.43 a thread gets its cache when it first frees a block, and so behind all blocks.
        assert is_last or (start.library == "sid" and pin.size in CACHE_SIZES)
        assert pin.free_bytes > 15 << 20
    else:
        assert pin is None or pin.free_bytes < 1 << 20
    told = sum(each.trimmable_bytes for each in report.arenas)
    given = int(target.ask("trim"))
    assert abs(told - given) <= 256 << 10
    assert (given > 15 << 20) == (how == "pinned")
    after = examine(target.pid)
    assert sum(each.trimmable_bytes for each in after.arenas) <= 256 << 10
    assert_exact(after, truth, start.own)


@pytest.mark.parametrize("how", ["sbrk", "early", "blocked", "shrinks"])
def test_a_main_arena_that_is_not_in_one_piece(start, how):
    target = start("foreign", how)
    truth = truth_of(target)
    report = examine(target.pid)
    assert_exact(report, truth, start.own)
    [main] = report.arenas
    if how == "shrinks":
        assert main.system_bytes < 24 << 20
    assert main.pin is None or main.pin.free_bytes < 1 << 20


CORRUPT = {
    "nothing": 0,
    "cached-cycle": 0,
    "cached-wild": 0,
    "fast-cycle": 0,
    "bin-cycle": 0,
    "zero": 64,
    "huge": 64,
    "beyond": 64,
    "inside": 16,
    "top": None,
    "top-short": None,
    "noise": 64 << 10,
}
"""How much of the heap is unclear, by what was corrupted; None for the memory behind its blocks."""


@pytest.mark.parametrize("how", CORRUPT)
def test_a_corrupt_heap(start_here, how):
    target = start_here("corrupt", how)
    truth = truth_of(target)
    report = examine(target.pid)
    unclear = report.taking.unclear_bytes
    expected = CORRUPT[how]
    if expected is None:
        assert 0 < unclear < 256 << 10
    else:
        assert expected <= unclear <= expected + 64
    lost = unclear // 64 + 2 if expected else 0
    assert 4000 - lost <= counts_of(report)[56] <= 4000
    if how in ("cached-cycle", "cached-wild", "fast-cycle"):
        [note] = report.notes
        assert "are corrupt" in note
    assert report.taking.took_s < 20
    assert truth["in_use"][56] == 4000


def test_which_size_grows(start_here):
    """20 bytes, which lie in blocks of 24; what is larger and only fills up is no growth."""
    target = start_here("grows_by_size", 3000, 3000)
    wait_until(lambda: truth_of(target)["cached"] == 3000, "its cache was full")
    report = examine(target.pid, count=8, interval_s=0.3)
    growing = report.sizes[0]
    assert (growing.low, growing.high) == (24, 24)
    assert 1500 < growing.growth.count.slope < 6000
    assert growing.growth.count.steadiness > 0.8
    assert len(growing.growth.history) == 8 == report.taking.censuses
    steady = [each for each in report.sizes[1:] if each.growth.bytes.slope > 0]
    assert all(each.growth.bytes.slope < growing.growth.bytes.slope for each in steady)
    assert abs(size_of(report, 200).growth.count.slope) < growing.growth.count.slope / 100


def interrupt(_target):
    raise KeyboardInterrupt


def kill(target):
    target.process.kill()
    target.wait()


@pytest.mark.parametrize(("end", "word"), [(interrupt, "interrupted"), (kill, "ended")])
def test_several_censuses_that_end_early(start_here, end, word):
    """What was counted before is told."""
    target = start_here("grows_by_size", 3000, 100)

    def tell(number, _share):
        if number == 3 and target.process.poll() is None:
            end(target)

    wish = HeapWish(count=1000, interval_s=0.1)
    with ImageCache() as images, ExaminedProcess(target.pid, images) as process:
        report = Examination(process, images, wish, tell).run()
    assert report.taking.censuses == 3
    assert any(word in note for note in report.notes)
    assert len(size_of(report, 24).growth.history) == 3
