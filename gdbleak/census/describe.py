"""What a census has counted, as it is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gdbleak.census.classes import Blocks, amount_of, make_classes, of_chunks
from gdbleak.census.glibc import ArenaCount, Count
from gdbleak.heap.sums import BySize
from gdbleak.report.heap import Amount, Arena, Free, Pin, SizeClass

_LARGE_BIN_BYTES = 1024
"""Free chunks of so many bytes are in the large bins. Source: MIN_LARGE_SIZE in malloc/malloc.c."""
_MUCH_BYTES = 128 << 10
"""Less free memory at the end of a heap is kept on purpose. Source: DEFAULT_TRIM_THRESHOLD."""


def describe_sizes(count: Count) -> dict[int, SizeClass]:
    """Return the size classes of a census, by their keys: see `heap.size_classes`."""
    used = [each for arena in count.arenas for each in of_chunks(arena.used.counts())]
    used += (Blocks(each.size, each.end - each.start, 1) for each in count.large)
    free = [
        each
        for arena in count.arenas
        for state in (arena.binned, arena.fast, arena.cached)
        for each in of_chunks(state.counts())
    ]
    return make_classes(used, free)


def sum_large(count: Count) -> Amount:
    """Return the blocks that have mappings of their own."""
    return Amount(len(count.large), sum(each.end - each.start for each in count.large))


def sum_in_use(count: Count) -> Amount:
    """Return all blocks in use."""
    return _sum([sum_large(count), *(_amount(arena.used) for arena in count.arenas)])


def describe_arenas(count: Count, words: Mapping[str, Iterable[int]]) -> tuple[Arena, ...]:
    """Return the arenas.

    Args:
        count: The census.
        words: What stands in the variables of threads, by the names of the threads: a thread's
            arena is there.

    """
    known = {name: {*found} for name, found in words.items()}
    return tuple(_describe(number, arena, known) for number, arena in enumerate(count.arenas))


def _describe(number: int, count: ArenaCount, words: Mapping[str, set[int]]) -> Arena:
    address = count.arena.address
    pin = count.pin
    return Arena(
        number,
        address,
        tuple(name for name, found in words.items() if address in found),
        tuple((part.start, part.end) for part in count.parts),
        count.system_bytes,
        None,
        _amount(count.used),
        _free(count),
        count.trimmable_bytes,
        Pin(pin[0] + 16, pin[1] - 8, pin[2]) if pin and pin[2] >= _MUCH_BYTES else None,
    )


def _free(count: ArenaCount) -> dict[Free, Amount]:
    # A chunk that waits in the unsorted bin may have been split before it was counted.
    small, large = _by_bins(count.binned)
    small_waits, large_waits = map(_lesser, _by_bins(count.unsorted), (small, large))
    return {
        Free.CACHED: _amount(count.cached),
        Free.FAST: _amount(count.fast),
        Free.UNSORTED: _sum([small_waits, large_waits]),
        Free.SMALL: _less(small, small_waits),
        Free.LARGE: _less(large, large_waits),
        Free.TOP: Amount(int(count.top_bytes > 0), count.top_bytes),
    }


def _by_bins(sums: BySize) -> tuple[Amount, Amount]:
    """Return what belongs into small bins, and into large ones."""
    small: list[Blocks] = []
    large: list[Blocks] = []
    for each in of_chunks(sums.counts()):
        (large if each.taken >= _LARGE_BIN_BYTES else small).append(each)
    return amount_of(small), amount_of(large)


def _lesser(one: Amount, other: Amount) -> Amount:
    return Amount(min(one.count, other.count), min(one.bytes, other.bytes))


def _less(one: Amount, other: Amount) -> Amount:
    return Amount(one.count - other.count, one.bytes - other.bytes)


def _amount(sums: BySize) -> Amount:
    return Amount(*sums.total)


def _sum(amounts: Iterable[Amount]) -> Amount:
    amounts = list(amounts)
    return Amount(sum(each.count for each in amounts), sum(each.bytes for each in amounts))
