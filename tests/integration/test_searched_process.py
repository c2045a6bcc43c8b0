"""The memory of real processes: whose stacks are known, what is in nobody's use, what is read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.processes import data_of_libc, wait_until

from gdbleak.heap.free_memory import find_free_memory
from gdbleak.memory.judgement import State, judge
from gdbleak.memory.look import Ranges
from gdbleak.memory.search import Pace, take_looks
from gdbleak.memory.table import Table
from gdbleak.target.searched import SearchedProcess

pytestmark = pytest.mark.usefixtures("needs_ptrace")

TARGETS = Path(__file__).parents[1] / "targets"
KEY = 0x5A5A5A5A5A5A5A5A
KINDS = ("thread", "deep", "shallow", "given", "coroutine", "signal")
LIBRARIES = {"glibc": KINDS[:4], "musl": KINDS[:3]}
"""Of which kinds the stacks are known; musl does not note what was given to it."""


@pytest.fixture(params=LIBRARIES)
def stacked(request, build_target, tmp_path):
    """Return a program whose threads wait on stacks of several kinds, built with a C library."""
    if request.param == "glibc":
        return build_target("stacked.c")
    if shutil.which("musl-gcc") is None:
        pytest.skip("musl-gcc is not installed: run .ci/setup test")
    program = tmp_path / "stacked"
    command = ["musl-gcc", "-g", "-O1", "-pthread", "-o", program, TARGETS / "stacked.c"]
    subprocess.run(command, check=True)
    return program


def read_threads(target, number):
    """Return kind, start and end of the stack of each thread, by its id."""
    lines = [target.lines.next().split() for _ in range(number + 1)]
    return {
        int(thread) or target.pid: (kind, int(start, 16), int(end, 16))
        for kind, thread, start, end in lines
    }


def await_all(process, threads):
    """Return what is known of the threads once all of them wait."""
    return wait_until(
        lambda: (found := process.find_waiting()).keys() == threads.keys() and found,
        "every thread waited",
    )


def test_stacks(request, stacked, start_target):
    known = LIBRARIES[request.node.callspec.params["stacked"]]
    kinds = KINDS * 3
    target = start_target(stacked, *kinds)
    threads = read_threads(target, len(kinds))
    with SearchedProcess(target.pid) as process:
        waiting = await_all(process, threads)
        stacks = process.find_stacks(waiting)
    for thread, (kind, start, end) in threads.items():
        pointer = waiting[thread].stack_pointer
        assert (thread in stacks) == (kind in ("main", *known)), kind
        if thread in stacks:
            found = stacks[thread]
            assert found[0] <= pointer < found[1], kind
        if kind in known:
            assert found[0] == start <= pointer < end, kind
            assert end - (1 << 14) <= found[1] <= end + (1 << 14), kind


def test_many_threads(build_target, start_target):
    target = start_target(build_target("stacked.c"), *["thread"] * 500)
    threads = read_threads(target, 500)
    with SearchedProcess(target.pid) as process:
        assert process.find_stacks(await_all(process, threads)).keys() == threads.keys()


def look_at(pid, blocks, find_free=lambda: Ranges([])):
    """Return the state of each block, by several looks at a process."""
    table = Table(blocks)
    with SearchedProcess(pid) as process:
        pace = Pace(1 << 33, 60, lambda _: None)
        looks = take_looks(table, process, [], pace, find_free)
    states = judge(looks, np.zeros(len(blocks), bool)).states.tolist()
    return dict(zip(blocks, map(State, states))), looks


@pytest.fixture
def freed_holders(build_target, start_target):
    """Return a program, and kind and size of its blocks by their addresses."""
    target = start_target(build_target("freed_holders.c"))
    target.tell("blocks")
    lines = iter(target.lines.next, "end")
    rows = [line.split(";") for line in lines]
    return target, {int(at, 16) ^ KEY: (kind, int(size)) for kind, at, size in rows}


def by_kind(states, kinds):
    found: dict[str, set[State]] = {}
    for (address, _), state in states.items():
        found.setdefault(kinds[address][0], set()).add(state)
    return found


def test_memory_in_nobodys_use(freed_holders):
    target, kinds = freed_holders
    blocks = sorted((address, size) for address, (_, size) in kinds.items())
    data = data_of_libc(target.pid)
    assert data
    with SearchedProcess(target.pid) as process:
        found, _ = look_at(target.pid, blocks, lambda: Ranges(find_free_memory(process, data)))
    everything, _ = look_at(target.pid, blocks)
    assert {*everything.values()} == {State.HELD}
    assert by_kind(found, kinds) == {
        "cached": {State.LOST},
        "fast": {State.LOST},
        "binned": {State.LOST},
        "last word": {State.HELD},
    }


def test_without_the_right_to_read_pagemap(freed_holders, monkeypatch):
    """Then all memory is read, also what was never touched."""
    target, kinds = freed_holders
    blocks = sorted((address, size) for address, (_, size) in kinds.items())
    expected, looks = look_at(target.pid, blocks)
    real = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith("/pagemap"):
            raise PermissionError(1, "Operation not permitted")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    found, more = look_at(target.pid, blocks)
    assert found == expected
    assert more[0].scanned_bytes > looks[0].scanned_bytes


def test_process_that_has_ended(freed_holders):
    target, kinds = freed_holders
    blocks = sorted((address, size) for address, (_, size) in kinds.items())
    with SearchedProcess(target.pid) as process:
        waiting = wait_until(process.find_waiting, "it waited")
        target.end()
        assert process.find_stacks(waiting) == {}
        assert process.find_waiting() == {}
        assert (process.read_mappings(), process.read(blocks[0][0], 8)) == ([], b"")
        assert process.find_pages(0, 1 << 30) == []
        looks = take_looks(
            Table(blocks), process, [], Pace(1 << 33, 60, lambda _: None), lambda: Ranges([])
        )
    assert [each.scanned_bytes for each in looks] == [0] * 3


def test_descriptors_are_closed(freed_holders):
    target, _ = freed_holders
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(3):
        with SearchedProcess(target.pid) as process:
            process.find_stacks(process.find_waiting())
    assert len([*Path("/proc/self/fd").iterdir()]) == before
