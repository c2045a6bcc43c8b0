"""What a report of a heap says, in a few sentences with figures, and what to type next. Pure.

A single census tells how much there is, never whether it grows: no sentence calls a size a leak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gdbleak.report.heap import HeapReport
from gdbleak.report.heap_findings.blocks import (
    describe_largest,
    find_growth,
    find_large_size,
    find_lost,
    find_own_mappings,
)
from gdbleak.report.heap_findings.free import find_fragmentation, find_pins
from gdbleak.report.heap_findings.model import Finding, Weighed, watch
from gdbleak.report.heap_findings.space import (
    find_allocators,
    find_arenas,
    find_grown_mappings,
    find_outside,
    find_stacks,
    find_swapped,
    find_unjoined,
)

MOST = 5
"""More findings than that are a list, not an answer."""

_FINDERS: tuple[Callable[[HeapReport], Iterator[Weighed]], ...] = (
    find_growth,
    find_lost,
    find_grown_mappings,
    find_large_size,
    find_own_mappings,
    find_fragmentation,
    find_pins,
    find_swapped,
    find_allocators,
    find_outside,
    find_arenas,
    find_stacks,
    find_unjoined,
)


def find_facts(report: HeapReport) -> tuple[Finding, ...]:
    """Return what matters about a heap, the most important first: at least one, at most `MOST`."""
    found = [each for find in _FINDERS for each in find(report)]
    found.sort(key=lambda each: (each.rank, -each.bytes))
    if not found:
        return (Finding(f"Nothing stands out: {describe_largest(report)}.", watch(report)),)
    return tuple(each.finding for each in found[:MOST])
