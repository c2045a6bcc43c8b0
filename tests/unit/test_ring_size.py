"""How large the ring is, by what memory the process may still use."""

from __future__ import annotations

import pytest

from gdbleak.errors import InlineRefusedError
from gdbleak.injection.planning import choose_unit_bits
from gdbleak.inline.ring import Ring
from gdbleak.recording.memory_limit import MemoryLimit

MIB = 1 << 20


@pytest.mark.parametrize(
    ("left", "ring"),
    [(4097, 128), (4096, 32), (257, 32), (256, 8), (33, 8)],
)
def test_ring_is_a_small_part_of_what_is_left(left, ring):
    limit = MemoryLimit(8192 * MIB, (8192 - left) * MIB, "control group")
    assert Ring(0, choose_unit_bits(limit)).size >> 20 == ring


def test_nobody_knows_what_is_left():
    assert Ring(0, choose_unit_bits(None)).size >> 20 == 128


def test_no_ring_where_little_is_left():
    limit = MemoryLimit(64 * MIB, 33 * MIB, "control group")
    with pytest.raises(InlineRefusedError, match="31 MB of memory more, by the limit of its con"):
        choose_unit_bits(limit)
