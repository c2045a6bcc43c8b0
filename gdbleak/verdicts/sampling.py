"""What happened in a whole window, by what was recorded of it in bursts. Pure.

A burst is slow motion: a thread that allocates all the time gets done in it what it usually does
in a moment, while what a clock brings about goes on at its own pace. So a recorded block stands for
some number of others between two bounds: by the share of the time that was recorded, and by the
share of the calls. Nothing in the recording tells where between them. What does is the resident
set: what stays has to be somewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt

from gdbleak.ledger.blocks import LAST_SHARE
from gdbleak.recording.events import Turn
from gdbleak.recording.phases import Phase
from gdbleak.recording.rate import Rate
from gdbleak.report.model import Estimate, Sampling
from gdbleak.verdicts.survival import AnyAges, survival

_Z = 1.96
"""Of a normal distribution, 95 % lie closer to the mean than so many standard deviations."""

_LAST_TOO = 1 / (1 - LAST_SHARE)
"""The last blocks of each burst do not count as alive: the others stand for them too."""


@dataclass(frozen=True)
class Sample:
    """What was recorded of a site in bursts."""

    freed: AnyAges
    """Ages in nanoseconds at which blocks were freed, or found to be."""
    alive: Sequence[int]
    """Ages in nanoseconds of the others, but for the last of each burst."""
    block_bytes: float
    """Of a block, on average."""
    older_count: int
    older_bytes: int
    """Blocks that existed before they were recorded: these stand for no others."""

    def remaining(self, age_ns: float) -> float:
        """Return how many of the recorded blocks reach an age."""
        share = survival(self.freed, self.alive, age_ns)
        return share * (len(self.freed) + len(self.alive))


def measure_sampling(turns: Iterable[Turn], end_ns: int, calls: int, rate: Rate) -> Sampling | None:
    """Return what share of a window was recorded; None when all of it was.

    Args:
        turns: Which breakpoints were in from when on.
        end_ns: When the window ended, its tail aside.
        calls: How many calls that allocate were recorded.
        rate: How many there are in a second when nobody slows the target, if that is known.

    """
    first_ns = since_ns = recorded_ns = bursts = 0
    admits = missed = is_out = False
    for turn in (*turns, None):
        time_ns = end_ns if turn is None else min(turn.time_ns, end_ns)
        recorded_ns += admits * (time_ns - since_ns)
        # That only frees are recorded from some time on means that the window is over.
        missed |= is_out and time_ns > since_ns
        first_ns, since_ns = first_ns or time_ns, time_ns
        if turn is not None and time_ns < end_ns:
            bursts += turn.phase.admits and not admits
            admits, is_out = turn.phase.admits, turn.phase is Phase.NONE
    if not missed:
        return None
    duration_ns = end_ns - first_ns
    by_time = duration_ns / max(recorded_ns, 1)
    by_calls = rate.allocations_per_s * duration_ns / 1e9 / max(calls, 1)
    return Sampling(
        bursts=bursts,
        recorded_s=recorded_ns / 1e9,
        recorded_calls=calls,
        calls=round(calls * by_calls) if by_calls > by_time and not rate.at_least else None,
        scale=by_time,
        scale_low=by_time,
        scale_high=max(by_time, by_calls),
    )


def choose_scale(
    sampling: Sampling,
    samples: Iterable[Sample],
    age_ns: float,
    growth: int | None,
    rate: Rate,
) -> Sampling:
    """Return how a window was sampled, with what a recorded block is taken to stand for.

    The growth of the resident set bounds that, too: the rate before the window may have been low.

    Args:
        sampling: What `measure_sampling` found.
        samples: What was recorded of each site.
        age_ns: The age that blocks have to reach to count.
        growth: Bytes by which the resident set grew; None when that is not known.
        rate: How often the process allocates.

    """
    stays = sum(sample.remaining(age_ns) * sample.block_bytes for sample in samples) * _LAST_TOO
    if growth is None or stays <= 0:
        return sampling
    by_growth = growth / stays
    likely = by_growth if rate.at_least else min(by_growth, sampling.scale_high)
    return replace(
        sampling,
        scale=max(likely, sampling.scale_low),
        scale_high=max(by_growth, sampling.scale_high),
    )


def estimate(sample: Sample, sampling: Sampling, age_ns: float, duration_s: float) -> Estimate:
    """Return what of a site's memory stays in the whole window, by what was recorded of it.

    Its bounds hold both doubts: what a recorded block stands for, and what chance does to a count.
    Source of the latter: Garwood's interval for a Poisson count, as approximated by Byar (N.
    Breslow and N. Day, Statistical Methods in Cancer Research II, 1987, page 69).
    """
    count = sample.remaining(age_ns)
    low, high = _bound(count)

    def in_bytes(blocks: float) -> int:
        return round(blocks * _LAST_TOO * sample.block_bytes) + sample.older_bytes

    return Estimate(
        outstanding_bytes=in_bytes(sampling.scale * count),
        outstanding_bytes_low=in_bytes(sampling.scale_low * low),
        outstanding_bytes_high=in_bytes(sampling.scale_high * high),
        outstanding_count=round(sampling.scale * count * _LAST_TOO) + sample.older_count,
        bytes_per_s=in_bytes(sampling.scale * count) / duration_s if duration_s else 0.0,
    )


def multiply(size: int, count: int, scale: int, duration_s: float) -> Estimate:
    """Return what stays of a site, of whose blocks one in `scale` was kept, by its address.

    Args:
        size: Bytes of those that were kept and stay.
        count: How many these are.
        scale: How many blocks each stands for.
        duration_s: Length of the window.

    """
    low, high = _bound(count)
    each = size / count if count else 0.0
    # What was seen is certain.
    least = max(round(low * each * scale), size)
    return Estimate(
        outstanding_bytes=size * scale,
        outstanding_bytes_low=least,
        outstanding_bytes_high=max(round(high * each * scale), least),
        outstanding_count=count * scale,
        bytes_per_s=size * scale / duration_s if duration_s else 0.0,
    )


def _bound(count: float) -> tuple[float, float]:
    """Return between which counts the expected one lies, with a confidence of 95 %."""
    more = count + 1
    low, high = 0.0, more * (1 - 1 / (9 * more) + _Z / (3 * sqrt(more))) ** 3
    if count > 0:
        low = max(count * (1 - 1 / (9 * count) - _Z / (3 * sqrt(count))) ** 3, 0.0)
    return low, high
