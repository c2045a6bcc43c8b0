"""References among millions of blocks, and what is reached by them. Pure.

Blocks are numbers of 32 bits. What comes up on the way is worked on in pieces, so that it takes no
more memory than the references themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indexes = NDArray[np.uint32]
"""Numbers of blocks."""

_FEW = 48
"""So few blocks are followed one by one: a step of numpy takes as long."""
_AT_ONCE = 1 << 16
"""So many blocks are followed at once."""
_NUMBERED_AT_ONCE = 1 << 20


class Graph:
    """References that can be followed, from so many blocks to others of them."""

    def __init__(self, count: int, holders: Indexes, targets: Indexes) -> None:
        """Take which block holds each reference, and to which it leads; in any order."""
        if len(holders) and (holders[1:] < holders[:-1]).any():
            order = np.argsort(holders, kind="stable")
            holders, targets = holders[order], targets[order]
        self.holders = holders
        """In order."""
        self.targets = targets
        self._begins = np.zeros(count + 1, np.uint32)
        for at in range(0, count + 1, _NUMBERED_AT_ONCE):
            numbers = np.arange(at, min(at + _NUMBERED_AT_ONCE, count + 1), dtype=np.uint32)
            self._begins[at : at + len(numbers)] = np.searchsorted(holders, numbers)
        self._slots = np.zeros(count, np.uint32)
        self._views = tuple(memoryview(each) for each in (self._begins, targets))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self._slots)

    def within(self, chosen: NDArray[np.bool_]) -> Graph:
        """Return the references among some of the blocks, which are numbered anew in order."""
        if chosen.all():
            return self
        number = np.cumsum(chosen, dtype=np.uint32) - np.uint32(1)
        inside = np.flatnonzero(chosen[self.holders] & chosen[self.targets])
        count = int(chosen.sum())
        return Graph(count, number[self.holders[inside]], number[self.targets[inside]])

    def flood(
        self,
        reached: NDArray[np.bool_],
        seeds: Indexes,
        labels: Indexes | None = None,
    ) -> None:
        """Mark what is reached from seeds, and these.

        Args:
            reached: Which blocks are; what is marked already is not gone through again.
            seeds: Blocks, each once.
            labels: Something for each block, which what is reached takes over from its holder.

        """
        reached[seeds] = True
        frontier = seeds
        while len(frontier):
            if len(frontier) <= _FEW:
                frontier = self._step_each(frontier, reached, labels)
            else:
                frontier = np.concatenate(
                    [
                        self._step(frontier[at : at + _AT_ONCE], reached, labels)
                        for at in range(0, len(frontier), _AT_ONCE)
                    ]
                )

    def _step(
        self, frontier: Indexes, reached: NDArray[np.bool_], labels: Indexes | None
    ) -> Indexes:
        begins = self._begins[frontier].astype(np.int64)
        counts = self._begins[frontier + np.uint32(1)] - begins
        edges = np.repeat(begins - (counts.cumsum() - counts), counts)
        edges += np.arange(len(edges))
        found = self.targets[edges]
        new = np.flatnonzero(~reached[found])
        found = found[new]
        if labels is not None:
            labels[found] = labels[self.holders[edges[new]]]
        reached[found] = True
        # Of those that were found twice the last one has left its place.
        places = np.arange(len(found), dtype=np.uint32)
        self._slots[found] = places
        last: Indexes = found[self._slots[found] == places]
        return last

    def _step_each(
        self, frontier: Indexes, reached: NDArray[np.bool_], labels: Indexes | None
    ) -> Indexes:
        """Go on from a few blocks as long as they are few: a list is one step a block."""
        begins, targets = self._views
        marks = memoryview(reached.view(np.uint8))  # type: ignore[arg-type]
        names = None if labels is None else memoryview(labels)  # type: ignore[arg-type]
        blocks = frontier.tolist()
        while blocks and len(blocks) <= _FEW:
            found = []
            for block in blocks:
                for target in targets[begins[block] : begins[block + 1]]:
                    if not marks[target]:
                        marks[target] = 1
                        if names is not None:
                            names[target] = names[block]
                        found.append(target)
            blocks = found
        return np.array(blocks, np.uint32)
