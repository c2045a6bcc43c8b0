"""Programs that know what is in their heaps, and what gdbleak tells of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from gdbleak.census.examine import Examination
from gdbleak.census.wish import HeapWish
from gdbleak.elf.cache import ImageCache
from gdbleak.heap.layouts import CACHES
from gdbleak.heap.size_classes import key_of
from gdbleak.report.heap import HeapReport, MappingKind, SizeClass
from gdbleak.target.examined import ExaminedProcess
from support.processes import Target

CACHE_SIZES = {layout.chunk_bytes + more - 8 for layout in CACHES for more in (0, 16)}
"""Sizes of the blocks in which threads keep their caches."""


def truth_of(target: Target) -> dict[str, Any]:
    """Return what a program of tests/targets/heaps says of itself: see truth.h there."""
    truth: dict[str, Any] = json.loads(target.ask("truth"))
    for key in ("in_use", "freed"):
        truth[key] = {int(size): count for size, count in truth[key].items()}
    return truth


def examine(pid: int, **wish: Any) -> HeapReport:
    """Return what gdbleak tells of a heap."""
    with ImageCache() as images, ExaminedProcess(pid, images) as process:
        return Examination(process, images, HeapWish(**wish)).run()


def by_class(counts: dict[int, int]) -> Counter[int]:
    """Return counts by size as counts by size class."""
    found: Counter[int] = Counter()
    for size, count in counts.items():
        found[key_of(size)] += count
    return found


def counts_of(report: HeapReport) -> Counter[int]:
    """Return how many blocks of each class are in use."""
    return Counter({key_of(each.low): each.in_use.count for each in report.sizes})


def size_of(report: HeapReport, size: int) -> SizeClass:
    """Return the class of a size."""
    return next(each for each in report.sizes if each.low <= size <= each.high)


def count_own(report: HeapReport, truth: dict[str, Any]) -> Counter[int]:
    """Return how many blocks a C library has before the program does anything, but for a cache."""
    own = counts_of(report) - by_class(truth["in_use"])
    return Counter({size: count for size, count in own.items() if size not in CACHE_SIZES})


def assert_exact(
    report: HeapReport, truth: dict[str, Any], own: Counter[int] | None = None
) -> None:
    """Assert that as many blocks of each size are in use as the program says.

    Beside them only the C library has some: the cache of each thread, and its table of thread-local
    variables; and what it has of its `own`.
    """
    counts, expected = counts_of(report) - (own or Counter()), by_class(truth["in_use"])
    pairs = {size: (counts[size], count) for size, count in expected.items()}
    off = {size: pair for size, pair in pairs.items() if pair[0] != pair[1]}
    assert not off, f"size: counted, expected: {off}"
    others = counts - expected
    threads = len(truth["threads"]) + 2  # the first one, and one that has ended
    assert sum(others.values()) <= 2 * threads, others
    assert len(others.keys() - CACHE_SIZES) <= 1, others
    assert (report.taking.unsettled.count, report.taking.unclear_bytes) == (0, 0)
    assert report.in_use.count == sum(counts_of(report).values())
    ranges = [(m.start, m.end) for m in report.mappings if m.kind is MappingKind.LARGE_BLOCK]
    blocks = sorted(address for address, _ in truth["mmapped"])
    assert len(ranges) == len(blocks) == report.mmapped.count
    for block, (start, end) in zip(blocks, sorted(ranges)):
        assert start < block < end


@dataclass(frozen=True)
class Info:
    """What malloc_info(3) tells of an arena."""

    fast: tuple[int, int]
    """How many blocks are in fast bins, and their bytes."""
    rest: tuple[int, int]
    """The same of those in other bins, the top included."""
    unsorted: int
    system: int


def info_of(target: Target) -> list[Info]:
    """Return what malloc_info(3) tells of each arena."""
    target.tell("info")
    text = ""
    while "</malloc>" not in text:
        text += target.lines.next() + "\n"
    return [_read_info(heap) for heap in ElementTree.fromstring(text).iter("heap")]


def _read_info(heap: ElementTree.Element) -> Info:
    total = {
        each.attrib["type"]: (int(each.attrib["count"]), int(each.attrib["size"]))
        for each in heap.findall("total")
    }
    count, size = total["rest"]
    size -= count - 1  # it adds the sizes of all but the top with their flag
    unsorted = heap.find("sizes/unsorted")
    system = next(each for each in heap.findall("system") if each.attrib["type"] == "current")
    return Info(
        total.get("fast", (0, 0)),
        (count, size),
        0 if unsorted is None else int(unsorted.attrib["count"]),
        int(system.attrib["size"]),
    )
