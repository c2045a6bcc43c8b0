"""What a window that was recorded in bursts stands for, site by site. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gdbleak.analysis.collect import Collected
from gdbleak.analysis.grouping import Key
from gdbleak.analysis.tally import Tally
from gdbleak.recording.end import UNFINISHED
from gdbleak.recording.rate import unknown
from gdbleak.recording.reader import Recording
from gdbleak.report.model import Estimate, Sampling
from gdbleak.verdicts.sampling import choose_scale, estimate, measure_sampling, multiply
from gdbleak.verdicts.slowdown import measure_speed


@dataclass(frozen=True)
class Estimates:
    """What was sampled, and what that makes of each site."""

    sampling: Sampling | None = None
    """None when no time was left out."""
    of_sites: Mapping[Key, Estimate] = field(default_factory=dict)
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
    window was recorded in bursts, what counts is blocks that get old: a quarter of the time, so
    that most of them had that time.
    """
    span, ledger = collected.span, collected.ledger
    duration_s = span.window_ns / 1e9
    if recording.zeros:
        scale = 1 << recording.zeros
        return Estimates(
            None,
            {
                key: multiply(tally.outstanding_bytes, tally.outstanding_count, scale, duration_s)
                for key, tally in tallies.items()
            },
            scale,
        )
    rate = recording.head.rate
    if recording.head.sizes:  # it is that of all sizes, as is the growth of the resident set
        rate = unknown("only blocks of some sizes are recorded")
    calls = ledger.allocations + ledger.resizes
    stopped_s = (recording.end or UNFINISHED).stopped_s
    speed = None
    if not recording.is_inline:
        speed = measure_speed(collected.turns, span.closed_ns, calls, rate, stopped_s)
    sampling = measure_sampling(collected.turns, span.closed_ns, calls, rate)
    if sampling is None:
        return Estimates(speed=speed)
    age_ns = span.observed_ns / 4
    samples = {key: tally.sample() for key, tally in tallies.items()}
    before, after = resident_sizes(recording)
    is_known = before is not None and after is not None and not recording.head.sizes
    growth = max((after or 0) - (before or 0), 0) if is_known else None
    sampling = choose_scale(sampling, samples.values(), age_ns, growth, rate)
    return Estimates(
        sampling,
        {key: estimate(sample, sampling, age_ns, duration_s) for key, sample in samples.items()},
        speed=speed,
    )


def resident_sizes(recording: Recording) -> tuple[int | None, int | None]:
    """Return the bytes of the resident set before and after the window; None where not read."""
    return recording.head.rss_before, (recording.end or UNFINISHED).rss_after
