"""From the events of a recording to the calls a ledger keeps books of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import NamedTuple

from gdbleak.heap.chunk import is_size, usable_size
from gdbleak.ledger.blocks import Block
from gdbleak.ledger.heap import Ledger, ignore
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe, Role
from gdbleak.recording.reader import Event, Freed, Hit, Turn


class _Call(NamedTuple):
    """Where among the registers of a call its arguments are; 0, the stack pointer's, for none."""

    pointer: int
    sizes: tuple[int, ...]
    length: int
    flags: int


def _place(function: AllocatorFunction) -> _Call:
    places: dict[int | None, int] = {n: at for at, n in enumerate(function.arguments, 1)}
    return _Call(
        places.get(function.pointer, 0),
        tuple(places[number] for number in function.sizes),
        places.get(function.length, 0),
        places.get(function.flags, 0),
    )


class Replay:
    """Feeds events, one at a time, to a ledger."""

    def __init__(
        self,
        probes: Iterable[Probe],
        functions: Iterable[AllocatorFunction],
        retire: Callable[[Block], None],
        resize: Callable[[Block, int, int], None] = ignore,
        free_older: Callable[[int, int], None] = ignore,
    ) -> None:
        """Begin.

        Args:
            probes: Of the recording.
            functions: What their functions mean.
            retire: See `Ledger`, as for the next two.
            resize: Likewise.
            free_older: Likewise.

        """
        by_name = {function.name: function for function in functions}
        self.ledger = Ledger(retire, resize, free_older)
        self.events = 0
        """Calls and returns."""
        self._latest: dict[int, Hit] = {}
        self._probes = [(p, by_name[p.function]) for p in probes]
        self._calls = [_place(function) for _, function in self._probes]
        self._phase = Phase.ALL
        self._are_in = self._find_those_in()
        self._announced = any(probe.phases == (Phase.ALL,) for probe, _ in self._probes)

    def feed(self, event: Event) -> None:
        """Record what was read next."""
        if isinstance(event, Hit):
            self._feed_hit(event)
        elif isinstance(event, Turn):
            self._turn(event)
        elif isinstance(event, Freed):
            self.ledger.find_free(event.blocks, event.time_ns)

    def _turn(self, turn: Turn) -> None:
        phase = self._phase = turn.phase
        self._are_in = self._find_those_in()
        if phase is Phase.NONE:
            self._latest.clear()
        self.ledger.turn(phase, turn.time_ns)

    def _find_those_in(self) -> list[bool]:
        """Return of each breakpoint whether it is in now."""
        return [self._phase in probe.phases for probe, _ in self._probes]

    def _feed_hit(self, hit: Hit) -> None:
        """Record one hit.

        GDB reports a hit again when a signal or a fork interrupts its step over the breakpoint.
        Nothing else looks the same: between two calls lies a return, between two returns a call,
        and between two frees of an address a call that handed it out again, in another thread
        perhaps.
        """
        # While breakpoints are put in or taken out, some are in before or after the others.
        if not self._are_in[hit.probe]:
            return
        probe, function = self._probes[hit.probe]
        latest = self._latest.get(hit.thread)
        if latest and latest.probe == hit.probe and latest.registers == hit.registers:
            if function.allocates or hit.registers[-1] not in self.ledger.outstanding:
                return
        self._latest[hit.thread] = hit
        self.events += 1
        if probe.role is Role.RETURN:
            self._leave(probe, function, hit)
        elif probe.role is Role.ESCAPE:
            self.ledger.escape(hit.thread, hit.registers[0])
        else:
            self._enter(probe, function, hit)

    def _enter(self, probe: Probe, function: AllocatorFunction, hit: Hit) -> None:
        registers, stored = hit.registers, hit.stored
        pointer, sizes, length, flags = self._calls[hit.probe]
        self.ledger.enter(
            probe.allocator,
            function,
            hit.time_ns,
            hit.thread,
            registers[0],
            registers[pointer] if pointer else 0,
            prod([registers[size] for size in sizes]) if sizes else 0,
            registers[length] if length else 0,
            registers[flags] if flags else 0,
            usable_size(stored) if stored and is_size(stored) else 0,
        )

    def _leave(self, probe: Probe, function: AllocatorFunction, hit: Hit) -> None:
        stack_pointer, result = hit.registers[:2]
        if function.is_internal:
            self.ledger.leave_internal(hit.thread, stack_pointer)
        elif probe.size_offset is None:
            self.ledger.leave(
                *(hit.time_ns, hit.thread, stack_pointer, result, hit.stored, hit.position)
            )
        elif self._announced and self._phase is Phase.ALL:
            self.ledger.leave(
                *(hit.time_ns, hit.thread, stack_pointer, result, 0, hit.position, hit.mark)
            )
        else:
            self.ledger.return_unannounced(
                function,
                hit.time_ns,
                hit.thread,
                stack_pointer,
                result,
                usable_size(hit.stored),
                hit.position,
                hit.mark,
            )
