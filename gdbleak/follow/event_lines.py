"""A line for every allocation and every free. Pure.

The ledger decides what a call has done, so the lines show what a report counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from gdbleak.debugger.symbols import locate
from gdbleak.ledger.blocks import Block
from gdbleak.ledger.replay import Replay
from gdbleak.recording.events import Event, Folded, Freed, Hit
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.probes import Probe
from gdbleak.renderers.frames import describe
from gdbleak.text.units import count_of, format_seconds

HEADER = f"{'time':15} {'thread':>7} {'function':14} {'bytes':>9} {'address':>14}  caller, or age"


class EventLines:
    """Turns the events of a recording into lines."""

    def __init__(
        self,
        probes: Iterable[Probe],
        functions: Iterable[AllocatorFunction],
        modules: ModuleMap,
        epoch_ns: int,
    ) -> None:
        """Begin.

        Args:
            probes: Probes of the recording.
            functions: Functions of the recording.
            modules: Modules of the target.
            epoch_ns: When the clock of the recording was 0, in nanoseconds since 1970.

        """
        self._probes = [*probes]
        functions = [*functions]
        self._functions = {function.name: function for function in functions}
        self._modules = modules
        self._epoch_ns = epoch_ns
        self._retired: list[Block] = []
        self._replay = Replay(self._probes, functions, self._retired.append)

    def feed(self, event: Event, caller: int) -> Iterator[str]:
        """Yield the lines of an event; most entries and returns have none.

        Args:
            event: What was recorded next.
            caller: The return address, if it is a return.

        """
        self._retired.clear()
        if isinstance(event, Freed):
            self._replay.feed(event)
            for block in self._retired:
                yield self._freed(event.time_ns, "-", "found free", block.address, block)
        elif isinstance(event, Folded):
            self._replay.feed(event)
            yield self._folded(event)
        elif not isinstance(event, Hit):
            self._replay.feed(event)
        elif self._functions[self._probes[event.probe].function].mapping is None:
            yield from self._feed_heap(event, caller)
        else:
            yield from self._feed_mapping(event, caller)

    def _feed_heap(self, hit: Hit, caller: int) -> Iterator[str]:
        ledger = self._replay.ledger
        handed_out, frees = ledger.allocations + ledger.resizes, ledger.frees
        self._replay.feed(hit)
        name = self._probes[hit.probe].function
        if ledger.allocations + ledger.resizes > handed_out:
            yield self._handed_out(hit, name, next(reversed(ledger.outstanding.values())), caller)
        elif ledger.frees > frees:
            block = self._retired[0] if self._retired else None
            pointer = self._functions[name].pointer
            arguments = self._functions[name].arguments
            address = block.address if block else hit.registers[1 + arguments.index(pointer or 0)]
            yield self._freed(hit.time_ns, hit.thread, name, address, block)

    def _feed_mapping(self, hit: Hit, caller: int) -> Iterator[str]:
        mappings = self._replay.ledger.mappings
        before = {id(block) for block in mappings.survivors}
        self._replay.feed(hit)
        name = self._probes[hit.probe].function
        for block in self._retired:
            yield self._freed(hit.time_ns, hit.thread, name, block.address, block)
        for block in mappings.survivors:
            if id(block) not in before:
                yield self._handed_out(hit, name, block, caller)

    def _handed_out(self, hit: Hit, name: str, block: Block, caller: int) -> str:
        return self._line(
            hit.time_ns, hit.thread, name, str(block.size), block.address, self._locate(caller)
        )

    def _freed(
        self, time_ns: int, thread: int | str, name: str, address: int, block: Block | None
    ) -> str:
        """Return the line of a free; `block` is None if it is older than the window."""
        size = str(block.size) if block else "-"
        age = format_seconds((time_ns - block.born_ns) / 1e9) if block else "older"
        return self._line(time_ns, thread, name, size, address, age)

    def _folded(self, folded: Folded) -> str:
        """Return the line of blocks that were handed out and freed a moment later."""
        blocks, size = folded.kept(zeros=0)
        oldest_ns = max((age_ns for age_ns, _ in folded.ages), default=0)
        rest = f"{count_of(blocks, 'block')}, freed within {format_seconds(oldest_ns / 1e9)}"
        name = self._probes[folded.probe].function
        threads = "-" if len(folded.threads) != 1 else folded.threads[0][0]
        return self._line(folded.to_ns, threads, name, str(size), None, rest)

    def _line(
        self, time_ns: int, thread: int | str, name: str, size: str, address: int | None, rest: str
    ) -> str:
        time = datetime.fromtimestamp((self._epoch_ns + time_ns) / 1e9).strftime("%H:%M:%S.%f")
        at = "-" if address is None else f"{address:#x}"
        return f"{time} {thread:>7} {name:14} {size:>9} {at:>14}  {rest}"

    def _locate(self, address: int) -> str:
        return describe(locate(address, self._modules))
