"""What is outstanding at the end of a whole window, by what was recorded of it in bursts. Pure.

What a recorded block stands for comes from the share of the window that was recorded, and from
nothing else: not from the growth of the resident set, which is to be compared with the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gdbleak.report.history import OLD_SHARE
from gdbleak.report.window import Sampling
from gdbleak.verdicts.bursts import Bursts, favours_clock
from gdbleak.verdicts.intervals import Interval, Seen, add_up, bound_total
from gdbleak.verdicts.survival import AnyAges, chances

_BURSTS_TO_PROVE, _LEAST_SHARE = 3, 1 / 16
"""A block that is not seen to be freed in so many bursts, and in such a share of the window, is
taken to be there."""

_TELLING = 3.0
"""Where one of two causes is so much more likely than the other, by logarithm, it is believed."""


class Estimate(NamedTuple):
    """What all blocks of a site come to."""

    outstanding_bytes: float
    bytes_between: Interval
    outstanding_count: float
    scale: float
    """How many calls each recorded one stands for."""


@dataclass(frozen=True)
class Sample:
    """What was recorded of a site in bursts."""

    alive: Sequence[tuple[int, int]]
    """When each block was born that is outstanding, and its size; not those that were born at the
    end of a burst."""
    freed_ages: AnyAges
    """Ages in nanoseconds at which blocks were freed, or found to be."""
    alive_ages: Sequence[int]
    """Ages in nanoseconds of all others, but for those born at the end of a burst."""
    block_bytes: float
    """Of a block, on average."""
    end_ns: int
    """When these ages were reached."""
    older_count: int = 0
    older_bytes: int = 0
    """Blocks that existed before they were recorded: these stand for no others."""


def estimate(sample: Sample, sampling: Sampling, bursts: Bursts) -> Estimate:
    """Return what is outstanding of a site, by what was recorded of it.

    A young block counts by its chance to get older: it may have been freed, and nobody has seen
    that yet. The bounds hold each doubt: what a recorded block stands for, what chance does to what
    falls into bursts, whether young blocks are still there, and how many old ones are not although
    nobody has seen them freed.
    """
    alive = sorted(sample.alive)
    young_first = [sample.end_ns - born_ns for born_ns, _ in reversed(alive)]
    proved_ns = age_that_proves(bursts)
    chance = chances(sample.freed_ages, sample.alive_ages, proved_ns, young_first)[::-1]
    stays = [(born_ns, share * size) for (born_ns, size), share in zip(alive, chance)]
    count = sum(chance)
    # Of each recorded call, so many times fewer of those that are left count.
    counted = bursts.counted_ns / max(bursts.recorded_ns, 1)
    low, high = (
        bound_total(_sum_up(blocks, bursts), counted / max(scale, 1.0), sample.block_bytes)
        for blocks, scale in ((stays, sampling.scale_low), (alive, sampling.scale_high))
    )
    scale = sampling.scale
    if sampling.dilation > 1 and favours_clock([born for born, _ in alive], bursts) > _TELLING:
        scale = sampling.scale_low
    each = max(scale / counted, 1.0)
    observed = len(sample.freed_ages) + len(sample.alive_ages)
    unseen = sampling.never_freed * observed / count if count else 0.0
    left = max(1 - unseen, 0.0)
    size = sum(size for _, size in stays) * each * left
    return Estimate(
        sample.older_bytes + size,
        Interval(
            sample.older_bytes + min(low.low * max(1 - 2 * unseen, 0.0), size),
            sample.older_bytes + max(high.high, size),
        ),
        sample.older_count + count * each * left,
        scale,
    )


def age_that_proves(bursts: Bursts) -> float:
    """Return the age in nanoseconds from which on it counts that nobody has seen a block freed.

    The address of one that was freed is handed out again, as a rule, and one of the next bursts
    sees that.
    """
    spacing_ns = bursts.window_ns / max(len(bursts.all), 1)
    least_ns, most_ns = bursts.window_ns * _LEAST_SHARE, bursts.window_ns * OLD_SHARE
    return min(max(least_ns, _BURSTS_TO_PROVE * spacing_ns), most_ns)


def _sum_up(blocks: Sequence[tuple[int, float]], bursts: Bursts) -> Seen:
    """Return the sums of sizes of blocks; those that come in clumps are recorded together."""
    seen = add_up(size for _, size in blocks)
    spread, largest = _spread(blocks, bursts)
    if spread <= seen.squares:
        return seen
    return seen._replace(squares=spread, largest=max(seen.largest, largest))


def _spread(blocks: Sequence[tuple[int, float]], bursts: Bursts) -> tuple[float, float]:
    """Return how far the bytes of bursts are from what their lengths let expect, and the most.

    The former is a sum of squares, of which each block's own would be a part if it came by itself.
    """
    total = sum(size for _, size in blocks)
    number = len(bursts.all)
    if number < 2 or not total:
        return 0.0, 0.0
    spread, largest, position = 0.0, 0.0, 0
    for burst in bursts.all:
        size = 0.0
        while position < len(blocks) and blocks[position][0] < burst.end_ns:
            size += blocks[position][1]
            position += 1
        expected = total * (burst.until_ns - burst.start_ns) / max(bursts.counted_ns, 1)
        spread, largest = spread + (size - expected) ** 2, max(largest, size)
    return spread * number / (number - 1), largest
