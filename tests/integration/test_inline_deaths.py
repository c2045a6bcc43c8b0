"""GDB, or gdbleak with it, is killed while the recorder comes or goes: the process lives on."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
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

from gdbleak.injection.rescue import rescue

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace", "state")]

THREADS = ("hot", "signals", "churn", "read", "futex", "sleep", "epoll")


@pytest.fixture
def target(build_target, start_target):
    return start_target(build_target("waiting.c"), *THREADS)


def abandon(journal):
    """Make a journal that of a gdbleak that has been killed."""
    text = journal.path.read_text()
    journal.path.write_text(text.replace(f'"controller": {os.getpid()}', '"controller": 4194305'))


def assert_works(target):
    """Assert that a process lives, and that each of its threads has done what it should."""
    target.tell("wake")
    for kind in THREADS:
        found, result = target.lines.next().split()
        assert (found, result.isdecimal()) == (kind, True), result


def live_through(target, visitor, implant, journal):
    """Put the recorder in, and take it out; return whether that was not cut."""
    with injection_into(target.pid, visitor, implant, journal) as injection, suppress(KilledError):
        enter(injection)
        assert injection.remove().ok
        return True
    return False


def assert_rescued(target, implant, place=None):
    """Assert that a process can be repaired, and lives."""
    [outcome] = rescue(target.pid)
    assert outcome.ok, (place, outcome.text)
    assert_nothing_left(target.pid, implant)
    target.assert_as_found()


def test_death_before_every_step(target, tmp_path):
    gdb = mortal_gdb(tmp_path)
    implant = implant_for(target.pid)
    place, was_cut = 0, True
    with visitor_in(tmp_path / "visits", gdb) as visitor:
        while was_cut:
            journal = journal_for(target.pid, implant)
            was_cut = not live_through(target, Cut(visitor, place), implant, journal)
            abandon(journal)
            assert_rescued(target, implant, place)
            place += 1
    assert place > 3 * len(implant.image.jumps)
    assert_works(target)
