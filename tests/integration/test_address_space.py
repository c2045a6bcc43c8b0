"""What the mappings of real processes are called, how much each takes, and which of them grew."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, NamedTuple

import psutil
import pytest
from support.gdbs import debian_root
from support.processes import Target, data_of_libc, wait_until
from support.roots import HOST, LIBRARIES, flags_for

from gdbleak.census.space.find import growth, name_mappings
from gdbleak.elf.cache import ImageCache
from gdbleak.heap.arenas import find_arenas
from gdbleak.heap.layouts import HEAP_BYTES
from gdbleak.heap.snapshot import Snapshot
from gdbleak.report.heap import Amount, Arena, MappingKind
from gdbleak.target.examined import ExaminedProcess
from gdbleak.target.proc import find_data, read_mappings
from gdbleak.target.usage import Usage

pytestmark = pytest.mark.usefixtures("needs_ptrace")

TARGETS = Path(__file__).parents[1] / "targets"
PAGE = 4096
LARGE = 60_000_000
KINDS = {
    "memfd": (MappingKind.SHARED, "shared memory `frames`"),
    "shared": (MappingKind.SHARED, "shared anonymous memory"),
    "code": (MappingKind.ANONYMOUS, "code made at run time"),
    "plain": (MappingKind.ANONYMOUS, "anonymous memory"),
    "reserved": (MappingKind.ANONYMOUS, "reserved, and not accessible"),
    "named": (MappingKind.ANONYMOUS, "anonymous memory `our cache`"),
    "huge": (MappingKind.ANONYMOUS, "anonymous memory"),
}

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a container")


class Noted(ExaminedProcess):
    """A process that notes what the kernel told of it last: to read its memory may change that."""

    told: ClassVar[dict[int, Usage]] = {}

    def read_usage(self):
        Noted.told = super().read_usage()
        return Noted.told


class Start(NamedTuple):
    """What starts the program, and for which C library it was built."""

    run: Callable[..., Target]
    library: str

    def __call__(self, *numbers):
        return self.run(*numbers)


@contextmanager
def examining(pid, kind=Noted):
    images = ImageCache()
    with kind(pid, images) as process:
        yield process


def find_report_arenas(process, data):
    """Return the arenas of glibc, as a census tells of them."""
    memory = Snapshot(process)
    found = process.read(data[0], data[1] - data[0])
    words = struct.unpack(f"<{len(found) // 8}Q", found[: len(found) & -8])
    arenas = []
    for number, arena in enumerate(find_arenas(memory, words, data[0])):
        heaps = []
        heap = memory.word(arena.top) & -HEAP_BYTES if number else 0
        while heap:
            heaps.append((heap, heap + memory.word(heap + 16)))
            heap = memory.word(heap + 8)
        if not number:
            heaps = [(m.start, m.end) for m in process.read_mappings() if m.path == "[heap]"]
        empty = Amount()
        arenas.append(Arena(number, arena.address, (), tuple(heaps), 0, None, empty, {}, 0))
    return arenas


def look(pid, truth, kind=Noted, data=None):
    """Return the mappings of a process, given what it says of its large blocks."""
    with examining(pid, kind) as process:
        arenas = find_report_arenas(process, data or data_of_libc(pid))
        large = sorted(mapping_of(*block) for block in truth["mmapped"])
        return name_mappings(process, arenas, large), arenas


def mapping_of(block, size):
    return block & -PAGE, -(-(block + size) // PAGE) * PAGE


@pytest.fixture(params=[*LIBRARIES, "static"])
def many_arenas(request, build_target, start_target):
    """Return a function that starts the program with one of the C libraries."""
    own = {HOST: (), "static": ("-static",)}
    flags = own[request.param] if request.param in own else flags_for(debian_root(request.param))
    program = build_target("heaps/many_arenas.c", *flags)

    return Start(lambda *numbers: start_target(program, *map(str, numbers)), request.param)


def data_of(target):
    """Return the writable data that holds the main arena."""
    mappings = read_mappings(target.pid)
    static = all("libc.so" not in each.path and "libc-2" not in each.path for each in mappings)
    return find_data(mappings, mappings[0].path) if static else data_of_libc(target.pid)


def assert_whole(pid, mappings):
    """Assert that every byte of every mapping is told of once, and so is what the kernel counts."""
    lines = read_mappings(pid)
    assert [each.start for each in mappings] == sorted(each.start for each in mappings)
    starts = [line.start for line in lines]
    sizes: Counter[int] = Counter()
    resident: Counter[int] = Counter()
    for each in mappings:
        line = lines[bisect_right(starts, each.start) - 1]
        assert line.start <= each.start < each.end <= line.end
        assert each.permissions == line.permissions
        sizes[line.start] += each.size
        resident[line.start] += each.resident_bytes
    assert sizes == {line.start: line.end - line.start for line in lines}
    assert resident == {start: each.resident for start, each in Noted.told.items()}


def test_threads(many_arenas):
    target = many_arenas(6, 4, 1, 3)
    truth = json.loads(target.ask("truth"))
    mappings, _ = look(target.pid, truth, data=data_of(target))
    ranges = {(each.start, each.end): each for each in mappings}
    for thread, start, end in truth["stacks"]:
        name = Path(f"/proc/{target.pid}/task/{thread}/comm").read_text().strip()
        found = ranges[start, end]
        assert (found.kind, found.name) == (
            MappingKind.STACK,
            f"stack of thread {thread} ({name})",
        )
        assert 100_000 < found.resident_bytes < 400_000
        guard = ranges[start - truth["guard"], start]
        assert (guard.kind, guard.name) == (MappingKind.GUARD, f"guard of the {found.name}")
        assert guard.resident_bytes == 0
    for key, kind, name in (
        ("kept", MappingKind.OLD_STACK, "stack of an exited thread, kept for the next one"),
        (
            "forgotten",
            MappingKind.UNJOINED_STACK,
            "stack of an exited thread that nobody has joined",
        ),
    ):
        for _, start, end in truth[key]:
            assert (ranges[start, end].kind, ranges[start, end].name) == (kind, name)
    main = next(each for each in mappings if each.name.startswith(f"stack of thread {target.pid} "))
    assert main.end == next(m.end for m in read_mappings(target.pid) if m.path == "[stack]")
    counts = Counter(each.kind for each in mappings)
    assert (counts[MappingKind.STACK], counts[MappingKind.OLD_STACK]) == (6 + 1, 4)
    assert counts[MappingKind.UNJOINED_STACK] == 3
    assert_whole(target.pid, mappings)


def test_arenas(many_arenas):
    target = many_arenas(5, 0, 2)
    mappings, arenas = look(target.pid, json.loads(target.ask("truth")), data=data_of(target))
    assert len(arenas) == 6
    [heap] = [each for each in mappings if each.kind is MappingKind.HEAP]
    assert (heap.name, (heap.start, heap.end)) == ("heap", arenas[0].heaps[0])
    for arena in arenas[1:]:
        [(start, _)] = arena.heaps
        heap, room = (each for each in mappings if start <= each.start < start + HEAP_BYTES)
        assert (heap.start, room.end) == (start, start + HEAP_BYTES)
        assert (heap.kind, heap.name) == (MappingKind.ARENA, f"heap of arena {arena.number}")
        assert (room.kind, room.permissions) == (MappingKind.ARENA_ROOM, "---p")
        assert room.name == f"room for arena {arena.number} to grow"
        assert heap.resident_bytes > 100_000


def test_unknown_arenas(many_arenas):
    """As when the heap is not to be understood."""
    target = many_arenas(5, 0, 2)
    with examining(target.pid) as process:
        mappings = name_mappings(process, [], [])
    counts = Counter(each.name for each in mappings)
    assert (counts["heap of an arena"], counts["room for an arena to grow"]) == (5, 5)


def test_large_blocks(many_arenas):
    """The kernel makes one mapping of those that touch; only the first one was written to."""
    target = many_arenas(0, 0, 4)
    truth = json.loads(target.ask("truth"))
    mappings, _ = look(target.pid, truth, data=data_of(target))
    large = {each.start: each for each in mappings if each.kind is MappingKind.LARGE_BLOCK}
    blocks = [large[mapping_of(*block)[0]] for block in truth["mmapped"]]
    assert len(large) == len(blocks) == 4
    assert [each.end for each in blocks] == [mapping_of(*block)[1] for block in truth["mmapped"]]
    assert {each.name for each in blocks} == {"large block of 57.2 MiB"}
    assert LARGE < blocks[0].resident_bytes <= blocks[0].size
    assert sum(each.resident_bytes for each in blocks[1:]) < 100_000
    assert_whole(target.pid, mappings)


def test_other_mappings(build_target, start_target):
    target = start_target(build_target("heaps/many_arenas.c"), "1", "0", "1")
    truth = json.loads(target.ask("truth"))
    mappings, _ = look(target.pid, truth)
    ranges = {(each.start, each.end): each for each in mappings}
    assert truth["places"].keys() - KINDS.keys() == {"sysv"}
    for name, place in truth["places"].items():
        found = ranges[tuple(place)]
        if name == "sysv":
            assert found.kind is MappingKind.SHARED
            assert found.name.startswith("System V shared memory ")
        else:
            assert (found.kind, found.name) == KINDS[name]
    names = {kind: {m.name for m in mappings if m.kind is kind} for kind in MappingKind}
    assert names[MappingKind.PROGRAM] == {"many_arenas"}
    assert {"libc.so.6", "ld-linux-x86-64.so.2"} <= names[MappingKind.LIBRARY]
    assert "[vdso]" in names[MappingKind.KERNEL]
    program = [each for each in mappings if each.kind is MappingKind.PROGRAM]
    assert sum(each.size for each in program) > 100_000  # what is zeros, too
    assert_whole(target.pid, mappings)


def test_growth(build_target, start_target):
    target = start_target(build_target("heaps/many_arenas.c"), "3", "1", "1")
    truth = json.loads(target.ask("truth"))
    before, _ = look(target.pid, truth)
    assert target.ask("grow 20000000") == "done"
    after = growth(before, look(target.pid, truth)[0])
    [heap] = [each for each in after if each.kind is MappingKind.HEAP]
    assert 20_000_000 < (heap.grown_bytes or 0) < 20_400_000
    others = [each.grown_bytes for each in after if each is not heap]
    assert sum(abs(each or 0) for each in others) < 400_000  # pages of the program and of its stack
    assert growth(after, after)[0].grown_bytes == 0


def test_other_allocators(build_target, start_target):
    target = start_target(build_target("heaps/many_arenas.c"), "1", "0", "1")
    start, end = json.loads(target.ask("truth"))["places"]["plain"]
    with examining(target.pid) as process:
        mappings = name_mappings(process, [], [], [(start, start + (1 << 20), "jemalloc")])
    inside = [each for each in mappings if start <= each.start < end]
    assert [(each.kind, each.name, each.size) for each in inside] == [
        (MappingKind.ALLOCATOR, "jemalloc", 1 << 20),
        (MappingKind.ANONYMOUS, "anonymous memory", 2 << 20),
    ]
    assert [each.resident_bytes for each in inside] == [1 << 20, 1 << 19]


def test_forked(many_arenas):
    """A child has one thread, and the stacks of all others for those to come."""
    target = many_arenas(3, 1, 0)
    truth = json.loads(target.ask("truth"))
    child = int(target.ask("fork"))
    try:
        with examining(child) as process:
            ranges = {(m.start, m.end): m.name for m in name_mappings(process, [], [])}
    finally:
        psutil.Process(child).kill()
    for _, start, end in [*truth["stacks"], *truth["kept"]]:
        assert ranges[start, end] == "stack of an exited thread, kept for the next one"
    assert f"stack of thread {child} (many_arenas)" in ranges.values()


@AS_ROOT
def test_container(build_target, start_target):
    """Its threads know themselves by other numbers."""
    program = build_target("heaps/many_arenas.c")
    namespaces = ("unshare", "--pid", "--fork", "--kill-child")
    outer = start_target(*namespaces, program, "3", "1", "0")
    truth = json.loads(outer.ask("truth"))
    [inner] = psutil.Process(outer.pid).children()
    threads = sorted(thread.id for thread in inner.threads())
    mappings, _ = look(inner.pid, truth)
    ranges = {(each.start, each.end): each.name for each in mappings}
    stacks = sorted(truth["stacks"])
    assert [stack[0] for stack in stacks] != threads[1:]
    for thread, (_, start, end) in zip(threads[1:], stacks):
        assert ranges[start, end].startswith(f"stack of thread {thread} (worker-")


def test_musl(start_target, tmp_path):
    if shutil.which("musl-gcc") is None:
        pytest.skip("musl-gcc is not installed: run .ci/setup test")
    program = tmp_path / "stacked"
    command = ["musl-gcc", "-g", "-O1", "-pthread", "-o", program, TARGETS / "stacked.c"]
    subprocess.run(command, check=True)
    target = start_target(program, *["thread"] * 4)
    lines = [target.lines.next().split() for _ in range(5)]
    stacks = [(int(start, 16), int(end, 16)) for kind, _, start, end in lines if kind == "thread"]
    with examining(target.pid) as process:
        wait_until(lambda: len(process.find_waiting()) == 5, "every thread waited")
        mappings = name_mappings(process, [], [])
    for start, end in stacks:
        [name] = {each.name for each in mappings if each.start < end and start < each.end}
        assert name.startswith("stack of thread ")
    assert_whole(target.pid, mappings)


BITS_32 = r"""
static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

