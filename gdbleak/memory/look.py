"""One look at the whole memory of a process: which words refer to which blocks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

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
    """The words within blocks that refer to other blocks, by their addresses, in order."""
    holders: Numbers
    """In which block each of them is."""
    targets: Numbers
    """To which block it refers."""
    scanned_bytes: int


def look(
    table: Table,
    read: Callable[[int, int], bytes],
    ranges: Iterable[Range],
    pause: Callable[[int], None],
    backwards: bool = False,
    is_free: Callable[[Words], np.typing.NDArray[np.bool_]] | None = None,
) -> References:
    """Return which words refer to the blocks.

    Args:
        table: The blocks.
        read: Reads the memory of the process.
        ranges: What of it.
        pause: Called after each piece with its size in bytes; it may take its time, and raise.
        backwards: Whether to begin at the end: what moves on is met either way.
        is_free: Says of words outside the blocks, by their addresses, which belong to nobody.

    Raises:
        TooManyError: blocks refer to each other too often.

    """
    roots = np.zeros(len(table), np.uint64)
    places, holders, targets = [], [], []
    kept = scanned = 0
    for address, words in iter_pieces(read, ranges, backwards):
        positions, found = table.find(words)
        if len(positions):
            at = np.uint64(address) + (positions.astype(np.uint64) << np.uint64(3))
            inside = table.holding(at)
            outside = inside < 0
            if is_free and outside.any():
                outside[outside] = ~is_free(at[outside])
            roots[found[outside]] = at[outside]
            others = (inside >= 0) & (inside != found)
            places.append(at[others])
            holders.append(inside[others])
            targets.append(found[others])
            kept += int(others.sum())
            if kept > MOST_REFERENCES:
                raise TooManyError
        scanned += words.nbytes
        pause(words.nbytes)
    order = slice(None, None, -1 if backwards else 1)
    empty = np.zeros(0, np.int64)
    return References(
        roots,
        np.concatenate([np.zeros(0, np.uint64), *places[order]]),
        np.concatenate([empty, *holders[order]]),
        np.concatenate([empty, *targets[order]]),
        scanned,
    )
