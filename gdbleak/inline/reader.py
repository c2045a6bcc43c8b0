"""Reads the ring in a target while it is written, and writes the recording.

Whoever owns it calls `poll` again and again, twenty times a second or more often, and `close` when
nothing is recorded any more.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gdbleak.inline.encoding import Encoder
from gdbleak.inline.fold import Folder
from gdbleak.inline.pace import Pace
from gdbleak.inline.ring import DROPPED, LEVELS, ON, PAGE_BYTES, READ, TICKETS, UNREAD, Ring
from gdbleak.inline.ring_reader import Batch, decode, find_next, pieces
from gdbleak.inline.stack_keys import CodeRanges, KeyTable, mix
from gdbleak.recording.events import Folded, Level, encode_folded, encode_level
from gdbleak.recording.probes import Probe, Role

if TYPE_CHECKING:
    from gdbleak.inline.ring_reader import Numbers

HOLE_NS = 2_000_000_000
"""A unit that was claimed so long ago, and is not written, never will be: its thread is gone."""
CHUNK_UNITS = 1 << 14, 1 << 16
"""At least and at most so many units are read at once, a quarter of the ring in between. No event
has as many as the first. Of more, what is made of them would leave the processor's cache."""
BUSY_FILL, BUSY_NS = 1 / 8, 200_000_000
"""A poll goes on for at most so long while it finds so much of the ring unread."""
FLUSH_NS = 1_000_000_000
"""What is folded is written at least once in this time."""

MOST_THREADS = 1 << 15
"""So many thread pointers are known; then all of them are forgotten."""

UNIT_NS = 1_000
"""Few units between two polls were claimed right before the later one, so much apart: what a
process does now and then it does at once, and a block takes the place of another in no time."""

_WORD = struct.Struct("<Q")


class Recorded(Protocol):
    """A recording that frames are appended to; `gdbleak.recording.appending.Appender` is one."""

    @property
    def position(self) -> int:
        """Where the next frame will begin."""

    def append(self, frames: bytes) -> None:
        """Append whole frames."""


class RingLostError(Exception):
    """The ring cannot be read or written any more: the process has ended, or executes another."""


@dataclass
class RingCounts:
    """What a reader has seen so far."""

    events: int = 0
    """Read, that is recorded in some form."""
    dropped: tuple[int, ...] = (0,) * (LEVELS + 2)
    """Events that were left out by fullness of the ring; the last number is those that were left
    out because there was no room at all."""
    lost: int = 0
    """Events, or gaps with at least one, whose units were never written whole."""
    fill: float = 0.0
    """Which share of the ring was unread at the latest poll."""
    events_per_s: float = 0.0
    """As they come, with those that are left out."""
    bytes_written: int = 0
    """Appended to the recording."""
    is_on: bool = True
    """Whether the target records; it switches itself off when nobody reads."""
    stack_bytes: int = 0
    """How much of each stack is kept now."""

    @property
    def level(self) -> int:
        """Of blocks whose lot ends in so many zeros, nothing was left out for fullness."""
        return max((n for n in range(1, LEVELS + 1) if self.dropped[n]), default=0)

    @property
    def missing(self) -> int:
        """Events that are missing even of the blocks that were chosen to be kept."""
        return self.dropped[LEVELS + 1] + self.lost


