"""At what speed a process ran, and that no word is surer than that allows."""

from __future__ import annotations

import pytest

from gdbleak.recording.events import Turn
from gdbleak.recording.phases import Phase
from gdbleak.recording.rate import Rate, unknown
from gdbleak.report.model import Verdict, Word
from gdbleak.verdicts.slowdown import SLOW, lower, measure_speed

S = 10**9
WHOLE = [Turn(5 * S, Phase.ALL)]
RATE = Rate(1000, 900)
LEAK = Verdict(Word.LEAK, "0 of 99 freed, up to 9 s old", 1.0, 0.9, 1.0, 5.0)


def test_a_window_that_was_recorded_whole():
    assert measure_speed(WHOLE, 15 * S, 900, RATE, 5.0) == pytest.approx(0.09)


def test_bursts_slow_a_process_only_while_they_last():
    """For 3 of 10 s breakpoints were in; 2 of them counted, with a tenth of the usual calls."""
    turns = [
        Turn(S, Phase.ALL),
        Turn(2 * S, Phase.NONE),
        Turn(5 * S, Phase.SETTLING),
        Turn(6 * S, Phase.FEWER),
        Turn(7 * S, Phase.NONE),
    ]
    assert measure_speed(turns, 11 * S, 200, RATE, 3.0) == pytest.approx(1 - 0.3 * 0.9)


def test_the_tail_does_not_count():
    turns = [*WHOLE, Turn(15 * S, Phase.FREES), Turn(20 * S, Phase.NONE)]
    assert measure_speed(turns, 15 * S, 900, RATE, 5.0) == pytest.approx(0.09)


def test_a_process_that_does_more_than_before_is_not_faster_than_itself():
    assert measure_speed(WHOLE, 15 * S, 10**6, RATE, 5.0) == 1


@pytest.mark.parametrize(
    ("rate", "stopped_s", "turns"),
    [
        (unknown("nobody could count"), 5.0, WHOLE),
        (Rate(0, 0), 5.0, WHOLE),
        (RATE, 0.1, WHOLE),
        (RATE, None, WHOLE),
        (RATE, 5.0, []),
    ],
    ids=["not measured", "idle before", "not slowed by us", "nobody knows", "no window"],
)
def test_where_nothing_is_known(rate, stopped_s, turns):
    assert measure_speed(turns, 15 * S, 9, rate, stopped_s) is None


@pytest.mark.parametrize("word", Word)
def test_definite_words_are_lowered(word):
    verdict = lower(Verdict(word, "0 of 99 freed"), 0.09, is_lost=False)
    if word in (Word.LEAK, Word.GROWING):
        assert verdict.word is Word.SUSPECT
        assert verdict.evidence == (
            "0 of 99 freed; but the process ran at 9 % of its speed, and what a clock brings about"
            " went on"
        )
    else:
        assert verdict == Verdict(word, "0 of 99 freed")


@pytest.mark.parametrize(
    ("speed", "is_lost"), [(None, False), (SLOW, False), (1.0, False), (0.01, True)]
)
def test_lost_at_any_speed_and_sure_at_full_speed(speed, is_lost):
    assert lower(LEAK, speed, is_lost) is LEAK
