"""The chunks of a heap, one behind another, many millions a second. Pure.

A chunk says how long it is, so the next one is found by it, and by nothing else: one step after
another. To be quick in numpy, many cursors take their steps at once, each in a segment of its own.
They begin anywhere, in the middle of a block perhaps, and mark what they meet; nearly all of them
meet a true chunk soon, and from there on go the true way. Then the segments are joined: what a
cursor has marked from the true first chunk of its segment on is true.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.heap.chunk import IS_MMAPPED, LARGEST_CHUNK, SMALLEST_CHUNK, is_size

GRAIN = 16
"""Chunks begin at multiples of so many bytes."""
SEGMENT = 256
"""Grains, each segment, where chunks are small."""
_LONGEST = 4096
HOPS = 16
"""So many chunks one behind another are no accident."""

_BYTES = np.uint64(LARGEST_CHUNK - 1)

Words = NDArray[np.uint64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]


class Way(NamedTuple):
    """Where a walk went."""

    places: Places
    """Of the chunks, in grains from the beginning."""
    end: int
    """Where the next chunk begins, in grains: behind what was given, unless the walk broke off."""
    is_broken: bool
    """Whether what stands at `end` is no size of a chunk."""


def are_sizes(words: Words) -> Flags:
    """Return which words may be the sizes of chunks in a heap, with their flags."""
    fits = words - np.uint64(SMALLEST_CHUNK) < np.uint64(LARGEST_CHUNK - SMALLEST_CHUNK)
    result: Flags = fits & ((words & np.uint64(8 | IS_MMAPPED)) == 0)
    return result


def choose_segment(chunks: int, grains: int) -> int:
    """Return how long segments had better be where so many chunks take so many grains."""
    return min(max(SEGMENT, SEGMENT * grains // (8 * max(chunks, 1))), _LONGEST)


def walk(words: Words, segment: int = SEGMENT) -> Way:
    """Return the chunks that follow each other from the first grain on.

    Args:
        words: The second word of each grain, which in the first grain of a chunk is its size.
        segment: Grains of each segment: see `choose_segment`. Only the time depends on it.

    """
    marks, exits = _mark(words, segment)
    end = _join(marks, exits, words, segment)
    places = np.flatnonzero(marks)
    sizes = words[places]
    broken = np.flatnonzero(~are_sizes(sizes))
    if len(broken):
        first = int(broken[0])
        return Way(places[:first], int(places[first]), True)
    if len(places):  # a step was cut to the length of what was given
        end = int(places[-1]) + (int(sizes[-1] & _BYTES) >> 4)
    return Way(places, end, False)


def _mark(words: Words, segment: int) -> tuple[Flags, Places]:
    """Return the grains that a cursor in each segment comes by, and where each leaves it."""
    count = len(words)
    marks = np.zeros(count, bool)
    cursors = np.arange(0, count, segment)
    ends = np.minimum(cursors + segment, count)
    exits = np.zeros(len(cursors), np.int64)
    numbers = np.arange(len(cursors))
    while len(cursors):
        marks[cursors] = True
        sizes = words[cursors]
        steps = ((sizes & _BYTES) >> np.uint64(4)).astype(np.int64)
        steps[~are_sizes(sizes)] = 1
        cursors += np.minimum(steps, count)
        stay = cursors < ends
        if not stay.all():
            left = ~stay
            exits[numbers[left]] = cursors[left]
            cursors, numbers, ends = cursors[stay], numbers[stay], ends[stay]
    return marks, exits


def _join(marks: Flags, exits: Places, words: Words, segment: int) -> int:
    """Clear the marks that are not on the way from the first grain; return where that ends."""
    count = len(marks)
    leaves = exits.tolist()
    at = done = 0
    while at < count:
        marks[done:at] = False
        number = at // segment
        behind = min((number + 1) * segment, count)
        if not marks[at]:
            own = []
            while at < behind and not marks[at]:
                own.append(at)
                size = int(words[at])
                at += size >> 4 if is_size(size) and not size & IS_MMAPPED else 1
            marks[done : min(at, behind)] = False
            marks[own] = True
            if at >= behind:
                done = behind
                continue
        done, at = behind, leaves[number]
    marks[done:] = False
    return at


def find_chunks(words: Words, start: int = 0) -> tuple[Places, Flags]:
    """Return the grains from which on many chunks follow each other, or lead out of the words.

    Args:
        words: The second word of each grain.
        start: The first grain to look at.

    Returns:
        The grains, in order; and from which of them many chunks follow each other.

    """
    valid = are_sizes(words)
    places = start + np.flatnonzero(valid[start:])
    ahead = places
    inside = np.ones(len(places), bool)
    for _ in range(HOPS):
        inside = ahead < len(words)
        good = ~inside
        good[inside] = valid[ahead[inside]]
        places, ahead, inside = places[good], ahead[good], inside[good]
        steps = np.zeros(len(ahead), np.int64)
        steps[inside] = (words[ahead[inside]] & _BYTES) >> np.uint64(4)
        ahead = ahead + steps
    return places, inside
