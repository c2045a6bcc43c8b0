"""What of a process's memory is searched, and how it is read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.memory.pieces import (
    PAGE_BYTES,
    PIECE_BYTES,
    Range,
    Region,
    choose_regions,
    iter_pieces,
    subtract,
    touched,
)
from gdbleak.memory.source import Pages
from gdbleak.target.proc import parse_mapping

K = 1 << 10


def mapped(permissions, path="", inode=0, start=0x10000, end=0x20000):
    return parse_mapping(f"{start:x}-{end:x} {permissions} 00000000 08:01 {inode} {path}\n")


@pytest.mark.parametrize(
    ("permissions", "path", "inode", "expected"),
    [
        ("rw-p", "", 0, "all"),
        ("rw-p", "[heap]", 0, "all"),
        ("rw-p", "[stack]", 0, "all"),
        ("rw-p", "/usr/lib/libc.so.6", 7, "all"),
        ("rwxp", "", 0, "all"),
        ("r--p", "", 0, "all"),
        ("r-xp", "", 0, "all"),
        ("rw-s", "/srv/data", 7, "all"),
        ("r--s", "/srv/data", 7, "all"),
        ("rw-s", "/memfd:pool (deleted)", 7, "all"),
        ("rw-s", "/dev/zero (deleted)", 7, "all"),
        ("rw-s", "/dev/shm/pool", 7, "all"),
        ("rw-p", "/dev/hugepages/pool", 7, "all"),
        ("rw-s", "/SYSV00000000 (deleted)", 7, "all"),
        ("r--p", "/usr/lib/libc.so.6", 7, "own"),
        ("r-xp", "/usr/lib/libc.so.6", 7, "own"),
        ("---p", "", 0, "all"),
        ("---p", "/usr/lib/libc.so.6", 7, "own"),
        ("---s", "/srv/data", 7, None),
        ("-w-p", "", 0, None),
        ("--xp", "/usr/lib/libc.so.6", 7, None),
        ("rw-s", "/dev/dri/card0", 7, None),
        ("rw-s", "/dev/mem", 7, None),
        ("rw-s", "/dev/shmem", 7, None),
        ("rw-s", "/sys/devices/pci0000:00/0000:00:02.0/resource0", 7, None),
        ("rw-s", "/proc/bus/pci/00/02.0", 7, None),
        ("r--p", "[vvar]", 0, None),
        ("r--p", "[vvar_vclock]", 0, None),
        ("r-xp", "[vdso]", 0, None),
        ("r-xp", "[vsyscall]", 0, None),
        ("r-xp", "[uprobes]", 0, None),
    ],
)
def test_which_mappings_are_searched(permissions, path, inode, expected):
    found = choose_regions([mapped(permissions, path, inode)])
    whole = [] if expected is None else [Region(0x10000, 0x20000, expected == "own")]
    assert found == whole


def test_pages_that_nobody_has_written_are_left_out():
    pages = {
        0: [Pages(0, 4 * K, False), Pages(8 * K, 12 * K, True)],
        64: [Pages(64 * K, 68 * K, True), Pages(68 * K, 72 * K, False)],
        128: [],
        # Whole pages, of which the region begins and ends in the midst.
        201: [Pages(200 * K, 212 * K, False)],
    }
    regions = [
        Region(0, 16 * K, only_own=False),
        Region(64 * K, 80 * K, only_own=True),
        Region(128 * K, 192 * K, only_own=False),
        Region(201 * K, 210 * K, only_own=False),
    ]
    asked = []

    def find_pages(start, end):
        asked.append((start, end))
        return pages[start // K]

    assert touched(regions, find_pages) == [
        Range(0, 4 * K),
        Range(8 * K, 12 * K),
        Range(68 * K, 72 * K),
        Range(201 * K, 210 * K),
    ]
    assert asked == [(start, end) for start, end, _ in regions]


bounds = st.lists(st.integers(0, 60), unique=True).map(sorted)


def ranges_of(numbers):
    """Return ranges that do not overlap, and may touch."""
    return [Range(*each) for each in zip(numbers[::2], numbers[1::2])]


def numbers_in(ranges):
    return [number for start, end in ranges for number in range(start, end)]


@given(bounds, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20))))
def test_subtraction(numbers, holes):
    """What is left out may overlap, or be nothing at all."""
    ranges = ranges_of(numbers)
    left_out = sorted(Range(start, start + size) for start, size in holes)
    rest = subtract(ranges, left_out)
    gone = {*numbers_in(left_out)}
    assert numbers_in(rest) == [n for n in numbers_in(ranges) if n not in gone]
    assert all(start < end for start, end in rest)


class Holey:
    """Memory of which pages are missing; every word is its own address."""

    def __init__(self, missing=()):
        self.missing = {*missing}
        self.reads = []

    def read(self, address, size):
        self.reads.append((address, size))
        end = address
        while end < address + size and end // PAGE_BYTES not in self.missing:
            end = min((end // PAGE_BYTES + 1) * PAGE_BYTES, address + size)
        return np.arange(address, end, 8, dtype=np.uint64).tobytes()


def words_of(pieces):
    """Return the words of pieces, each of which has to begin where it says."""
    found = []
    for address, words in pieces:
        assert words[0] == address
        assert 8 * len(words) <= PIECE_BYTES
        found += words.tolist()
    return found


def test_pieces_of_large_ranges():
    memory = Holey()
    ranges = [Range(0, 2 * PIECE_BYTES + 4096), Range(10 * PIECE_BYTES, 11 * PIECE_BYTES)]
    expected = [*range(0, ranges[0].end, 8), *range(*ranges[1], 8)]
    assert words_of(iter_pieces(memory.read, ranges)) == expected
    backwards = [address for address, _ in iter_pieces(memory.read, ranges, backwards=True)]
    assert backwards == [10 * PIECE_BYTES, 2 * PIECE_BYTES, PIECE_BYTES, 0]


@given(
    st.sets(st.integers(0, 600)),
    st.lists(st.integers(0, 600 * PAGE_BYTES // 8), unique=True).map(sorted),
    st.booleans(),
)
def test_missing_pages_are_passed_over(missing, numbers, backwards):
    ranges = [Range(start * 8, end * 8) for start, end in ranges_of(numbers)]
    expected = [
        address
        for start, end in ranges
        for address in range(start, end, 8)
        if address // PAGE_BYTES not in missing
    ]
    found = words_of(iter_pieces(Holey(missing).read, ranges, backwards))
    assert sorted(found) == expected


def test_memory_that_is_gone_as_a_whole():
    memory = Holey(range(1 << 10))
    assert [*iter_pieces(memory.read, [Range(0, 2 * PIECE_BYTES)])] == []
    assert len(memory.reads) <= 2 * PIECE_BYTES // PAGE_BYTES