class RingReader:
    """Reads one ring into one recording."""

    def __init__(
        self,
        ring: Ring,
        read: Callable[[int, int], bytes],
        write: Callable[[int, bytes], object],
        probes: Mapping[int, Probe],
        allocating: Iterable[str],
        out: Recorded,
        code: Iterable[tuple[int, int]],
        find_thread: Callable[[int], int],
        clock: Callable[[], int] = time.monotonic_ns,
        flush_ns: int = FLUSH_NS,
        pace: Pace | None = None,
    ) -> None:
        """Begin.

        Args:
            ring: Mapped, with its head filled in.
            read: Returns so many bytes of the target from an address on, or fewer if it is gone.
            write: Writes bytes to an address of the target.
            probes: What each site tells, by its number; see `gdbleak.inline.probes`.
            allocating: Names of the functions that hand out blocks or resize them.
            out: What frames are appended to; its head has the probes.
            code: Where executable memory is in the target: first address, and the one behind.
            find_thread: Returns the thread id to a thread pointer; it is called once for each.
            clock: Returns the time of the recording's clock in nanoseconds.
            flush_ns: What is folded is written after so long.
            pace: Chooses how much of each stack is kept.

        """
        self.counts = RingCounts()
        self._ring, self._read, self._write, self._out = ring, read, write, out
        self._find_thread = find_thread
        self._threads = KeyTable(MOST_THREADS)
        self._thread_ids = np.zeros(MOST_THREADS, np.int64)
        self._clock, self._flush_ns = clock, flush_ns
        self._chunk_units = min(max(ring.units // 4, CHUNK_UNITS[0]), CHUNK_UNITS[1])
        self._encoder = Encoder(probes)
        self._probe_numbers = np.full(1 << 16, -1, np.int64)
        for site, probe in probes.items():
            self._probe_numbers[site] = probe.id
        self._folder = _make_folder(probes, {*allocating}, CodeRanges(code))
        self._pace = pace or Pace()
        (self._tail,) = _WORD.unpack(self._fetch(ring.address + READ, _WORD.size))
        self._marks: deque[tuple[int, int]] = deque([(self._clock(), self._tail)])
        """When so many units had been claimed; the latest last."""
        self._flushed_ns = self._marks[0][0]
        self._level: Level | None = None

    def set_code(self, code: Iterable[tuple[int, int]]) -> None:
        """Take in where executable memory is now: a library may have been loaded."""
        self._folder.code = CodeRanges(code)

    def poll(self) -> RingCounts:
        """Read what has come, write it down, and return the counts.

        Raises:
            RingLostError: the ring is gone. What was read before is in the recording.
            WriteError: the recording cannot be written.

        """
        began_ns = self._clock()
        self._read_all(began_ns)
        fill, before = self.counts.fill, -1
        # While it was read, as much may have come again: whoever came later would find it full.
        while self.counts.fill >= BUSY_FILL and self._tail != before:
            before, now_ns = self._tail, self._clock()
            if now_ns - began_ns >= BUSY_NS:
                break
            self._read_all(now_ns)
        self.counts.fill = fill
        if began_ns - self._flushed_ns >= self._flush_ns:
            self._flushed_ns = began_ns
            self._append_folded(self._folder.flush())
        return self.counts

    def _read_all(self, now_ns: int) -> None:
        """Read what has come by now, up to a hole."""
        head = self._fetch(self._ring.address, PAGE_BYTES)
        (tickets,) = _WORD.unpack_from(head, TICKETS)
        self._count(head, now_ns, tickets)
        self._mark(now_ns, tickets)
        before = -1
        while before != self._tail < tickets:
            before = self._tail
            self._read_chunk(min(tickets, before + self._chunk_units), now_ns)
        while len(self._marks) > 2 and self._marks[1][0] <= now_ns - HOLE_NS:
            self._marks.popleft()

    def _mark(self, now_ns: int, tickets: int) -> None:
        latest_ns, claimed = self._marks[-1]
        since_ns = now_ns - (tickets - claimed) * UNIT_NS
        if latest_ns < since_ns < now_ns:
            self._marks.append((since_ns, claimed))
        self._marks.append((now_ns, tickets))

    def close(self) -> RingCounts:
        """Write what is still held back, and how much was left out; return the counts.

        Whoever wants all of what was recorded polls until nothing more comes, and closes then.

        Raises:
            WriteError: the recording cannot be written.

        """
        self._append_folded(self._folder.flush())
        self._append_level(self._clock())
        return self.counts

    def _count(self, head: bytes, now_ns: int, tickets: int) -> None:
        counts = self.counts
        before = sum(counts.dropped)
        counts.dropped = struct.unpack_from(f"<{LEVELS + 2}Q", head, DROPPED)
        counts.is_on = head[ON : ON + 4] != bytes(4)
        counts.fill = min((tickets - self._tail) / self._ring.units, 1.0)
        self._put(UNREAD, 0)
        if self._level is None or self._level.zeros != counts.level:
            self._append_level(now_ns)
        events = counts.events + sum(counts.dropped)
        counts.events_per_s = self._pace.measure(now_ns, events)
        for place, value in self._pace.choose(counts.fill, sum(counts.dropped) > before):
            self._put(place, value)
        counts.stack_bytes = self._pace.stack_bytes

    def _read_chunk(self, end: int, now_ns: int) -> None:
        """Read units up to one of a number, as far as they are written."""
        self._put(UNREAD, 0)
        units = b"".join(
            self._fetch(address, size) for address, size in pieces(self._ring, self._tail, end)
        )
        decoded = decode(units, self._tail)
        first = self._tail
        if decoded.end > first:
            self._tail = decoded.end
        elif self._is_given_up(first, now_ns):
            self._tail = find_next(units, first, first)
            self.counts.lost += 1
        if self._tail == first:
            return
        self._put(READ, self._tail)
        self.counts.lost += decoded.damaged
        self.counts.events += len(decoded.batch)
        self._record(decoded.batch)

    def _is_given_up(self, unit: int, now_ns: int) -> bool:
        """Whether a unit was claimed so long ago that it would have been written by now."""
        return any(at <= now_ns - HOLE_NS and claimed > unit for at, claimed in self._marks)

    def _record(self, batch: Batch) -> None:
        known = self._probe_numbers[batch.sites] >= 0
        if not known.all():
            self.counts.lost += int(np.count_nonzero(~known))
            batch = batch.pick(known)
        if not len(batch):
            return
        times, threads = self._time(batch), self._identify(batch)
        gone, plan = self._folder.plan(batch)
        self._append_folded(gone)
        frames, positions = self._encoder.encode(
            batch, plan.kept, times, threads, self._out.position
        )
        self._append(frames)
        probes = self._probe_numbers[batch.sites]
        self._append_folded(self._folder.wrote(batch, plan, positions, times, threads, probes))

    def _time(self, batch: Batch) -> Numbers:
        """Return when each event was: between the polls before and after its unit was claimed."""
        start_ns, first = self._marks[0]
        claimed = [float(claimed - first) for _, claimed in self._marks]
        at_ns = [float(at - start_ns) for at, _ in self._marks]
        times = np.interp((batch.tickets - first).astype(np.float64), claimed, at_ns)
        found: Numbers = times.astype(np.int64) + start_ns
        return found

    def _identify(self, batch: Batch) -> Numbers:
        """Return the thread id of each event."""
        pointers = batch.threads
        keys = np.maximum(mix(pointers), np.uint64(1))
        numbers = self._threads.find(keys)
        unknown = np.flatnonzero(numbers < 0)
        if len(unknown):
            new, places = np.unique(keys[unknown], return_index=True)
            if len(new) > MOST_THREADS - self._threads.count:
                self._threads.clear()
                unknown = np.arange(len(pointers))
                new, places = np.unique(keys, return_index=True)
            first = self._threads.count
            self._threads.add(new)
            for number, pointer in enumerate(pointers[unknown[places]].tolist(), first):
                self._thread_ids[number] = self._find_thread(pointer)
            numbers[unknown] = self._threads.find(keys[unknown])
        return self._thread_ids[numbers]

    def _append_folded(self, folded: Iterable[Folded]) -> None:
        self._append(b"".join(map(encode_folded, folded)))

    def _append_level(self, now_ns: int) -> None:
        level = Level(now_ns, self.counts.level, sum(self.counts.dropped[: LEVELS + 1]))
        if level.zeros or self._level:
            self._append(encode_level(level))
            self._level = level

    def _append(self, frames: bytes) -> None:
        if frames:
            self._out.append(frames)
            self.counts.bytes_written += len(frames)

    def _fetch(self, address: int, size: int) -> bytes:
        data = self._read(address, size)
        if len(data) != size:
            raise RingLostError
        return data

    def _put(self, place: int, value: int) -> None:
        self._write(self._ring.address + place, _WORD.pack(value))


def _make_folder(probes: Mapping[int, Probe], allocating: set[str], code: CodeRanges) -> Folder:
    allocates, frees, has_stack = (np.zeros(1 << 16, np.bool_) for _ in range(3))
    for site, probe in probes.items():
        allocates[site] = probe.role is Role.CALL
        frees[site] = probe.role is Role.ENTRY and probe.function not in allocating
        has_stack[site] = probe.role in (Role.CALL, Role.RETURN)
    return Folder(code, allocates, frees, has_stack)
