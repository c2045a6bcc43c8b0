"""One look at all references among millions of blocks, kept in little memory. Pure.

`look` keeps every word that refers to a block, by its address. Here a reference is two numbers of
32 bits; and what refers to a block is summed up, so that it can be told whether that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.graph import Graph
from gdbleak.memory.look import Ranges
from gdbleak.memory.pieces import Range, Words, iter_pieces
from gdbleak.memory.table import Numbers, Table

MOST_EDGES = 1 << 26
"""References among blocks that are kept, of eight bytes each. What further ones lead to counts as
held."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


class Sweep(NamedTuple):
    """What one look has seen."""

    held: NDArray[np.bool_]
    """To which blocks a word outside all blocks refers."""
    graph: Graph
    """References among the blocks."""
    marks: NDArray[np.uint32]
    """For each block a number that depends on all words that refer to it, by their addresses."""
    weak: tuple[Words, Numbers]
    """Words in memory that seems to belong to nobody, by their addresses, and to which blocks they
    refer."""
    crowded: int
    """To how many blocks there were more references than are kept."""


def sweep(
    table: Table,
    read: Callable[[int, int], bytes],
    parts: Iterable[Callable[[], list[Range]]],
    pause: Callable[[int], None],
    free: Ranges,
    own: NDArray[np.bool_],
    with_weak: bool,
    backwards: bool = False,
) -> Sweep:
    """Return what refers to the blocks.

    Args:
        table: The blocks.
        read: Reads the memory of the process.
        parts: Each returns what of it, once what came before was read.
        pause: Called after each piece with its size in bytes; it may take its time, and raise.
        free: What seems to belong to nobody.
        own: Which of the blocks are memory that counts as outside, except for itself.
        with_weak: Whether it shall be told what stands there, and the marks of blocks.
        backwards: Whether to begin each part at its end: what moves on is met either way.

    """
    seen = _Seen(table, own, with_weak, backwards)
    for part in parts:
        for address, words in iter_pieces(read, part(), backwards):
            positions, found = table.find(words)
            if len(positions):
                at = np.uint64(address) + (positions.astype(np.uint64) << np.uint64(3))
                seen.add(at, found, free)
            pause(words.nbytes)
    return seen.sum_up()


class _Seen:
    """What was seen until now."""

    def __init__(
        self, table: Table, own: NDArray[np.bool_], with_weak: bool, backwards: bool
    ) -> None:
        self._table = table
        self._own = own if own.any() else None
        self._with_weak = with_weak
        self._held = np.zeros(len(table), bool)
        self._crowded = np.zeros(len(table), bool)
        self._marks = np.zeros(len(table) if with_weak else 0, np.uint32)
        # Memory that was not written to yet takes none.
        self._holders = np.empty(MOST_EDGES, np.uint32)
        self._targets = np.empty(MOST_EDGES, np.uint32)
        self._kept = slice(MOST_EDGES, MOST_EDGES) if backwards else slice(0, 0)
        """Where in these arrays they are: what is met backwards is put before what was met."""
        self._backwards = backwards
        self._weak: list[tuple[Words, Numbers]] = []

    def add(self, at: Words, found: Numbers, free: Ranges) -> None:
        """Take words, by their addresses, and to which blocks they refer."""
        inside = self._table.holding(at)
        outside = inside < 0
        nobodys = np.flatnonzero(outside)
        nobodys = nobodys[free.have(at[nobodys])]
        if self._with_weak:
            np.add.at(self._marks, found, mix(at))
            if len(nobodys):
                self._weak.append((at[nobodys], found[nobodys]))
        others = ~outside & (inside != found)
        if self._own is not None:
            outside |= others & self._own[inside]
        outside[nobodys] = False
        self._held[found[outside]] = True
        others = np.flatnonzero(others & ~self._held[found])
        self._keep(inside[others], found[others])

    def _keep(self, holders: Numbers, targets: Numbers) -> None:
        count, first, last = len(holders), self._kept.start, self._kept.stop
        if last - first + count > MOST_EDGES:
            self._held[targets] = True
            self._crowded[targets] = True
            return
        new = slice(first - count, first) if self._backwards else slice(last, last + count)
        self._holders[new] = holders
        self._targets[new] = targets
        self._kept = slice(min(first, new.start), max(last, new.stop))

    def sum_up(self) -> Sweep:
        holders, targets = self._holders[self._kept], self._targets[self._kept]
        nowhere: tuple[Words, Numbers] = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        weak = [nowhere, *self._weak]
        return Sweep(
            self._held,
            Graph(len(self._table), holders, targets),
            self._marks,
            (
                np.concatenate([each[0] for each in weak]),
                np.concatenate([each[1] for each in weak]),
            ),
            int(self._crowded.sum()),
        )


def mix(words: Words) -> NDArray[np.uint32]:
    """Return numbers whose sum tells what they were made of."""
    mixed = (words ^ (words >> _SHIFT)) * _MIX
    mixed = (mixed ^ (mixed >> _SHIFT)) * _MIX
    return (mixed >> np.uint64(32)).astype(np.uint32)
