"""The recorder comes into programs of every kind and goes, again and again: none is harmed."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support.crew import TORTURE, stop
from support.inline import (
    MAX_PAUSE_S,
    assert_nothing_left,
    enter,
    implant_for,
    injection_into,
)
from support.processes import TRACER, wait_until
from support.torture import CROWDS, Crowd, look_at, put_in_and_out, wake

from gdbleak.errors import InjectionError
from gdbleak.injection.filters import find_unfiltered
from gdbleak.injection.remains import iter_copies
from gdbleak.injection.steps import hijack, write
from gdbleak.target.proc import read_mappings

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]

ROUNDS = 1 if TORTURE == 1 else 4 * TORTURE
CYCLE_S = 0.2
"""About how long it takes to put the recorder in and to take it out."""
MOMENT_S = 0.02
HEAP_BYTES = 64 << 20
"""An arena of a thread begins at a multiple of it, and may grow to any size."""


def put_in_again_and_again(target, visitor, implant, tally, dice, rounds):
    """Put the recorder in and take it out, as long as the program lives; then end that."""
    for _ in range(rounds):
        put_in_and_out(target, visitor, implant, tally, dice)
        if not look_at(target, implant, tally):
            return
    wake(target, CROWDS[tally.what], tally)


@pytest.mark.parametrize("name", CROWDS)
def test_in_and_out(gather, visitor, begin_tally, name):
    target, tally, dice = gather(CROWDS[name]), begin_tally(name, "in and out"), random.Random(name)
    implant = implant_for(target.pid)
    put_in_again_and_again(target, visitor, implant, tally, dice, CROWDS[name].rounds)
    tally.assert_all_well()


def test_no_thread_is_sent_that_may_be_cancelled(gather, visitor):
    """It would unwind its stack from within the routine, and leave out its destructors."""
    target = gather(CROWDS["threads are cancelled"])
    implant = implant_for(target.pid)
    image = implant.image
    there = write(image.address, image.code)
    for _ in range(5):
        outcome = visitor.visit(
            target.pid, [there, hijack(image.map_ring, image, find_unfiltered(target.pid))]
        )
        assert (outcome.failed, outcome.hijacked) == (None, target.pid)
        with injection_into(target.pid, visitor, implant) as injection:
            wait_until(injection.ring.read_mapped, "the ring was there")
            assert injection.remove().ok


def tell_to_end(target, _):
    """Have it exit."""
    target.process.stdin.close()


def tell_to_run_another(target, build_target):
    """Have it run another program."""
    target.tell(f"exec {build_target('puppet.c')}")


ENDINGS = {
    "exits": tell_to_end,
    "runs another program": tell_to_run_another,
    "is killed": lambda target, _: target.process.kill(),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_process_ends_meanwhile(gather, visitor, begin_tally, build_target, ending):
    crowd, tally, dice = Crowd(("hot", "read")), begin_tally("2 threads", ending), random.Random(1)
    build_target("puppet.c")
    for _ in range(ROUNDS):
        target = gather(crowd)
        implant = implant_for(target.pid)
        end = threading.Timer(dice.random() * CYCLE_S, ENDINGS[ending], [target, build_target])
        end.start()
        put_in_and_out(target, visitor, implant, tally, dice)
        end.join()
        with tally.noting(tally.harmed):
            if ending == "runs another program":
                assert target.lines.next() == "ready"
                assert target.ask("leak 3") == "leaked"
                look_at(target, implant, tally)
            else:
                assert target.wait() == (0 if ending == "exits" else -signal.SIGKILL)
    tally.assert_all_well()


def test_somebody_stops_and_continues_it(gather, visitor, begin_tally):
    name = "1 thread, hot"
    target, tally = gather(CROWDS[name]), begin_tally(name, "while it is stopped and continued")
    implant, dice, over = implant_for(target.pid), random.Random(2), threading.Event()

    def stop_and_continue():
        while not over.is_set():
            for number in (signal.SIGSTOP, signal.SIGCONT):
                os.kill(target.pid, number)
                over.wait(dice.random() * MOMENT_S)

    somebody = threading.Thread(target=stop_and_continue)
    somebody.start()
    try:
        for _ in range(ROUNDS):
            put_in_and_out(target, visitor, implant, tally, random.Random(3))
    finally:
        over.set()
        somebody.join()
        os.kill(target.pid, signal.SIGCONT)
    if look_at(target, implant, tally):
        wake(target, CROWDS[name], tally)
    tally.assert_all_well()


@pytest.mark.parametrize("limit", [resource.RLIMIT_AS, resource.RLIMIT_DATA])
def test_there_is_no_memory_left(gather, visitor, begin_tally, limit):
    name = "16 threads, hot"
    target, tally, dice = gather(CROWDS[name]), begin_tally(name, "no memory"), random.Random(4)
    implant = implant_for(target.pid)
    resource.prlimit(target.pid, limit, (1 << 20, 1 << 20))
    put_in_again_and_again(target, visitor, implant, tally, dice, ROUNDS)
    assert sum(tally.refused.values()) == tally.times
    tally.assert_all_well()


def test_another_debugger_is_there(gather, visitor, begin_tally, start_target):
    name = "16 threads, wait"
    target, tally = gather(CROWDS[name]), begin_tally(name, "another debugger")
    implant, tracer = implant_for(target.pid), start_target(*TRACER, str(target.pid))
    for _ in range(ROUNDS):
        put_in_and_out(target, visitor, implant, tally, random.Random(5))
    tracer.end()
    assert sum(tally.refused.values()) == tally.times
    if look_at(target, implant, tally):
        wake(target, CROWDS[name], tally)
    tally.assert_all_well()


WIPE_ON_FORK = bytes.fromhex("ba12000000")  # mov $MADV_WIPEONFORK, %edx
UNKNOWN_ADVICE = bytes.fromhex("bae7030000")
FIXED_NO_REPLACE = bytes.fromhex("41ba22401000")  # mov $MAP_FLAGS, %r10d
NO_SUCH_FLAG = bytes.fromhex("41ba22400000")
KERNELS = {
    "before 4.14": {WIPE_ON_FORK: UNKNOWN_ADVICE},
    "before 4.17": {FIXED_NO_REPLACE: NO_SUCH_FLAG},
    "before both": {WIPE_ON_FORK: UNKNOWN_ADVICE, FIXED_NO_REPLACE: NO_SUCH_FLAG},
}


def as_on(kernel, implant):
    """Return what is put into a process, as a kernel understands it that is older than this."""
    code = implant.image.code
    for new, old in KERNELS[kernel].items():
        assert code.count(new) == 1
        code = code.replace(new, old)
    return replace(implant, image=replace(implant.image, code=code))


@pytest.mark.parametrize("name", ["fork", "16 threads, hot"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_older_kernels(gather, visitor, begin_tally, kernel, name):
    target, tally = gather(CROWDS[name]), begin_tally(name, f"kernel {kernel}")
    implant, dice = as_on(kernel, implant_for(target.pid)), random.Random(6)
    put_in_again_and_again(target, visitor, implant, tally, dice, ROUNDS)
    assert not tally.refused
    tally.assert_all_well()


class Blind:
    """A visitor that does not look whether there is memory where the ring goes."""

    def __init__(self, visitor):
        self._visitor = visitor

    def visit(self, pid, steps, patience=1):
        """Do the other steps."""
        others = [step for step in steps if step["do"] != "unmapped"]
        return self._visitor.visit(pid, others, patience)


@pytest.mark.parametrize("kernel", ["before both", "this"])
def test_a_place_that_is_taken_at_the_last_moment(gather, visitor, begin_tally, kernel):
    name = "16 threads, hot"
    target, tally, dice = gather(CROWDS[name]), begin_tally(name, "place taken"), random.Random(7)
    plain = implant_for(target.pid)
    implant = plain if kernel == "this" else as_on(kernel, plain)
    taken = next(each.start for each in read_mappings(target.pid) if each.path == "[stack]")
    # The first word of the image says where the ring goes.
    code = taken.to_bytes(8, "little") + implant.image.code[8:]
    image, ring = replace(implant.image, code=code), replace(implant.ring, address=taken)
    for _ in range(ROUNDS):
        other = replace(implant, image=image, ring=ring)
        put_in_and_out(target, Blind(visitor), other, tally, dice)
        own = [each for each in read_mappings(target.pid) if each.start % HEAP_BYTES]
        assert ring.size not in {each.end - each.start for each in own}
        if not look_at(target, plain, tally):
            break
    else:
        wake(target, CROWDS[name], tally)
    assert sum(tally.refused.values()) == tally.times
    tally.assert_all_well()


@pytest.mark.parametrize("way", ["vfork", "child"])
def test_a_thread_that_cannot_be_halted(vforks, stuck, visitor, way):
    """All others would be held meanwhile."""
    with injection_into(vforks.pid, visitor) as injection:
        enter(injection)
        stuck.begin(way)
        vforks.ask("gap")
        removal = injection.remove(patience_s=1)
        assert float(vforks.ask("gap")) < MAX_PAUSE_S * 1000 / 5
        assert "a thread cannot be halted" in removal.left[0]
        # A child with a memory of its own is repaired meanwhile.
        assert removal.children == (way == "child")
        assert removal.children or {*removal.pauses_ms} == {0}
        stuck.release()
        assert injection.remove().ok
        assert_nothing_left(vforks.pid, injection.implant)
        stuck.begin(way)
        with pytest.raises(InjectionError, match="a thread cannot be halted"):
            injection.map_ring()
        stuck.release()


def test_a_child_of_vfork_is_not_visited(vforks, stuck, visitor):
    """Its memory is that of its parent, whose threads would run meanwhile."""
    implant = implant_for(vforks.pid)
    program = Path(f"/proc/{vforks.pid}/exe").stat()
    where = program.st_dev, program.st_ino
    with injection_into(vforks.pid, visitor, implant) as injection:
        enter(injection)
        stuck.begin("child")
        assert len([*iter_copies(where, implant, vforks.pid)]) == 1
        stuck.release()
        stuck.begin("vfork")
        assert [*iter_copies(where, implant, vforks.pid)] == []
        stuck.release()
        assert injection.remove().ok


def test_it_is_stopped_when_it_is_taken_out(gather, visitor):
    target = gather(CROWDS["1 thread, hot"])
    with injection_into(target.pid, visitor) as injection:
        enter(injection)
        stop(target.pid)
        later = threading.Timer(1, os.kill, [target.pid, signal.SIGCONT])
        later.start()
        removal = injection.remove()
        later.join()
        assert removal.ok, removal.left
        assert_nothing_left(target.pid, injection.implant)
        enter(injection)
        stop(target.pid)
        removal = injection.remove(patience_s=0.2)
        assert f"kill -CONT {target.pid}" in removal.left[0]
        os.kill(target.pid, signal.SIGCONT)
        assert injection.remove().ok
