"""Keeps a recording small: what was written before, and what is freed at once. Pure.

Of the events with one key of their stack, the first is written whole. A later one says where that
is. A block that is handed out, and whose next event is that it is freed, in the same batch, is only
counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdbleak.inline.encoding import Kept
from gdbleak.inline.stack_keys import CodeRanges, KeyTable, hash_stacks
from gdbleak.inline.sums import Blocks, Sums
from gdbleak.recording.events import Folded

if TYPE_CHECKING:
    from gdbleak.inline.ring_reader import Batch, Flags, Numbers

MOST_KEYS = 1 << 13
"""So many keys of stacks are known; then all of them are forgotten."""
MOST_EVENTS = 1 << 20
"""Of a batch."""


class Plan(NamedTuple):
    """What is to become of a batch."""

    kept: Kept
    births: Numbers
    """Events that hand out blocks which are folded."""
    deaths: Numbers
    """Events that free them."""
    stacks: Numbers
    """Number of the key of each event's stack; -1 where there is none."""
    firsts: Numbers
    """The first events of their keys."""


class Folder:
    """Folds batch after batch: `plan`, then the hits are written, then `wrote`."""

    def __init__(self, code: CodeRanges, allocates: Flags, frees: Flags, has_stack: Flags) -> None:
        """Begin.

        Args:
            code: Where executable memory is.
            allocates: By number of site: whether its events hand out a block.
            frees: Whether they free one.
            has_stack: Whether the call stack of its events counts.

        """
        self.code = code
        self._allocates, self._frees, self._has_stack = allocates, frees, has_stack
        self._stacks = KeyTable(MOST_KEYS)
        self._positions = np.zeros(MOST_KEYS, np.int64)
        """By number of the key, where the frame is that has its stack; 0 if not written yet."""
        self._probes = np.zeros(MOST_KEYS, np.int64)
        self._sums = Sums(MOST_KEYS)
        self._since_ns = self._until_ns = 0

    def plan(self, batch: Batch) -> tuple[list[Folded], Plan]:
        """Return what is to be written now, and what is to become of a batch.

        Args:
            batch: At most `MOST_EVENTS` events.

        """
        with_stack = self._has_stack[batch.sites]
        keys = hash_stacks(batch, self.code, with_stack)
        stacks = np.full(len(batch), -1, np.int64)
        chosen = np.flatnonzero(with_stack)
        stacks[chosen] = self._stacks.find(keys[chosen])
        unknown = chosen[stacks[chosen] < 0]
        gone: list[Folded] = []
        if len(unknown):
            new = np.unique(keys[unknown])
            if len(new) > MOST_KEYS - self._stacks.count:
                gone = self.flush()
                self._stacks.clear()
                self._positions[:] = 0
                unknown, new = chosen, np.unique(keys[chosen])
            self._stacks.add(new)
            stacks[unknown] = self._stacks.find(keys[unknown])
        firsts = self._find_firsts(stacks)
        may_fold = stacks >= 0
        may_fold[firsts] = False
        births, deaths = self._find_pairs(batch, may_fold)
        left = np.ones(len(batch), np.bool_)
        left[births] = left[deaths] = False
        kept = self._keep(np.flatnonzero(left), stacks, firsts, with_stack)
        return gone, Plan(kept, births, deaths, stacks, firsts)

    def wrote(
        self,
        batch: Batch,
        plan: Plan,
        positions: Numbers,
        times: Numbers,
        threads: Numbers,
        probes: Numbers,
    ) -> list[Folded]:
        """Take in that the hits of a plan are written; return what else is to be written now.

        Args:
            batch: The events.
            plan: Their plan.
            positions: Of the frames of the hits.
            times: Of all events, ascending, in nanoseconds.
            threads: Their thread ids.
            probes: Their probes, by number.

        """
        of_firsts = plan.stacks[plan.firsts]
        places = np.searchsorted(plan.kept.events, plan.firsts)
        self._positions[of_firsts] = positions[places]
        self._probes[of_firsts] = probes[plan.firsts]
        births = plan.births
        if not len(births):
            return []
        gone = [] if self._sums.has_room(threads[births]) else self.flush()
        self._since_ns, self._until_ns = self._since_ns or int(times[0]), int(times[-1])
        self._sums.add(
            Blocks(
                plan.stacks[births],
                threads[births],
                batch.addresses[births],
                batch.sizes[births],
                times[plan.deaths] - times[births],
            )
        )
        return gone

    def flush(self) -> list[Folded]:
        """Return what was folded since the last time, and begin anew."""
        sums = self._sums
        folded = [
            Folded(
                int(self._positions[stack]),
                int(self._probes[stack]),
                self._since_ns,
                self._until_ns,
                sums.ages_of(stack),
                sums.threads_of(stack),
                sums.sizes_of(stack),
                sums.zeros_of(stack),
            )
            for stack in sums.filled()
        ]
        if folded:
            sums.clear()
        self._since_ns = 0
        return folded

    def _find_firsts(self, stacks: Numbers) -> Numbers:
        """Return the first event of each key whose stack is not written yet."""
        new = np.flatnonzero(stacks >= 0)
        new = new[self._positions[stacks[new]] == 0]
        _, places = np.unique(stacks[new], return_index=True)
        return np.sort(new[places])

    def _find_pairs(self, batch: Batch, may_fold: Flags) -> tuple[Numbers, Numbers]:
        """Return events that hand out a block which its address's next one frees, and those."""
        addresses, sites = batch.addresses, batch.sites
        # Sorted together with their places: that takes a fraction of the time of sorting places.
        places = np.arange(len(batch), dtype=np.uint64)
        order = np.sort(addresses >> np.uint64(3) << np.uint64(20) | places)
        order = order & np.uint64(MOST_EVENTS - 1)
        before, after = order[:-1].astype(np.int64), order[1:].astype(np.int64)
        folds = addresses[before] == addresses[after]
        folds &= (self._allocates[sites] & may_fold)[before] & self._frees[sites][after]
        return before[folds], after[folds]

    def _keep(self, events: Numbers, stacks: Numbers, firsts: Numbers, with_stack: Flags) -> Kept:
        """Return how the events are to be written that are not folded."""
        stacks = stacks[events]
        known = stacks >= 0
        sames = np.where(known, self._positions[stacks], 0)
        places = np.full(MOST_KEYS, -1, np.int64)
        at = np.searchsorted(events, firsts)
        places[stacks[at]] = at
        behind = np.where(known & (sames == 0), places[stacks], -1)
        behind[at] = -1
        whole = with_stack[events] & ~known
        whole[at] = True
        return Kept(events, sames, behind, whole)
