"""How often the interval of an estimate holds the truth, and how far estimates are from it.

Windows of a simulated process, of which everything is known, are recorded a thousand times in part.
An interval of 95 % that holds the truth in 95 % of a thousand replays is seen to do so in 93 to 97.
"""

from __future__ import annotations

import random

import pytest
import replays
from replays import by_address, draw_bursts, in_bursts, replay
from simulated import SITES, WINDOW_NS, S, run

from gdbleak.recording.choice import hash_address
from gdbleak.report.window import Sampling
from gdbleak.verdicts import intervals, sampling
from gdbleak.verdicts.bursts import Burst, Bursts, favours_clock
from gdbleak.verdicts.sampling import Sample, estimate

TIMES = 1000
LOW, HIGH = 0.93, 0.97
HOLDING = [name for name in SITES if name != "requests"]


@pytest.fixture(scope="module")
def blocks():
    """Return the blocks of each call stack."""
    made = run(1)
    return {name: [block for block in made if block.site == name] for name in SITES}


@pytest.mark.parametrize("zeros", [1, 3, 5])
@pytest.mark.parametrize("name", HOLDING)
def test_one_block_in_so_many(blocks, name, zeros):
    made = replay(blocks[name], TIMES, by_address(blocks[name], zeros))
    # Of three blocks no interval holds the truth in just that share.
    assert LOW <= made.covered <= (0.99 if (name, zeros) == ("rare leak", 5) else HIGH)
    assert abs(made.bias) < 0.05


@pytest.mark.parametrize("name", HOLDING)
def test_bursts(blocks, name):
    made = replay(blocks[name], TIMES, in_bursts(blocks[name], 40, 0.1))
    # What comes regularly is recorded more evenly than chance has it.
    assert LOW <= made.covered <= (1.0 if name == "leak by the clock" else HIGH)
    assert abs(made.bias) < 0.05


@pytest.mark.parametrize("name", ["leak", "rare leak", "leak of any size", "leak in clumps"])
def test_bursts_of_little_of_the_time(blocks, name):
    made = replay(blocks[name], TIMES, in_bursts(blocks[name], 60, 0.03))
    assert LOW <= made.covered <= 0.98
    assert abs(made.bias) < 0.05


def test_what_holds_nothing_is_not_estimated_to(blocks):
    """Each request's blocks are freed within a tenth of a second."""
    for record in (by_address(blocks["requests"], 3), in_bursts(blocks["requests"], 40, 0.1)):
        for number in range(20):
            value, interval = record(random.Random(number))
            assert value == interval.low == 0
            assert interval.high > 0


# What makes an estimator wrong is seen.


def test_half_of_the_scale_is_seen(blocks):
    made = replay(blocks["leak"], TIMES, in_bursts(blocks["leak"], 40, 0.1, wrong_by=2.0))
    assert made.covered < 0.2
    assert made.bias == pytest.approx(-0.5, abs=0.05)


def test_blocks_taken_to_come_one_by_one_are_seen(blocks, monkeypatch):
    monkeypatch.setattr(sampling, "_spread", lambda *_: (0.0, 0.0))
    name = "leak in clumps"
    assert replay(blocks[name], TIMES, in_bursts(blocks[name], 40, 0.1)).covered < 0.6


def test_an_interval_of_another_width_is_seen(blocks, monkeypatch):
    for z, low, high in ((1.5, 0.8, 0.9), (2.6, 0.98, 1.0)):
        monkeypatch.setattr(intervals, "_Z", z)
        covered = replay(blocks["leak"], TIMES, by_address(blocks["leak"], 3)).covered
        assert low < covered < high


def test_addresses_that_are_kept_in_runs_are_seen(blocks, monkeypatch):
    """Recordings up to version 8 kept blocks so."""
    monkeypatch.setattr(replays, "draw_lot", hash_address)
    name = "leak by the clock"
    assert replay(blocks[name], TIMES, by_address(blocks[name], 1)).covered < 0.6


