"""Windows that were recorded whole, recorded again and again as a sampler does.

What is outstanding is known of each: so it can be counted how often an interval holds it.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from simulated import PAGE, WINDOW_NS, Block, S

from gdbleak.recording.choice import draw_lot
from gdbleak.report.window import Sampling
from gdbleak.verdicts.bursts import Burst, Bursts
from gdbleak.verdicts.intervals import Interval, add_up, bound_total
from gdbleak.verdicts.sampling import Sample, estimate

_HEAP = 0x5500_0000_0010
_LAST = 0.25
"""Of a burst, the part whose blocks do not count; see `gdbleak.ledger.blocks.LAST_SHARE`."""


Record = Callable[[random.Random], "tuple[float, Interval]"]
"""Records a window in part; returns an estimate of the bytes that are outstanding, and its
interval."""


class Replays(NamedTuple):
    """What became of many estimates of one number."""

    covered: float
    """The share of intervals that hold it."""
    too_low: float
    too_high: float
    """The shares that lie below it, and above."""
    bias: float
    """By which share of it the mean of the estimates is larger."""


def replay(
    blocks: Sequence[Block],
    times: int,
    record: Record,
) -> Replays:
    """Record a window again and again, each time as other chances have it; return what came of it.

    Args:
        blocks: Those of one call stack.
        times: How often.
        record: Records them.

    """
    truth = sum(block.size for block in blocks if is_outstanding(block))
    chance = random.Random(1)
    low = high = 0
    total = 0.0
    for _ in range(times):
        value, interval = record(chance)
        low += interval.high < truth
        high += interval.low > truth
        total += value
    return Replays(1 - (low + high) / times, low / times, high / times, total / times / truth - 1)


def is_outstanding(block: Block) -> bool:
    """Whether a block is there at the end, and has been for long enough to count."""
    return block.freed_ns is None and WINDOW_NS - block.born_ns >= S // 2


def by_address(blocks: Sequence[Block], zeros: int) -> Record:
    """Record blocks whose lots end in so many zeros; the heap begins anywhere."""
    outstanding = [(block.address, block.size) for block in blocks if is_outstanding(block)]
    typical = sum(block.size for block in blocks) / len(blocks)
    mask = (1 << zeros) - 1

    def record(chance: random.Random) -> tuple[float, Interval]:
        base = _HEAP + chance.randrange(1 << 28) * PAGE
        seen = add_up(size for address, size in outstanding if not draw_lot(base + address) & mask)
        return seen.total * (1 << zeros), bound_total(seen, 0.5**zeros, typical)

    return record


def draw_bursts(chance: random.Random, number: int, share: float) -> Bursts:
    """Return so many bursts at random times, of all lengths, of such a share of the window."""
    gaps = [chance.expovariate(1) for _ in range(number + 1)]
    lengths = [chance.uniform(0.5, 1.5) for _ in range(number)]
    gap_ns = WINDOW_NS * (1 - share) / sum(gaps)
    length_ns = WINDOW_NS * share / sum(lengths)
    at_ns, bursts = 0.0, []
    for gap, length in zip(gaps, lengths):
        start_ns = at_ns + gap * gap_ns
        at_ns = start_ns + length * length_ns
        until_ns = at_ns - length * length_ns * _LAST
        bursts.append(Burst(round(start_ns), round(until_ns), round(at_ns), 1))
    return Bursts(tuple(bursts), WINDOW_NS, misses=True)


def in_bursts(blocks: Sequence[Block], number: int, share: float, wrong_by: float = 1.0) -> Record:
    """Record what comes in bursts. A free between them is noticed when the next one begins.

    Args:
        blocks: Those of one call stack.
        number: How many bursts.
        share: Of the window that is recorded.
        wrong_by: The estimate is told that it is so many times as much.

    """

    def record(chance: random.Random) -> tuple[float, Interval]:
        bursts = draw_bursts(chance, number, share)
        starts = [burst.start_ns for burst in bursts.all]
        alive, ages, freed, size, count = [], [], [], 0, 0
        for block in blocks:
            place = bisect_right(starts, block.born_ns) - 1
            if place < 0 or block.born_ns >= bursts.all[place].until_ns:
                continue
            size, count = size + block.size, count + 1
            freed_ns = block.freed_ns
            if freed_ns is not None:
                place = bisect_right(starts, freed_ns) - 1
                if freed_ns >= bursts.all[place].end_ns:
                    freed_ns = starts[place + 1] if place + 1 < number else None
            if freed_ns is not None:
                freed.append(freed_ns - block.born_ns)
                continue
            ages.append(WINDOW_NS - block.born_ns)
            if is_outstanding(block):
                alive.append((block.born_ns, block.size))
        # A call stack of which nothing is recorded is not in the report.
        typical = size / count if count else blocks[0].size
        scale = 1 / (share * wrong_by)
        sampling = Sampling(number, 1.0, 1, None, scale, scale, scale)
        made = estimate(Sample(alive, freed, ages, typical, WINDOW_NS), sampling, bursts)
        return made.outstanding_bytes, made.bytes_between

    return record
