"""By which words blocks are held, and from which root: of some blocks of each group. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gdbleak.memory.judgement import Judgement, State
from gdbleak.memory.look import References

SAMPLE = 64
"""Of so many blocks of each group it is told who holds them."""
_MOST_HOPS = 1 << 16


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


def find_ways(
    judgement: Judgement, looks: Sequence[References], groups: Sequence[int]
) -> list[Way]:
    """Return how some held blocks of each group are reached.

    Args:
        judgement: On all blocks.
        looks: What that rests on.
        groups: To which group each block belongs.

    """
    chosen = _choose(judgement, groups)
    places = _Places(looks)
    ways = []
    for block in chosen:
        parents = judgement.parents
        parent = int(parents[block])
        root, hops = block, 0
        while parents[root] >= 0 and hops < _MOST_HOPS:
            root, hops = int(parents[root]), hops + 1
        at_root = int(judgement.roots[root])
        holder = at_root if parent < 0 else places.find(parent, block)
        if parent >= 0 or at_root or judgement.in_register[block]:
            ways.append(Way(block, holder, at_root, hops))
    return ways


def _choose(judgement: Judgement, groups: Sequence[int]) -> list[int]:
    """Return some held blocks of each group, evenly spread over its addresses."""
    held: dict[int, list[int]] = {}
    for block in np.flatnonzero(judgement.states == State.HELD).tolist():
        held.setdefault(groups[block], []).append(block)
    return [
        block for blocks in held.values() for block in blocks[:: max(-(-len(blocks) // SAMPLE), 1)]
    ]


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
