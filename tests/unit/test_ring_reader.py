"""Units of a ring, keys of stacks, and the pace of a reader."""

from __future__ import annotations

import random
import resource
import struct

import numpy as np
import pytest
import recordings
from hypothesis import given
from hypothesis import strategies as st
from rings import CODE, FREE, MALLOC, FakeRing, Stack

from gdbleak.errors import WriteError
from gdbleak.inline.pace import BUSY, Pace
from gdbleak.inline.ring import (
    LEVELS,
    MORE_STACK_BYTES,
    MORE_STACK_MASK,
    STACK_BYTES,
    UNIT_BYTES,
    Ring,
    draw_lot,
    hash_address,
)
from gdbleak.inline.ring_reader import decode, find_next, pieces
from gdbleak.inline.stack_keys import CodeRanges, KeyTable, hash_stacks
from gdbleak.recording.appending import Appender
from gdbleak.recording.choice import lot_of
from gdbleak.recording.head import VERSION

S = 10**9
CALLER = CODE[0] + 0x101


def fill(*events, begin=0, stack_bytes=256):
    """Return a ring with events, each a site, an address, and the words of its stack."""
    ring = FakeRing(10, stack_bytes=stack_bytes)
    ring.begin_at(begin)
    for site, address, *words in events:
        for _ in ring.record(site, address, 8, 500, Stack(0x7000, tuple(words))):
            pass
    return ring


def read(ring, first, end):
    return b"".join(ring.read(*piece) for piece in pieces(ring.ring, first, end))


