"""What is reached from some blocks, by way of the references among them. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.table import Numbers

_FEW = 32
"""So few blocks are followed one by one: a step of numpy takes as long."""


class Flood:
    """References among blocks that can be followed."""

    def __init__(self, count: int, holders: Numbers, targets: Numbers) -> None:
        """Take references among so many blocks: which block holds them, and to which they lead."""
        order = np.argsort(holders, kind="stable")
        self._targets = targets[order]
        self._holders = holders[order]
        self._begins = np.searchsorted(self._holders, np.arange(count + 1))
        self._lists: tuple[list[int], list[int]] | None = None

    def reach(self, seeds: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], Numbers]:
        """Return which blocks are reached from seeds, these among them, and from which block each.

        The latter is -1 for the seeds, and for what is not reached. Its chains lead to a seed.
        """
        reached = seeds.copy()
        parents = np.full(len(seeds), -1)
        frontier = np.flatnonzero(seeds)
        while len(frontier):
            if len(frontier) <= _FEW:
                frontier = self._step_each(frontier, reached, parents)
            else:
                frontier = self._step(frontier, reached, parents)
        return reached, parents

    def _step(self, frontier: Numbers, reached: NDArray[np.bool_], parents: Numbers) -> Numbers:
        begins, ends = self._begins[frontier], self._begins[frontier + 1]
        counts = ends - begins
        offsets = np.repeat(begins - np.concatenate([[0], counts.cumsum()[:-1]]), counts)
        edges = offsets + np.arange(counts.sum())
        edges = edges[~reached[self._targets[edges]]]
        found = self._targets[edges]
        parents[found] = self._holders[edges]
        reached[found] = True
        return np.unique(found)

    def _step_each(
        self, frontier: Numbers, reached: NDArray[np.bool_], parents: Numbers
    ) -> Numbers:
        """Go on from a few blocks as long as they are few: a list is one step a block."""
        if self._lists is None:
            self._lists = self._begins.tolist(), self._targets.tolist()
        begins, targets = self._lists
        blocks = frontier.tolist()
        while blocks and len(blocks) <= _FEW:
            found = []
            for block in blocks:
                for target in targets[begins[block] : begins[block + 1]]:
                    if not reached[target]:
                        reached[target] = True
                        parents[target] = block
                        found.append(target)
            blocks = found
        return np.array(blocks, np.int64)