void _start(void)
{
    char byte;
    call(4, 1, (long)"ready\n", 6);
    while (call(3, 0, (long)&byte, 1) > 0)
        ;
    call(1, 0, 0, 0);
}
"""


def test_32_bits(start_target, tmp_path):
    source, program = tmp_path / "small.c", tmp_path / "small"
    source.write_text(BITS_32)
    command = ["cc", "-m32", "-O1", "-fno-pie", "-fno-stack-protector", "-nostdlib", "-static"]
    subprocess.run([*command, "-o", program, source], check=True)
    try:
        target = start_target(program)
    except OSError:
        pytest.skip("this kernel runs no 32-bit programs")
    with examining(target.pid) as process:
        mappings = name_mappings(process, [], [])
    names = {each.name for each in mappings}
    assert {"small", f"stack of thread {target.pid} (small)"} <= names
    assert_whole(target.pid, mappings)


class Silent(Noted):
    """A process of which nobody tells what is in memory."""

    def read_usage(self):
        return {}


def test_nobody_tells_what_is_in_memory(build_target, start_target):
    target = start_target(build_target("heaps/many_arenas.c"), "2", "1", "2")
    truth = json.loads(target.ask("truth"))
    mappings, _ = look(target.pid, truth, Silent)
    known, _ = look(target.pid, truth)
    assert [each.name for each in mappings] == [each.name for each in known]
    amounts = {(m.resident_bytes, m.dirty_bytes, m.swapped_bytes) for m in mappings}
    assert amounts == {(None, None, None)}
    assert {each.grown_bytes for each in growth(mappings, known)} == {None}


class Mortal(Noted):
    """A process that is killed as soon as its mappings were read."""

    def read_mappings(self):
        mappings = super().read_mappings()
        if mappings:
            process = psutil.Process(self.pid)
            process.kill()
            wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, "it had ended")
        return mappings


def test_process_that_ends_meanwhile(build_target, start_target):
    target = start_target(build_target("heaps/many_arenas.c"), "2", "1", "2")
    with examining(target.pid, Mortal) as process:
        mappings = name_mappings(process, [], [(1 << 32, 1 << 33)])
        assert {"heap", "libc.so.6"} <= {each.name for each in mappings}
        assert {each.resident_bytes for each in mappings} == {None}
        target.wait()
        assert name_mappings(process, [], []) == []
