"""The size of a block of glibc, as malloc_usable_size(3) tells it."""

from __future__ import annotations

import ctypes
import platform

import pytest

from gdbleak.heap.chunk import SIZE_OFFSET, usable_size


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize("size", [0, 1, 24, 25, 1000, 100_000, 1 << 20, 40 << 20])
def test_usable_size_is_what_the_library_says(size):
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc_usable_size.restype = ctypes.c_size_t
    block = libc.malloc(ctypes.c_size_t(size))
    word = ctypes.c_uint64.from_address(block + SIZE_OFFSET).value
    said = libc.malloc_usable_size(ctypes.c_void_p(block))
    libc.free(ctypes.c_void_p(block))
    assert usable_size(word) == said >= size


@pytest.mark.parametrize("word", [0, 1, 7])
def test_what_is_no_size(word):
    assert usable_size(word) == 0
