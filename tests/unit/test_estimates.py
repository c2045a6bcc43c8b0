"""How often the interval of an estimate holds the truth, and how far estimates are from it.

Windows of a simulated process, of which everything is known, are recorded a thousand times in part.
An interval of 95 % that holds the truth in 95 % of a thousand replays is seen to do so in 93 to 97.
"""

from __future__ import annotations

import random

import pytest
from replays import by_address, draw_bursts, in_bursts, replay
from simulated import SITES, WINDOW_NS, run

from gdbleak.verdicts import intervals
from gdbleak.verdicts.bursts import Burst, Bursts, favours_clock

TIMES = 1000
HOLDING = [name for name in SITES if name != "requests"]
WINDOWS = {True: (40, 0.1), False: (60, 0.03)}
"""How many bursts of which share of the window, for call stacks that allocate often, or seldom."""


@pytest.fixture(scope="module")
def blocks():
    """Return the blocks of each call stack."""
    made = run(1)
    return {name: [block for block in made if block.site == name] for name in SITES}


@pytest.mark.parametrize("zeros", [1, 3, 5])
@pytest.mark.parametrize("name", HOLDING)
def test_one_block_in_so_many(blocks, name, zeros):
    seen = replay(blocks[name], TIMES, by_address(blocks[name], zeros))
    # Of a few blocks, no interval holds the truth in a share of any size: it may hold it more often.
    assert 0.93 <= seen.covered <= (0.97 if len(blocks[name]) >= 8 << zeros else 1.0)
    assert abs(seen.bias) < 0.05


@pytest.mark.parametrize(("number", "share"), [(40, 0.1), (150, 0.2), (60, 0.03)])
@pytest.mark.parametrize("name", HOLDING)
def test_bursts(blocks, name, number, share):
    seen = replay(blocks[name], TIMES, in_bursts(blocks[name], number, share))
    # What comes regularly is recorded more evenly than chance has it.
    assert 0.93 <= seen.covered <= (1.0 if name == "leak by the clock" else 0.97)
    assert abs(seen.bias) < 0.1