def test_events_of_all_lengths():
    events = [(MALLOC, 16 * n, *range(n % 30)) for n in range(60)]
    ring = fill(*events, begin=1000)
    decoded = decode(read(ring, 1000, 1300), 1000)
    batch = decoded.batch
    assert [int(address) for address in batch.addresses] == [16 * n for n in range(60)]
    assert [batch.stack(n).tolist() for n in range(60)] == [list(range(n % 30)) for n in range(60)]
    assert decoded.damaged == 0
    assert decoded.end == 1000 + sum(1 + -(-(n % 30) // 7) for n in range(60))


def test_units_of_the_round_before_are_holes():
    ring = fill((MALLOC, 16), (FREE, 32), begin=0)
    decoded = decode(read(ring, 0, 2), ring.ring.units)
    assert (len(decoded.batch), decoded.end) == (0, ring.ring.units)


@given(st.integers(1, 200), st.randoms(use_true_random=False))
def test_damaged_units_are_left_out(count, chance):
    """Nothing that stands in a ring makes the reader fail."""
    ring = fill(*((MALLOC, 16 * n, *range(n % 20)) for n in range(20)))
    for _ in range(count % 9):
        unit = chance.randrange(60)
        at = 4096 + UNIT_BYTES * unit + 8 * chance.randrange(8)
        ring.put(at, chance.choice((0, 1, 2 * unit + 2, 2 * unit + 3, 1 << 63, ring.get(at) ^ 1)))
    units = read(ring, 0, 80)
    decoded = decode(units, 0)
    batch = decoded.batch
    assert 0 <= decoded.end <= 80
    assert all(len(batch.stack(n)) == batch.stack_words[n] for n in range(len(batch)))
    hash_stacks(batch, CodeRanges([CODE]), np.ones(len(batch), bool))
    assert decoded.end < find_next(units, 0, decoded.end) <= 80 or decoded.end == 80


def test_next_event_behind_a_hole():
    ring = fill((MALLOC, 16, *range(20)), (MALLOC, 32, 1), (FREE, 16))
    units = read(ring, 0, 10)
    assert [find_next(units, 0, after) for after in (0, 3, 4, 5, 6)] == [4, 4, 6, 6, 10]


@pytest.mark.parametrize(("first", "end"), [(0, 5), (60, 64), (60, 70), (64, 128), (100, 164)])
def test_pieces(first, end):
    ring = Ring(0x1000, 6)
    found = [*pieces(ring, first, end)]
    units = [
        (address - ring.first_unit) // UNIT_BYTES + n
        for address, size in found
        for n in range(size // UNIT_BYTES)
    ]
    assert units == [number % 64 for number in range(first, end)]
    assert len(found) <= 2


def keys_of(*stacks, **values):
    ring = fill(*((MALLOC, 16 * n, *words) for n, words in enumerate(stacks)), **values)
    batch = decode(read(ring, 0, 500), 0).batch
    assert len(batch) == len(stacks)
    return hash_stacks(batch, CodeRanges([CODE]), np.ones(len(batch), bool)).tolist()


def test_keys_of_stacks():
    other = CODE[0] + 0x200
    same = [(CALLER, n, other, 1 << 17 + n, CODE[1]) for n in range(20)]
    assert len({*keys_of(*same)}) == 1
    different = [
        *((CALLER, 0, other), (CALLER, 0, other + 1), (CALLER, other, 0), (other, 0, CALLER)),
        *((CALLER, 0, other, 0), (CALLER, 0), (CALLER,), (), (0, 0, other), (5, 0, other)),
        (*[0] * 8, other),
        (*[0] * 15, other),
    ]
    assert len({*keys_of(*different)}) == len(different)


def test_what_is_left_in_the_last_unit_does_not_matter():
    """The writer of the test leaves addresses of code behind each stack."""
    words = [(CALLER, 0, CODE[0] + 0x300)] * 2
    assert len({*keys_of(*words, stack_bytes=16)}) == 1


def test_addresses_of_code():
    ranges = [(0x5555_0000_1000, 0x5555_0000_3000), (0x7F12_3456_7000, 0x7F12_3666_7000)]
    code = CodeRanges(ranges)
    chance = random.Random(4)
    words = [chance.randrange(1 << chance.choice((20, 48, 64))) for _ in range(3000)]
    for start, end in ranges:
        words += [start, end - 1, start - 1, end, start + (1 << 32), start + (1 << 48)]
    found = np.array(words, np.uint64)
    expected = [any(start <= word < end for start, end in ranges) for word in words]
    assert (code.may_hold(found) & code.hold(found)).tolist() == expected
    assert CodeRanges([(0, 1 << 47)]).hold(found[:5]).all()
    assert not CodeRanges([]).may_hold(found).any()


def test_table_of_keys():
    table = KeyTable(64)
    # Many of them begin at the same place.
    keys = np.array([1 + 512 * n for n in range(40)] + [*range(2, 30)], np.uint64)
    assert set(table.find(keys).tolist()) == {-1}
    table.add(keys[:30])
    assert table.find(keys).tolist() == [*range(30)] + [-1] * 38
    table.add(keys[30:])
    assert table.find(keys).tolist() == [*range(64)] + [-1] * 4
    table.clear()
    assert set(table.find(keys).tolist()) == {-1}


def paces(*events_of_polls, fill=0.0, drops=False):
    """Return what is written after polls, each a tenth of a second after the one before."""
    pace, events, found = Pace(), 0, []
    for number, more in enumerate(events_of_polls):
        events += more
        pace.measure(number * S // 10, events)
        found.append(dict(pace.choose(fill, drops)))
    return [each.get(STACK_BYTES) for each in found if each], pace


def test_idle_process_keeps_much_of_its_stacks():
    assert paces(*[10] * 30)[0] == [192, 4096]


@pytest.mark.parametrize(
    ("events_per_s", "stack_bytes"),
    [(0, 4096), (40_000, 4096), (180_000, 1024), (250_000, 512), (2_000_000, 192)],
)
def test_stack_is_as_long_as_the_reader_bears(events_per_s, stack_bytes):
    _, pace = paces(*[events_per_s // 10] * 30)
    assert pace.stack_bytes == stack_bytes


def test_of_some_blocks_the_most_is_kept_at_each_step():
    for most in (192, 1024, 4096, 1 << 20):
        for events_per_s in (0.0, 180_000.0, 300_000.0, 2e6):
            written = dict(Pace(most, events_per_s).settings)
            assert written[MORE_STACK_BYTES] == most
            assert written[STACK_BYTES] <= most
            assert written[MORE_STACK_MASK] >> LEVELS in (15, 63), written
            # Blocks are left out by the other bits.
            assert not written[MORE_STACK_MASK] & ((1 << LEVELS) - 1)
    assert {step.one_of & (step.one_of - 1) for step in BUSY} == {0}


def test_full_ring_gets_short_stacks_at_once():
    _, pace = paces(*[10] * 30)
    assert pace.stack_bytes == 4096
    assert dict(pace.choose(0.5, drops=False))[STACK_BYTES] == 192
    _, pace = paces(*[10] * 30)
    written = dict(pace.choose(0.0, drops=True))
    assert (written[STACK_BYTES], written[MORE_STACK_BYTES]) == (192, 4096)


def test_hash_is_that_of_the_recorder():
    """Some values, worked out by hand in another way."""
    for address in (0, 16, 0x5555_1234_5670, (1 << 48) - 16):
        product = (address // 16 * 11400714819323198485) % 2**64
        assert hash_address(address) == product // 2**32
        mixed = (product ^ product // 2**32) * 11400714819323198485 % 2**64
        assert draw_lot(address) == mixed // 2**32


def test_recordings_of_before_chose_by_the_hash():
    assert lot_of(8) is hash_address
    assert lot_of(VERSION) is draw_lot


def test_appending(tmp_path):
    path = tmp_path / "it"
    recordings.write(path, b"12345")
    with Appender(path) as out:
        assert out.position == 13
        with path.open("ab") as other:
            other.write(b"other")
        out.append(b"more")
        assert out.position == 22
    assert path.read_bytes() == b"gdbleak112345othermore"
    with pytest.raises(WriteError, match="No such file"):
        Appender(tmp_path / "none")


def test_frames_that_do_not_fit_are_not_there_in_part(tmp_path):
    path = tmp_path / "it"
    recordings.write(path, b"")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Appender(path) as out:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            with pytest.raises(WriteError, match="cannot write the recording"):
                out.append(struct.pack("<Q", 7) * 20)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"gdbleak1"
