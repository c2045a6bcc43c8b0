"""From what was recorded in bursts to what happened in the whole window. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

from gdbleak.rates import Rate
from gdbleak.recording import Turn
from gdbleak.report import Estimate, Sampling, Site

_Z = 1.96
"""Of a normal distribution, 95 % lie closer to the mean than so many standard deviations."""


def measure_sampling(
    turns: Iterable[Turn], end_ns: int, allocations: int, rate: Rate
) -> Sampling | None:
    """Return what share of a window was recorded; None when all of it was.

    A target that is slowed allocates less in a second than it does between bursts. So where its
    rate was measured before the window, that tells how much there was to see; without it, the share
    of time does, and there was at least as much.

    Args:
        turns: What breakpoints were in, from when on.
        end_ns: When the window ended, its tail aside.
        allocations: How many were recorded.
        rate: How many there are in a second when nobody slows the target, if that is known.

    """
    first_ns = since_ns = recorded_ns = bursts = 0
    admits = missed = False
    for turn in (*turns, None):
        time_ns = end_ns if turn is None else min(turn.time_ns, end_ns)
        recorded_ns += admits * (time_ns - since_ns)
        missed |= bool(first_ns) and not admits and time_ns > since_ns
        first_ns, since_ns = first_ns or time_ns, time_ns
        if turn is not None and time_ns < end_ns:
            bursts += turn.phase.admits and not admits
            admits = turn.phase.admits
    if not missed:
        return None
    duration_ns = end_ns - first_ns
    by_time = allocations * duration_ns / recorded_ns if recorded_ns else 0.0
    by_rate = rate.allocations_per_s * duration_ns / 1e9
    return Sampling(
        bursts=bursts,
        recorded_s=recorded_ns / 1e9,
        recorded_allocations=allocations,
        allocations=round(max(by_time, by_rate)),
        at_least=rate.at_least or by_rate < by_time,
    )


def estimate(site: Site, sampling: Sampling) -> Estimate:
    """Return what a site has done in the whole window, by what was recorded of it.

    The interval is that of a count that happened to be recorded: each block is, or is not,
    independently of the others. Source: Garwood's interval for a Poisson count, as approximated by
    Byar (N. Breslow and N. Day, Statistical Methods in Cancer Research II, 1987, page 69).
    """
    scale = sampling.allocations / max(sampling.recorded_allocations, 1)
    count = site.outstanding_count
    low, high = 0.0, (count + 1) * (1 - 1 / (9 * (count + 1)) + _Z / (3 * sqrt(count + 1))) ** 3
    if count:
        low = count * (1 - 1 / (9 * count) - _Z / (3 * sqrt(count))) ** 3
    size = scale * site.outstanding_bytes / max(count, 1)
    return Estimate(
        outstanding_bytes=round(scale * site.outstanding_bytes),
        outstanding_bytes_low=round(size * low),
        outstanding_bytes_high=round(size * high),
        outstanding_count=round(scale * count),
        allocated_bytes=round(scale * site.allocated_bytes),
        allocated_count=round(scale * site.allocated_count),
        freed_count=round(scale * site.freed_count),
        bytes_per_s=scale * site.bytes_per_s,
    )
