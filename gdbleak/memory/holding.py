"""By which words blocks are held, and from which root: of some blocks of each group. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gdbleak.memory.judgement import Judgement, State
from gdbleak.memory.look import References
from gdbleak.memory.table import Numbers

SAMPLE = 64
"""Of so many blocks of each group it is told who holds them."""


class Way(NamedTuple):
    """How a block is reached."""

    block: int
    """Its number."""
    holder: int
    """The word that refers to it, by its address; 0 for a register."""
    root: int
    """The word outside the blocks from which it is reached; 0 for a register."""
    hops: int
    """How many blocks lie between."""
    first: int
    """The number of the block that the root refers to."""


def find_ways(
    judgement: Judgement, looks: Sequence[References], groups: Sequence[int]
) -> list[Way]:
    """Return how some held blocks of each group are reached.

    Args:
        judgement: On all blocks.
        looks: What that rests on.
        groups: To which group each block belongs.

    """
    parents = judgement.parents
    firsts, hops = _follow(parents)
    places = _Places(looks)
    ways = []
    for block in _choose(judgement, groups):
        parent, first = int(parents[block]), int(firsts[block])
        root = int(judgement.roots[first])
        if root or judgement.in_register[first]:
            holder = root if parent < 0 else places.find(parent, block)
            ways.append(Way(block, holder, root, int(hops[block]), first))
    return ways


def _choose(judgement: Judgement, groups: Sequence[int]) -> list[int]:
    """Return some held blocks of each group, evenly spread over its addresses."""
    held: dict[int, list[int]] = {}
    for block in np.flatnonzero(judgement.states == State.HELD).tolist():
        held.setdefault(groups[block], []).append(block)
    return [
        block for blocks in held.values() for block in blocks[:: max(-(-len(blocks) // SAMPLE), 1)]
    ]


def _follow(parents: Numbers) -> tuple[Numbers, Numbers]:
    """Return the block at which the way to each begins, and how many steps there are from it.

    The steps that are known double each time: a list of a million blocks takes 20 times.
    """
    has_parent = parents >= 0
    firsts = np.where(has_parent, parents, np.arange(len(parents)))
    hops = has_parent.astype(np.int64)
    while has_parent[firsts].any():
        hops += hops[firsts]
        firsts = firsts[firsts]
    return firsts, hops


class _Places:
    """Where in one block the words are that refer to another."""

    def __init__(self, looks: Sequence[References]) -> None:
        holders = np.concatenate([seen.holders for seen in looks])
        targets = np.concatenate([seen.targets for seen in looks])
        places = np.concatenate([seen.places for seen in looks])
        order = np.lexsort((holders, targets))
        self._targets, self._holders = targets[order], holders[order]
        self._places = places[order]

    def find(self, holder: int, target: int) -> int:
        first, last = np.searchsorted(self._targets, [target, target + 1])
        at = first + np.searchsorted(self._holders[first:last], holder)
        return int(self._places[at])
