"""What all blocks of a site come to when one in so many was kept, by its address. Pure.

Which block is kept depends on its address alone, so of a block that is kept everything is known. An
allocator hands out the same addresses again and again, so calls are not kept independently of each
other; but blocks that are there at one time have different addresses, and each is kept or not as if
by lot. Two addresses are kept together more often than by lot where the hash is nearly the same for
both: so blocks in a row, each as far from the next, may come in runs that are kept and runs that
are not. How far that goes is told by the addresses that are kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from gdbleak.recording.choice import HASH_FACTOR, HASH_SHIFT
from gdbleak.verdicts.intervals import Interval, add_up, bound_total

_NEAR = 0.1
"""Two addresses are in one run when what the hash tells them apart by is below this share of what
it may be. Of addresses that are kept by lot, a fifth are."""
_WHOLE_RUNS = 8
"""Of a row, only the runs at its ends tell on the sum: their square, divided by this."""


def bound_thinned(blocks: Iterable[tuple[int, int]], zeros: int, typical: float) -> Interval:
    """Return between which bounds the bytes of all blocks lie.

    Args:
        blocks: Address and size of each that was kept.
        zeros: The hash of a block that was kept ends in so many.
        typical: How large a block is where none was kept.

    """
    kept = sorted(blocks)
    seen = add_up(size for _, size in kept)
    together = _longest_run(kept, zeros) ** 2 / _WHOLE_RUNS
    return bound_total(seen._replace(squares=max(seen.squares, together)), 0.5**zeros, typical)


def _longest_run(kept: list[tuple[int, int]], zeros: int) -> int:
    """Return the bytes of the longest run of blocks that are kept together, at ascending addresses.

    Whether one is kept depends on the bits of a product: which share of a circle an address stands
    at. One that is so many units further is at a place further by the same share, wherever the heap
    begins.
    """
    circle = 1 << (32 + zeros)
    longest = run = before = 0
    for address, size in kept:
        step = ((address - before) >> HASH_SHIFT) * HASH_FACTOR % circle
        apart = min(step, circle - step) / (1 << 32)
        run = run + size if run and apart < _NEAR else size
        longest, before = max(longest, run), address
    return longest
