"""How many of millions of addresses lie at or before others, faster than by bisection. Pure.

Bisection waits for memory at each of its last steps. Here it is one access to a number that is kept
for each grain of memory, and few steps from there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.pieces import Words

FEWEST = 1 << 17
"""With fewer addresses bisection is as fast."""
_GAP_BYTES = 1 << 20
"""Memory without any address for so long is left out."""
_MOST_SPANS = 1 << 12
_GRAINS_EACH = 2
"""There are at most so many grains for each address."""
_FINEST = 5
_MOST_STEPS = 24
"""Where more addresses lie in one grain, it is bisection."""


class Ranks:
    """Addresses in order, no two the same."""

    def __init__(self, addresses: Words) -> None:
        self._addresses = addresses
        self._steps = 0
        """How many lie in one grain at most; 0 where bisection is as good."""
        if len(addresses) >= FEWEST:
            self._number_grains()

    def _number_grains(self) -> None:
        addresses = self._addresses
        gaps = np.flatnonzero(addresses[1:] - addresses[:-1] > np.uint64(_GAP_BYTES))
        if len(gaps) >= _MOST_SPANS:
            return
        self._begins = addresses[np.concatenate([[0], gaps + 1])]
        ends = addresses[np.concatenate([gaps, [len(addresses) - 1]])]
        grain = _FINEST
        while True:
            counts = ((ends - self._begins) >> np.uint64(grain)).astype(np.int64) + 1
            if counts.sum() <= _GRAINS_EACH * len(addresses):
                break
            grain += 1
        self._grain = np.uint64(grain)
        self._lasts = (counts - 1).astype(np.uint64)
        self._firsts = (counts.cumsum() - counts).astype(np.uint64)
        self._ranks = np.empty(int(counts.sum()), np.uint32)
        for begin, first, count in zip(
            self._begins.tolist(), self._firsts.tolist(), counts.tolist()
        ):
            edges = np.arange(count, dtype=np.uint64) << self._grain
            edges += np.uint64(begin)
            self._ranks[first : first + count] = np.searchsorted(addresses, edges, "right")
        self._steps = int(np.diff(self._ranks, append=np.uint32(len(addresses))).max())

    def count(self, others: Words) -> NDArray[np.int64]:
        """Return how many of the addresses lie at or before each of others, which are in no order.

        That is the same as `numpy.searchsorted` with "right" returns.
        """
        if not 0 < self._steps <= _MOST_STEPS:
            found: NDArray[np.int64] = np.searchsorted(self._addresses, others, "right")
            return found
        spans = np.searchsorted(self._begins, others, "right") - 1
        grains = (others - self._begins[spans]) >> self._grain
        grains = np.minimum(grains, self._lasts[spans])
        ranks: NDArray[np.int64] = self._ranks[self._firsts[spans] + grains].astype(np.int64)
        ranks[spans < 0] = 0
        left = np.flatnonzero(spans >= 0)
        while len(left):
            at = ranks[left]
            further = self._addresses.take(at, mode="clip") <= others[left]
            left = left[further & (at < len(self._addresses))]
            ranks[left] += 1
        return ranks
