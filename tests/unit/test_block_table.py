"""In which block an address is: of few and many, small and large, near and far apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.memory.table import Table

LOW = 0x7F12_3456_7000
TAG = 0xABCD << 48
FAR = 1 << 44
"""As far apart lie the main heap and the arenas of threads."""

blocks = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 5000)), min_size=1, max_size=40)
"""Gaps and sizes, in units of 16 bytes and in bytes."""


def lay_out(gaps_and_sizes):
    laid, at = [], LOW
    for gap, size in gaps_and_sizes:
        at += gap * 16
        laid.append((at, size))
        at += size + -size % 16
    return laid


def find(laid, address):
    """Return the number of the last block that begins at or before an address, if it is in it."""
    before = [number for number, (start, _) in enumerate(laid) if start <= address]
    if before and address <= laid[before[-1]][0] + max(laid[before[-1]][1], 1):
        return before[-1]
    return None


def assert_found(laid, addresses):
    positions, numbers = Table(laid).find(np.array(addresses, np.uint64))
    expected = {at: find(laid, a & ~TAG) for at, a in enumerate(addresses)}
    found = dict(zip(positions.tolist(), numbers.tolist()))
    assert found == {at: number for at, number in expected.items() if number is not None}


@given(blocks, st.data())
def test_every_word_is_told(gaps_and_sizes, data):
    laid = lay_out(gaps_and_sizes)
    edges = [
        start + offset + size * end
        for start, size in laid
        for offset in (-1, 0, 1)
        for end in (0, 1)
    ]
    end = laid[-1][0] + laid[-1][1]
    others = data.draw(st.lists(st.integers(LOW - 100, end + 100) | st.integers(0, 2**64 - 1)))
    assert_found(laid, [*edges, *(edge | TAG for edge in edges), *others])


@pytest.mark.parametrize("large", [1 << 20, 1 << 32])
def test_large_block_among_small_ones(large):
    small = [(LOW + number * 64, 48) for number in range(1000)]
    start = LOW + FAR + 16  # so that no page begins where it ends
    laid = [*small, (start, large), (LOW + 2 * FAR, 16)]
    inside = [start, start + large // 2, start + large, start + large + 1]
    assert_found(laid, [*inside, LOW + 2 * FAR + 16, LOW + 48, LOW + 49, LOW + 2 * FAR - 1])


def test_many_blocks():
    laid = [(LOW + number * 4096, 32) for number in range(200_000)]
    addresses = [LOW + number * 1000 for number in range(10_000)]
    found = Table(laid).find(np.array(addresses, np.uint64))[0]
    assert found.tolist() == [at for at, a in enumerate(addresses) if (a - LOW) % 4096 <= 32]


def test_no_blocks():
    positions, numbers = Table([]).find(np.array([0, LOW, 2**64 - 1], np.uint64))
    assert len(positions) == len(numbers) == 0
