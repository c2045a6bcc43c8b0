"""What mappings are called, how they are split, and how they grow: without a process."""

from __future__ import annotations

import struct
from typing import cast

import pytest

from gdbleak.census.space.claims import Claim, claim_arenas, claim_rooms, settle
from gdbleak.census.space.find import growth, name_mappings
from gdbleak.census.space.mapping_names import describe, find_files
from gdbleak.census.space.thread_stacks import find_thread_stacks
from gdbleak.heap.layouts import HEAP_BYTES
from gdbleak.report.heap import Amount, Arena, MappingKind, MappingUse
from gdbleak.target.examined import Examined
from gdbleak.target.proc import parse_mapping

MAPS = """\
55d53ac77000-55d53ac79000 r--p 00000000 fe:00 71 /srv/server
55d53ac79000-55d53ac7a000 r-xp 00002000 fe:00 71 /srv/server
55d543f9a000-55d543fbb000 rw-p 00000000 00:00 0 [heap]
7f8713c60000-7f8713c86000 r-xp 00000000 fe:00 72 /usr/lib/libc.so.6
"""
FILES = find_files([parse_mapping(line) for line in MAPS.splitlines()])


@pytest.mark.parametrize(
    ("line", "kind", "name"),
    [
        ("0-1000 r-xp 0 fe:00 71 /srv/server", "program", "server"),
        ("0-1000 rw-p 0 fe:00 71 /srv/server (deleted)", "program", "server (deleted)"),
        ("0-1000 rw-p 0 fe:00 72 /usr/lib/libc.so.6", "library", "libc.so.6"),
        ("0-1000 r--p 0 fe:00 73 /var/lib/a file", "file", "/var/lib/a file"),
        ("0-1000 rw-s 0 fe:00 73 /var/lib/index", "file", "/var/lib/index"),
        ("0-1000 rw-s 0 00:05 5 /dev/dri/card0", "file", "/dev/dri/card0"),
        ("0-1000 rw-p 0 00:00 0 [heap]", "heap", "heap"),
        ("0-1000 rw-p 0 00:00 0 [stack]", "stack", "stack"),
        ("0-1000 rw-p 0 00:00 0 [stack:471]", "stack", "stack of thread 471"),
        ("0-1000 r-xp 0 00:00 0 [vdso]", "kernel", "[vdso]"),
        ("0-1000 r--p 0 00:00 0 [vvar_vclock]", "kernel", "[vvar_vclock]"),
        (
            "0-1000 rw-s 0 00:0e 9 anon_inode:[io_uring]",
            "kernel",
            "memory shared with the kernel for io_uring",
        ),
        (
            "0-1000 rw-s 0 00:12 9 /[aio] (deleted)",
            "kernel",
            "memory shared with the kernel for aio",
        ),
        ("0-1000 rw-s 0 00:01 9 /memfd:a b (deleted)", "shared memory", "shared memory `a b`"),
        (
            "0-1000 r-xs 0 00:01 9 /memfd:doublemapper (deleted)",
            "shared memory",
            "shared memory `doublemapper`, code made at run time",
        ),
        ("0-1000 rw-s 0 00:1a 9 /dev/shm/ring", "shared memory", "shared memory /dev/shm/ring"),
        (
            "0-1000 rw-s 0 00:01 98 /SYSV0000 (deleted)",
            "shared memory",
            "System V shared memory 98",
        ),
        ("0-1000 rw-s 0 00:00 98 /SYSV0000 (deleted)", "shared memory", "System V shared memory"),
        ("0-1000 rw-s 0 00:01 9 /dev/zero (deleted)", "shared memory", "shared anonymous memory"),
        ("0-1000 rw-p 0 00:01 9 /dev/zero", "anonymous", "anonymous memory"),
        (
            "0-200000 rw-p 0 00:0f 9 /anon_hugepage (deleted)",
            "anonymous",
            "anonymous memory in huge pages",
        ),
        ("0-1000 rw-p 0 00:00 0", "anonymous", "anonymous memory"),
        ("0-1000 rwxp 0 00:00 0", "anonymous", "code made at run time"),
        ("0-1000 ---p 0 00:00 0", "guard", "guard"),
        ("0-40000000 ---p 0 00:00 0", "anonymous", "reserved, and not accessible"),
        ("0-1000 rw-p 0 00:00 0 [anon:our cache]", "anonymous", "anonymous memory `our cache`"),
        ("0-1000 rw-s 0 00:01 9 [anon_shmem:ring]", "shared memory", "shared memory `ring`"),
        ("0-1000 rw-p 0 00:00 0 [anon: glibc: malloc arena]", "arena", "heap of an arena"),
        ("0-1000 rw-p 0 00:00 0 [anon: glibc: malloc]", "large block", "large block"),
        ("0-1000 rw-p 0 00:00 0 [anon: glibc: loader malloc]", "large block", "large block"),
        (
            "0-1000 rw-p 0 00:00 0 [anon: glibc: pthread stack: 471]",
            "stack",
            "stack of thread 471",
        ),
        (
            "0-1000 rw-p 0 00:00 0 [anon: glibc: unused stack]",
            "stack of an exited thread",
            "stack of an exited thread, kept for the next one",
        ),
        (
            "0-1000 rw-p 0 00:00 0 [anon:tcmalloc_region_NORMAL]",
            "allocator",
            "tcmalloc_region_NORMAL",
        ),
    ],
)
def test_names(line, kind, name):
    assert describe(parse_mapping(line), FILES) == (kind, name)


