"""The recorder comes into programs of every kind and goes, again and again: none is harmed."""

from __future__ import annotations

import random

import pytest
from support.inline import implant_for, visitor_in
from support.torture import CROWDS, look_at, put_in_and_out, wake

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
