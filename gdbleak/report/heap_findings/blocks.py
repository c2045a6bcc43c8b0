"""What blocks in use say: which sizes grow, which take most, and what nothing refers to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gdbleak.report.heap import NOT_SEARCHED, HeapReport, LostTree, MappingKind, SizeClass
from gdbleak.report.heap_findings.model import (
    LARGE,
    Finding,
    Rank,
    Weighed,
    add_known,
    describe_size,
    grows,
    of_kind,
    rate,
    show,
    trace,
    watch,
)
from gdbleak.report.trend import ENOUGH
from gdbleak.text.units import count_of, format_bytes, format_percent

NAMED = 3
"""So many sizes that grow are named in the sentence; the table has the others."""

LARGE_SHARE = 0.25
"""A size that takes less than a quarter of the heap does not explain it."""

MAPPED_SHARE = 0.5
"""Above this, most of the heap is in blocks that have mappings of their own."""


def find_growth(report: HeapReport) -> Iterator[Weighed]:
    """Yield which sizes grow; or that none does, or that too few censuses were taken to tell."""
    censuses = report.taking.censuses
    heaps = [*_iter_heaps(report)]
    if censuses < 2 or not heaps:
        return
    too_few = f"{censuses} censuses are too few to be sure" if censuses < ENOUGH else ""
    found = [(sorted(filter(grows, each.sizes), key=rate, reverse=True), each) for each in heaps]
    for growing, heap in found:
        if growing:
            text = _describe_growth(growing, heap)
            if too_few:
                text += f" But {too_few}."
            command = trace(report, f"--size {describe_size(growing[0])}")
            finding = Finding(text, command, is_alarm=not too_few)
            yield Weighed(Rank.WRONG, rate(growing[0]), finding)
    if any(growing for growing, _ in found):
        return
    if too_few:
        text = f"No size of blocks grows so far, but {too_few}."
        yield Weighed(Rank.LOOKS, 0, Finding(text, watch(report)))
    else:
        text = f"No size of blocks grows steadily, in {censuses:,} censuses."
        yield Weighed(Rank.LOOKS, 0, Finding(text))


class _Heap(NamedTuple):
    sizes: Sequence[SizeClass]
    in_use_bytes: int
    blocks: str
    """What to call its blocks."""


def _iter_heaps(report: HeapReport) -> Iterator[_Heap]:
    """Yield the heap of glibc's malloc, and those of other allocators that tell their sizes."""
    if report.libc is not None:
        yield _Heap(report.sizes, report.in_use.bytes, "blocks")
    for use in report.allocators:
        if use.in_use and use.sizes:
            yield _Heap(use.sizes, use.in_use.bytes, f"{show(use.name)}'s blocks")


def _describe_growth(growing: list[SizeClass], heap: _Heap) -> str:
    first, *others = growing
    history = first.growth.history if first.growth else ()
    steps = [after > before for before, after in zip(history, history[1:])]
    text = (
        f"Growing: {heap.blocks} of {describe_size(first)} bytes by {format_bytes(rate(first))} an"
        f" hour, with more of them after {sum(steps)} of {count_of(len(steps), 'interval')}:"
        f" {first.in_use.count:,} now take {format_bytes(first.in_use.bytes)},"
        f" {format_percent(first.in_use.bytes, heap.in_use_bytes)} of what is in use."
    )
    named = [
        f"{describe_size(size)} bytes by {format_bytes(rate(size))}" for size in others[: NAMED - 1]
    ]
    if len(others) > len(named):
        rest = sum(map(rate, others[len(named) :]))
        sizes = count_of(len(others) - len(named), "more size")
        named.append(f"{sizes} by {format_bytes(rest)}")
    return f"{text} Also blocks of {_list(named)} an hour." if named else text


def _list(parts: list[str]) -> str:
    """Return an enumeration.

    >>> _list(["a", "b", "c"])
    'a, b and c'
    """
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last


