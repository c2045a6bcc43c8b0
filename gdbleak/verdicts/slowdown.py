"""At what speed a process ran while it was recorded, and what that does to verdicts. Pure.

A process that is slowed does less, but a clock goes on: a queue that a timer fills is emptied too
slowly then, and looks like a leak. A block that nothing refers to is lost at any speed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gdbleak.recording.events import Turn
from gdbleak.recording.phases import Phase
from gdbleak.recording.rate import Rate
from gdbleak.report.model import Verdict, Word

SLOW = 0.7
"""Below this speed it is said, and no word is definite that rests on ages or growth."""
_LEAST_STOPPED = 0.1
"""Who stood still for less than this share of the time has done less for reasons of its own."""
_DEFINITE = Word.LEAK, Word.GROWING


def measure_speed(
    turns: Iterable[Turn], end_ns: int, calls: int, rate: Rate, stopped_s: float | None
) -> float | None:
    """Return which share of its usual work a process did in a window, 1 at most.

    It is known by how often it called the allocator before the window and in it, and None where
    that was not measured or nothing has slowed it.

    Args:
        turns: Which breakpoints were in from when on.
        end_ns: When the window ended, its tail aside.
        calls: How many calls that allocate were recorded.
        rate: How many there were in a second before. Where it is a lower bound, what is returned
            is an upper one.
        stopped_s: For how long the process stood still; None where nobody knows.

    """
    first_ns = since_ns = counted_ns = armed_ns = 0
    phase = Phase.NONE
    for turn in (*turns, None):
        time_ns = end_ns if turn is None else min(turn.time_ns, end_ns)
        first_ns, since_ns = first_ns or time_ns, since_ns or time_ns
        counted_ns += phase.admits * (time_ns - since_ns)
        armed_ns += (phase is not Phase.NONE) * (time_ns - since_ns)
        since_ns, phase = time_ns, turn.phase if turn else phase
    duration_ns = end_ns - first_ns
    usual = rate.allocations_per_s * counted_ns / 1e9
    if rate.reason is not None or usual < 1 or duration_ns <= 0:
        return None
    if (stopped_s or 0.0) < _LEAST_STOPPED * duration_ns / 1e9:
        return None
    # Where no breakpoint is in, it runs as ever.
    return 1 - armed_ns / duration_ns * (1 - min(calls / usual, 1.0))


def describe_speed(speed: float, at_least: bool) -> str:
    """Say at what speed a process ran.

    Args:
        speed: As a share of its usual one.
        at_least: Whether the usual one is a lower bound.

    >>> describe_speed(0.0912, at_least=False), describe_speed(0.0003, at_least=True)
    ('the process ran at 9 % of its speed', 'the process ran at less than 1 % of its speed')
    >>> describe_speed(0.0912, at_least=True)
    'the process ran at 9 % of its speed at most'

    """
    percent = f"{100 * speed:.0f} %" if speed >= 0.01 else "less than 1 %"
    bound = " at most" if at_least and speed >= 0.01 else ""
    return f"the process ran at {percent} of its speed{bound}"


def is_slow(speed: float | None) -> bool:
    """Return whether a process ran so slowly that its blocks got older than usual."""
    return speed is not None and speed < SLOW


def lower(verdict: Verdict, speed: float | None, is_lost: bool) -> Verdict:
    """Return a verdict that is as sure as the speed of the process allows.

    Args:
        verdict: By what was recorded.
        speed: See `measure_speed`.
        is_lost: Whether it rests on what refers to the blocks.

    """
    if speed is None or not is_slow(speed) or is_lost or verdict.word not in _DEFINITE:
        return verdict
    why = f"but {describe_speed(speed, at_least=False)}, and what a clock brings about went on"
    return replace(verdict, word=Word.SUSPECT, evidence=f"{verdict.evidence}; {why}")
