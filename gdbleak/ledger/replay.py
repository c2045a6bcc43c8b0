"""From the events of a recording to the calls a ledger keeps books of. Pure.

This runs for every event of a recording: what a breakpoint means is worked out once, before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from gdbleak.heap.chunk import FLAGS, is_size, usable_size
from gdbleak.ledger.blocks import Block
from gdbleak.ledger.heap import Ledger, ignore
from gdbleak.ledger.whole import WholeLedger
from gdbleak.ledger.whole_calls import WholeCalls
from gdbleak.recording.choice import Hash, draw_lot
from gdbleak.recording.events import Event, Folded, Freed, Hit, Turn
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.outside_values import UnfitError
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe, Role, is_kept
from gdbleak.recording.references import Reached


class _Places(NamedTuple):
    """Where among the registers of a call its arguments are; 0 for one that it does not take."""

    pointer: int
    size: int
    factors: tuple[int, ...]
    """What the size is multiplied by."""
    length: int
    flags: int


def _place(function: AllocatorFunction) -> _Places:
    places: dict[int | None, int] = {n: at for at, n in enumerate(function.arguments, 1)}
    sizes = [places[number] for number in function.sizes] or [0]
    return _Places(
        places.get(function.pointer, 0),
        sizes[0],
        tuple(sizes[1:]),
        places.get(function.length, 0),
        places.get(function.flags, 0),
    )


def _returns_chunk(probe: Probe) -> bool:
    return probe.role is Role.RETURN and probe.kept_sizes is not None


class Replay:
    """Feeds events, one at a time, to a ledger."""

    def __init__(
        self,
        probes: Iterable[Probe],
        functions: Iterable[AllocatorFunction],
        retire: Callable[[Block], None],
        resize: Callable[[Block, int, int], None] = ignore,
        free_older: Callable[[int, int], None] = ignore,
        admit: Callable[[Block], None] = ignore,
        zeros: int = 0,
        lot: Hash = draw_lot,
    ) -> None:
        """Begin.

        Args:
            probes: The breakpoints of the recording, by number.
            functions: What a call of their functions means.
            retire: See `Ledger`, as for the next three.
            resize: Given every block that was resized.
            free_older: Given the size of every older block that was freed.
            admit: Given every block that was handed out.
            zeros: Of calls that were seen whole, only blocks count whose lot ends in so many.
            lot: Returns the lot of an address.

        """
        probes = [*probes]
        by_name = {function.name: function for function in functions}
        self._whole: WholeCalls | None = None
        self.ledger: Ledger
        if any(probe.role is Role.CALL for probe in probes):
            self.ledger = books = WholeLedger(retire, resize, free_older, admit)
            self._whole = WholeCalls([(p, by_name[p.function]) for p in probes], books, zeros, lot)
        else:
            self.ledger = Ledger(retire, resize, free_older, admit)
        self.events = 0
        """Calls and returns."""
        self._latest: dict[int, Hit] = {}
        self._probes = [(p, by_name[p.function]) for p in probes]
        self._places = [_place(function) for _, function in self._probes]
        self._phase = Phase.ALL
        self._turned_ns = 0
        self._filters = any(probe.kept_sizes for probe in probes)
        self._chunks = {p.allocator: p.kept_sizes for p in probes if _returns_chunk(p)}
        """By number of the allocator, which sizes of chunks are recorded."""
        self._takers = self._find_takers()
        self.ledger.counts_older = not (self._filters and self._sees_all_frees())
        self._announced = any(probe.phases == (Phase.ALL,) for probe, _ in self._probes)

    def _sees_all_frees(self) -> bool:
        """Whether frees are there of blocks that are not recorded."""
        return any(
            probe.role is Role.ENTRY and probe.kept_sizes is None
            for probe, function in self._probes
            if not (function.allocates or function.mapping or function.is_internal)
        )

    def feed(self, event: Event) -> None:
        """Record what was read next."""
        if isinstance(event, Hit):
            self.feed_hit(event)
        elif isinstance(event, Turn):
            self._turn(event)
        elif isinstance(event, Freed):
            self.ledger.find_free(event.blocks, event.time_ns)
        elif isinstance(event, Reached):
            self.ledger.reach(event.blocks)
        elif isinstance(event, Folded):
            if self._whole is None:
                raise UnfitError("it holds whole calls, and no probe for them")
            if self.takes(event):
                self.events += self._whole.fold(event)

    def takes(self, folded: Folded) -> bool:
        """Whether folded blocks count: those do not that came when no new ones do any more."""
        return self._phase.admits or folded.from_ns < self._turned_ns

    def _turn(self, turn: Turn) -> None:
        phase, self._turned_ns = turn.phase, turn.time_ns
        self._phase = phase
        self._takers = self._find_takers()
        if phase is Phase.NONE:
            self._latest.clear()
        self.ledger.turn(phase, turn.time_ns)

    def _find_takers(self) -> list[Callable[[Hit], None] | None]:
        """Return what takes the hits of each breakpoint that is in now."""
        return [
            self._find_taker(probe, function) if self._phase in probe.phases else None
            for probe, function in self._probes
        ]

    def _find_taker(self, probe: Probe, function: AllocatorFunction) -> Callable[[Hit], None]:
        if probe.role is Role.ESCAPE:
            return self._escape
        if probe.role is Role.ENTRY:
            return self._enter_some if self._filters and function.allocates else self._enter
        if function.is_internal:
            return self._leave_internal
        if probe.size_offset is None:
            return self._leave
        return self._leave_sized if function.pointer is None else self._leave_resized

    def feed_hit(self, hit: Hit) -> None:
        """Record one hit.

        GDB reports a hit again when a signal or a fork interrupts its step over the breakpoint.
        Nothing else looks the same: between two calls lies a return, between two returns a call,
        and between two frees of an address a call that handed it out again, in another thread
        perhaps.
        """
        if self._whole is not None:
            self.events += self._whole.feed(hit)
            return
        _, number, _, thread, registers, _, _ = hit
        take = self._takers[number]
        # While breakpoints are put in or taken out, some are in before or after the others.
        if take is None:
            return
        latest = self._latest.get(thread)
        if latest and latest.probe == number and latest.registers == registers:
            if self._probes[number][1].allocates or registers[-1] not in self.ledger.outstanding:
                return
        self._latest[thread] = hit
        self.events += 1
        take(hit)

    def _enter_some(self, hit: Hit) -> None:
        """Record a call that allocates, where only blocks of some sizes are recorded."""
        probe, _ = self._probes[hit.probe]
        is_left_out = is_strange = False
        if probe.kept_sizes:
            _, size_at, factors, _, _ = self._places[hit.probe]
            size = hit.registers[size_at]
            for factor in factors:
                size *= hit.registers[factor]
            is_left_out = not is_kept(size, probe.kept_sizes)
        elif probe.size_offset is not None:
            is_strange = not is_kept(hit.stored & ~FLAGS, self._chunks.get(probe.allocator))
        self._enter(hit, is_left_out, is_strange)

    def _enter(self, hit: Hit, is_left_out: bool = False, is_strange: bool = False) -> None:
        _, number, time_ns, thread, registers, stored, _ = hit
        probe, function = self._probes[number]
        pointer, size_at, factors, length, flags = self._places[number]
        size = registers[size_at] if size_at else 0
        for factor in factors:
            size *= registers[factor]
        self.ledger.enter(
            probe.allocator,
            function,
            time_ns,
            thread,
            registers[0],
            registers[pointer] if pointer else 0,
            size,
            registers[length] if length else 0,
            registers[flags] if flags else 0,
            usable_size(stored) if stored and is_size(stored) else 0,
            is_left_out,
            is_strange,
        )

    def _escape(self, hit: Hit) -> None:
        self.ledger.escape(hit.thread, hit.registers[0])

    def _leave_internal(self, hit: Hit) -> None:
        self.ledger.leave_internal(hit.thread, hit.registers[0])

    def _leave(self, hit: Hit) -> None:
        position, _, time_ns, thread, registers, stored, _ = hit
        self.ledger.leave(time_ns, thread, registers[0], registers[1], stored, position)

    def _leave_sized(self, hit: Hit) -> None:
        """Record the return of a function whose size stands before the block."""
        position, number, time_ns, thread, registers, stored, mark = hit
        is_left_out = not is_kept(stored & ~FLAGS, self._probes[number][0].kept_sizes)
        if self._announced and self._phase is Phase.ALL:
            self.ledger.leave(
                time_ns, thread, registers[0], registers[1], 0, position, mark, is_left_out
            )
        else:
            self.ledger.return_unannounced(
                self._probes[number][1],
                time_ns,
                thread,
                registers[0],
                registers[1],
                usable_size(stored),
                position,
                mark,
                is_left_out,
            )

    def _leave_resized(self, hit: Hit) -> None:
        """Record the return of a resize, where only blocks of some sizes are recorded."""
        position, number, time_ns, thread, registers, stored, _ = hit
        is_left_out = not is_kept(stored & ~FLAGS, self._probes[number][0].kept_sizes)
        self.ledger.leave(time_ns, thread, registers[0], registers[1], 0, position, 0, is_left_out)
