"""How it is chosen in which way a process is recorded."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.ways import Way
from gdbleak.errors import ElfError, InlineRefusedError, UnprovedError
from gdbleak.preflight.way import Demand, choose_way, explain
from gdbleak.recording.rate import Rate, unknown

QUIET, BUSY, UNKNOWN = Rate(100, 100), Rate(100_000, 100_000), unknown("nobody could count")
BREAKPOINT, INLINE, AUTO = ProbeKind.BREAKPOINT, ProbeKind.INLINE, ProbeKind.AUTO
REFUSAL = InlineRefusedError("there is no room")
REFUSALS = REFUSAL, ElfError("a file is damaged"), UnprovedError("gdb cannot do that")


def way(name):
    return Way(ProbeKind.BREAKPOINT, (name,), (), (), ("of the plan",), None, Mock())


def choose(kind, rate, refusal=None, usable_sizes=False, budget_percent=30, crowding=1.0):
    """Return which way is chosen, and why."""

    def try_inline():
        if refusal:
            raise refusal
        return way("inline")

    chosen = choose_way(
        kind,
        Demand(rate, usable_sizes, budget_percent, crowding),
        try_inline,
        lambda: way("breakpoint"),
    )
    assert chosen.notes == ("of the plan",)
    return *chosen.allocators, str(chosen.chosen)


TOO_FAST = "200,000 calls/s are too many for breakpoints within 30 %"
NOT_MEASURED = "how often it allocates was not measured (nobody could count)"
SLOW = "200 calls/s stop it for about 4.5 % of the time, within 30 %"


@pytest.mark.parametrize("refusal", [None, REFUSAL])
@pytest.mark.parametrize(
    ("rate", "why"),
    [
        (QUIET, f"breakpoints: --probe breakpoint asks for that; {SLOW}"),
        (BUSY, f"bursts: --probe breakpoint asks for that; {TOO_FAST}"),
        (UNKNOWN, f"bursts: --probe breakpoint asks for that; {NOT_MEASURED}"),
    ],
)
def test_breakpoints_as_asked_for(rate, why, refusal):
    assert choose(BREAKPOINT, rate, refusal) == ("breakpoint", why)


@pytest.mark.parametrize("rate", [QUIET, BUSY, UNKNOWN])
def test_inline_as_asked_for(rate):
    assert choose(INLINE, rate) == ("inline", "inline: --probe inline asks for that")
    for refusal in REFUSALS:
        with pytest.raises(type(refusal)):
            choose(INLINE, rate, refusal)


def test_breakpoints_where_they_can_record_everything():
    assert choose(AUTO, QUIET, REFUSAL) == ("breakpoint", f"breakpoints: {SLOW}")


def test_breakpoints_where_nothing_happens():
    why = "breakpoints: it did not allocate while that was measured"
    assert choose(AUTO, Rate(0, 0), REFUSAL) == ("breakpoint", why)


def test_inline_where_breakpoints_may_not():
    assert choose(AUTO, BUSY) == ("inline", f"inline: {TOO_FAST}")


def test_inline_where_nobody_knows():
    assert choose(AUTO, UNKNOWN) == ("inline", f"inline: {NOT_MEASURED}")


@pytest.mark.parametrize("rate", [QUIET, BUSY, UNKNOWN])
@pytest.mark.parametrize("kind", [AUTO, BREAKPOINT])
def test_breakpoints_where_they_may_take_all_of_the_time(rate, kind):
    name, why = choose(kind, rate, budget_percent=100)
    assert (name, why.startswith("breakpoints: ")) == ("breakpoint", True)
    assert why.endswith("--budget 100 lets breakpoints record everything")


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(("rate", "why"), [(BUSY, TOO_FAST), (UNKNOWN, NOT_MEASURED)])
def test_bursts_where_inline_is_refused(rate, why, refusal):
    assert choose(AUTO, rate, refusal) == ("breakpoint", f"bursts: {why}; no inline: {refusal}")


def test_what_is_too_many_on_a_busy_host_only_may_be():
    assert choose(AUTO, Rate(400, 400))[1].startswith("inline: 800 calls/s may be too many for")


def test_a_halt_takes_longer_on_a_host_that_is_busy():
    """Who was halted waits for all others that want the processor."""
    name, why = choose(AUTO, QUIET, crowding=20.0)
    assert name == "inline"
    few = "inline: 200 calls/s may be too many for breakpoints within 30 %"
    assert why == f"{few} on this host, which is busy"
    assert choose(AUTO, Rate(0, 0), crowding=100.0)[0] == "breakpoint"
    assert choose(AUTO, QUIET, budget_percent=100, crowding=20.0)[0] == "breakpoint"


def test_a_lower_bound_is_called_that():
    chosen = explain(Demand(Rate(100_000, 0, at_least=True), False, 30), is_inline=True)
    assert chosen.reason.startswith("more than 100,000 calls/s are too many")


def test_stops_are_counted_as_they_will_be():
    """Breakpoints halt a process twice for an allocation; with --usable-sizes once."""
    assert choose(AUTO, Rate(300, 0))[0] == "breakpoint"
    assert choose(AUTO, Rate(500, 0))[0] == "inline"
    assert choose(AUTO, Rate(500, 0), usable_sizes=True)[0] == "breakpoint"
