"""Cut call stacks are taken for the whole one that begins like them, and for no other."""

from __future__ import annotations

import pytest

from gdbleak.analysis.cut_stacks import complete
from gdbleak.analysis.grouping import Key
from gdbleak.analysis.tally import Tally
from gdbleak.report.history import Span
from gdbleak.unwinding.known_stacks import CallStack

SPAN = Span(0, 10, 10)


def key(text, kind="heap", part=""):
    """Return the key of a call stack of one-letter frames, cut if it ends in a dot."""
    addresses = tuple(map(ord, text.rstrip(".")))
    return Key(CallStack(addresses, text.endswith(".")), kind, part)


def tallies(*keys, staying=()):
    """Return a tally for each key: of 1, 2, 4 ... blocks, of which one stays where that is said."""
    made = {}
    for number, each in enumerate(keys):
        stays = each in staying
        made[each] = Tally(SPAN, allocated_count=1 << number, outstanding_count=int(stays))
    return made


@pytest.mark.parametrize(
    ("stacks", "expected"),
    [
        (["abc", "ab."], {"abc": 3}),
        (["ab.", "abc"], {"abc": 3}),
        (["abcd", "abc.", "a."], {"abcd": 7}),
        (["abcd.", "ab."], {"abcd.": 3}),
        (["abc", "abd", "ab."], {"abc": 1, "abd": 2, "ab.": 4}),
        (["abc", "abd", "abc."], {"abc": 1, "abd": 2, "abc.": 4}),
        (["abcd", "abce", "abc.", "ab."], {"abcd": 1, "abce": 2, "abc.": 4, "ab.": 8}),
        (["abc", "abc.", "ab."], {"abc": 1, "abc.": 2, "ab.": 4}),
        (["abc", "ab"], {"abc": 1, "ab": 2}),
        (["abc", "b."], {"abc": 1, "b.": 2}),
        (["."], {".": 1}),
        ([], {}),
    ],
    ids=str,
)
def test_what_a_cut_stack_is_taken_for(stacks, expected):
    completed = complete(tallies(*map(key, stacks)))
    assert {each: tally.allocated_count for each, tally in completed.items()} == {
        key(stack): count for stack, count in expected.items()
    }


def test_other_kinds_and_parts_are_other_call_stacks():
    keys = key("abc"), key("ab.", kind="mapping"), key("ab.", part="thread 7")
    assert [*complete(tallies(*keys))] == [*keys]


@pytest.mark.parametrize(
    ("stacks", "staying", "expected"),
    [
        (["abc", "ab."], ["ab."], {"abc": 1, "ab.": 2}),
        (["abc", "ab."], ["abc"], {"abc": 3}),
        (["abc", "ab."], ["abc", "ab."], {"abc": 3}),
        (["abcd", "abc.", "ab."], ["abc."], {"abcd": 5, "abc.": 2}),
        (["abcd", "abc.", "ab."], ["ab."], {"abcd": 3, "ab.": 4}),
        (["abcd", "abc.", "ab."], ["abc.", "ab."], {"abcd": 1, "abc.": 6}),
        (["abcd", "abc.", "ab."], ["abcd", "ab."], {"abcd": 7}),
        (["abcd", "abce", "abc.", "ab."], ["ab."], {"abcd": 1, "abce": 2, "abc.": 4, "ab.": 8}),
    ],
    ids=str,
)
def test_blocks_that_stay_are_not_taken_for_those_that_go(stacks, staying, expected):
    completed = complete(tallies(*map(key, stacks), staying=[*map(key, staying)]))
    assert {each: tally.allocated_count for each, tally in completed.items()} == {
        key(stack): count for stack, count in expected.items()
    }