def find_lost(report: HeapReport) -> Iterator[Weighed]:
    """Yield what nothing refers to, where that was looked for."""
    lost = report.lost
    if lost is None:
        for note in report.notes:
            if note.startswith(NOT_SEARCHED):
                yield Weighed(Rank.WRONG, float("inf"), Finding(note))
        return
    if lost.total.count:
        blocks = count_of(lost.total.count, "block")
        verb = "takes" if lost.total.count == 1 else "take"
        text = f"Lost: {blocks} that nothing refers to {verb} {format_bytes(lost.total.bytes)}"
        command = None
        if lost.trees:
            largest = max(lost.trees, key=lambda tree: tree.bytes)
            share = format_percent(largest.bytes, lost.total.bytes)
            text += f", {share} of it in {_describe_tree(largest)}"
            command = trace(report, f"--size {largest.size}")
        yield Weighed(Rank.WRONG, lost.total.bytes, Finding(f"{text}.", command, is_alarm=True))
    elif not lost.mappings:
        blocks = count_of(lost.searched_blocks, "block")
        yield Weighed(Rank.LOOKS, 0, Finding(f"Nothing is lost: each of {blocks} is referred to."))
    if lost.mappings:
        count = count_of(len(lost.mappings), "anonymous mapping")
        size = format_bytes(sum(mapping.size for mapping in lost.mappings))
        resident = add_known(mapping.resident_bytes for mapping in lost.mappings)
        text = f"Lost: {count} that nothing refers to, of {size}."
        yield Weighed(Rank.WRONG, resident, Finding(text, is_alarm=True))


def _describe_tree(tree: LostTree) -> str:
    root = f"a block of {tree.size:,} bytes"
    if tree.what:
        root += f" ({show(tree.what)})"
    if tree.is_cycle:
        return f"{count_of(tree.trees, 'ring')} that {_have(tree)} {root}"
    if tree.blocks == tree.trees:
        return f"{count_of(tree.trees, 'block')} of {tree.size:,} bytes" + (
            f" ({show(tree.what)})" if tree.what else ""
        )
    return (
        f"{count_of(tree.trees, 'tree')} that {'begins' if tree.trees == 1 else 'begin'} at {root}"
    )


def _have(tree: LostTree) -> str:
    return "holds" if tree.trees == 1 else "each hold"


def find_large_size(report: HeapReport) -> Iterator[Weighed]:
    """Yield the size that takes most of the heap, unless it is known to grow."""
    largest = max(report.sizes, key=_taken, default=None)
    if largest is None or grows(largest):
        return
    taken = _taken(largest)
    if taken < LARGE or taken < LARGE_SHARE * report.in_use.bytes:
        return
    share = format_percent(taken, report.in_use.bytes)
    text = (
        f"Blocks of {describe_size(largest)} bytes: {largest.in_use.count:,} take"
        f" {format_bytes(taken)}, {share} of what is in use."
    )
    if report.taking.censuses == 1 and not report.core:
        text += " One census cannot tell whether they grow."
    yield Weighed(Rank.TAKES, taken, Finding(text, watch(report)))


def find_own_mappings(report: HeapReport) -> Iterator[Weighed]:
    """Yield the large blocks, where most of the heap is in these."""
    count, taken = report.mmapped.count, report.mmapped.bytes
    if taken < LARGE or taken < MAPPED_SHARE * report.in_use.bytes:
        return
    share = format_percent(taken, report.in_use.bytes)
    who = "A large block with a mapping of its own takes"
    if count > 1:
        who = f"{count:,} large blocks, each with a mapping of its own, take"
    text = f"{who} {format_bytes(taken)}, {share} of what is in use"
    mappings = of_kind(report, MappingKind.LARGE_BLOCK)
    resident = add_known(mapping.resident_bytes for mapping in mappings)
    if mappings and resident < taken / 2:
        text += f"; of that, only {format_bytes(resident)} are resident: the rest was never touched"
    yield Weighed(Rank.TAKES, taken, Finding(f"{text}."))


def describe_largest(report: HeapReport) -> str:
    """Say how much is in use, and what takes most of it."""
    if report.libc is None:
        if report.core and of_kind(report, MappingKind.HEAP):
            return "there is a heap in the core, but not what the C library keeps of it"
        return "neither glibc's malloc nor another allocator that gdbleak knows has a heap here"
    text = f"{format_bytes(report.in_use.bytes)} are in use"
    largest = max(report.sizes, key=_taken, default=None)
    if largest is None:
        return text
    share = format_percent(_taken(largest), report.in_use.bytes)
    return f"{text}, {share} of it in blocks of {describe_size(largest)} bytes"


def _taken(size: SizeClass) -> int:
    return size.in_use.bytes
