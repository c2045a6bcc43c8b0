"""What a recording does to the latency of a process's requests: a forecast. Pure.

The budget bounds the share of the time in which a process is slowed. The latency of one request is
another matter: one that meets breakpoints takes several times as long.

>>> from gdbleak.recording.chosen import Chosen
>>> forecast_latency(Chosen("breakpoints", ""), Rate(50, 50), 30, 4)
'latency: a request of 100 allocations takes about 45 ms longer, p50 as p99'
>>> forecast_latency(Chosen("bursts", ""), Rate(33_000, 33_000), 30, 4)
'latency: p50 about as before; p99 up to 300 ms longer, for about 27 % of the time is in bursts'
>>> forecast_latency(Chosen("inline", ""), Rate(33_000, 33_000), 30, 4)
'latency: 100 allocations take about 5 µs longer; GDB halts it twice, for about 3.0 ms'
"""

from __future__ import annotations

from gdbleak.capture.budget import LONGEST_COUNTED_S, MARGIN
from gdbleak.preflight.cost import INLINE_S, STOP_S, stops_per_s
from gdbleak.preflight.halting import estimate_halt_s
from gdbleak.recording.chosen import Chosen
from gdbleak.recording.rate import Rate
from gdbleak.text.units import format_seconds

LONGEST_BURST_S = 2 * LONGEST_COUNTED_S
REQUEST = 100
"""The allocations of a request that is forecast: whoever knows how many his have can scale it."""
_STOPS = 3
"""At the entry and the return of a call that allocates, and at the free of its block."""
_VISIT_S = 2e-3
"""How long GDB halts a process of one thread to write the recorder into it, or to take it out."""
_MEDIAN = 0.5


def forecast_latency(
    chosen: Chosen,
    rate: Rate,
    budget_percent: float,
    threads: int,
    usable_sizes: bool = False,
    stop_s: float = STOP_S,
) -> str:
    """Say what a recording does to requests.

    Args:
        chosen: How the process is recorded.
        rate: How often it allocates.
        budget_percent: The share of the time for which it may be slowed.
        threads: How many it has.
        usable_sizes: Whether allocations are recorded at their return alone.
        stop_s: What a stop takes, in seconds.

    """
    stops = _STOPS - usable_sizes
    if chosen.kind == "inline":
        longer_us = 2 * REQUEST * INLINE_S * 1e6
        halt = format_seconds(float(f"{_VISIT_S + estimate_halt_s(threads):.1g}"))
        return (
            f"latency: {REQUEST} allocations take about {longer_us:.0f} µs longer;"
            f" GDB halts it twice, for about {halt}"
        )
    if chosen.kind == "breakpoints":
        longer = format_seconds(REQUEST * stops * stop_s)
        # Threads wait for each other at breakpoints where these are in use most of the time.
        waits = threads > 1 and stops_per_s(rate, usable_sizes) * stop_s > _MEDIAN
        more = ", and longer where threads allocate at once" if waits else ""
        return (
            f"latency: a request of {REQUEST} allocations takes about {longer} longer,"
            f" p50 as p99{more}"
        )
    share = MARGIN * min(budget_percent, 100)
    longest = format_seconds(LONGEST_BURST_S)
    if share / 100 >= _MEDIAN:
        return f"latency: p50 and p99 up to {longest} longer, the length of a burst"
    return (
        f"latency: p50 about as before; p99 up to {longest} longer, for about {share:.0f} % of the"
        " time is in bursts"
    )
