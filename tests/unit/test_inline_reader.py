"""What comes out of a ring by way of the recording is what the program did."""

from __future__ import annotations

import gc
import random
import struct
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rings import CODE, FREE, MALLOC, THREADS, FakeRing, Program, Rig, Stack
from support.fuzz import scaled

from gdbleak.analysis.options import ReportOptions
from gdbleak.inline import fold, reader, sums
from gdbleak.inline.reader import RingLostError
from gdbleak.inline.ring import READ, TICKETS, UNREAD, draw_lot
from gdbleak.recording.events import Folded, Hit
from gdbleak.recording.reader import Recording
from gdbleak.target.modules import find_again
from gdbleak.tracing.reporting import make_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder that lasts for all examples of a test."""
    return tmp_path_factory.mktemp("rings")


def report_on(path, **options):
    chosen = ReportOptions(**{"older_ms": 0, "listed_blocks": 10_000, **options})
    with Recording(str(path)) as recording:
        return make_report(recording, find_again, chosen, None)


def sites_of(report):
    """Return what a report says of each call stack, but for times."""
    return {
        (tuple(frame.address for frame in site.frames), site.truncated): (
            *(site.outstanding_count, site.outstanding_bytes, site.allocated_count),
            *(site.allocated_bytes, site.freed_count),
            sorted((block.address, block.size, block.thread) for block in site.blocks),
        )
        for site in report.sites
    }


def record(path, ring, program, steps, cuts, **values):
    """Let a program run, and poll after some of its steps."""
    gc.collect()  # a reader holds megabytes, and refers to itself
    with Rig(path, ring, **values) as rig:
        for step in range(steps):
            program.step()
            if step in cuts:
                rig.reader.poll()
                ring.set_stack(64)
        rig.finish()
        return rig


@given(
    seed=st.integers(0, 1 << 32),
    cuts=st.sets(st.integers(0, 300), max_size=40),
    begin=st.integers(0, 1 << 20),
    places=st.sampled_from((1, 3, 20)),
    addresses=st.sampled_from((2, 10, 200)),
)
@settings(max_examples=scaled(20), deadline=None)
def test_what_is_folded_comes_out_as_with_breakpoints(folder, seed, cuts, begin, places, addresses):
    ring = FakeRing(13)
    ring.begin_at(begin)
    program = Program(ring, seed, places, addresses)
    rig = record(folder / "inline", ring, program, 300, cuts, flush_ns=seed % 20_000_000)
    inline = report_on(folder / "inline")
    other = report_on(program.write_with_breakpoints(folder / "breakpoints"))
    assert sites_of(inline) == sites_of(other)
    assert (rig.reader.counts.lost, sum(rig.reader.counts.dropped)) == (0, 0)
    for name in ("allocations", "frees", "frees_of_older_blocks", "missed_frees", "lost_events"):
        assert getattr(inline.window, name) == getattr(other.window, name), name
    found = {block.address for site in inline.sites for block in site.blocks}
    assert found == program.alive.keys()


@pytest.mark.parametrize("seed", range(4))
def test_few_keys_and_sums(folder, monkeypatch, seed):
    """They are forgotten again and again: nothing else changes."""
    monkeypatch.setattr(fold, "MOST_KEYS", 4)
    monkeypatch.setattr(sums, "_THREADS", 3)
    ring = FakeRing(13)
    program = Program(ring, seed, places=20, addresses=30)
    record(folder / "inline", ring, program, 600, {100, 101, 300, 450})
    other = report_on(program.write_with_breakpoints(folder / "breakpoints"))
    assert sites_of(report_on(folder / "inline")) == sites_of(other)


@pytest.mark.parametrize("by", ["thread", "size"])
def test_what_is_folded_is_told_apart(folder, by):
    ring = FakeRing(13)
    program = Program(ring, 7)
    record(folder / "inline", ring, program, 600, {200, 400})
    inline = report_on(folder / "inline", by=by)
    other = report_on(program.write_with_breakpoints(folder / "breakpoints"), by=by)

    def groups(report):
        return {site.group: (site.allocated_count, site.freed_count) for site in report.sites}

    assert groups(inline) == groups(other)


STACK = Stack(0x7000, (CODE[0] + 0x101, 7, CODE[0] + 0x200, 9))


def emit(ring, site, address, size=8, thread=500, stack=STACK):
    return ring.record(site, address, size, thread, stack)


def write(ring, *event, **values):
    for _ in emit(ring, *event, **values):
        pass


def events_of(path):
    with Recording(str(path)) as recording:
        return [*recording.iter_events()]


def test_pairs_are_folded_behind_the_first(tmp_path):
    ring = FakeRing(12)
    with Rig(tmp_path / "it", ring) as rig:
        for number in range(100):
            write(ring, MALLOC, 0x1000, number)
            write(ring, FREE, 0x1000)
        rig.finish()
    events = events_of(tmp_path / "it")
    first, freed = [event for event in events if isinstance(event, Hit)]
    [folded] = [event for event in events if isinstance(event, Folded)]
    assert (first.registers[1], freed.registers) == (0x1000, (STACK.pointer, 0x1000))
    assert folded.position == first.position
    assert folded.kept(zeros=0) == (99, sum(range(100)))
    assert folded.threads == ((500, 99),)
    for blocks in folded.ages, folded.threads:
        assert sum(count for _, count in blocks) == 99
    assert sum(count for count, _ in folded.sizes) == 99
    assert first.time_ns <= folded.from_ns <= folded.to_ns


def test_the_same_stack_is_written_once(tmp_path):
    ring = FakeRing(12)
    with Rig(tmp_path / "it", ring) as rig:
        for number in range(100):
            words = STACK.words[0], number, *STACK.words[2:]  # the second is no return address
            write(ring, MALLOC, 0x1000 * number, stack=STACK._replace(words=words))
        other = STACK._replace(words=(*STACK.words[:3], CODE[0] + 0x300))
        write(ring, MALLOC, 0x7, stack=other)
        rig.finish()
        assert rig.reader.counts.bytes_written < 100 * 64 + 1000
    hits = [event for event in events_of(tmp_path / "it") if isinstance(event, Hit)]
    assert Counter(hit.position for hit in hits).most_common(1)[0][1] == 100
    assert len({hit.position for hit in hits}) == 2
    assert [hit.time_ns for hit in hits] == sorted(hit.time_ns for hit in hits)


def test_few_calls_between_two_polls_were_right_before_the_later_one(tmp_path):
    ring = FakeRing(12, stack_bytes=1000)
    with Rig(tmp_path / "it", ring) as rig:
        rig.reader.poll()
        rig.clock.now_ns += 100_000_000
        write(ring, MALLOC, 0x2000, stack=STACK._replace(words=STACK.words * 30))
        write(ring, FREE, 0x1000)
        rig.reader.poll()
        now_ns = rig.clock.now_ns
        rig.finish()
    first, freed = [event for event in events_of(tmp_path / "it") if isinstance(event, Hit)]
    assert now_ns - 1_000_000 < first.time_ns < freed.time_ns < now_ns


def test_many_calls_between_two_polls_are_spread_over_the_time(tmp_path):
    ring = FakeRing(12)
    with Rig(tmp_path / "it", ring) as rig:
        rig.reader.poll()
        before_ns = rig.clock.now_ns
        for number in range(1000):
            write(ring, MALLOC, 0x1000 * number)
        rig.reader.poll()
        now_ns = rig.clock.now_ns
        rig.finish()
    times = [event.time_ns for event in events_of(tmp_path / "it") if isinstance(event, Hit)]
    assert before_ns <= times[0] < before_ns + 100_000
    assert before_ns + 900_000 < times[-1] <= now_ns


def test_hole_is_waited_for_and_then_left_out(tmp_path):
    ring = FakeRing(8)
    with Rig(tmp_path / "it", ring) as rig:
        write(ring, MALLOC, 0x1000)
        hole = emit(ring, MALLOC, 0x2000)
        write(ring, MALLOC, 0x3000)
        rig.reader.poll()
        assert (rig.reader.counts.events, ring.get(READ)) == (1, 2)
        late = emit(ring, MALLOC, 0x4000)
        write(ring, MALLOC, 0x5000)
        rig.clock.now_ns += reader.HOLE_NS // 2
        rig.reader.poll()
        assert (rig.reader.counts.events, rig.reader.counts.lost) == (1, 0)
        rig.clock.now_ns += reader.HOLE_NS // 2
        rig.reader.poll()
        # The second hole is not as old.
        assert (rig.reader.counts.events, rig.reader.counts.lost) == (2, 1)
        for _ in late:
            pass
        rig.finish()
        assert (rig.reader.counts.events, rig.reader.counts.lost) == (4, 1)
        assert ring.get(READ) == ring.get(TICKETS)
    del hole
    hits = [event for event in events_of(tmp_path / "it") if isinstance(event, Hit)]
    assert [hit.registers[1] for hit in hits] == [0x1000, 0x3000, 0x4000, 0x5000]


def test_event_of_which_only_some_units_are_written(tmp_path):
    ring = FakeRing(8, stack_bytes=160)
    ring.begin_at(254)  # so that it goes on at the beginning of the ring
    stack = STACK._replace(words=tuple(range(20)))
    with Rig(tmp_path / "it", ring) as rig:
        parts = emit(ring, MALLOC, 0x1000, stack=stack)
        for _ in range(4):
            next(parts)
            rig.reader.poll()
            assert rig.reader.counts.events == 0
            ring.set_stack(160)
        assert next(parts, "written") == "written"
        rig.reader.poll()
        assert rig.reader.counts.events == 1
    [hit] = [event for event in events_of(tmp_path / "it") if isinstance(event, Hit)]
    with Recording(str(tmp_path / "it")) as recording:
        assert bytes(recording.stack(hit.position)[0]) == struct.pack("<20Q", *range(20))


@pytest.mark.parametrize("seed", range(6))
def test_blocks_that_are_chosen_are_complete(folder, seed):
    """The ring is polled too seldom; what is left is all of some blocks."""
    ring = FakeRing(9)
    program, chance = Program(ring, seed, addresses=4000), random.Random(seed)
    with Rig(folder / "inline", ring) as rig:
        for _ in range(3000):
            program.step()
            used = ring.get(TICKETS) - ring.get(READ)
            if used > ring.ring.units * chance.uniform(0.5, 0.95):
                rig.reader.poll()
                ring.set_stack(64)
        rig.finish()
        counts = rig.reader.counts
    assert counts.level > 0
    assert counts.missing == 0
    report = report_on(folder / "inline")
    found = {block.address for site in report.sites for block in site.blocks}
    mask = (1 << counts.level) - 1
    assert found == {a for a in program.alive if not draw_lot(a) & mask}
    estimated = sum(site.outstanding_count for site in report.sites)
    assert estimated == len(found) << counts.level
    assert any(
        f"so 1 block in {1 << counts.level} is recorded, chosen by address" in note
        for note in report.notes
    )
    assert ring.get(UNREAD) == 0


def test_full_ring_loses_events_of_all_blocks(tmp_path):
    ring = FakeRing(6)
    with Rig(tmp_path / "it", ring) as rig:
        for number in range(500):
            write(ring, MALLOC, 16 * number)
        rig.finish()
        assert rig.reader.counts.missing > 0
        assert rig.reader.counts.fill > 0.9
        assert rig.reader.counts.level > 0


def test_each_thread_is_asked_for_once(tmp_path):
    ring = FakeRing(12)
    with Rig(tmp_path / "it", ring) as rig:
        for number in range(100):
            write(ring, MALLOC, 16 * number + 16, thread=500 + number % 3)
            if number % 10 == 0:
                rig.reader.poll()
        rig.finish()
        assert sorted(rig.asked) == sorted(THREADS)[:3]
    hits = [event for event in events_of(tmp_path / "it") if isinstance(event, Hit)]
    assert [hit.thread for hit in hits] == [500 + number % 3 for number in range(100)]


def test_ring_that_is_gone(tmp_path):
    ring = FakeRing(8)
    with Rig(tmp_path / "it", ring) as rig:
        write(ring, MALLOC, 0x1000)
        rig.reader.poll()
        rig.reader._read = lambda _address, _size: b""
        with pytest.raises(RingLostError):
            rig.reader.poll()
        rig.reader.close()
    assert len(events_of(tmp_path / "it")) == 2


def test_recorder_that_has_switched_itself_off(tmp_path):
    ring = FakeRing(8)
    with Rig(tmp_path / "it", ring) as rig:
        assert rig.reader.poll().is_on
        ring.put(0, 0)
        assert not rig.reader.poll().is_on
