"""From the events of a recording to the calls a ledger keeps books of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod

from gdbleak.allocators import AllocatorFunction
from gdbleak.blocks import Block
from gdbleak.glibc_chunk import is_size, usable_size
from gdbleak.ledger import Ledger, ignore
from gdbleak.phases import Phase
from gdbleak.plan import Probe, Role
from gdbleak.recording import Event, Freed, Hit, Turn


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
        self._latest: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._probes = [(p, by_name[p.function]) for p in probes]
        self._phase = Phase.ALL
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
        if phase is Phase.NONE:
            self._latest.clear()
        self.ledger.turn(phase, turn.time_ns)

    def _feed_hit(self, hit: Hit) -> None:
        """Record one hit.

        GDB reports a hit again when a signal or a fork interrupts its step over the breakpoint.
        Nothing else looks the same: between two calls lies a return, between two returns a call,
        and between two frees of an address a call that handed it out again, in another thread
        perhaps.
        """
        probe, function = self._probes[hit.probe]
        # While breakpoints are put in or taken out, some are in before or after the others.
        if self._phase not in probe.phases:
            return
        repeats = self._latest.get(hit.thread) == (hit.probe, hit.registers)
        if repeats and (function.allocates or hit.registers[-1] not in self.ledger.outstanding):
            return
        self._latest[hit.thread] = hit.probe, hit.registers
        self.events += 1
        if probe.role is Role.RETURN:
            self._leave(probe, function, hit)
        elif probe.role is Role.ESCAPE:
            self.ledger.escape(hit.thread, hit.registers[0])
        else:
            self._enter(probe, function, hit)

    def _enter(self, probe: Probe, function: AllocatorFunction, hit: Hit) -> None:
        values: dict[int | None, int] = dict(zip(function.arguments, hit.registers[1:]))
        self.ledger.enter(
            probe.allocator,
            function,
            hit.time_ns,
            hit.thread,
            stack_pointer=hit.registers[0],
            pointer=values.get(function.pointer, 0),
            size=prod(values[number] for number in function.sizes) if function.sizes else 0,
            length=values.get(function.length, 0),
            flags=values.get(function.flags, 0),
            usable=usable_size(hit.stored) if is_size(hit.stored) else 0,
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
