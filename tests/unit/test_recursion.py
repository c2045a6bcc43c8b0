"""Recursion in a stack: what repeats, and where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.renderers.cycles import find_cycles

ALPHABET = "abcdefghijklmnopq"


@pytest.mark.parametrize(
    ("frames", "cycles"),
    [
        # (start, length, times)
        ("", []),
        ("a", []),
        ("abc", []),
        ("aa", []),
        ("abab", []),
        ("aaa", [(0, 1, 3)]),
        ("xaaay", [(1, 1, 3)]),
        ("xababababy", [(1, 2, 4)]),
        ("abababa", [(0, 2, 3)]),  # the last one stands for itself
        ("aaabbb", [(0, 1, 3), (3, 1, 3)]),
        ("aaabaaabaaab", [(0, 4, 3)]),  # what hides most
        ("aaaaabaaaaab", [(0, 1, 5), (6, 1, 5)]),
        (ALPHABET[:16] * 3, [(0, 16, 3)]),
        (ALPHABET[:17] * 3, []),
    ],
)
def test_find_cycles(frames, cycles):
    assert list(find_cycles(frames)) == cycles


@given(st.text("ab", max_size=60))
def test_nothing_gets_lost(frames):
    rebuilt, shown = "", 0
    for cycle in find_cycles(frames):
        assert shown <= cycle.start
        rebuilt += frames[shown : cycle.start]
        rebuilt += frames[cycle.start : cycle.first_end] * cycle.times
        shown = cycle.end
    assert rebuilt + frames[shown:] == frames
