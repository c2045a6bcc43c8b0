"""What is outstanding at the end of a whole window, by what was recorded of it in bursts. Pure.

What a recorded block stands for comes from the share of the window that was recorded, and from
nothing else: not from the growth of the resident set, which is to be compared with the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gdbleak.report.model import Sampling
from gdbleak.verdicts.bursts import Bursts, favours_clock
from gdbleak.verdicts.intervals import Interval, add_up, bound_total

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
    count: int
    """How many blocks were recorded, but for those that were born at the end of a burst and are not
    seen to be freed."""
    block_bytes: float
    """Of a block, on average."""
    older_count: int = 0
    older_bytes: int = 0
    """Blocks that existed before they were recorded: these stand for no others."""


def estimate(sample: Sample, sampling: Sampling, bursts: Bursts) -> Estimate:
    """Return what is outstanding of a site, by what was recorded of it.

    Its bounds hold each doubt: what a recorded block stands for, what chance does to what falls
    into bursts, and how many of the blocks were freed without being seen to be.
    """
    alive = sorted(sample.alive)
    seen = add_up(size for _, size in alive)
    # Blocks that come in clumps are recorded together, or not at all.
    seen = seen._replace(squares=max(seen.squares, _spread(alive, bursts)))
    # Of each recorded call, so many times fewer of those that are left count.
    counted = bursts.counted_ns / max(bursts.recorded_ns, 1)
    low, high = (
        bound_total(seen, counted / max(scale, 1.0), sample.block_bytes)
        for scale in (sampling.scale_low, sampling.scale_high)
    )
    scale = sampling.scale
    if sampling.dilation > 1 and favours_clock([born for born, _ in alive], bursts) > _TELLING:
        scale = sampling.scale_low
    each = max(scale / counted, 1.0)
    unseen = min(sampling.never_freed * sample.count, len(alive))
    left = 1 - unseen / len(alive) if alive else 0.0
    least = max(1 - 2 * unseen / len(alive), 0.0) if alive else 0.0
    size = seen.total * each * left
    return Estimate(
        sample.older_bytes + size,
        Interval(
            sample.older_bytes + min(low.low * least, size),
            sample.older_bytes + max(high.high, size),
        ),
        sample.older_count + len(alive) * each * left,
        scale,
    )


def _spread(alive: Sequence[tuple[int, int]], bursts: Bursts) -> float:
    """Return the variance of the bytes of a burst from what its length lets expect, in all."""
    total = float(sum(size for _, size in alive))
    number = len(bursts.all)
    if number < 2 or not total:
        return 0.0
    spread, position = 0.0, 0
    for burst in bursts.all:
        size = 0
        while position < len(alive) and alive[position][0] < burst.end_ns:
            size += alive[position][1]
            position += 1
        expected = total * (burst.until_ns - burst.start_ns) / max(bursts.counted_ns, 1)
        spread += (size - expected) ** 2
    return spread * number / (number - 1)
