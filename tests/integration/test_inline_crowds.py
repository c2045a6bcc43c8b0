"""The recorder comes into programs of every kind and goes, again and again: none is harmed."""

from __future__ import annotations

import random

import pytest
from support.inline import implant_for, injection_into, visitor_in
from support.processes import wait_until
from support.torture import CROWDS, look_at, put_in_and_out, wake

from gdbleak.injection.steps import hijack, write

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]


@pytest.fixture
def visitor(tmp_path):
    with visitor_in(tmp_path / "visits") as visitor:
        yield visitor


@pytest.mark.parametrize("name", CROWDS)
def test_in_and_out(gather, visitor, begin_tally, name):
    target, tally, dice = gather(CROWDS[name]), begin_tally(name, "in and out"), random.Random(name)
    implant = implant_for(target.pid)
    for _ in range(CROWDS[name].rounds):
        put_in_and_out(target, visitor, implant, tally, dice)
        if not look_at(target, implant, tally):
            break
    else:
        wake(target, CROWDS[name], tally)
    tally.assert_all_well()


def test_no_thread_is_sent_that_may_be_cancelled(gather, visitor):
    """It would unwind its stack from within the routine, and leave out its destructors."""
    target = gather(CROWDS["threads are cancelled"])
    implant = implant_for(target.pid)
    image = implant.image
    there = write(image.address, image.code)
    for _ in range(5):
        outcome = visitor.visit(target.pid, [there, hijack(image.map_ring, image, [])])
        assert (outcome.failed, outcome.hijacked) == (None, target.pid)
        with injection_into(target.pid, visitor, implant) as injection:
            wait_until(injection.ring.read_mapped, "the ring was there")
            assert injection.remove().ok
