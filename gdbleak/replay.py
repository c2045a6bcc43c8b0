"""From the hits of a recording to the calls a ledger keeps books of. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from gdbleak.allocators import AllocatorFunction
from gdbleak.glibc_chunk import usable_size
from gdbleak.ledger import Ledger
from gdbleak.plan import Probe, Role
from gdbleak.recording import Hit


class Replay:
    """Feeds hits, one at a time, to a ledger."""

    def __init__(self, probes: Iterable[Probe], functions: Iterable[AllocatorFunction]) -> None:
        by_name = {function.name: function for function in functions}
        self.ledger = Ledger()
        self.events = 0
        self._latest: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._probes = [(p, by_name[p.function]) for p in probes]

    def feed(self, hit: Hit) -> None:
        """Record one hit.

        GDB reports a hit again when a signal or a fork interrupts its step over the breakpoint.
        Nothing else looks the same: between two calls lies a return, between two returns a call,
        and between two frees of an address the call that handed it out again.
        """
        if self._latest.get(hit.thread) == (hit.probe, hit.registers):
            return
        self._latest[hit.thread] = hit.probe, hit.registers
        self.events += 1
        probe, function = self._probes[hit.probe]
        if probe.role is Role.RETURN:
            stack_pointer, result = hit.registers[:2]
            if probe.size_offset is not None:
                self.ledger.return_unannounced(
                    function,
                    hit.time_ns,
                    hit.thread,
                    stack_pointer,
                    result,
                    usable_size(hit.stored),
                    hit.position,
                )
                return
            self.ledger.leave(
                hit.time_ns, hit.thread, stack_pointer, result, hit.stored, hit.position
            )
            return
        if probe.role is Role.ESCAPE:
            self.ledger.escape(hit.thread, hit.registers[0])
            return
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
        )
