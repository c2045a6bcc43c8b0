"""Words of a process, here of this one, read in one call."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import subprocess

import pytest

from gdbleak.capture.words import GAP_PAGES, RANGES, Words
from gdbleak.heap.snapshot import PAGE_BYTES

PAGES = 64


@pytest.fixture
def memory():
    """Return an address, from which on each word of some pages is its own number."""
    with mmap.mmap(-1, PAGES * PAGE_BYTES) as area:
        words = (ctypes.c_uint64 * (PAGES * PAGE_BYTES // 8)).from_buffer(area)
        words[:] = list(range(len(words)))
        yield ctypes.addressof(words)
        del words


@pytest.mark.parametrize("count", [0, 1, 2, 100, 5000])
def test_words_are_those_at_the_addresses(memory, count):
    numbers = random.Random(count).sample(range(PAGES * PAGE_BYTES // 8), count)
    words = Words(os.getpid(), (memory + 8 * number for number in numbers))
    assert words.read() == words.read() == {memory + 8 * number: number for number in numbers}


def test_what_has_changed_is_read_anew(memory):
    words = Words(os.getpid(), [memory, memory + 8])
    assert words.read() == {memory: 0, memory + 8: 1}
    ctypes.c_uint64.from_address(memory + 8).value = 77
    assert words.read() == {memory: 0, memory + 8: 77}


APART = (GAP_PAGES + 2) * PAGE_BYTES


def test_far_apart(memory):
    words = Words(os.getpid(), range(memory, memory + PAGES * PAGE_BYTES, APART))
    assert words.read() == {memory + n * APART: n * APART // 8 for n in range(len(words.addresses))}


@pytest.mark.parametrize("hole", [PAGE_BYTES, 1 << 46, (1 << 47) - PAGE_BYTES])
def test_what_is_not_mapped_is_left_out_in_time(memory, hole):
    mapped = {memory: 0, memory + 16: 2, memory + APART: APART // 8}
    words = Words(os.getpid(), [hole, *mapped])
    for _ in range(3):
        assert words.read().items() <= mapped.items()
    assert words.read() == mapped


def test_part_of_a_range_is_unmapped():
    """As when the end of a heap is given back."""
    with mmap.mmap(-1, 8 * PAGE_BYTES) as area:
        anchor = ctypes.c_char.from_buffer(area)
        start = ctypes.addressof(anchor)
        words = Words(os.getpid(), [start + n * PAGE_BYTES for n in range(8)])
        assert len(words.read()) == 8
        libc = ctypes.CDLL(None)
        protect = libc.mprotect
        assert protect(ctypes.c_void_p(start + 3 * PAGE_BYTES), PAGE_BYTES, 0) == 0
        for _ in range(3):
            words.read()
        assert len(words.read()) == 7
        assert protect(ctypes.c_void_p(start + 3 * PAGE_BYTES), PAGE_BYTES, 3) == 0
        del anchor


def test_more_ranges_than_the_kernel_takes():
    with mmap.mmap(-1, (RANGES + 9) * APART) as area:
        anchor = ctypes.c_char.from_buffer(area)
        start = ctypes.addressof(anchor)
        words = Words(os.getpid(), range(start, start + len(area), APART))
        assert len(words.addresses) == len(words.read()) == RANGES
        del anchor


def test_process_that_has_ended(memory):
    with subprocess.Popen(["true"]) as process:
        process.wait()
        with pytest.raises(ProcessLookupError):
            Words(process.pid, [memory]).read()
