"""Which blocks are lost, by what several looks have seen. Pure.

A process runs while it is looked at. A reference that is moved meanwhile from what was not read yet
to what was read already is seen by no look. So a block is lost only if no look has reached it from
outside the blocks, and if all of them have seen the same words refer to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.flood import Flood
from gdbleak.memory.look import References
from gdbleak.memory.table import Numbers
from gdbleak.recording import references


class State(IntEnum):
    """What is known of a block."""

    HELD = references.HELD
    """It is reached from outside the blocks, or something that refers to it moved."""
    LOST = references.LOST
    """Nothing refers to it."""
    LOST_WITH = references.LOST_WITH
    """Only lost blocks refer to it."""


class Judgement(NamedTuple):
    """What several looks come to."""

    states: NDArray[np.uint8]
    """A `State` of each block."""
    parents: Numbers
    """By which block each is reached; -1 for none."""
    roots: NDArray[np.uint64]
    """A word outside the blocks that refers to each, by its address; 0 for none."""
    in_register: NDArray[np.bool_]
    """To which of them a register refers."""


def judge(looks: Sequence[References], held: NDArray[np.bool_]) -> Judgement:
    """Return what looks have seen of blocks.

    Args:
        looks: In order, of the same blocks.
        held: To which of them a register refers.

    """
    count = len(held)
    reached = np.zeros(count, bool)
    for seen in looks:
        reached |= find_reached(seen, held)
    seeds = reached | _find_moved(looks, reached)
    holders, targets = _unite(looks)
    every = Flood(count, holders, targets)
    reached = every.reach(seeds)[0]
    roots = np.zeros(count, np.uint64)
    for seen in looks:
        roots = np.where(seen.roots > 0, seen.roots, roots)
    parents = every.reach(held | (roots > 0))[1]
    states = np.where(reached, State.HELD, State.LOST).astype(np.uint8)
    referred = np.zeros(count, bool)
    referred[targets] = True
    states[~reached & referred] = State.LOST_WITH
    return Judgement(states, parents, roots, held)


def find_reached(seen: References, held: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Return which blocks one look has reached, by way of words or of those that registers hold."""
    roots = seen.roots > 0 if held is None else held | (seen.roots > 0)
    return Flood(len(roots), seen.holders, seen.targets).reach(roots)[0]


def _unite(looks: Sequence[References]) -> tuple[Numbers, Numbers]:
    """Return holders and targets of all references that were seen: of most that rest once."""
    first = _keep(looks[0], np.ones(len(looks[0].roots), bool))
    holders, targets = [looks[0].holders], [looks[0].targets]
    for seen in looks[1:]:
        new = ~_are_in((seen.places, seen.targets), first)
        holders.append(seen.holders[new])
        targets.append(seen.targets[new])
    return np.concatenate(holders), np.concatenate(targets)


def _find_moved(looks: Sequence[References], reached: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return to which of the blocks that were never reached not the same words always refer."""
    moved = np.zeros(len(reached), bool)
    kept = [_keep(seen, ~reached) for seen in looks]
    first_places, first_targets = kept[0]
    for places, targets in kept[1:]:
        for one, others in (
            ((places, targets), (first_places, first_targets)),
            ((first_places, first_targets), (places, targets)),
        ):
            moved[one[1][~_are_in(one, others)]] = True
    return moved


def _keep(seen: References, blocks: NDArray[np.bool_]) -> tuple[NDArray[np.uint64], Numbers]:
    """Return the words that refer to some of the blocks, in order of address, and to which.

    Also those in memory that belonged to nobody before and after all looks: it may have been in use
    in between.
    """
    places = np.concatenate([seen.places, seen.weak[0]])
    targets = np.concatenate([seen.targets, seen.weak[1]])
    chosen = blocks[targets]
    places, targets = places[chosen], targets[chosen]
    order = np.argsort(places, kind="stable")
    return places[order], targets[order]


def _are_in(
    some: tuple[NDArray[np.uint64], Numbers], others: tuple[NDArray[np.uint64], Numbers]
) -> NDArray[np.bool_]:
    """Return which of some references are among others."""
    if not len(others[0]):
        return np.zeros(len(some[0]), bool)
    at = np.minimum(np.searchsorted(others[0], some[0]), len(others[0]) - 1)
    same: NDArray[np.bool_] = (others[0][at] == some[0]) & (others[1][at] == some[1])
    return same
