"""How it is chosen in which way a process is recorded."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.ways import Way
from gdbleak.errors import ElfError, InlineRefusedError, UnprovedError
from gdbleak.preflight.way import BEYOND_BUDGET, NOT_MEASURED, REFUSED, choose_way
from gdbleak.recording.rate import Rate, unknown

QUIET, BUSY, UNKNOWN = Rate(100, 100), Rate(100_000, 100_000), unknown("nobody could count")
BREAKPOINT, INLINE, AUTO = ProbeKind.BREAKPOINT, ProbeKind.INLINE, ProbeKind.AUTO
REFUSAL = InlineRefusedError("there is no room")
REFUSALS = REFUSAL, ElfError("a file is damaged"), UnprovedError("gdb cannot do that")


def way(name):
    return Way(ProbeKind.BREAKPOINT, (name,), (), (), ("of the plan",), None, Mock())


def choose(kind, rate, refusal=None, usable_sizes=False, budget_percent=30):
    """Return which way is chosen, and why."""

    def try_inline():
        if refusal:
            raise refusal
        return way("inline")

    chosen = choose_way(
        kind, rate, usable_sizes, budget_percent, try_inline, lambda: way("breakpoint")
    )
    assert chosen.notes == ("of the plan",)
    return *chosen.allocators, chosen.reason


@pytest.mark.parametrize("refusal", [None, REFUSAL])
@pytest.mark.parametrize("rate", [QUIET, BUSY, UNKNOWN])
def test_breakpoints_as_asked_for(rate, refusal):
    assert choose(BREAKPOINT, rate, refusal) == ("breakpoint", "")


@pytest.mark.parametrize("rate", [QUIET, BUSY, UNKNOWN])
def test_inline_as_asked_for(rate):
    assert choose(INLINE, rate) == ("inline", "")
    for refusal in REFUSALS:
        with pytest.raises(type(refusal)):
            choose(INLINE, rate, refusal)


def test_breakpoints_where_they_can_record_everything():
    assert choose(AUTO, QUIET, REFUSAL) == ("breakpoint", "")


def test_inline_where_breakpoints_may_not():
    assert choose(AUTO, BUSY) == ("inline", BEYOND_BUDGET)


def test_inline_where_nobody_knows():
    assert choose(AUTO, UNKNOWN) == ("inline", NOT_MEASURED)


@pytest.mark.parametrize("rate", [QUIET, BUSY, UNKNOWN])
def test_breakpoints_where_they_may_take_all_of_the_time(rate):
    assert choose(AUTO, rate, budget_percent=100) == ("breakpoint", "")


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("rate", [BUSY, UNKNOWN])
def test_bursts_where_inline_is_refused(rate, refusal):
    assert choose(AUTO, rate, refusal) == ("breakpoint", f"{REFUSED}{refusal}")


def test_stops_are_counted_as_they_will_be():
    """Breakpoints halt a process twice for an allocation; with --usable-sizes once."""
    assert choose(AUTO, Rate(300, 0))[0] == "breakpoint"
    assert choose(AUTO, Rate(500, 0))[0] == "inline"
    assert choose(AUTO, Rate(500, 0), usable_sizes=True)[0] == "breakpoint"