def test_program_may_lie_above_its_libraries():
    """As with `ulimit -s unlimited`."""
    server, code, heap, library = MAPS.splitlines()
    lines = [library.replace("7f87", "2aaa"), server, code, heap]
    assert find_files([parse_mapping(line) for line in lines]).program == "/srv/server"


def arena(number, *heaps, threads=()):
    amount = Amount()
    address = heaps[0][0] + 0x30
    return Arena(number, address, threads, heaps, 0, None, amount, {}, 0)


@pytest.mark.parametrize(
    ("threads", "name"),
    [
        ((), "heap of arena 2"),
        (("7 (io)",), "heap of arena 2, of thread 7 (io)"),
        (("7 (io)", "8 (io)"), "heap of arena 2, of threads 7 (io) and 8 (io)"),
        (("7", "8", "9"), "heap of arena 2, of 3 threads"),
    ],
)
def test_arena(threads, name):
    """Memory that a heap has given back stays its own, up to where it has reached."""
    start = 7 * HEAP_BYTES
    given = arena(2, (start, start + 0x21000), threads=threads)
    header = struct.pack("<4Q", given.address, 0, 0x21000, 0x40000)

    def read(address, size):
        assert address == start
        return header[:size]

    [claim] = claim_arenas([given], read)
    assert claim == (start, start + 0x40000, MappingKind.ARENA, name)
    [room] = claim_rooms([given])
    assert room[:3] == (start + 0x21000, start + HEAP_BYTES, MappingKind.ARENA_ROOM)


def test_first_claims_win():
    claims = [
        Claim(10, 20, MappingKind.ARENA, "first"),
        Claim(0, 30, MappingKind.STACK, "second"),
        Claim(15, 40, MappingKind.LARGE_BLOCK, "third"),
        Claim(40, 50, MappingKind.LARGE_BLOCK, "fourth"),
        Claim(60, 60, MappingKind.LARGE_BLOCK, "nothing"),
    ]
    assert [each[:2] + each[3:] for each in settle(claims)] == [
        (0, 10, "second"),
        (10, 20, "first"),
        (20, 30, "second"),
        (30, 40, "third"),
        (40, 50, "fourth"),
    ]


class Process:
    """A process of which nothing but its mappings is known."""

    pid = 7
    is_core = True

    def __init__(self, *lines):
        self.mappings = [parse_mapping(line) for line in lines]

    def read(self, *_):
        return b""

    def read_mappings(self):
        return self.mappings

    def read_usage(self):
        return {}

    def read_threads(self):
        return []

    def find_pages(self, *_):
        return []


def test_claims_are_not_believed_of_what_cannot_be():
    process = Process(
        *MAPS.splitlines()[:2],
        "7f0000000000-7f0000001000 ---p 00000000 00:00 0",
        "7f0000001000-7f0000003000 rw-p 00000000 00:00 0",
        "7f0000400000-7f0000800000 rw-p 00000000 00:0f 9 /anon_hugepage (deleted)",
        "7f8713e54000-7f8713e56000 r-xp 00000000 00:00 0 [vdso]",
    )
    uses = name_mappings(cast("Examined", process), [], [(0x1000, 1 << 60)])
    assert [each.kind for each in uses] == [
        MappingKind.PROGRAM,
        MappingKind.PROGRAM,
        MappingKind.GUARD,
        MappingKind.LARGE_BLOCK,
        MappingKind.LARGE_BLOCK,
        MappingKind.KERNEL,
    ]


def use(start, end, resident):
    return MappingUse(start, end, "rw-p", MappingKind.ANONYMOUS, "", resident, resident, 0)


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [
        ([use(0, 10, 5)], [use(0, 10, 8)], [3]),
        ([use(0, 10, 5)], [use(0, 30, 20)], [15]),
        ([use(20, 30, 5)], [use(0, 30, 20)], [15]),  # a stack grows downward
        ([use(0, 10, 5)], [use(10, 30, 20)], [20]),
        ([use(0, 10, 5), use(10, 20, 6)], [use(0, 20, 11)], [0]),
        ([use(0, 20, 10)], [use(0, 10, 10), use(10, 20, 0)], [5, -5]),
        ([use(0, 10, 10), use(40, 50, 1)], [use(40, 50, 1)], [0]),
        ([use(0, 10, None)], [use(0, 10, 4)], [None]),
        ([use(0, 10, 4)], [use(0, 10, None)], [None]),
        ([], [use(0, 10, 4)], [4]),
    ],
)
def test_growth(before, after, grown):
    assert [each.grown_bytes for each in growth(before, after)] == grown


class Labyrinth:
    """Memory in which every word of some data leads into one ring of half a million links."""

    def __init__(self):
        self.reads = 0

    def read(self, address, size):
        self.reads += 1
        if size > 100:
            return struct.pack("<2Q", 1 << 30, 1 << 30) * (size // 16)
        previous = address - 64 if address > 1 << 30 else 0x10000000
        return struct.pack("<QQI", address + 64, previous, 7)[:size]


def test_rings_without_end():
    lines = [
        "10000000-10020000 rw-p 0 fe:00 72 /usr/lib/ld-linux-x86-64.so.2",
        "7ffc00000000-7ffc00021000 rw-p 0 00:00 0 [stack]",
    ]
    labyrinth = Labyrinth()
    assert find_thread_stacks(labyrinth, [parse_mapping(line) for line in lines], [7]) == []
    assert 1 << 18 < labyrinth.reads < 1 << 20
