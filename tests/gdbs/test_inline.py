"""Each GDB puts a recorder in and takes it out, and no thread notices."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.inline import assert_nothing_left, enter, injection_into, visitor_in
from support.processes import status_of

from gdbleak.target.proc import list_threads

pytestmark = pytest.mark.usefixtures("needs_ptrace", "gdb")

KINDS = ("read", "futex", "timed", "sleep", "poll", "pause", "hot", "signals", "churn")
CYCLES = 5
CAP_SYS_ADMIN = 21


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


def test_filters_are_read(build_target, start_target, tmp_path):
    if not int(status_of(Path("/proc/self"))["CapEff"], 16) >> CAP_SYS_ADMIN & 1:
        pytest.skip("only root of the host may read seccomp filters")
    filtered = build_target("filtered.c")
    target = start_target(filtered, "narrow", filtered, "pointer")
    with (
        visitor_in(tmp_path / "visits") as visitor,
        injection_into(target.pid, visitor) as injection,
    ):
        able = injection.find_able()
        assert {*able} == {*list_threads(target.pid)}
        assert {len(filters) for filters in able.values()} == {2}
        for _ in range(CYCLES):
            enter(injection)
            assert injection.remove().ok
            assert_nothing_left(target.pid, injection.implant)
    assert target.ask("allocate") == "allocated"
