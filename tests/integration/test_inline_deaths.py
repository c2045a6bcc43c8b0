"""GDB, or gdbleak with it, is killed while the recorder comes or goes: the process lives on."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from contextlib import suppress

import pytest
from support.crew import TORTURE, running_beside
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
from support.processes import state_of, wait_until
from support.torture import CROWDS, Tally, look_at, put_in, put_in_and_out, shorten, wake

from gdbleak.errors import GdbleakError
from gdbleak.injection.rescue import rescue

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace", "state")]

THREADS = ("hot", "signals", "churn", "read", "futex", "sleep", "epoll")
ROUNDS = 2 * TORTURE
EVERY = 1 if TORTURE > 1 else 2
"""Before every other step, to be quick."""
FEW = "16 threads, hot", "16 threads, wait"
CHOSEN = (
    *FEW,
    "1 thread, hot",
    "200 threads, wait",
    "signal handlers",
    "threads come and go",
    "fork",
    "all of these",
)


@pytest.fixture
def target(build_target, start_target):
    return start_target(build_target("waiting.c"), *THREADS)


def abandon(journal):
    """Make a journal that of a gdbleak that has been killed."""
    text = journal.path.read_text()
    journal.path.write_text(text.replace(f'"controller": {os.getpid()}', '"controller": 4194305'))


def assert_works(target, kinds=THREADS):
    """Assert that a process lives, and that each of its threads has done what it should."""
    target.tell("wake")
    for kind in kinds:
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
    """Assert that a process can be repaired, and lives; return what was said of it."""
    [outcome] = rescue(target.pid)
    assert outcome.ok, (place, outcome.text)
    assert_nothing_left(target.pid, implant)
    target.assert_as_found()
    return outcome.text


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
            place += EVERY
    assert place > 3 * len(implant.image.jumps)
    assert_works(target)


@pytest.mark.parametrize("dies", ["gdb", "gdbleak", "gdb and gdbleak"])
@pytest.mark.parametrize("name", CHOSEN if TORTURE > 1 else FEW)
def test_death_at_a_random_moment(gather, begin_tally, tmp_path, name, dies):
    target, tally = gather(CROWDS[name]), begin_tally(name, f"kill {dies}")
    implant, dice = implant_for(target.pid), random.Random(f"{name} {dies}")
    with visitor_in(tmp_path / "visits") as visitor:
        took_s = min(measure(target, visitor, implant, dice) for _ in range(3))
    for _ in range(ROUNDS):
        moment_s, folder = dice.random() * took_s, tmp_path / str(tally.times)
        kill_at(moment_s, target, implant, tally, dies, folder)
        if not look_at(target, implant, tally):
            break
    else:
        wake(target, CROWDS[name], tally)
    tally.assert_all_well()


def measure(target, visitor, implant, dice):
    """Return how long it takes, in seconds, to put the recorder in and to take it out."""
    began_s, tally = time.monotonic(), Tally("", "")
    put_in_and_out(target, visitor, implant, tally, dice)
    tally.assert_all_well()
    return time.monotonic() - began_s


def kill_at(moment_s, target, implant, tally, dies, folder):
    """Kill what puts the recorder in and takes it out; repair what is left then."""
    tally.times += 1
    journal = journal_for(target.pid, implant)
    tool, gdb = start_tool(target, implant, journal, folder)
    time.sleep(moment_s)
    for process, its_name in ((gdb, "gdb"), (tool, "gdbleak")):
        if its_name in dies.split(" and "):
            os.kill(process, signal.SIGKILL)
    with tally.noting(tally.harmed):
        assert wait_for(tool) == (0 if dies == "gdb" else -signal.SIGKILL)
        wait_until(lambda: running_beside(target) == [], "GDB and its guard had ended")
        wait_until(lambda: state_of(target.pid) in "RSD", "the process ran on", 5)
    if journal.path.exists():
        abandon(journal)
        [outcome] = rescue(target.pid)
        if not outcome.ok:  # a thread gets no processor
            tally.repaired[f"not at once, {shorten(outcome.text)}"] += 1
        with tally.noting(tally.left):
            said = outcome.text if outcome.ok else assert_rescued(target, implant)
            if "took out" in said or "continued" in said:
                tally.repaired[shorten(said.partition(": ")[2])] += 1


def start_tool(target, implant, journal, folder):
    """Start a process that puts the recorder in and takes it out; return its PID and its GDB's."""
    told, tell = os.pipe()
    tool = os.fork()
    if not tool:
        status = 1
        try:
            with visitor_in(folder, journal=journal) as visitor:
                os.write(tell, f"{visitor.pid}\n".encode())
                with injection_into(target.pid, visitor, implant, journal) as injection:
                    # What it raises was taken back.
                    with suppress(GdbleakError):
                        while visitor.launches == 1:
                            put_in(injection, random.Random(os.getpid()))
                            assert injection.remove().ok
                    assert injection.remove().ok
            journal.path.unlink()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(tell)
    gdb = os.read(told, 16)
    os.close(told)
    return tool, int(gdb)


def wait_for(tool):
    """Return with which status a process of ours has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(tool, 0)[1])
