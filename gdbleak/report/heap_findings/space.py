"""What an address space says: where memory is beside glibc's heap, and what is mere space. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mode

from gdbleak.report.heap import HeapReport, MappingKind
from gdbleak.report.heap_findings.free import MUCH_FREE, kept_bytes
from gdbleak.report.heap_findings.model import (
    HEAPS,
    LARGE,
    Finding,
    Rank,
    Weighed,
    add_known,
    of_kind,
    show,
    trace,
)
from gdbleak.text.units import count_of, format_bytes

OUTSIDE_SHARE = 0.5
"""Of what is resident. Above this, the answer is not in a heap."""

OUTSIDE = 16 << 20
"""Bytes. Every process has a few megabytes of libraries and other files."""

SWAPPED = 16 << 20
"""Bytes. The kernel swaps some pages out of every process that sleeps."""

MANY_ARENAS = 4
"""Beside the main one. Fewer have less than 256 MB of address space."""

MANY_STACKS = 4
"""Fewer have less than 32 MB of address space."""

MANY_UNJOINED = 4
"""A few may wait for somebody to join them."""

MUCH_SPACE = 4
"""Address space of so many times what is resident looks like a leak, and is not."""

_OF_KIND = {
    MappingKind.ANONYMOUS: "anonymous memory that no allocator is known to hold",
    MappingKind.SHARED: "shared memory",
    MappingKind.FILE: "mapped files",
    MappingKind.LIBRARY: "libraries",
    MappingKind.PROGRAM: "the program itself",
    MappingKind.STACK: "stacks",
    MappingKind.OLD_STACK: "stacks of threads that have ended",
    MappingKind.UNJOINED_STACK: "stacks of threads that nobody has joined",
}


def find_grown_mappings(report: HeapReport) -> Iterator[Weighed]:
    """Yield the kind of memory that has grown most, where that is not a heap."""
    grown: dict[MappingKind, int] = {}
    for mapping in report.mappings:
        grown[mapping.kind] = grown.get(mapping.kind, 0) + (mapping.grown_bytes or 0)
    kind = max(grown, key=lambda each: grown[each], default=None)
    if kind is None or grown[kind] < LARGE or kind in HEAPS:
        return
    largest = max(of_kind(report, kind), key=lambda mapping: mapping.grown_bytes or 0)
    seconds = report.taking.interval_s * (report.taking.censuses - 1)
    by_hour = grown[kind] * 3600 / seconds if seconds > 0 else 0.0
    text = (
        f"What has grown is not a heap: {_describe_kind(kind)} by {format_bytes(grown[kind])} since"
        f" the first census, most of it in {show(largest.name)}."
    )
    yield Weighed(Rank.WRONG, by_hour, Finding(text, _record(report, kind)))


def find_swapped(report: HeapReport) -> Iterator[Weighed]:
    """Yield how much is swapped out, where that is much."""
    swapped = add_known(mapping.swapped_bytes for mapping in report.mappings)
    if swapped < SWAPPED:
        return
    of_heap = add_known(
        mapping.swapped_bytes for mapping in report.mappings if mapping.kind in HEAPS
    )
    which = "all of it heap" if of_heap == swapped else f"{format_bytes(of_heap)} of it heap"
    text = f"{format_bytes(swapped)} are swapped out, {which}, and not part of what is resident."
    yield Weighed(Rank.TAKES, swapped, Finding(text))


def find_allocators(report: HeapReport) -> Iterator[Weighed]:
    """Yield what other allocators have."""
    for allocator in report.allocators:
        resident, mapped = allocator.resident_bytes, allocator.mapped
        has = mapped.bytes if resident is None else resident
        if has < LARGE:
            continue
        text = f"{show(allocator.name)} has {format_bytes(has)}"
        text += " of address space" if resident is None else " resident"
        text += f" in {count_of(mapped.count, 'mapping')}"
        if allocator.in_use is None:
            text += ": how much of that is in use cannot be told from outside."
        else:
            in_use = format_bytes(allocator.in_use.bytes)
            text += f"; by its own statistics {in_use} are in use."
        yield Weighed(Rank.TAKES, has, Finding(text))


def find_outside(report: HeapReport) -> Iterator[Weighed]:
    """Yield where memory is, if most of it is neither in glibc's heap nor another allocator's."""
    resident = report.resident_bytes
    rest: dict[MappingKind, int] = {}
    for mapping in report.mappings:
        if mapping.kind not in HEAPS and mapping.kind is not MappingKind.ALLOCATOR:
            rest[mapping.kind] = rest.get(mapping.kind, 0) + (mapping.resident_bytes or 0)
    outside = sum(rest.values())
    if not resident or outside < OUTSIDE or outside < OUTSIDE_SHARE * resident:
        return
    kind = max(rest, key=lambda each: rest[each])
    text = (
        f"{format_bytes(outside)} of {format_bytes(resident)} resident are not in a heap:"
        f" {format_bytes(rest[kind])} of that are {_describe_kind(kind)}."
    )
    yield Weighed(Rank.TAKES, outside, Finding(text, _record(report, kind)))


def find_arenas(report: HeapReport) -> Iterator[Weighed]:
    """Yield what the address space of many arenas is."""
    arenas = [arena for arena in report.arenas if arena.number > 0]
    mappings = of_kind(report, MappingKind.ARENA, MappingKind.ARENA_ROOM)
    space = sum(mapping.size for mapping in mappings)
    resident = add_known(mapping.resident_bytes for mapping in mappings)
    heaps = sum(len(arena.heaps) for arena in arenas)
    if len(arenas) < MANY_ARENAS or not heaps or space < MUCH_SPACE * resident:
        return
    text = (
        f"{heaps:,} heaps of {len(arenas):,} arenas, which threads have for themselves, take"
        f" {format_bytes(space / heaps)} of address space each, {format_bytes(space)} in all, of"
        f" which {format_bytes(resident)} are resident."
    )
    free = kept_bytes(arenas)
    if free >= MUCH_FREE:
        text += f" {format_bytes(free)} of that are free: with MALLOC_ARENA_MAX=2 it would be less."
    else:
        text += " MALLOC_ARENA_MAX=2 would save address space, but hardly any memory."
    yield Weighed(Rank.LOOKS, space, Finding(text))


def find_unjoined(report: HeapReport) -> Iterator[Weighed]:
    """Yield how many threads have ended and were never joined, where that is more than a few."""
    stacks = of_kind(report, MappingKind.UNJOINED_STACK)
    if len(stacks) < MANY_UNJOINED:
        return
    space = sum(mapping.size for mapping in stacks)
    resident = add_known(mapping.resident_bytes for mapping in stacks)
    text = (
        f"{len(stacks):,} threads have ended and nobody has joined them: their stacks take"
        f" {format_bytes(space)} of address space, of which {format_bytes(resident)} are resident,"
        " until pthread_join(3) is called. A thread that nobody means to join has to be detached."
    )
    yield Weighed(Rank.TAKES, resident, Finding(text))


def find_stacks(report: HeapReport) -> Iterator[Weighed]:
    """Yield what the address space of many stacks is."""
    old = of_kind(report, MappingKind.OLD_STACK)
    stacks = [*of_kind(report, MappingKind.STACK), *old]
    stacks += of_kind(report, MappingKind.UNJOINED_STACK)
    space = sum(mapping.size for mapping in stacks)
    resident = add_known(mapping.resident_bytes for mapping in stacks)
    if len(stacks) < MANY_STACKS or space < MUCH_SPACE * resident:
        return
    usual = mode(mapping.size for mapping in stacks)
    alike = sum(mapping.size == usual for mapping in stacks)
    text = f"{len(stacks):,} mappings are stacks, {alike:,} of them of {format_bytes(usual)}"
    if alike == len(stacks):
        text = f"{len(stacks):,} mappings of {format_bytes(usual)} are stacks"
    if old:
        text += f" ({len(old):,} of threads that have ended, kept for new ones)"
    text += (
        f": {format_bytes(space)} of address space, of which {format_bytes(resident)} are resident."
    )
    yield Weighed(Rank.LOOKS, space, Finding(text))


def _describe_kind(kind: MappingKind) -> str:
    return _OF_KIND.get(kind, f"memory of the kind `{kind}`")


def _record(report: HeapReport, kind: MappingKind) -> str | None:
    """Return the command that shows who maps memory, if it is of a kind that it records."""
    return trace(report, "--mappings") if kind is MappingKind.ANONYMOUS else None
