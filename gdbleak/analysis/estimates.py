"""What a window that was recorded in part stands for, site by site. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median_low

from gdbleak.analysis.collect import Collected
from gdbleak.analysis.grouping import Key
from gdbleak.analysis.tally import Tally
from gdbleak.recording.end import UNFINISHED
from gdbleak.recording.rate import unknown
from gdbleak.recording.reader import Recording
from gdbleak.report.window import Sampling
from gdbleak.verdicts.bursts import Bursts, find_bursts, measure_sampling
from gdbleak.verdicts.intervals import add_up, bound_total
from gdbleak.verdicts.sampling import estimate
from gdbleak.verdicts.slowdown import measure_speed

_AT_ONCE_NS = 1_000_000
"""A call stack frees at once when nine in ten of its blocks that are freed live shorter."""
_ENOUGH, _ENOUGH_SITES = 50, 3
"""So many call stacks with so many blocks each tell how many frees bursts miss."""


@dataclass(frozen=True)
class Amounts:
    """What a site has done in the whole window, as far as what was recorded tells."""

    outstanding_bytes: int
    outstanding_bytes_low: int
    outstanding_bytes_high: int
    outstanding_count: int
    scale: float
    """How many blocks that were allocated or freed each recorded one stands for."""


@dataclass(frozen=True)
class Estimates:
    """What was sampled, and what that makes of each site."""

    sampling: Sampling | None = None
    """None when no time was left out."""
    of_sites: Mapping[Key, Amounts] = field(default_factory=dict)
    """Empty when everything was recorded."""
    one_of: int = 1
    """Of so many blocks one was kept, by its address, and of that everything was recorded."""
    speed: float | None = None
    """At which share of its usual speed the process ran; None where nothing slowed it."""


def estimate_sites(
    recording: Recording, collected: Collected, tallies: Mapping[Key, Tally]
) -> Estimates:
    """Return what a recorded block stands for, and what that makes of each site.

    Where blocks were left out by their addresses, each of the others stands for as many. Where the
    window was recorded in bursts, it is by the share of the window that these are.
    """
    if recording.zeros:
        made = {key: _multiply(tally, recording.zeros) for key, tally in tallies.items()}
        return Estimates(None, made, 1 << recording.zeros)
    rate = recording.head.rate
    if recording.head.sizes:  # it is that of all sizes
        rate = unknown("only blocks of some sizes are recorded")
    ledger, end = collected.ledger, recording.end or UNFINISHED
    calls = ledger.allocations + ledger.resizes
    speed = None
    if not recording.is_inline:
        closed_ns = collected.span.closed_ns
        speed = measure_speed(collected.turns, closed_ns, calls, rate, end.stopped_s)
    bursts = find_bursts(zip(collected.turns, collected.calls), collected.span.closed_ns, calls)
    never_freed = measure_never_freed(tallies.values())
    sampling = measure_sampling(bursts, calls, rate, end.stopped_s, never_freed)
    if sampling is None:
        return Estimates(speed=speed)
    return Estimates(
        sampling,
        {key: _extrapolate(tally, sampling, bursts) for key, tally in tallies.items()},
        speed=speed,
    )


def measure_never_freed(tallies: Iterable[Tally]) -> float:
    """Return which share of blocks is not seen to be freed though it is freed at once.

    Of call stacks whose blocks live for microseconds, those that seem to live on were freed after
    the burst, and their addresses were handed out again before anybody looked: that happens to all
    call stacks alike. Some may leak; most do not.
    """
    shares = [
        tally.share_that_gets_old or 0.0
        for tally in tallies
        if len(tally.freed_ages) >= _ENOUGH
        and tally.freed_ages.at(len(tally.freed_ages) * 9 // 10) < _AT_ONCE_NS
    ]
    return median_low(shares) if len(shares) >= _ENOUGH_SITES else 0.0


def _multiply(tally: Tally, zeros: int) -> Amounts:
    """Return what a site has done of whose blocks those were kept whose lot ends so.

    An allocator hands out the same addresses again and again, so calls are not kept independently
    of each other. But the blocks that are there at one time have different addresses.
    """
    scale = 1 << zeros
    typical = tally.allocated_bytes / max(tally.allocated_count, 1)
    low, high = bound_total(
        add_up(block.net_bytes for block in tally.outstanding), 1 / scale, typical
    )
    return Amounts(
        tally.outstanding_bytes * scale,
        round(low),
        round(high),
        tally.outstanding_count * scale,
        scale,
    )


def _extrapolate(tally: Tally, sampling: Sampling, bursts: Bursts) -> Amounts:
    """Return what a site has done that was recorded in bursts."""
    made = estimate(tally.sample(), sampling, bursts)
    return Amounts(
        round(made.outstanding_bytes),
        round(made.bytes_between.low),
        round(made.bytes_between.high),
        round(made.outstanding_count),
        made.scale,
    )


def resident_growth(recording: Recording) -> int | None:
    """Return by how many bytes the resident set grew in the window; None where not read.

    Pages of files do not count.
    """
    before, after = resident_sizes(recording)
    if before is None or after is None:
        return None
    return after - before - max(file_growth(recording), 0)


def file_growth(recording: Recording) -> int:
    """Return by how many bytes the pages of files grew in the resident set; 0 where not read."""
    before, after = recording.head.memory, (recording.end or UNFINISHED).memory
    name = "RssFile"
    return after[name] - before[name] if name in before and name in after else 0


def resident_sizes(recording: Recording) -> tuple[int | None, int | None]:
    """Return the bytes of the resident set before and after the window; None where not read."""
    return recording.head.rss_before, (recording.end or UNFINISHED).rss_after
