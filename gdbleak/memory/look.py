"""One look at the whole memory of a process: which words refer to which blocks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.pieces import Range, Words, iter_pieces
from gdbleak.memory.table import Numbers, Table

MOST_REFERENCES = 1 << 24
"""Among the blocks: more take too much memory."""


class TooManyError(Exception):
    """The blocks refer to each other so often that it cannot be kept."""


class References(NamedTuple):
    """What one look has seen, in arrays."""

    roots: Words
    """For each block a word outside all blocks that refers to it, by its address; 0 for none."""
    places: Words
    """The words within blocks that refer to other blocks, by their addresses."""
    holders: Numbers
    """In which block each of them is."""
    targets: Numbers
    """To which block it refers."""
    weak: tuple[Words, Numbers]
    """Words in memory that seems to belong to nobody, by their addresses, and to which blocks they
    refer."""
    scanned_bytes: int


class Ranges:
    """Ranges of addresses that do not overlap."""

    def __init__(self, ranges: Sequence[tuple[int, int]] | Words) -> None:
        """Take them, as first address and the one behind the last, in order."""
        pairs = np.asarray(ranges, np.uint64).reshape(-1, 2)
        self._starts = np.ascontiguousarray(pairs[:, 0])
        self._ends = np.ascontiguousarray(pairs[:, 1])

    def have(self, places: Words) -> NDArray[np.bool_]:
        """Return which addresses lie in one of the ranges."""
        if not len(self._starts):
            return np.zeros(len(places), bool)
        at = np.searchsorted(self._starts, places, "right") - 1
        inside: NDArray[np.bool_] = (at >= 0) & (places < self._ends[at])
        return inside


def look(
    table: Table,
    read: Callable[[int, int], bytes],
    ranges: Iterable[Range],
    pause: Callable[[int], None],
    free: Ranges,
    backwards: bool = False,
) -> References:
    """Return which words refer to the blocks.

    Args:
        table: The blocks.
        read: Reads the memory of the process.
        ranges: What of it.
        pause: Called after each piece with its size in bytes; it may take its time, and raise.
        free: What seems to belong to nobody.
        backwards: Whether to begin at the end: what moves on is met either way.

    Raises:
        TooManyError: blocks refer to each other too often.

    """
    roots = np.zeros(len(table), np.uint64)
    places, holders, targets, weak_places, weak_targets = [], [], [], [], []
    kept = scanned = 0
    for address, words in iter_pieces(read, ranges, backwards):
        positions, found = table.find(words)
        if len(positions):
            at = np.uint64(address) + (positions.astype(np.uint64) << np.uint64(3))
            inside = table.holding(at)
            outside = inside < 0
            is_weak = outside & free.have(at)
            weak_places.append(at[is_weak])
            weak_targets.append(found[is_weak])
            outside &= ~is_weak
            roots[found[outside]] = at[outside]
            others = (inside >= 0) & (inside != found)
            places.append(at[others])
            holders.append(inside[others])
            targets.append(found[others])
            kept += int(others.sum() + is_weak.sum())
            if kept > MOST_REFERENCES:
                raise TooManyError
        scanned += words.nbytes
        pause(words.nbytes)
    order = slice(None, None, -1 if backwards else 1)
    nowhere, empty = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    return References(
        roots,
        np.concatenate([nowhere, *places[order]]),
        np.concatenate([empty, *holders[order]]),
        np.concatenate([empty, *targets[order]]),
        (np.concatenate([nowhere, *weak_places]), np.concatenate([empty, *weak_targets])),
        scanned,
    )


def join(one: References, other: References) -> References:
    """Return what two looks at different parts of memory have seen, as one."""
    return References(
        np.where(one.roots > 0, one.roots, other.roots),
        np.concatenate([one.places, other.places]),
        np.concatenate([one.holders, other.holders]),
        np.concatenate([one.targets, other.targets]),
        (
            np.concatenate([one.weak[0], other.weak[0]]),
            np.concatenate([one.weak[1], other.weak[1]]),
        ),
        one.scanned_bytes + other.scanned_bytes,
    )


def disown(looks: Sequence[References], gone: NDArray[np.bool_]) -> list[References]:
    """Return looks in which words count that were in blocks until these were freed.

    Whoever has got the memory since may be reached in ways that the block was not.

    Args:
        looks: In order.
        gone: Which blocks were freed before the last look ended.

    """
    disowned = []
    for seen in looks:
        outside = gone[seen.holders]
        roots = seen.roots.copy()
        roots[seen.targets[outside]] = seen.places[outside]
        disowned.append(
            seen._replace(
                roots=roots,
                places=seen.places[~outside],
                holders=seen.holders[~outside],
                targets=seen.targets[~outside],
            )
        )
    return disowned


def harden(looks: Sequence[References], free: Ranges) -> list[References]:
    """Return looks in which words count that seemed to belong to nobody, if they do not any more.

    Args:
        looks: In order.
        free: What belonged to nobody when the last of them had ended.

    """
    hardened = []
    for seen in looks:
        places, targets = seen.weak
        count = ~free.have(places)
        roots = seen.roots.copy()
        roots[targets[count]] = places[count]
        hardened.append(seen._replace(roots=roots))
    return hardened
