"""What a report of a heap says, in a few sentences with figures, and what to type next. Pure.

A single census tells how much there is, never whether it grows: no sentence calls a size a leak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from statistics import mode
from typing import NamedTuple

from gdbleak.report.heap import Arena, HeapReport, MappingKind, MappingUse, SizeClass
from gdbleak.report.lineup import STEADY
from gdbleak.report.trend import ENOUGH
from gdbleak.text.lines import printable
from gdbleak.text.units import count_of, format_bytes, format_percent, plural

MOST = 5
"""So many findings are read; more are a list."""

GROWING = 64 << 10
"""Bytes an hour. Less than that takes a month for 46 MB: nobody restarts a process for it."""

NAMED = 3
"""So many sizes that grow are named; the table has the others."""

LARGE_SHARE = 0.25
"""A size that takes less of the heap than a quarter explains little of it."""

LARGE = 1 << 20
"""Bytes. In a heap of less, nothing is worth a search."""

MANY_FREE = 16 << 20
"""Bytes. An allocator keeps some free memory on purpose; below this nobody would miss it."""

FREE_SHARE = 0.3
"""Of what the allocator has got. glibc's malloc seldom keeps as much without fragmentation."""

MAPPED_SHARE = 0.5
"""Above this, most of the heap is in blocks that have mappings of their own."""

OUTSIDE_SHARE = 0.5
"""Above this, the answer is not in glibc's heap."""

SWAPPED = 16 << 20
"""Bytes. The kernel swaps some pages of every process that sleeps."""

MANY_ARENAS = 4
"""Besides the main one. Fewer have no more than 256 MB of address space."""

MANY_STACKS = 4
"""Fewer have no more than 32 MB of address space."""

MUCH_ROOM = 4
"""Address space of so many times what is resident looks like a leak, and is none."""

CALM = "calm"
URGENT = "urgent"


class Finding(NamedTuple):
    """What is to be known first."""

    text: str
    """One or two sentences; whatever comes from the process is escaped."""
    command: str | None = None
    """What to type next, if that helps."""
    is_alarm: bool = False
    """Whether it says that something goes wrong, or will."""


class _Weighed(NamedTuple):
    rank: int
    """0 for what goes wrong, 1 for what takes memory, 2 for what only looks like it."""
    bytes: float
    """How much memory it is about; of the same rank, most come first."""
    finding: Finding


def find_facts(report: HeapReport) -> tuple[Finding, ...]:
    """Return what matters about a heap, the most important first, at most `MOST`."""
    found = [each for find in _FINDERS for each in find(report)]
    found.sort(key=lambda each: (each.rank, -each.bytes))
    return tuple(each.finding for each in found[:MOST])


def grows(size: SizeClass) -> bool:
    """Whether the blocks of a size take more and more, steadily."""
    growth = size.growth
    return (
        growth is not None
        and growth.bytes.slope * 3600 >= GROWING
        and growth.bytes.steadiness >= STEADY
    )


def describe_size(size: SizeClass) -> str:
    """Return a size as `trace --size` takes it: `24`, or `1040-1528`, in bytes."""
    return f"{size.low}" if size.low == size.high else f"{size.low}-{size.high}"


def rises(history: Iterable[int]) -> tuple[int, int]:
    """Return how often a series rose, and how often it could have.

    >>> rises([3, 4, 4, 9])
    (2, 3)
    """
    values = list(history)
    steps = list(zip(values, values[1:]))
    return sum(after > before for before, after in steps), len(steps)


def _trace(report: HeapReport, size: SizeClass) -> str | None:
    """Return the command that records the blocks of a size; of a core file, nothing can."""
    return None if report.core else f"gdbleak trace {report.pid} --size {describe_size(size)}"


def _watch(report: HeapReport) -> str | None:
    """Return the command that tells what grows; None if that has been done."""
    if report.core or report.taking.censuses >= ENOUGH:
        return None
    interval = max(report.taking.interval_s, 60.0)
    return f"gdbleak heap {report.pid} --interval {interval:g} --count {ENOUGH}"


def _blocks(size: SizeClass) -> str:
    return f"blocks of {describe_size(size)} bytes"


