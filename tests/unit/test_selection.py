"""How a user describes a function of the program's own."""

from __future__ import annotations

import pytest

from gdbleak.errors import UsageError
from gdbleak.plan.selection import parse_function
from gdbleak.recording.functions import AllocatorFunction


@pytest.mark.parametrize(
    ("text", "allocates", "function"),
    [
        ("get:size=2", True, AllocatorFunction("get", sizes=(1,))),
        ("get:size=2,count=1", True, AllocatorFunction("get", sizes=(1, 0))),
        ("get:size=6,ptr=1", True, AllocatorFunction("get", sizes=(5,), pointer=0)),
        ("get:result=1,size=3", True, AllocatorFunction("get", sizes=(2,), result=0)),
        ("_ZN4pool3putEPv:ptr=2", False, AllocatorFunction("_ZN4pool3putEPv", pointer=1)),
    ],
)
def test_description(text, allocates, function):
    assert parse_function(text, allocates=allocates) == function


@pytest.mark.parametrize(
    ("text", "allocates", "words"),
    [
        ("", True, "which argument is the size"),
        ("get", True, "which argument is the size"),
        (":size=1", True, "which argument is the size"),
        ("get:count=1", True, "which argument is the size"),
        ("get:size", True, "size has to be a number from 1 to 6"),
        ("get:size=0", True, "from 1 to 6"),
        ("get:size=7", True, "from 1 to 6"),
        ("get:size=x", True, "from 1 to 6"),
        ("get:size=1,size=2", True, "'size' is not expected"),
        ("get:colour=1", True, "'colour' is not expected"),
        ("put:size=1", False, "'size' is not expected"),
        ("put", False, "which argument is the block"),
    ],
)
def test_description_that_makes_no_sense(text, allocates, words):
    with pytest.raises(UsageError, match=words) as caught:
        parse_function(text, allocates=allocates)
    assert ("--alloc" if allocates else "--free") in caught.value.help_text
