"""Exceptions leave an `operator new` that is recorded inside the process, as they did before."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest
from support.crew import TORTURE, assert_released
from support.inline import (
    Cut,
    KilledError,
    assert_nothing_left,
    enter,
    implant_for,
    injection_into,
    journal_for,
    mortal_gdb,
    visitor_in,
)
from support.libraries import LIBRARIES, find_library
from support.processes import wait_until

from gdbleak.injection.rescue import rescue

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state")

OPERATORS = 4
THROWING = [name for name in LIBRARIES if name != "mimalloc"]
"""That of the distribution is written in C, and aborts a program where it should throw."""
INLINE = ("--probe", "inline")
ROUNDS = 10 * TORTURE
EVERY = 1 if TORTURE > 1 else 2
"""Before every other step, to be quick."""


@pytest.fixture
def start(build_target, start_target):
    """Return a function that starts the program over an allocator."""

    def start(name):
        library = find_library(LIBRARIES[name])
        return start_target("env", f"LD_PRELOAD={library}", build_target("throws.cpp"))

    return start


def window_of(cli, target, commands):
    """Have a program do something in a window, and return its answers, and the report."""
    trace = cli.start_trace(target.pid, *INLINE)
    answers = [int(target.ask(command)) for command in commands]
    trace.send(signal.SIGINT)
    report = trace.finish().report
    assert report["verification"]["ok"] is True
    assert (report["window"]["inline"]["lost"], report["window"]["inline"]["left"]) == (0, None)
    return answers, report


def assert_throwing(target):
    """Assert that the threads of the program go on."""
    before = int(target.ask("count"))
    wait_until(lambda: int(target.ask("count")) > before + 10, "it went on")


def abandon(journal):
    """Make a journal that of a gdbleak that has been killed."""
    text = journal.path.read_text()
    journal.path.write_text(text.replace(f'"controller": {os.getpid()}', '"controller": 4194305'))


@pytest.mark.parametrize("name", THROWING)
def test_exceptions_leave_operator_new(cli, start, name):
    target = start(name)
    expected = OPERATORS * 2000
    [bad, own], report = window_of(cli, target, ["bad 2000", "handler 2000"])
    assert (bad, own) == (expected, expected)
    # A block by each, and what was thrown.
    allocated = 2 * expected + bad + own
    window = report["window"]
    assert (window["allocations"], window["frees"]) == (allocated, allocated)
    assert int(target.ask("bad 1")) == OPERATORS
    assert_released(target)


@pytest.mark.parametrize("name", LIBRARIES)
def test_blocks_of_every_operator(cli, start, name):
    target = start(name)
    [kept], report = window_of(cli, target, ["keep 500"])
    counts = sorted(site["outstanding_count"] for site in report["sites"])
    assert (kept, sum(counts)) == (4 * 500, 4 * 500)
    assert sum(site["outstanding_bytes"] for site in report["sites"]) == kept * 40


@pytest.mark.parametrize("name", THROWING)
def test_others_unwind_past_the_recorder(cli, start, name):
    """One frame is more there than without: that of the function that the pad belongs to."""
    target = start(name)
    without = int(target.ask("depth"))
    [found], _ = window_of(cli, target, ["depth"])
    assert found == without + 1


def test_what_the_doctor_says(cli, start):
    target = start("mimalloc")
    [pad] = [jump for jump in implant_for(target.pid).image.jumps if jump.is_pad]
    said = cli.run("doctor", target.pid).stdout
    assert f"some of which return by way of {pad.address:#x} in" in " ".join(said.split())


def test_a_return_address_that_is_left_on_a_stack(start, tmp_path):
    """What waits above it cannot be told from what will return there."""
    target = start("jemalloc")
    implant = implant_for(target.pid)
    journal = journal_for(target.pid, implant)
    with (
        visitor_in(tmp_path / "visits") as visitor,
        injection_into(target.pid, visitor, implant, journal) as injection,
    ):
        enter(injection)
        assert int(target.ask("bad 1")) == OPERATORS  # binds what is called there
        assert target.ask("stale") == "ok"
        [left] = injection.remove(patience_s=0.3).left
    assert f"process {target.pid} still holds the recorder, which is off" in left
    assert f"will return there (thread {target.pid})" in left
    assert target.ask("go on") == "ok"
    assert target.ask("bad 10") == str(10 * OPERATORS)
    abandon(journal)
    [outcome] = rescue(target.pid)
    assert outcome.ok, outcome.text
    assert_nothing_left(target.pid, implant)
    target.assert_as_found()


@pytest.mark.slow
@pytest.mark.parametrize("name", THROWING)
def test_it_comes_and_goes_while_exceptions_are_thrown(start, tmp_path, name):
    target = start(name)
    implant = implant_for(target.pid)
    [pad] = [jump for jump in implant.image.jumps if jump.is_pad]
    assert implant.image.jumps[0] is pad
    assert target.ask("start") == "ok"
    with visitor_in(tmp_path / "visits") as visitor:
        for _ in range(ROUNDS):
            with injection_into(target.pid, visitor, implant) as injection:
                enter(injection)
                assert_throwing(target)
                assert injection.remove().left == ()
            assert_nothing_left(target.pid, implant)
    assert target.ask("stop") == "ok"
    target.assert_as_found()


@pytest.mark.slow
def test_death_before_every_step(start, tmp_path):
    target = start("tcmalloc minimal")
    implant, gdb = implant_for(target.pid), mortal_gdb(tmp_path)
    assert target.ask("start") == "ok"
    place, was_cut = EVERY - 1, True
    with visitor_in(tmp_path / "visits", gdb) as visitor:
        while was_cut:
            journal = journal_for(target.pid, implant)
            with (
                injection_into(target.pid, Cut(visitor, place), implant, journal) as injection,
                suppress(KilledError),
            ):
                enter(injection)
                assert injection.remove().ok
                was_cut = False
            abandon(journal)
            [outcome] = rescue(target.pid)
            assert outcome.ok, (place, outcome.text)
            assert_nothing_left(target.pid, implant)
            target.assert_as_found()
            assert_throwing(target)
            place += EVERY
    assert place > 3 * len(implant.image.jumps)
    assert target.ask("stop") == "ok"