def _find_growth(report: HeapReport) -> Iterator[_Weighed]:
    if report.taking.censuses < 2:
        return
    growing = sorted(
        (size for size in report.sizes if grows(size)),
        key=lambda size: -_rate(size),
    )
    censuses = count_of(report.taking.censuses, "census").replace("censuss", "censuses")
    few = report.taking.censuses < ENOUGH
    if not growing:
        if few:
            text = f"{censuses} are too few to say whether a size grows steadily."
            yield _Weighed(0, 0, Finding(text, _watch(report)))
        else:
            text = f"No size of block grows steadily: {censuses} were taken."
            yield _Weighed(2, 0, Finding(text))
        return
    first, *others = growing
    assert first.growth  # or it would not grow
    times, steps = rises(first.growth.history)
    text = f"Growing: {_blocks(first)} by {format_bytes(_rate(first))} an hour"
    text += f" (more of them in {times} of {count_of(steps, 'interval')})"
    if others:
        named = ", ".join(
            f"{describe_size(size)} by {format_bytes(_rate(size))}" for size in others[: NAMED - 1]
        )
        more = len(others) - (NAMED - 1)
        text += f"; also {named}" + (f", and {count_of(more, 'more size')}" if more > 0 else "")
    text += f". {censuses} are too few to be sure." if few else "."
    yield _Weighed(0, _rate(first), Finding(text, _trace(report, first), is_alarm=not few))


def _rate(size: SizeClass) -> float:
    """Return by how many bytes an hour a size grows."""
    return size.growth.bytes.slope * 3600 if size.growth else 0.0


def _find_lost(report: HeapReport) -> Iterator[_Weighed]:
    lost = report.lost
    if lost is None:
        return
    total = lost.total
    if not total.count:
        if not lost.mappings:
            blocks = count_of(lost.searched_blocks, "block")
            text = f"Nothing is lost: something refers to each of {blocks} in use."
            yield _Weighed(2, 0, Finding(text))
    else:
        text = (
            f"Lost: {count_of(total.count, 'block')} that nothing refers to any more"
            f" {'takes' if total.count == 1 else 'take'} {format_bytes(total.bytes)}"
        )
        command = None
        if lost.trees:
            first = max(lost.trees, key=lambda tree: tree.bytes)
            share = format_percent(first.bytes, total.bytes)
            what = f" ({printable(first.what)})" if first.what else ""
            text += f"; {share} of that by {_describe_root(first.size, first.is_cycle)}{what}"
            if not report.core:
                command = f"gdbleak trace {report.pid} --size {first.size}"
        yield _Weighed(0, total.bytes, Finding(f"{text}.", command, is_alarm=True))
    if lost.mappings:
        count = count_of(len(lost.mappings), "anonymous mapping")
        size = format_bytes(sum(mapping.size for mapping in lost.mappings))
        text = f"Lost: nothing refers to {count} of {size} in all."
        resident = _sum(mapping.resident_bytes for mapping in lost.mappings)
        yield _Weighed(0, resident, Finding(text, is_alarm=True))


def _describe_root(size: int, is_cycle: bool) -> str:
    return (
        f"cycles of blocks of {size} bytes" if is_cycle else f"trees under blocks of {size} bytes"
    )


def _find_large_size(report: HeapReport) -> Iterator[_Weighed]:
    largest = max(report.sizes, key=lambda size: size.in_use.bytes, default=None)
    if largest is None or (report.taking.censuses > 1 and grows(largest)):
        return
    taken = largest.in_use.bytes
    if taken < LARGE or taken < LARGE_SHARE * report.in_use.bytes:
        return
    share = format_percent(taken, report.in_use.bytes)
    what = (
        f"{describe_size(largest)}-byte blocks" if largest.low == largest.high else _blocks(largest)
    )
    text = (
        f"{what[0].upper()}{what[1:]}: {largest.in_use.count:,} of them take {format_bytes(taken)},"
        f" {share} of what is in use."
    )
    if report.core is None and report.taking.censuses == 1:
        text += " One census cannot tell whether they grow."
    yield _Weighed(1, taken, Finding(text, _watch(report)))


def _find_own_mappings(report: HeapReport) -> Iterator[_Weighed]:
    taken = report.mmapped.bytes
    if taken < LARGE or taken < MAPPED_SHARE * report.in_use.bytes:
        return
    text = (
        f"{count_of(report.mmapped.count, 'large block')} with"
        f" {plural(report.mmapped.count, 'a mapping') if report.mmapped.count == 1 else 'mappings'}"
        f" of their own"
    )
    if report.mmapped.count == 1:
        text = "1 large block with a mapping of its own"
    verb = "takes" if report.mmapped.count == 1 else "take"
    share = format_percent(taken, report.in_use.bytes)
    text += f" {verb} {format_bytes(taken)}, {share} of what is in use."
    yield _Weighed(1, taken, Finding(text))


