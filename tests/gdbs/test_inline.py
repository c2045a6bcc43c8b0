"""Each GDB puts a recorder in and takes it out, and no thread notices."""

from __future__ import annotations

import pytest
from support.inline import assert_nothing_left, enter, injection_into, visitor_in

pytestmark = pytest.mark.usefixtures("needs_ptrace", "gdb")

KINDS = ("read", "futex", "timed", "sleep", "poll", "pause", "hot", "signals", "churn")
CYCLES = 5


def test_a_recorder_comes_and_goes(build_target, start_target, tmp_path):
    target = start_target(build_target("waiting.c"), *KINDS)
    with (
        visitor_in(tmp_path / "visits") as visitor,
        injection_into(target.pid, visitor) as injection,
    ):
        for _ in range(CYCLES):
            enter(injection)
            assert injection.remove().ok
            assert_nothing_left(target.pid, injection.implant)
    target.tell("wake")
    results = [target.lines.next().split() for _ in KINDS]
    assert [kind for kind, result in results if result == "wrong"] == []
    assert [kind for kind, _ in results] == [*KINDS]
