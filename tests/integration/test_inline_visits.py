"""The recorder comes into a process and goes, and the process notices nothing of it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import struct
from dataclasses import replace

import pytest
from support.inline import (
    assert_nothing_left,
    enter,
    implant_for,
    injection_into,
    journal_for,
    visitor_in,
)
from support.processes import TRACER, assert_as_found, state_of, wait_until

from gdbleak.debugger.program import find_gdb
from gdbleak.errors import InjectionError, NoSuchProcessError
from gdbleak.injection.removal import Removal
from gdbleak.injection.restorers import find_restorers
from gdbleak.injection.steps import expect, expect_absent, tell_registers, write
from gdbleak.injection.thread_facts import find_thread_facts
from gdbleak.inline.ring import DONE, WIPED
from gdbleak.target.proc import Memory, list_threads, read_mappings

pytestmark = pytest.mark.usefixtures("needs_ptrace")

WAITING = ("read", "futex", "timed", "sleep", "poll", "epoll", "pause")
BUSY = ("hot", "signals", "churn")
CYCLES = 3


@pytest.fixture
def start(build_target, start_target):
    """Return a function that starts threads of some kinds."""
    return lambda *kinds: start_target(build_target("waiting.c"), *kinds)


def wake(target, kinds):
    """End what the threads do; return what each has made of its time."""
    target.tell("wake")
    results = [target.lines.next().split() for _ in kinds]
    assert [kind for kind, _ in results] == [*kinds]
    assert "wrong" not in {result for _, result in results}, results
    return [int(result) for _, result in results]


def cycle(target, visitor):
    """Put the recorder in, have it record, and take it out; return how often GDB has attached."""
    with injection_into(target.pid, visitor) as injection:
        enter(injection)
        entered = len(injection.pauses_ms)
        removal = injection.remove()
        assert removal.ok, removal.left
        assert_nothing_left(target.pid, injection.implant)
        return entered + removal.attaches


@pytest.mark.parametrize(
    "kinds",
    [*((kind,) for kind in (*WAITING, *BUSY)), (), WAITING, BUSY, (*WAITING, *BUSY), BUSY * 5],
    ids=lambda kinds: f"{len(kinds)} {'-'.join(kinds[:3])}",
)
def test_threads_notice_nothing(start, visitor, kinds):
    target = start(*kinds)

    attaches = sum(cycle(target, visitor) for _ in range(CYCLES))

    assert attaches >= 4 * CYCLES
    for kind, result in zip(kinds, wake(target, kinds)):
        if kind in BUSY:
            assert result > 0
        else:  # an attach interrupts the wait for an event; the kernel repeats all others
            assert result <= (attaches if kind == "epoll" else 0)


def test_calls_are_recorded_from_the_switch_on(start, visitor):
    target = start("hot")
    with injection_into(target.pid, visitor) as injection:
        enter(injection, on=False)
        assert injection.ring.read_mapped() == DONE + WIPED
        assert injection.ring.read_tickets() == 0
        injection.switch(on=True)
        wait_until(injection.ring.read_tickets, "calls had been recorded")
        assert injection.remove().ok


def test_steps_end_with_the_first_that_fails(start, visitor):
    target = start("pause")
    place = read_mappings(target.pid)[0].start
    elf, other, never = expect(place, b"\x7fELF"), expect(place, b"none"), write(place, b"never")
    outcome = visitor.visit(target.pid, [tell_registers(), elf, other, never])
    assert (outcome.done, outcome.failed, outcome.why) == (
        2,
        "expect",
        f"other bytes stand at {place:#x}",
    )
    assert {thread.id for thread in outcome.threads} == {*list_threads(target.pid)}
    assert all(thread.fs_base and thread.call >= 0 for thread in outcome.threads)


def test_facts_of_threads(start, visitor):
    target = start(*WAITING)
    outcome = visitor.visit(target.pid, [tell_registers()])
    mappings = read_mappings(target.pid)
    with injection_into(target.pid, visitor) as injection:
        facts = find_thread_facts(target.pid, outcome.threads, mappings, injection.memory)
        alone = [thread for thread in outcome.threads if thread.id == target.pid]
        none = find_thread_facts(target.pid, alone, mappings, injection.memory)

    [stack] = [each for each in mappings if each.path == "[stack]"]
    assert facts.main_stack == none.main_stack == (stack.start, stack.end)
    assert facts.stack_block
    assert facts.thread_id
    assert (none.stack_block, none.thread_id) == (0, 0)


def test_children_that_live_on_are_repaired_too(start, visitor):
    target = start("hot")
    with injection_into(target.pid, visitor) as injection:
        enter(injection)
        children = [int(target.ask("fork 9")) for _ in range(2)]
        removal = injection.remove()

        assert (removal.ok, removal.children) == (True, 2)
        for child in children:
            assert_nothing_left(child, injection.implant)
            assert_as_found(child)
            os.kill(child, signal.SIGKILL)


def test_a_process_that_ends(start, visitor):
    target = start("hot")
    with injection_into(target.pid, visitor) as injection:
        enter(injection)
        target.process.kill()
        target.process.wait()
        assert injection.remove() == Removal(0, (), ())
        with pytest.raises(NoSuchProcessError):
            injection.map_ring()


def test_a_process_that_runs_another_program(start, visitor, build_target):
    target = start("hot")
    with injection_into(target.pid, visitor) as injection:
        enter(injection)
        assert target.ask(f"exec {build_target('puppet.c')}") == "ready"
        assert injection.remove() == Removal(0, (), ())
    assert target.ask("leak 3") == "leaked"


def test_code_that_is_not_that_of_the_file(start, visitor):
    target = start("hot")
    implant = implant_for(target.pid)
    other = bytes(byte ^ 1 for byte in implant.cave.original)
    with injection_into(
        target.pid, visitor, replace(implant, cave=replace(implant.cave, original=other))
    ) as injection:
        with pytest.raises(InjectionError, match="other bytes stand at"):
            injection.map_ring()
        assert len(injection.pauses_ms) == 1
    assert_nothing_left(target.pid, implant)


def test_a_place_that_is_taken(start, visitor):
    target = start("hot")
    implant = implant_for(target.pid)
    taken = next(each.start for each in read_mappings(target.pid) if each.path == "[stack]")
    other = replace(implant, ring=replace(implant.ring, address=taken))
    with (
        injection_into(target.pid, visitor, other) as injection,
        pytest.raises(InjectionError, match="there is memory at"),
    ):
        injection.map_ring()
    assert_nothing_left(target.pid, implant)


def test_a_process_that_gets_no_memory(start, visitor):
    target = start("hot")
    resource.prlimit(target.pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))
    with injection_into(target.pid, visitor) as injection:
        with pytest.raises(InjectionError, match="did not get"):
            injection.map_ring()
        assert_nothing_left(target.pid, injection.implant)


def test_another_debugger(start, visitor, start_target):
    target = start("hot")
    with injection_into(target.pid, visitor) as injection:
        enter(injection)
        tracer = start_target(*TRACER, str(target.pid))
        removal = injection.remove(patience_s=0.2)
        assert (removal.ok, removal.attaches > 1) == (False, True)
        assert f"process {tracer.pid} traces it" in removal.left[0]

        tracer.end()
        assert injection.remove().ok
        assert_nothing_left(target.pid, injection.implant)


@pytest.mark.usefixtures("state")
def test_a_worker_of_the_same_parent_is_left_alone(start, visitor):
    """Both look the same inside, and so does what is put into them."""
    target = start("read")
    workers = [int(target.ask("fork 30")) for _ in range(2)]
    implant = implant_for(workers[0])
    assert implant == implant_for(workers[1])
    journal = journal_for(workers[1], implant)
    with (
        injection_into(workers[0], visitor, implant) as one,
        injection_into(workers[1], visitor, implant, journal) as other,
    ):
        enter(one)
        enter(other)
        removal = one.remove()
        assert (removal.ok, removal.children) == (True, 0)
        assert_nothing_left(workers[0], implant)
        assert other.ring.read_mapped()
        assert other.remove().ok
    assert_nothing_left(workers[1], implant)
    journal.path.unlink()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)


def test_what_a_handler_has_interrupted_that_runs_on_a_stack_of_its_own(start, visitor):
    target = start("signals")
    mappings = read_mappings(target.pid)
    code = [each for each in mappings if each.executable and "libc" in each.path]
    with Memory(target.pid) as memory:
        restorers = find_restorers(mappings, memory)
        [thread] = [
            each
            for each in visitor.visit(target.pid, [tell_registers()]).threads
            if each.id != target.pid
        ]
        top = memory.read(thread.fs_base - 0x800, 0x800)
    words = [word for (word,) in struct.iter_unpack("<Q", top)]
    started_by = [word for word in words if any(each.start <= word < each.end for each in code)][-1]

    def visit():
        """Look for the return address at the top; return how far below that the thread stands."""
        wanted = [(started_by, started_by + 1)]
        steps = [tell_registers(), expect_absent([], wanted, restorers)]
        outcome = visitor.visit(target.pid, steps)
        assert (outcome.failed, outcome.where) == ("absent", thread.id)
        return next(each.fs_base - each.rsp for each in outcome.threads if each.id == thread.id)

    stack = next(each for each in mappings if each.start <= thread.fs_base < each.end)
    size = stack.end - stack.start
    wait_until(lambda: not 0 < visit() < size, "a visit came in the midst of the handler")
    wait_until(lambda: 0 < visit() < size, "a visit came elsewhere")


def test_a_gdb_that_a_script_starts(start, tmp_path):
    target, script, gdb = start("hot"), tmp_path / "gdb", find_gdb()
    script.write_text(f'#!/bin/sh\n{gdb.path} "$@"\nexit $?\n')
    script.chmod(0o700)
    with visitor_in(tmp_path / "visits", replace(gdb, path=str(script))) as visitor:
        cycle(target, visitor)
        assert visitor.visit(target.pid, []).tracer == visitor.pid


def test_a_gdb_that_has_ended_in_between(start, visitor):
    target = start("hot")
    with injection_into(target.pid, visitor) as injection:
        enter(injection)
        os.kill(visitor.pid, signal.SIGKILL)
        wait_until(lambda: state_of(visitor.pid) == "Z", "GDB had ended")
        removal = injection.remove()
        assert (removal.ok, visitor.launches) == (True, 2)


def test_removal_without_any_gdb(start, visitor, tmp_path):
    target = start("hot")
    with injection_into(target.pid, visitor) as injection:
        enter(injection)
        shutil.rmtree(tmp_path / "visits")
        (tmp_path / "visits").touch()
        removal = injection.remove()
        assert not removal.ok
        count = len(injection.implant.image.jumps)
        start_of = (
            f"process {target.pid} still holds {count} jumps, the recorder, which is off, its"
        )
        assert removal.left[0].startswith(start_of)
        assert "gdb could not be started" in removal.left[0]

        (tmp_path / "visits").unlink()
        assert injection.remove().ok


def test_removal_by_another_gdb_where_the_first_cannot_be_told(start, visitor, tmp_path):
    target = start("hot")
    with injection_into(target.pid, visitor) as injection:
        enter(injection)
        (tmp_path / "visits/visits1/plan.json").unlink()
        (tmp_path / "visits/visits1/plan.json").mkdir()
        assert injection.remove().ok
        assert visitor.launches == 2