def _find_fragmentation(report: HeapReport) -> Iterator[_Weighed]:
    system = sum(arena.system_bytes for arena in report.arenas)
    free = _kept(report.arenas)
    if free < MANY_FREE or free < FREE_SHARE * system:
        return
    in_use = sum(arena.in_use.bytes for arena in report.arenas)
    resident = _resident(report.arenas)
    had = (
        f"{format_bytes(system)} from the kernel"
        if resident is None
        else (f"{format_bytes(resident)} resident")
    )
    text = (
        f"The heap has {had}, {format_bytes(in_use)} in use: {format_bytes(free)} are free memory"
        " that the allocator keeps (fragmentation, not a leak)"
    )
    trimmable = sum(arena.trimmable_bytes for arena in report.arenas)
    if trimmable >= MANY_FREE // 16:
        text += f"; malloc_trim(3) would give back {format_bytes(trimmable)}."
    else:
        text += (
            "; it lies between blocks in use, so malloc_trim(3) would give back next to nothing."
        )
    yield _Weighed(1, free, Finding(text))


def _kept(arenas: Iterable[Arena]) -> int:
    """Return how much free memory is resident, as far as that is known."""
    kept = 0
    for arena in arenas:
        free = arena.free_bytes
        if arena.resident_bytes is not None:
            free = min(free, max(arena.resident_bytes - arena.in_use.bytes, arena.trimmable_bytes))
        kept += free
    return kept


def _resident(arenas: Iterable[Arena]) -> int | None:
    known = [arena.resident_bytes for arena in arenas]
    return None if None in known else _sum(known)


def _find_pins(report: HeapReport) -> Iterator[_Weighed]:
    pinned = [arena for arena in report.arenas if arena.pin and arena.pin.free_bytes >= MANY_FREE]
    if not pinned:
        return
    first, *others = sorted(pinned, key=lambda arena: -_pinned(arena))
    assert first.pin
    where = "the heap" if len(report.arenas) == 1 else f"the heap of arena {first.number}"
    text = (
        f"One block of {first.pin.size:,} bytes at the end of {where} keeps"
        f" {format_bytes(first.pin.free_bytes)} of free memory before it from being given back"
    )
    if others:
        rest = format_bytes(sum(map(_pinned, others)))
        text += f"; so do {count_of(len(others), 'block')} of other arenas, with {rest}"
    command = None if report.core else f"gdbleak why {report.pid} {first.pin.address:#x}"
    yield _Weighed(1, sum(map(_pinned, pinned)), Finding(f"{text}.", command))


def _pinned(arena: Arena) -> int:
    return arena.pin.free_bytes if arena.pin else 0


def _find_swapped(report: HeapReport) -> Iterator[_Weighed]:
    swapped = _sum(mapping.swapped_bytes for mapping in report.mappings)
    if swapped < SWAPPED:
        return
    heap = _sum(mapping.swapped_bytes for mapping in report.mappings if mapping.kind in _HEAPS)
    text = f"{format_bytes(swapped)} are swapped out"
    text += f", {format_bytes(heap)} of them of the heap" if heap else ", nothing of the heap"
    text += ": they count as used, and are not in the resident bytes."
    yield _Weighed(1, swapped, Finding(text))


def _find_allocators(report: HeapReport) -> Iterator[_Weighed]:
    for allocator in report.allocators:
        size = allocator.mapped.bytes
        resident = allocator.resident_bytes
        if max(resident or 0, size if resident is None else 0) < LARGE:
            continue
        name = printable(allocator.name)
        mapped = count_of(allocator.mapped.count, "mapping")
        text = f"{name} has {format_bytes(size)} of address space in {mapped}"
        if resident is not None:
            text += f", {format_bytes(resident)} resident"
        if allocator.in_use is None:
            text += ": it is not glibc's malloc, and keeps no statistics that can be read."
        else:
            text += f"; its own statistics say {format_bytes(allocator.in_use.bytes)} in use."
        yield _Weighed(1, resident or size, Finding(text))


def _find_outside(report: HeapReport) -> Iterator[_Weighed]:
    """Yield where the memory is, when it is not in a heap of glibc, nor another allocator's."""
    resident = report.resident_bytes
    if not resident or resident < MANY_FREE:
        return
    known = {*_HEAPS, MappingKind.ALLOCATOR}
    rest: dict[MappingKind, int] = {}
    for mapping in report.mappings:
        if mapping.kind not in known:
            rest[mapping.kind] = rest.get(mapping.kind, 0) + (mapping.resident_bytes or 0)
    outside = sum(rest.values())
    if not rest or outside < OUTSIDE_SHARE * resident:
        return
    kind = max(rest, key=lambda each: rest[each])
    text = (
        f"{format_bytes(outside)} of the {format_bytes(resident)} resident are not of a heap:"
        f" {format_bytes(rest[kind])} {_AS_SUBJECT.get(kind, f'of {kind}')}."
    )
    is_anonymous = kind is MappingKind.ANONYMOUS
    command = f"gdbleak trace {report.pid} --mappings" if is_anonymous and not report.core else None
    yield _Weighed(1, outside, Finding(text, command))


