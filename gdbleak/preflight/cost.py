"""The cost, to a process, of recording all that it allocates. Pure.

>>> describe(Rate(180_000, 179_500), budget_percent=30)
'180,000 allocations/s: recording all would slow it about 82 times; sampling within 30 %'
>>> describe(Rate(100, 100))
'100 allocations/s: recording all would halt it for about 4.5 % of the time'
"""

from __future__ import annotations

from gdbleak.recording.rate import Rate

STOP_S = 150e-6
"""What a stop is taken to last, with waking up a thread on another processor. It is not measured on
the host: stops take 0.1 to 0.4 ms, by the machine and by where the threads run."""


INLINE_S = 25e-9
"""What a call takes longer that is recorded inline; see docs/benchmarks.md."""


def stops_per_s(rate: Rate, usable_sizes: bool = False) -> float:
    """Return how often a recording would halt the process, if that did not slow it down.

    At each entry and each return, and at each free; without the entries, with `--usable-sizes`.
    """
    return rate.allocations_per_s * (1 if usable_sizes else 2) + rate.frees_per_s


def load_of(rate: Rate, usable_sizes: bool = False, stop_s: float = STOP_S) -> float:
    """Return how many seconds of stops a second of the undisturbed process makes."""
    return stops_per_s(rate, usable_sizes) * stop_s


def describe(
    rate: Rate,
    usable_sizes: bool = False,
    budget_percent: float = 100,
    stop_s: float = STOP_S,
) -> str:
    """Say how often a process allocates, and what recording all of it would cost.

    Args:
        rate: How often the process allocates.
        usable_sizes: Whether allocations are recorded at their return alone.
        budget_percent: The share of the time for which it may be slowed; 100 records everything.
        stop_s: What a stop takes, in seconds.

    """
    if rate.reason is not None:
        return f"not measured: {rate.reason}"
    if not stops_per_s(rate):
        return "no allocations in the pilot"
    load = load_of(rate, usable_sizes, stop_s)
    about = "more than" if rate.at_least else "about"
    if load >= 1:
        cost = f"slow it {about} {round_number(1 + load)} times"
    else:
        cost = f"halt it for {about} {round_number(100 * load)} % of the time"
    text = f"{_say(rate)}: recording all would {cost}"
    if 100 * load > budget_percent < 100:
        text += f"; sampling within {budget_percent:g} %"
    return text


def forecast_inline(rate: Rate) -> str:
    """Say how often a process allocates that will be recorded inline, and what that costs.

    >>> forecast_inline(Rate(180_000, 179_500, at_least=True))
    'more than 180,000 allocations/s: recorded inline, for at least 0.9 % of one processor'
    """
    if rate.reason is not None or not stops_per_s(rate):
        return f"{describe(rate)}; recorded inline"
    return f"{_say(rate)}: recorded inline, for {describe_inline(rate)}"


def _say(rate: Rate) -> str:
    about = "more than " if rate.at_least else ""
    return f"{about}{round_number(rate.allocations_per_s)} allocations/s"


def describe_inline(rate: Rate) -> str:
    """Say what it would cost a process to be recorded inline.

    >>> describe_inline(Rate(180_000, 179_500)), describe_inline(Rate(9, 8))
    ('about 0.9 % of one processor', 'less than 0.1 % of one processor')
    """
    percent = (rate.allocations_per_s + rate.frees_per_s) * INLINE_S * 100
    if rate.at_least:
        return f"at least {round_number(percent)} % of one processor"
    if percent < 0.1:
        return "less than 0.1 % of one processor"
    return f"about {round_number(percent)} % of one processor"


def round_number(number: float) -> str:
    """Return a number with two digits, and zeros: more were not measured."""
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"
