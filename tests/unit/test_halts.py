"""For how long a thread was halted is told from looks at it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.capture.halts import ERROR, ERROR_S, Edge, Halts, choose_witnesses, find_longest

THREAD, OTHER = 7, 8
MS = 1e-3


def look(halts, *looks, thread=THREAD):
    """Take in looks: when, in ms, and how often it had been switched to, if it was halted."""
    for when_ms, run in looks:
        halts.note(thread, run, when_ms * MS)
    return halts


def test_halt_is_taken_for_the_middle_of_what_it_can_have_been():
    halts = look(Halts(), (0, None), (10, 5), (20, 5), (100, 5), (110, None))
    assert halts.longest_s == pytest.approx(100 * MS)
    assert halts.possible_s == pytest.approx(110 * MS)


def test_halts_between_which_it_has_run_are_two():
    halts = look(Halts(), (0, None), (1, 5), (51, 5), (52, 6), (102, 6), (103, None))
    assert halts.longest_s == pytest.approx(51 * MS)


def test_a_halt_that_lasts_counts_up_to_now():
    halts = look(Halts(), (0, None), (1, 5), (100, 5))
    assert halts.longest_s == pytest.approx(99.5 * MS)
    assert halts.oldest[0] == THREAD
    assert halts.oldest[1].seen_s == pytest.approx(99 * MS)


def test_what_could_be_too_wrong_counts_for_as_long_as_it_was_seen():
    halts = look(Halts(), (0, None), (100, 5), (110, 5), (112, None))
    assert halts.longest_s == pytest.approx(10 * MS)
    assert halts.possible_s == pytest.approx(112 * MS)


def test_what_was_seen_once_may_have_been_a_stop():
    halts = look(Halts(), (0, None), (100, 5), (200, None))
    assert halts.longest_s <= ERROR_S
    assert halts.possible_s == 0
    assert halts.oldest is None


def test_the_oldest_is_of_those_that_were_seen_twice():
    halts = look(Halts(), (0, 5))
    look(halts, (1, 5), (2, 5), thread=OTHER)
    assert halts.oldest[0] == OTHER
    look(halts, (3, 5))
    assert halts.oldest[0] == THREAD


def test_a_thread_that_has_ended_is_forgotten():
    halts = look(Halts(), (0, None), (1, 5), (51, 5))
    halts.keep([OTHER])
    assert halts.oldest is None
    assert halts.longest_s == pytest.approx(50.5 * MS)
    look(halts, (1000, 5), (1001, 5))  # another of its number
    assert halts.longest_s == pytest.approx(50.5 * MS)


@given(
    st.floats(0, 0.1),
    st.floats(0.001, 1),
    st.lists(st.floats(0.0005, 0.05), min_size=1, max_size=30),
)
def test_an_estimate_is_near_or_least(began_s, lasts_s, steps_s):
    """Whenever it was looked at."""
    halts = Halts()
    now_s, number = 0.0, 0
    halts.note(THREAD, None, now_s)
    while now_s <= began_s + lasts_s:
        now_s += steps_s[number % len(steps_s)]
        number += 1
        halts.note(THREAD, 5 if began_s < now_s <= began_s + lasts_s else None, now_s)
    longest_s, is_least = find_longest(halts, [], 0, 0)
    error_s = max(2 * ERROR * lasts_s, 2 * ERROR_S)
    assert longest_s <= lasts_s + error_s
    if longest_s > ERROR_S and not is_least:
        assert longest_s >= lasts_s - error_s


def test_what_is_too_short_to_be_seen_has_bounds():
    edges = [Edge(1.4 * MS, 1.2 * MS), Edge(0.9 * MS, 1.1 * MS)]
    assert find_longest(Halts(), edges, 0, 0) == (1.2 * MS, False)


def test_what_was_seen_is_believed_more_than_bounds():
    halts = look(Halts(), (0, None), (1, 5), (40, 5), (41, None))
    edges = [Edge(52 * MS, 2 * MS), Edge(350 * MS, 2 * MS)]
    longest_s, is_bound = find_longest(halts, edges, 0, 0)
    assert (longest_s == pytest.approx(40 * MS), is_bound) == (True, False)


def test_bounds_hold_where_nobody_had_time_to_look():
    edges = [Edge(52 * MS, 200 * MS), Edge(3 * MS, 1 * MS)]
    assert find_longest(Halts(), edges, 0, 0) == (52 * MS, False)


def test_an_attach_of_which_nothing_is_known_may_have_been_long():
    assert find_longest(Halts(), [Edge(), Edge(1 * MS, 1 * MS)], 0, 0) == (1 * MS, True)


@pytest.mark.parametrize(("possible_ms", "is_least"), [(30, False), (60, True)])
def test_a_call_that_may_have_waited_for_longer(possible_ms, is_least):
    assert find_longest(Halts(), [], 30 * MS, possible_ms * MS) == (30 * MS, is_least)


@pytest.mark.parametrize(("count", "chosen"), [(0, []), (1, [0]), (2, [0, 1]), (9, [0, 1, 4, 8])])
def test_witnesses(count, chosen):
    assert choose_witnesses([*range(count)]) == chosen
