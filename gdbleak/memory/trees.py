"""Lost blocks put together as trees, each with what only it leads to. Pure, on numpy.

A root is a block that no other one refers to; or one of several that refer to each other in a ring,
and that nothing outside the ring refers to: a strongly connected component without incoming edges.
What several roots lead to belongs to one of them, so that it counts once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.graph import Graph, Indexes
from gdbleak.memory.pieces import Words
from gdbleak.memory.table import Numbers

_ROUNDS = 64
"""After so many rounds rings are taken as they are: each takes a good part of what is left."""
_TRIES, _GOOD_PART = 16, 8
"""So many blocks are tried as roots of one of eight of those that are left, or more."""


class Trees(NamedTuple):
    """Lost blocks by what they hang together with."""

    roots: Numbers
    """A block of each tree that leads to all others of it."""
    are_cycles: NDArray[np.bool_]
    """Whether it is one of a ring."""
    labels: Indexes
    """In which tree each block is, as a position in `roots`."""


def find_trees(graph: Graph, sizes: Words) -> Trees:
    """Return the trees of which all blocks of a graph consist.

    Args:
        graph: Holds no block's reference to itself.
        sizes: Of the blocks: the largest one of a small ring stands for it.

    """
    count = len(graph)
    referred = np.zeros(count, bool)
    referred[graph.targets] = True
    roots = np.flatnonzero(~referred)
    labels = np.zeros(count, np.uint32)
    labels[roots] = np.arange(len(roots))
    claimed = np.zeros(count, bool)
    graph.flood(claimed, roots.astype(np.uint32), labels)
    rings = _Rings(graph, claimed, labels, len(roots), sizes)
    rings.run()
    firsts = np.concatenate([np.zeros(0, np.int64), *rings.firsts])
    are_cycles = np.arange(len(roots) + len(firsts)) >= len(roots)
    return Trees(np.concatenate([roots, firsts]), are_cycles, labels)


class _Rings:
    """What is left when trees with a root that nothing refers to are taken away.

    From each of these blocks it is gone to one that refers to it, and so on: that ends in a ring,
    whose blocks are then one. Once nothing else refers to such a ring, it is the root of a tree. To
    which of several it is gone is left to chance, but always the same one: if all blocks of a list
    of two directions chose the same direction, each round would join two blocks.
    """

    def __init__(
        self,
        graph: Graph,
        claimed: NDArray[np.bool_],
        labels: Indexes,
        count: int,
        sizes: Words,
    ) -> None:
        self._graph = graph
        self._sizes = sizes
        self._claimed = claimed
        self._labels = labels
        self._count = count
        self.firsts: list[Numbers] = []
        self._left = np.flatnonzero(~claimed).astype(np.uint32)
        """Blocks without a tree."""
        self._holders, self._targets = graph.holders, graph.targets
        if claimed.any():
            inside = ~claimed[graph.holders]  # what they lead to has no tree either
            self._holders, self._targets = graph.holders[inside], graph.targets[inside]
        self._ring = np.arange(len(graph), dtype=np.uint32)
        """To which ring each block belongs: its first block."""
        self._chance = np.random.default_rng(0)

    def run(self) -> None:
        """Put all blocks into trees."""
        self._plant_large()
        for _ in range(_ROUNDS):
            if not len(self._left):
                return
            if self._drop_inner():
                self._join()
        if len(self._left):
            self._plant(np.ones(len(self._left), bool))

    def _drop_inner(self) -> bool:
        """Plant the rings that nothing refers to; return whether there are others."""
        ring, holders, targets = self._ring, self._holders, self._targets
        outside = ring[holders] != ring[targets]
        self._holders, self._targets = holders[outside], targets[outside]
        referred = np.zeros(len(ring), bool)
        referred[ring[self._targets]] = True
        is_root = ~referred[ring[self._left]]
        if is_root.any():
            self._plant(is_root)
        return len(self._left) > 0

    def _plant(self, is_root: NDArray[np.bool_]) -> None:
        """Make trees of some of the blocks that are left."""
        blocks = self._left[is_root]
        firsts, number = self._number_rings(blocks)
        self._labels[blocks] = number[self._ring[blocks]] + np.uint32(self._count)
        by_size = blocks[np.argsort(self._sizes[blocks], kind="stable")]
        firsts[number[self._ring[by_size]]] = by_size
        self._graph.flood(self._claimed, blocks, self._labels)
        self._count += len(firsts)
        self.firsts.append(firsts)
        self._forget_claimed()

    def _forget_claimed(self) -> None:
        self._left = self._left[~self._claimed[self._left]]
        inside = ~(self._claimed[self._holders] | self._claimed[self._targets])
        self._holders, self._targets = self._holders[inside], self._targets[inside]

    def _number_rings(self, blocks: Indexes) -> tuple[Numbers, Indexes]:
        """Return the rings of some blocks, in order, and at the place of each its position."""
        marked = np.zeros(len(self._ring), bool)
        marked[self._ring[blocks]] = True
        rings = np.flatnonzero(marked)
        number = np.zeros(len(self._ring), np.uint32)
        number[rings] = np.arange(len(rings))
        return rings, number

    def _plant_large(self) -> None:
        """Plant a few trees whose roots are tried out: those that hold a good part of what is left.

        What leads to all that leads to what it leads to is in a ring that nothing else refers to.
        """
        block = self._left[:1]
        for _ in range(_TRIES):
            if not len(block):
                return
            reached = self._claimed.copy()
            self._graph.flood(reached, block)
            if reached[self._left].sum() * _GOOD_PART < len(self._left):
                return
            before = np.flatnonzero(reached[self._targets] & ~reached[self._holders])
            if len(before):
                block = self._holders[before[:1]]
                continue
            self._labels[self._left[reached[self._left]]] = self._count
            self._count += 1
            self.firsts.append(block.astype(np.int64))
            self._claimed[:] = reached
            self._forget_claimed()
            block = self._left[:1]

    def _join(self) -> None:
        """Make one of the blocks of rings to which ways backwards lead."""
        ring = self._ring
        order = self._chance.permutation(len(self._targets))
        chosen = np.zeros(len(ring), np.uint32)
        chosen[ring[self._targets[order]]] = ring[self._holders[order]]
        rings, number = self._number_rings(self._left)
        firsts = rings[_join_rings(number[chosen[rings]])]
        ring[self._left] = firsts[number[ring[self._left]]]


def _join_rings(before: Indexes) -> Indexes:
    """Return for each of some nodes the first one of the ring that it is in; itself in none.

    Args:
        before: To which node it is gone from each.

    """
    steps = before
    inside = np.zeros(len(before), bool)
    inside[steps] = True
    while True:
        steps = steps[steps]
        further = np.zeros(len(before), bool)
        further[steps] = True
        if further.sum() == inside.sum():
            break
        inside = further
    first = np.arange(len(before), dtype=np.uint32)
    rings = np.flatnonzero(inside)
    steps = before
    while True:
        lower = np.minimum(first[rings], first[steps[rings]])
        if (lower == first[rings]).all():
            return first
        first[rings] = lower
        steps = steps[steps]
