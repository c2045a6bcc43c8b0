"""The budget is kept, whatever the target does; who costs less than it allows sees no gap."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.capture.budget import (
    COUNTED_S,
    CREDIT_S,
    LEAST_COUNTED_S,
    LONGEST_COUNTED_S,
    MARGIN,
    STOPS,
    Schedule,
)
from gdbleak.capture.slowness import MAX_THREADS, STOP_NS, Calls, Slowness
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Role

TICK_S = 0.01
ENTRY, RETURN, ESCAPE = Role.ENTRY, Role.RETURN, Role.ESCAPE


def play(schedule, loads):
    """Play a window, a tick at a time, and return the phases and the seconds slowed.

    A load is the share of a tick in which the target is slowed when all breakpoints are in.
    """
    slowed_s = 0.0
    phases = []
    for tick, load in enumerate(loads):
        armed = bool(phases) and phases[-1] is not Phase.NONE
        phases.append(schedule.choose(tick * TICK_S, slowed_s, armed))
        slowed_s += TICK_S * load * (phases[-1] is not Phase.NONE)
    return phases, slowed_s


shares = st.floats(0.001, 0.999)


@given(shares, st.lists(st.floats(0, 1), min_size=1, max_size=1500))
def test_no_stretch_of_time_costs_more_than_the_budget(share, loads):
    schedule = Schedule(1e9, 0, share, seed=1)
    phases, _ = play(schedule, loads)
    costs = [TICK_S * load * (phase is not Phase.NONE) for load, phase in zip(loads, phases)]
    # It may begin with what was earned before, or owed, or with a burst that is paid for later.
    most_s = share * 3 * CREDIT_S + 4 * COUNTED_S + 3 * TICK_S
    for first in range(0, len(costs), 97):
        stretch = costs[first:]
        assert sum(stretch) <= share * TICK_S * len(stretch) + most_s


@given(shares, st.floats(0, 1))
def test_little_is_owed_at_the_end(share, load):
    schedule = Schedule(2, 0, share, seed=1)
    _, slowed_s = play(schedule, [load] * 200)
    assert (
        slowed_s <= share * (2 + CREDIT_S) + 2 * max(share * 2 / 10, LEAST_COUNTED_S) + 2 * TICK_S
    )


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5])
def test_a_busy_target_is_slowed_for_its_share(share):
    phases, slowed_s = play(Schedule(100, 0, share, seed=1), [1.0] * 10_000)
    assert 0.8 * share * 100 <= slowed_s <= share * 100
    assert len(bursts_of(phases)) >= 7


def bursts_of(phases):
    """Return the lengths of bursts, in ticks, and those of the pauses before them."""
    runs = [(is_out, len([*run])) for is_out, run in groupby(phases, lambda p: p is Phase.NONE)]
    return [(pause, burst) for (is_out, pause), (_, burst) in zip(runs, runs[1:]) if is_out]


def ticks(seconds):
    """Return how many ticks a time may take that ends with one."""
    return {round(seconds / TICK_S), round(seconds / TICK_S) + 1}


def play_busy(schedule, round_s=0.0, count=100_000):
    """Play a window on a target that is busy all the time; return the phases and their ticks."""
    phases = [Phase.ALL]
    for tick in range(count):
        armed = phases[-1] is not Phase.NONE
        phases.append(schedule.choose(tick * TICK_S, tick * TICK_S, armed, round_s))
    first = phases.index(Phase.NONE)
    return [(phase, len([*run])) for phase, run in groupby(phases[first:])][:-1]


def test_bursts_begin_at_random_moments():
    runs = play_busy(Schedule(1000, 0, 0.3, seed=1))
    pauses = [length for phase, length in runs if phase is Phase.NONE]
    average = 1.5 * COUNTED_S * (1 - 0.3 * MARGIN) / (0.3 * MARGIN) / TICK_S
    assert sum(pauses) / len(pauses) == pytest.approx(average, rel=0.1)
    assert min(pauses) < average / 2
    assert max(pauses) > 3 / 2 * average


@pytest.mark.parametrize(
    ("round_s", "expected_s"),
    [
        (0, COUNTED_S),
        (1.2 * COUNTED_S / STOPS, 1.2 * COUNTED_S),
        (60, LONGEST_COUNTED_S),
    ],
)
def test_bursts_are_long_enough_for_requests_and_have_a_bound(round_s, expected_s):
    """Where many threads wait for each other at breakpoints, a request takes longer."""
    runs = play_busy(Schedule(1000, 0, 0.3, seed=1), round_s)[2:]
    assert {length for phase, length in runs if phase is Phase.FEWER} <= ticks(expected_s)


def test_what_a_burst_sees_first_does_not_count_for_a_random_time():
    runs = play_busy(Schedule(1000, 0, 0.3, seed=1))
    settling = [length for phase, length in runs if phase is Phase.SETTLING]
    assert sum(settling) / len(settling) == pytest.approx(COUNTED_S / 2 / TICK_S, rel=0.2)
    assert {*settling} == {*range(1, max(ticks(COUNTED_S)))}
    assert {phase for phase, _ in runs} == {Phase.NONE, Phase.SETTLING, Phase.FEWER}


def test_nobody_foresees_when_a_burst_begins():
    one, other = (play(Schedule(100, 0, 0.3), [1.0] * 10_000)[0] for _ in range(2))
    assert one != other


def test_short_windows_have_several_bursts():
    phases, _ = play(Schedule(2, 0, 0.3, seed=1), [1.0] * 200)
    assert len(bursts_of(phases)) >= 4


@given(shares)
def test_a_target_within_its_budget_sees_no_gap(share):
    phases, _ = play(Schedule(1e9, 0, share), [share * MARGIN * 0.99] * 1000)
    assert set(phases) == {Phase.ALL}


def test_once_it_was_used_up_sizes_are_left_to_the_blocks():
    schedule = Schedule(1e9, 0, 0.3)
    assert not schedule.samples
    phases, _ = play(schedule, [1.0] * 1000)
    first_gap = phases.index(Phase.NONE)
    assert [phase for phase, _ in groupby(phases[: first_gap + 1])] == [
        *(Phase.ALL, Phase.FEWER, Phase.NONE)
    ]
    assert set(phases[first_gap:]) == {Phase.SETTLING, Phase.FEWER, Phase.NONE}
    assert schedule.samples


def test_what_is_cheap_enough_without_sizes_sees_no_gap():
    schedule = Schedule(1e9, 0, 0.3)
    slowed_s = 0.0
    phase = Phase.ALL
    for tick in range(5000):
        phase = schedule.choose(tick * TICK_S, slowed_s, armed=True)
        slowed_s += TICK_S * (0.4 if phase is Phase.ALL else 0.26)
    assert (phase, schedule.samples) == (Phase.FEWER, False)


def test_bursts_pay_for_all_of_their_time():
    """On a crowded host a target is slowed by more than its stops tell."""
    schedule = Schedule(1e9, 0, 0.2, seed=1)
    play(schedule, [1.0] * 500)
    armed = ticks = 0
    phase = Phase.NONE
    for tick in range(500, 50_000):
        phase = schedule.choose(tick * TICK_S, 1.0, phase is not Phase.NONE)
        ticks += 1
        armed += phase is not Phase.NONE
    assert armed / ticks == pytest.approx(0.2 * MARGIN, rel=0.05)


def test_an_estimate_that_falls_gives_nothing_back():
    schedule = Schedule(1e9, 0, 0.3)
    phases = [schedule.choose(tick * TICK_S, (tick % 2) * 0.02, armed=True) for tick in range(1000)]
    assert set(phases) == {Phase.ALL}
    assert schedule.choose(1000 * TICK_S, 0.4, armed=True) is Phase.NONE


def test_a_calm_hour_earns_no_long_storm():
    _, slowed_s = play(Schedule(1e9, 0, 0.1, seed=1), [0.0] * 100_000 + [1.0] * 100)
    assert slowed_s <= 0.1 * (1 + 2 * CREDIT_S) + 2 * COUNTED_S + 3 * TICK_S


def test_with_all_of_the_time_everything_is_recorded():
    phases, _ = play(Schedule(9.995, 5, 1.0), [1.0] * 1500)
    assert phases == [Phase.ALL] * 1000 + [Phase.FREES] * 500


def test_the_tail_is_slowed_for_its_share_too():
    schedule = Schedule(49.995, 50, 0.2, seed=1)
    assert schedule.end_s == pytest.approx(99.995)
    phases, slowed_s = play(schedule, [1.0] * 10_000)
    assert set(phases[5000:]) == {Phase.FREES, Phase.NONE}
    assert slowed_s == pytest.approx(20 * MARGIN, rel=0.05)


US = 1000


def slowness(*stops):
    """Return what was made of stops: microseconds since the last, thread, role."""
    slowness = Slowness()
    now = 10**15
    slowness.add(now, 0, ENTRY)
    first_ns = slowness.total_ns
    for gap_us, thread, role in stops:
        now += gap_us * US
        slowness.add(now, thread, role)
    slowness.total_ns -= first_ns
    return slowness


def test_the_first_stop_costs_what_stops_cost():
    start = Slowness()
    start.add(10**15, 1, ENTRY)
    assert start.total_ns == STOP_NS


def test_stops_without_pause_are_all_there_is():
    assert slowness(*[(200, 1, ENTRY)] * 1000).total_ns == 1000 * 200 * US


def test_stops_far_apart_cost_what_stops_cost():
    assert slowness(*[(50_000, 1, ENTRY)] * 10).total_ns == 10 * STOP_NS


@pytest.mark.parametrize("true_us", [30, 100, 400, 900])
def test_cost_of_a_stop_is_learned_from_calls(true_us):
    calls = [(50_000, 1, ENTRY), (true_us, 1, RETURN)] * 1000
    learned = slowness(*calls)
    assert learned.stop_ns == pytest.approx(true_us * US, rel=0.05)
    sparse = learned.total_ns
    assert sparse == pytest.approx(2000 * true_us * US, rel=0.3)


def test_a_call_that_took_long_teaches_little():
    calls = [(50_000, 1, ENTRY), (200, 1, RETURN)] * 200
    after = slowness(*calls, (0, 1, ENTRY), (10**6, 1, RETURN))
    before = slowness(*calls)
    assert after.stop_ns < 300 * US
    # It may have moved much memory: that is no slowness of ours.
    assert after.total_ns < before.total_ns + 60_000 * US


def test_waits_for_a_processor_count_whole():
    """On a busy host GDB, or the thread, waits at every tenth stop; two thirds of the time."""
    calls = [[(200, 1, ENTRY), (200, 1, RETURN), (200, 1, ESCAPE)] for _ in range(2000)]
    for number, call in enumerate(calls):
        place, (_, thread, role) = number % 3, call[number % 3]
        if number % 4 == 0:
            call[place] = (5000, thread, role)
    stops = [stop for call in calls for stop in call]
    waited_us = sum(gap_us for gap_us, _, _ in stops)
    assert slowness(*stops).total_ns == pytest.approx(waited_us * US, rel=0.1)


def test_a_thread_that_works_between_its_calls_is_not_slowed_by_that():
    """Of 10 ms; where GDB waits now and then, a stop costs more on average, and no other more."""
    calls = []
    for number in range(3000):
        calls += [(9600, 1, ENTRY), (200, 1, RETURN), (200, 1, ESCAPE)]
        if number % 30 == 0:
            calls[-2] = (5000, 1, RETURN)
    ours_us = sum(gap_us for gap_us, _, role in calls if role is not ENTRY) + 3000 * 360
    assert ours_us * US < slowness(*calls).total_ns < 1.4 * ours_us * US


def test_calls_of_other_threads_teach_nothing():
    assert slowness(*[(9, 1, ENTRY), (9, 2, RETURN)] * 100).stop_ns == STOP_NS


@pytest.mark.parametrize("true_us", [30, 100, 400, 900])
@pytest.mark.parametrize("threads", [2, 3, 16])
def test_cost_of_a_stop_is_learned_from_calls_that_wait_for_each_other(threads, true_us):
    """No return follows the entry of its own thread."""
    turns = [(true_us, thread, role) for role in (ENTRY, RETURN) for thread in range(threads)]
    learned = slowness(*turns * 200)
    assert learned.stop_ns == pytest.approx(true_us * US, rel=0.05)
    assert learned.total_ns == pytest.approx(400 * threads * true_us * US, rel=0.05)


def test_a_free_teaches_nothing():
    """Nobody sees its return; the next may be that of a call whose entry was not seen."""
    assert slowness(*[(900, 1, ESCAPE), (900, 1, RETURN)] * 100).stop_ns == STOP_NS


def test_a_call_whose_return_was_not_seen_teaches_nothing():
    learned = slowness((50_000, 1, ENTRY))
    learned.forget()
    learned.add(10**16, 1, RETURN)
    assert learned.stop_ns == STOP_NS


def test_entries_of_threads_without_end_are_not_kept():
    learned = slowness(*[(1, thread, ENTRY) for thread in range(3 * MAX_THREADS)])
    assert len(learned._calls) <= MAX_THREADS


def test_a_clock_that_goes_back_costs_nothing():
    assert slowness((-500, 1, ENTRY), (500, 1, ENTRY)).total_ns <= 500 * US


def held(*stops):
    """Return what calls were held up for, and may have been, in microseconds.

    Args:
        stops: Thread, role, and microseconds that stops have taken since the one before.

    """
    calls = Calls()
    total_ns = 0
    for thread, role, took_us in stops:
        total_ns += took_us * US
        calls.add(thread, role, total_ns, 250 * US)
    return calls.longest_ns / US, calls.possible_ns / US


def test_call_of_one_thread_is_two_stops():
    assert held((1, ENTRY, 250), (1, RETURN, 250)) == (500, 500)


def test_call_waits_for_the_stops_of_others():
    others = [(number, ENTRY, 250) for number in range(2, 17)]
    assert held((1, ENTRY, 250), *others, (1, RETURN, 250)) == (4250, 4250)
    # Once more the same: it has waited at its entry, too.
    assert held(*[(1, ENTRY, 250), *others, (1, RETURN, 250), *others] * 2) == (8000, 8000)


def test_what_a_thread_has_waited_at_its_entry_is_a_guess():
    others = [(2, ENTRY, 250)] * 99
    assert held((1, RETURN, 250), *others, (1, ENTRY, 250), (1, RETURN, 250)) == (500, 25_250)


def test_what_is_no_call_does_not_count():
    assert held((1, ESCAPE, 250), (2, ENTRY, 9000), (1, RETURN, 250)) == (0, 0)
    calls = Calls()
    calls.add(1, ENTRY, 0, 250 * US)
    calls.forget()
    calls.add(1, RETURN, 10**9, 250 * US)
    assert calls.longest_ns == 0


def test_stops_of_threads_without_end_are_not_kept():
    calls = Calls()
    for thread in range(3 * MAX_THREADS):
        calls.add(thread, ENTRY, thread, 1)
    assert len(calls._latest) <= MAX_THREADS
