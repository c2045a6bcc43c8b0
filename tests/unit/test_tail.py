"""A recording is followed to its end, whoever writes faster than we read."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from recordings import FREE, MALLOC, MALLOC_RET, PROBES, SP, free, head, hit, malloc, opened

from gdbleak.capture.tail import Tail
from gdbleak.recording.frames import MAGIC
from gdbleak.recording.functions import MALLOC_FAMILY

STACK = bytes(60_000)


@pytest.fixture
def follow(tmp_path):
    """Return a function that follows what is appended to a recording."""
    path = tmp_path / "recording"
    path.write_bytes(MAGIC + head())
    tails = []

    def follow(*frames, max_events=None):
        tails.append(Tail(path, PROBES, MALLOC_FAMILY, max_events))
        with path.open("ab") as file:
            file.write(b"".join(frames))
        return tails[-1], path

    yield follow
    for tail in tails:
        tail.__exit__()


def large(number):
    """Return the frame of a return with a large stack."""
    return hit(MALLOC_RET, number, SP, 0x1000 * number, 0, 0, stack=STACK)


def test_all_is_more_than_one_read_takes_in(follow):
    tail, path = follow(opened(5), *map(large, range(1, 31)))
    tail.read()
    assert 0 < tail.events < 30
    tail.read_all()
    assert (tail.events, tail.position, tail.opened_ns) == (30, path.stat().st_size, 5)


@pytest.mark.parametrize("cut", [1, 9, len(STACK)])
def test_half_a_frame_at_the_end(follow, cut):
    whole = [large(number) for number in range(1, 11)]
    tail, path = follow(*whole, large(11)[:-cut])
    tail.read_all()
    assert tail.events == 10
    assert tail.position == path.stat().st_size - len(large(11)) + cut
    with path.open("ab") as file:
        file.write(large(11)[-cut:])
    tail.read_all()
    assert (tail.events, tail.position) == (11, path.stat().st_size)


def test_nothing_beyond_max_events(follow):
    tail, path = follow(*map(large, range(1, 31)), max_events=7)
    tail.read_all()
    assert tail.events == 7
    assert tail.position == path.stat().st_size - 23 * len(large(1))


def test_slowest_call(follow):
    def call(time_us, thread, *frames):
        return (*frames, hit(MALLOC_RET, time_us * 1000, SP, 1, 0, 0, thread=thread))

    def enter(probe, time_us, thread=1):
        return hit(probe, time_us * 1000, SP, 100, thread=thread)

    slow = [enter(MALLOC, 1000), *(enter(MALLOC, 1000 + 200 * n, 2) for n in range(1, 10))]
    tail, _ = follow(opened(0), *call(3000, 1, *slow))
    tail.read_all()
    assert tail.longest_call_s == (pytest.approx(2.25e-3), pytest.approx(2.25e-3))

    # Neither a free, nor an entry that was seen in another burst, is where a call begins.
    others = [enter(MALLOC, 1000 + 200 * n, 2) for n in range(1, 10)]
    for frames in ([enter(FREE, 1000), *others], [enter(MALLOC, 1000), *others, opened(0)]):
        tail, _ = follow(opened(0), *call(3000, 1, *frames))
        tail.read_all()
        assert tail.longest_call_s[0] < 2.25e-3


def test_damage_ends_it(follow):
    tail, _ = follow(malloc(1, 0x10, 8, 0x400), struct.pack("<BBHI", 99, 0, 0, 0), free(2, 0x10))
    tail.read_all()
    assert (tail.events, len(tail.outstanding)) == (2, 1)


def test_memory_does_not_grow_with_the_length_of_a_window(follow):
    """Blocks that were freed are let go of."""
    pairs = (
        frame
        for number in range(20_000)
        for frame in (malloc(3 * number, 0x1000, 8, 0x400), free(3 * number + 2, 0x1000))
    )
    tail, _ = follow(opened(0), *pairs)
    tail.read()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tail.read_all()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert tail.events == 60_000
    assert after - before < 100_000
