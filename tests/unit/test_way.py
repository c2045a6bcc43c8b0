"""How it is chosen in which way a process is recorded."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.ways import Way
from gdbleak.errors import ElfError, InlineRefusedError
from gdbleak.preflight.way import BEYOND_BUDGET, choose_way
from gdbleak.recording.rate import Rate, unknown

QUIET, BUSY, UNKNOWN = Rate(100, 100), Rate(100_000, 100_000), unknown("nobody could count")
BREAKPOINT, INLINE, AUTO = ProbeKind.BREAKPOINT, ProbeKind.INLINE, ProbeKind.AUTO
REFUSAL = InlineRefusedError("there is no room")
DAMAGED = ElfError("a file is damaged")


def way(name):
    return Way(ProbeKind.BREAKPOINT, (name,), (), (), ("of the plan",), None, Mock())


def choose(kind, rate, refusal=None, usable_sizes=False):
    """Return which way is chosen, and what is said of that."""

    def try_inline():
        if refusal:
            raise refusal
        return way("inline")

    chosen = choose_way(kind, rate, usable_sizes, 30, try_inline, lambda: way("breakpoint"))
    [name] = chosen.allocators
    first, *reasons = chosen.notes
    assert first == "of the plan"
    return name, reasons


@pytest.mark.parametrize("refusal", [None, REFUSAL])
@pytest.mark.parametrize("rate", [QUIET, BUSY, UNKNOWN])
def test_breakpoints_as_asked_for(rate, refusal):
    assert choose(BREAKPOINT, rate, refusal) == ("breakpoint", [])


@pytest.mark.parametrize("rate", [QUIET, BUSY, UNKNOWN])
def test_inline_as_asked_for(rate):
    assert choose(INLINE, rate) == ("inline", [])
    for refusal in (REFUSAL, DAMAGED):
        with pytest.raises(type(refusal)):
            choose(INLINE, rate, refusal)


@pytest.mark.parametrize("rate", [QUIET, UNKNOWN])
def test_breakpoints_where_they_can_record_everything(rate):
    assert choose(AUTO, rate, REFUSAL) == ("breakpoint", [])


def test_inline_where_breakpoints_cannot():
    assert choose(AUTO, BUSY) == ("inline", [BEYOND_BUDGET])


@pytest.mark.parametrize("refusal", [REFUSAL, DAMAGED])
def test_bursts_where_inline_is_refused(refusal):
    name, [reason] = choose(AUTO, BUSY, refusal)
    assert (name, str(refusal) in reason) == ("breakpoint", True)


def test_stops_are_counted_as_they_will_be():
    """Breakpoints halt a process twice for an allocation; with --usable-sizes once."""
    rate = Rate(800, 0)
    assert choose(AUTO, rate)[0] == "breakpoint"
    rate = Rate(1200, 0)
    assert choose(AUTO, rate)[0] == "inline"
    assert choose(AUTO, rate, usable_sizes=True)[0] == "breakpoint"