_AS_SUBJECT = {
    MappingKind.ANONYMOUS: "of anonymous memory that no known allocator holds",
    MappingKind.SHARED: "of shared memory",
    MappingKind.FILE: "of mapped files",
    MappingKind.LIBRARY: "of libraries",
    MappingKind.PROGRAM: "of the program's own file",
    MappingKind.STACK: "of stacks",
    MappingKind.OLD_STACK: "of stacks of threads that have ended",
}


def _find_arenas(report: HeapReport) -> Iterator[_Weighed]:
    arenas = [arena for arena in report.arenas if arena.number > 0]
    mappings = _of_kind(report, MappingKind.ARENA, MappingKind.ARENA_ROOM)
    space = sum(mapping.size for mapping in mappings)
    resident = _sum(mapping.resident_bytes for mapping in mappings)
    heaps = sum(len(arena.heaps) for arena in arenas)
    if len(arenas) < MANY_ARENAS or not heaps or space < MUCH_ROOM * resident:
        return
    text = (
        f"{heaps:,} stretches of {format_bytes(space / heaps)} are heaps of"
        f" {count_of(len(arenas), 'arena')} that threads use: {format_bytes(space)} of address"
        f" space, of which {format_bytes(resident)} are resident"
    )
    free = _kept(arenas)
    if free >= MANY_FREE:
        text += f" and {format_bytes(free)} free; MALLOC_ARENA_MAX=2 would keep less of that."
    else:
        text += ". MALLOC_ARENA_MAX=2 would make that smaller, and save next to no memory."
    yield _Weighed(2, space, Finding(text))


def _find_stacks(report: HeapReport) -> Iterator[_Weighed]:
    stacks = _of_kind(report, MappingKind.STACK)
    old = _of_kind(report, MappingKind.OLD_STACK)
    both = [*stacks, *old]
    space = sum(mapping.size for mapping in both)
    resident = _sum(mapping.resident_bytes for mapping in both)
    if len(both) < MANY_STACKS or space < MUCH_ROOM * resident:
        return
    usual = mode(mapping.size for mapping in both)
    of_threads = "stacks of threads" if stacks else "stacks of threads that have ended"
    text = f"{count_of(len(both), 'mapping')} of mostly {format_bytes(usual)} are {of_threads}"
    if all(mapping.size == usual for mapping in both):
        text = text.replace("mostly ", "")
    if stacks and old:
        text += f" ({len(old):,} of threads that have ended)"
    text += (
        f": {format_bytes(space)} of address space, of which {format_bytes(resident)} are resident."
    )
    yield _Weighed(2, space, Finding(text))


def _find_grown_mappings(report: HeapReport) -> Iterator[_Weighed]:
    """Yield the kind of memory that has grown most, when it is not a heap."""
    if report.taking.censuses < 2:
        return
    grown: dict[MappingKind, int] = {}
    for mapping in report.mappings:
        grown[mapping.kind] = grown.get(mapping.kind, 0) + (mapping.grown_bytes or 0)
    if not grown:
        return
    kind = max(grown, key=lambda each: grown[each])
    if grown[kind] < LARGE or kind in _HEAPS:
        return
    largest = max(_of_kind(report, kind), key=lambda mapping: mapping.grown_bytes or 0)
    text = (
        f"Memory {_AS_SUBJECT.get(kind, f'of {kind}')} has grown by {format_bytes(grown[kind])}"
        f" since the first census, most in {printable(largest.name)}."
    )
    is_anonymous = kind is MappingKind.ANONYMOUS
    command = f"gdbleak trace {report.pid} --mappings" if is_anonymous and not report.core else None
    yield _Weighed(0, 0, Finding(text, command))


_HEAPS = {
    MappingKind.HEAP,
    MappingKind.ARENA,
    MappingKind.ARENA_ROOM,
    MappingKind.LARGE_BLOCK,
}


def _of_kind(report: HeapReport, *kinds: MappingKind) -> list[MappingUse]:
    return [mapping for mapping in report.mappings if mapping.kind in kinds]


def _sum(values: Iterable[int | None]) -> int:
    return sum(value or 0 for value in values)


_FINDERS: tuple[Callable[[HeapReport], Iterator[_Weighed]], ...] = (
    _find_growth,
    _find_lost,
    _find_grown_mappings,
    _find_large_size,
    _find_own_mappings,
    _find_fragmentation,
    _find_pins,
    _find_swapped,
    _find_allocators,
    _find_outside,
    _find_arenas,
    _find_stacks,
)
