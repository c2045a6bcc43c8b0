"""What free memory says: how much of it the allocator keeps, and what keeps it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gdbleak.report.heap import Arena, HeapReport
from gdbleak.report.heap_findings.model import Finding, Rank, Weighed, name_target
from gdbleak.text.units import count_of, format_bytes

MUCH_FREE = 16 << 20
"""Bytes. An allocator keeps some free memory on purpose; nobody misses less than this."""

FREE_SHARE = 0.3
"""Of what the allocator has got from the kernel. Without fragmentation it seldom keeps as much."""

WORTH_TRIMMING = 0.1
"""Of the free memory. If malloc_trim(3) gives back less, the program need not call it."""


def find_fragmentation(report: HeapReport) -> Iterator[Weighed]:
    """Yield how much free memory the heap keeps, where that is a large part of it."""
    free = kept_bytes(report.arenas)
    system = sum(arena.system_bytes for arena in report.arenas)
    if free < MUCH_FREE or free < FREE_SHARE * system:
        return
    residents = [arena.resident_bytes for arena in report.arenas]
    known = [resident for resident in residents if resident is not None]
    has = f"{format_bytes(sum(known))} of the heap are resident"
    if len(known) < len(residents):
        has = f"The heap has got {format_bytes(system)}"
    in_use = sum(arena.in_use.bytes for arena in report.arenas)
    text = (
        f"{has}, {format_bytes(in_use)} in use: {format_bytes(free)} are free memory that the"
        " allocator keeps (fragmentation, not a leak);"
    )
    trimmable = sum(arena.trimmable_bytes for arena in report.arenas)
    if trimmable >= WORTH_TRIMMING * free:
        text += f" malloc_trim(3) would give back {format_bytes(trimmable)}."
    else:
        text += " it lies between blocks in use, so that malloc_trim(3) would give back little."
    yield Weighed(Rank.TAKES, free, Finding(text))


def kept_bytes(arenas: Iterable[Arena]) -> int:
    """Return how much free memory of the arenas is in memory, as far as that is known."""
    kept = 0
    for arena in arenas:
        free = arena.free_bytes
        if arena.resident_bytes is not None:
            # What is in use is resident, but for what was swapped out or never touched.
            resident = max(arena.resident_bytes - arena.in_use.bytes, arena.trimmable_bytes)
            free = min(free, resident)
        kept += free
    return kept


def find_pins(report: HeapReport) -> Iterator[Weighed]:
    """Yield which block keeps free memory before it, where that is much."""
    pins = [
        (arena, arena.pin)
        for arena in report.arenas
        if arena.pin and arena.pin.free_bytes >= MUCH_FREE
    ]
    if not pins:
        return
    pins.sort(key=lambda each: -each[1].free_bytes)
    (arena, pin), *others = pins
    where = f"the heap of arena {arena.number}" if arena.number else "the main heap"
    text = (
        f"One block of {pin.size:,} bytes at the end of {where} keeps"
        f" {format_bytes(pin.free_bytes)} of free memory before it from the kernel"
    )
    if others:
        rest = format_bytes(sum(pin.free_bytes for _, pin in others))
        text += f", and {count_of(len(others), 'block')} in other arenas {rest}"
    command = f"gdbleak why {name_target(report)} {pin.address:#x}"
    kept = sum(pin.free_bytes for _, pin in pins)
    yield Weighed(Rank.TAKES, kept, Finding(f"{text}.", command))
