"""How verdicts on programs whose leaks are known are counted."""

from __future__ import annotations

from support.corpus import Finding
from support.scores import Seen, score

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
