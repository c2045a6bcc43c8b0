"""Size classes: what was counted by size, as it is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gdbleak.heap.size_classes import key_of
from gdbleak.report.heap import Amount, SizeClass


class Blocks(NamedTuple):
    """Blocks of one size."""

    size: int
    """In bytes that the program may use."""
    taken: int
    """What each of them takes."""
    number: int


def of_chunks(counts: Mapping[int, int]) -> list[Blocks]:
    """Return the blocks of chunks in a heap, from how many there are of each size in bytes."""
    return [Blocks(size - 8, size, count) for size, count in counts.items()]


def make_classes(used: Iterable[Blocks], free: Iterable[Blocks]) -> dict[int, SizeClass]:
    """Return the classes of blocks in use and free, by their keys."""
    found: dict[int, tuple[list[Blocks], list[Blocks]]] = {}
    for number, group in enumerate((used, free)):
        for blocks in group:
            found.setdefault(key_of(blocks.size), ([], []))[number].append(blocks)
    return {
        key: SizeClass(
            min(each.size for group in groups for each in group),
            max(each.size for group in groups for each in group),
            amount_of(groups[0]),
            amount_of(groups[1]),
        )
        for key, groups in found.items()
    }


def amount_of(blocks: Iterable[Blocks]) -> Amount:
    """Return how many blocks these are, and what they take."""
    count = total = 0
    for each in blocks:
        count += each.number
        total += each.number * each.taken
    return Amount(count, total)
