"""A look at the heap of a process or a core file, from the first census to the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import numpy as np

from gdbleak.census.classes import Blocks, amount_of, make_classes, of_chunks
from gdbleak.census.glibc import ArenaCount, Census, Count
from gdbleak.census.threads import read_thread_words
from gdbleak.census.wish import HeapWish
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import NoSuchProcessError
from gdbleak.heap.sums import BySize
from gdbleak.report.heap import Amount, Arena, Free, HeapReport, Pin, SizeClass, Taking
from gdbleak.target.examined import Examined

_LARGE_BIN_BYTES = 1024
"""Free chunks of so many bytes are in the large bins. Source: MIN_LARGE_SIZE in malloc/malloc.c."""
_MUCH_BYTES = 128 << 10
"""Less free memory at the end of a heap is kept on purpose. Source: DEFAULT_TRIM_THRESHOLD."""


def examine(
    process: Examined,
    images: ImageCache,
    command: str,
    wish: HeapWish,
    core: str | None = None,
    tell: Callable[[float], None] = lambda _share: None,
) -> HeapReport:
    """Return what is in the heap of a process.

    Args:
        process: The process, or the core file.
        images: Keeps its ELF files.
        command: What it runs.
        wish: How to look.
        core: The path of the core file.
        tell: Called with the share of the census that is done; it may raise.

    Raises:
        TargetError: the process cannot be read, or has ended.

    """
    began_s = time.monotonic()
    mappings = process.read_mappings()
    if not mappings:
        raise NoSuchProcessError(f"process {process.pid} has ended meanwhile")
    words = read_thread_words(process, mappings, images)
    known = frozenset(np.unique(np.concatenate([*words.values(), np.zeros(0, np.uint64)])).tolist())
    count = Census(process, mappings, known, keeps=wish.lost, tell=tell).take()
    usage = process.read_usage()
    notes: list[str] = []
    names = {thread.id: str(thread) for thread in process.read_threads()}
    users = {names.get(thread, str(thread)): {*each.tolist()} for thread, each in words.items()}
    return HeapReport(
        process.pid,
        command,
        core,
        datetime.now().astimezone().isoformat(timespec="seconds"),
        _taking(count, time.monotonic() - began_s),
        f"glibc, layout of {count.layout}" if count else None,
        sum(each.resident for each in usage.values()) if usage else None,
        _sum_in_use(count),
        _sum_large(count),
        _rank(_classes(count)),
        tuple(
            _describe(number, each, users)
            for number, each in enumerate(count.arenas if count else ())
        ),
        (),
        notes=tuple(notes),
    )


def _taking(count: Count | None, took_s: float) -> Taking:
    if count is None:
        return Taking(took_s, None)
    return Taking(
        took_s,
        None,
        read_bytes=count.read_bytes,
        unsettled=Amount(*count.unsettled),
        unclear_bytes=count.unclear_bytes,
    )


def _classes(count: Count | None) -> dict[int, SizeClass]:
    if count is None:
        return {}
    used = [each for arena in count.arenas for each in of_chunks(arena.used.counts())]
    used += (Blocks(each.size, each.end - each.start, 1) for each in count.large)
    free = [
        each
        for arena in count.arenas
        for state in (arena.binned, arena.fast, arena.cached)
        for each in of_chunks(state.counts())
    ]
    return make_classes(used, free)


def _rank(classes: dict[int, SizeClass]) -> tuple[SizeClass, ...]:
    return tuple(sorted(classes.values(), key=lambda each: (-each.in_use.bytes, each.low)))


def _sum_large(count: Count | None) -> Amount:
    large = count.large if count else []
    return Amount(len(large), sum(each.end - each.start for each in large))


def _sum_in_use(count: Count | None) -> Amount:
    large = _sum_large(count)
    small = [Amount(*arena.used.total) for arena in (count.arenas if count else ())]
    return Amount(
        large.count + sum(each.count for each in small),
        large.bytes + sum(each.bytes for each in small),
    )


def _describe(number: int, count: ArenaCount, users: dict[str, set[int]]) -> Arena:
    address = count.arena.address
    pin = count.pin
    return Arena(
        number,
        address,
        tuple(name for name, words in users.items() if address in words),
        tuple((part.start, part.end) for part in count.parts),
        count.system_bytes,
        count.resident_bytes,
        Amount(*count.used.total),
        _free(count),
        count.trimmable_bytes,
        Pin(pin[0] + 16, pin[1] - 8, pin[2]) if pin and pin[2] >= _MUCH_BYTES else None,
    )


def _free(count: ArenaCount) -> dict[Free, Amount]:
    unsorted = count.unsorted.counts()
    binned: tuple[list[Blocks], list[Blocks]] = ([], [])
    for size, number in count.binned.counts().items():
        rest = max(number - unsorted.get(size, 0), 0)
        binned[size >= _LARGE_BIN_BYTES].append(Blocks(size - 8, size, rest))
    return {
        Free.CACHED: _amount(count.cached),
        Free.FAST: _amount(count.fast),
        Free.UNSORTED: _amount(count.unsorted),
        Free.SMALL: amount_of(binned[False]),
        Free.LARGE: amount_of(binned[True]),
        Free.TOP: Amount(int(count.top_bytes > 0), count.top_bytes),
    }


def _amount(sums: BySize) -> Amount:
    return Amount(*sums.total)