def unequal_bursts(number, chance):
    """Return bursts that are long and have few calls, or are short and have many."""
    at_ns, bursts = 0, []
    for _ in range(number):
        busy = chance.random() < 0.5
        length_ns = S // 50 if busy else S // 5
        end_ns = at_ns + length_ns
        bursts.append(Burst(at_ns, end_ns - length_ns // 4, end_ns, 400 if busy else 100))
        at_ns = end_ns + S // 2
    return Bursts(tuple(bursts), WINDOW_NS, misses=True)


def births_in(bursts, weights, number, chance):
    """Return when so many blocks were born, in bursts of such weights."""
    chosen = chance.choices(bursts.all, weights, k=number)
    return sorted(chance.randrange(burst.start_ns, burst.until_ns) for burst in chosen)


def test_clock_and_load_are_told_apart_where_bursts_differ():
    right = wrong = 0
    for seed in range(200):
        chance = random.Random(seed)
        bursts = unequal_bursts(40, chance)
        lengths = [burst.until_ns - burst.start_ns for burst in bursts.all]
        by_clock = favours_clock(births_in(bursts, lengths, 12, chance), bursts)
        calls = [burst.calls for burst in bursts.all]
        by_load = favours_clock(births_in(bursts, calls, 12, chance), bursts)
        right += (by_clock > 3) + (by_load < -3)
        wrong += (by_clock < -3) + (by_load > 3)
    assert right > 380
    assert wrong < 4


def test_where_bursts_are_alike_nobody_can_tell():
    bursts = draw_bursts(random.Random(1), 40, 0.1)
    even = [burst._replace(calls=burst.until_ns - burst.start_ns) for burst in bursts.all]
    alike = Bursts(tuple(even), WINDOW_NS, misses=True)
    births = births_in(alike, None, 50, random.Random(2))
    assert favours_clock(births, alike) == pytest.approx(0, abs=1e-9)
    assert favours_clock([], alike) == 0


@pytest.mark.parametrize(("by_clock", "scale"), [(True, 10.0), (False, 80.0)])
def test_scale_of_what_a_clock_triggers(by_clock, scale):
    """The interval holds either, and what chance does."""
    chance = random.Random(3)
    bursts = unequal_bursts(40, chance)
    weights = [b.until_ns - b.start_ns if by_clock else b.calls for b in bursts.all]
    births = births_in(bursts, weights, 30, chance)
    alive = [(born_ns, 100) for born_ns in births]
    ages = [WINDOW_NS - born_ns for born_ns in births]
    how = Sampling(40, 1.0, 1, 1, scale=80.0, scale_low=10.0, scale_high=80.0)
    made = estimate(Sample(alive, [], ages, 100.0, WINDOW_NS), how, bursts)
    assert made.scale == scale
    assert made.outstanding_count == pytest.approx(30 * 4 / 3 * scale, rel=0.01)
    assert made.bytes_between.low < 3000 * 10
    assert made.bytes_between.high > 3000 * 4 / 3 * 80


def test_share_that_is_not_seen_to_be_freed_is_taken_away():
    """Of 1000 blocks, some seem to stay; of those that are freed at once, fewer seem to as well."""
    bursts = draw_bursts(random.Random(4), 40, 0.1)
    births = births_in(bursts, None, 20, random.Random(5))
    alive = [(born_ns, 100) for born_ns in births if born_ns < WINDOW_NS - 10 * S]
    ages = [WINDOW_NS - born_ns for born_ns, _ in alive]
    freed = [1000] * (1000 - len(ages))

    def made(never_freed):
        how = Sampling(40, 1.0, 1, None, 10.0, 10.0, 10.0, never_freed)
        return estimate(Sample(alive, freed, ages, 100.0, WINDOW_NS), how, bursts)

    plain, less, none = made(0.0), made(0.005), made(0.05)
    assert less.outstanding_count == pytest.approx(plain.outstanding_count * (1 - 5 / len(alive)))
    assert less.bytes_between.low < plain.bytes_between.low
    assert less.bytes_between.high == plain.bytes_between.high
    assert (none.outstanding_count, none.bytes_between.low) == (0, 0)
