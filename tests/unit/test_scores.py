"""How verdicts on programs whose leaks are known are counted."""

from __future__ import annotations

import pytest
from support.corpus import Finding
from support.scores import Seen, score, wilson

LEAKING = {"leaks": "leak", "grows": "growing", "works": "keeps"}
SOUND = {"works": "keeps"}


def seen(labels, *words):
    return Seen(
        labels,
        [
            Finding(function, labels.get(function, "keeps"), rank, word, "")
            for rank, (function, word) in enumerate(words, 1)
        ],
    )


def test_leaks_that_are_named_for_certain():
    right = seen(LEAKING, ("leaks", "leak"), ("grows", "growing"), ("works", "churn"))
    scores = score([right])
    assert scores.first == scores.certain == scores.suspected == (2, 2)
    assert scores.right_certain == scores.right_suspected == (2, 2)
    assert scores.sound_suspected == (0, 0)


def test_leaks_that_are_suspected_or_missed():
    scores = score([seen(LEAKING, ("leaks", "leak?"), ("works", "cache?"))])
    assert (scores.first, scores.certain, scores.suspected) == ((1, 2), (0, 2), (1, 2))
    assert (scores.right_certain, scores.right_suspected) == ((0, 0), (1, 1))


def test_what_is_sound_before_a_leak():
    scores = score([seen(LEAKING, ("works", "leak"), ("leaks", "leak"), ("grows", "growing"))])
    assert (scores.first, scores.certain, scores.right_certain) == ((0, 2), (2, 2), (2, 3))


def test_a_sound_program_of_which_something_else_is_suspected():
    scores = score([seen(SOUND, ("noise", "leak?"), ("works", "churn")), seen(SOUND)])
    assert (scores.sound_suspected, scores.right_suspected) == ((1, 2), (0, 1))


def test_the_best_of_several_call_stacks_counts():
    found = seen(LEAKING, ("leaks", "leak"), ("grows", "leak"), ("leaks", "churn"))
    assert score([found]).certain == (2, 2)


def test_what_is_lost():
    findings = [
        Finding("leaks", "leak", 1, "leak", "lost: all", lost=True),
        Finding("works", "keeps", 2, "leak", "lost: all", lost=True),
    ]
    scores = score([Seen(LEAKING, findings, {"leaks"}), Seen(LEAKING, [], {"grows"})])
    assert (scores.lost, scores.right_lost) == ((1, 2), (1, 2))


@pytest.mark.parametrize(
    ("some", "all_", "low", "high"),
    [(0, 10, 0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1), (97, 100, 0.9155, 0.9897)],
)
def test_intervals(some, all_, low, high):
    assert wilson(some, all_) == pytest.approx((low, high), abs=0.0002)
