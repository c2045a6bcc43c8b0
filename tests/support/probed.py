"""Write an image of the inline probe into a program that is told to allocate, and read its ring."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from gdbleak.architectures.x86_64_decoder import X86Decoder
from gdbleak.architectures.x86_64_moving import ENDBR64, read_whole
from gdbleak.elf.image import ElfImage
from gdbleak.inline import ring as layout
from gdbleak.inline.hooks import choose_sizes
from gdbleak.inline.model import Cave, Hook, InlinePlan
from gdbleak.inline.pads import find_pads
from gdbleak.inline.payload import build_in_any
from gdbleak.inline.ring import Ring
from gdbleak.plan.selection import Selection
from gdbleak.plan.sizes import parse_sizes
from gdbleak.recording.functions import MALLOC_FAMILY
from gdbleak.recording.modules import Module
from gdbleak.target.proc import Mapping, Memory, read_mappings
from support.processes import Target

RING_ADDRESS = 0x1000_0000_0000
ROLES = ("entry", "call", "return")
MAIN_LOG = 0
_MAX_THREAD_BLOCK = 0x900


class Event(NamedTuple):
    """What one thread did, as the program says, or as the recorder says."""

    role: str
    address: int
    size: int
    factor: int


@dataclass(frozen=True)
class Recorded:
    """An event as it is in the ring."""

    function: str
    event: Event
    thread: int
    stack_pointer: int
    frame_pointer: int
    stack: tuple[int, ...]
    ticket: int
    units: int

    @property
    def hands_out(self) -> bool:
        """Whether it tells of a block that was handed out: only then its stack is kept."""
        return self.event.role != "entry"


class Probed:
    """A program with a recorder in it."""

    def __init__(
        self,
        target: Target,
        unit_bits: int = 18,
        by_pad: bool = False,
        sizes: str = "",
        sized: bool = False,
    ) -> None:
        """Plan a recorder.

        Args:
            target: The program.
            unit_bits: The ring has two to the power of so many units.
            by_pad: Whether as if the functions of the C library might throw.
            sizes: Which sizes are recorded, as the user says it.
            sized: Whether blocks are to be told by the words before them.

        """
        self.target = target
        self.memory = Memory(target.pid, writable=True)
        self.ring = Ring(RING_ADDRESS, unit_bits)
        self.plan = plan_libc(target.pid, self.memory, by_pad)
        if sizes:
            hooks = tuple(replace(hook, sized=sized) for hook in self.plan.hooks)
            selection = Selection(sizes=parse_sizes(sizes))
            self.plan = choose_sizes(replace(self.plan, hooks=hooks), selection)
        self.cave, self.image = build_in_any(self.plan, self.ring)
        logs, self._log_bytes, self.resumed, self.resumed_again = map(
            int, target.ask("where").split()
        )
        self._logs = logs
        end = self.image.address + len(self.image.code)
        assert target.ask(f"image {self.image.address} {end}") == "ok"

    def write_image(self) -> None:
        """Write the recorder, which nothing leads to yet."""
        self.write(self.image.address, self.image.code)
        self.write(self.image.resume, struct.pack("<2Q", self.resumed, self.resumed_again))

    def patch(self) -> None:
        """Write the jumps."""
        for jump in self.image.jumps:
            assert self.memory.read(jump.address, len(jump.original)) == jump.original
            self.write(jump.address, jump.code)

    def restore(self) -> None:
        """Put everything back; nobody is in the image."""
        for jump in self.image.jumps:
            self.write(jump.address, jump.original)
        self.write(self.cave.address, self.cave.original)

    def set_up(self, stack_bytes: int = 192, **words: int) -> None:
        """Have the ring mapped, and filled in."""
        assert self.target.ask(f"enter {self.image.map_ring} 0") == "once"
        start, end = self.main_stack
        self.put(layout.MAIN_STACK, start)
        self.put(layout.MAIN_STACK + layout.WORD_BYTES, end)
        self.put(layout.STACK_BYTES, stack_bytes)
        self.put(layout.MORE_STACK_BYTES, stack_bytes)
        self.put(layout.LITTLE_STACK_BYTES, stack_bytes)
        for name, value in words.items():
            self.put(getattr(layout, name), value)

    def start(self, stack_bytes: int = 192, **words: int) -> None:
        """Do all of it, and record."""
        self.write_image()
        self.set_up(stack_bytes, **words)
        self.patch()
        self.switch(True)

    def switch(self, on: bool) -> None:
        """Have it record or not."""
        self.write(self.ring.address + layout.ON, struct.pack("<I", on))

    def tell(self, command: str) -> None:
        """Have the program do something, which it says it did."""
        assert self.target.ask(command) == "ok"

    def write(self, address: int, data: bytes) -> None:
        """Write into the program."""
        assert self.memory.write(address, data)

    def put(self, offset: int, value: int) -> None:
        """Write a word of the ring's head."""
        self.write(self.ring.address + offset, struct.pack("<Q", value))

    def get(self, offset: int) -> int:
        """Return a word of the ring's head."""
        return self._word(self.ring.address + offset)

    @cached_property
    def main_stack(self) -> tuple[int, int]:
        """From where to where the main thread's stack lies."""
        for mapping in read_mappings(self.target.pid):
            if mapping.path == "[stack]":
                return mapping.start, mapping.end
        raise AssertionError("no stack")

    def stack_of(self, thread: int) -> Mapping:
        """Return the mapping of a thread's stack, given its thread pointer."""
        mappings = read_mappings(self.target.pid)
        return next(mapping for mapping in mappings if mapping.start <= thread < mapping.end)

    def find_stack_block(self, threads: dict[int, Mapping]) -> int:
        """Return where, from a thread pointer, the start of the stack is kept, with its guard."""
        places = [
            {
                offset
                for offset in range(0, _MAX_THREAD_BLOCK, layout.WORD_BYTES)
                if self._word(thread + offset) == mapping.start - layout.PAGE_BYTES
            }
            for thread, mapping in threads.items()
        ]
        [place] = set.intersection(*places)
        return place

    def _word(self, address: int) -> int:
        return int.from_bytes(self.memory.read(address, layout.WORD_BYTES), "little")

    @property
    def dropped(self) -> list[int]:
        """How many events were left out at each level."""
        words = self.memory.read(self.ring.address + layout.DROPPED, 128)
        return [*struct.unpack("<16Q", words)]

    def read_events(self) -> list[Recorded]:
        """Return the events that are in the ring since it was read last, and take them out."""
        read, tickets = self.get(layout.READ), self.get(layout.TICKETS)
        events = [*self._iter_events(self._read_units(), read, tickets)]
        self.put(layout.READ, tickets)
        self.put(layout.UNREAD, 0)
        return events

    def read_ready(self) -> list[Recorded]:
        """Return the events that are whole, while others are being written, and take them out."""
        events = self._peek(self.get(layout.READ), self.get(layout.TICKETS))
        if events:
            self.put(layout.READ, events[-1].ticket + events[-1].units)
        return events

    def _peek(self, read: int, tickets: int) -> list[Recorded]:
        """Return the events up to the first that is not whole."""
        events = []
        for each in self._iter_events(self._read_units(), read, tickets):
            if each.ticket != read:
                break
            events.append(each)
            read += each.units
        return events

    def _read_units(self) -> bytes:
        data, size = b"", self.ring.units * layout.UNIT_BYTES
        while len(data) < size:
            data += self.memory.read(self.ring.first_unit + len(data), size - len(data))
        return data

    def _iter_events(self, data: bytes, read: int, tickets: int) -> Iterator[Recorded]:
        units = [*struct.iter_unpack("<8Q", data)]
        sites = {site.number: site for site in self.image.sites}
        number = read
        while number < tickets:
            first = units[number % self.ring.units]
            if first[0] != 2 * (number + 1) + 1:
                number += 1  # a hole
                continue
            info = first[layout.INFO]
            site, stack_bytes, count = (info >> shift & 0xFFFF for shift in (0, 16, 32))
            others = [units[(number + i) % self.ring.units] for i in range(1, count)]
            expected = [2 * (number + i + 1) for i in range(1, count)]
            assert [unit[0] for unit in others] == expected
            stack = [word for unit in others for word in unit[1:]][: stack_bytes // 8]
            yield Recorded(
                self.plan.hooks[sites[site].hook].function.name,
                Event(sites[site].role.value, *first[layout.ADDRESS : layout.THREAD]),
                first[layout.THREAD],
                first[layout.STACK_POINTER],
                first[layout.FRAME_POINTER],
                tuple(stack),
                number,
                count,
            )
            number += count

    def read_log(self, number: int = MAIN_LOG) -> tuple[int, list[Event]]:
        """Return a thread, and what it did since it was asked last, as the program says."""
        thread, log = self.read_sizes(number)
        return thread, [event for event, _, _ in log]

    def read_sizes(self, number: int = MAIN_LOG) -> tuple[int, list[tuple[Event, int, bool]]]:
        """Return the same, with how much of each block could be used, and if it was resized."""
        address = self._logs + number * self._log_bytes
        thread, count = struct.unpack("<2Q", self.memory.read(address, 16))
        notes = b""
        while len(notes) < count * 48:
            notes += self.memory.read(address + 16 + len(notes), count * 48 - len(notes))
        self.write(address + 8, struct.pack("<Q", 0))
        events = struct.iter_unpack("<6Q", notes)
        return thread, [
            (Event(ROLES[role], *rest), usable, bool(resized))
            for role, *rest, usable, resized in events
        ]

    def close(self) -> None:
        """Let go of the program."""
        self.memory.close()


def plan_libc(pid: int, memory: Memory, by_pad: bool) -> InlinePlan:
    """Return what `malloc` and its like need in the C library of a process."""
    mappings = [m for m in read_mappings(pid) if Path(m.path).name.startswith("libc.so")]
    [code] = [mapping for mapping in mappings if mapping.executable]
    image = ElfImage(code.path)
    bias = mappings[0].start
    names = [function.name for function in MALLOC_FAMILY]
    symbols = image.find_functions(names)
    decoder = X86Decoder(memory.read)
    hooks, entries = [], set()
    for function in MALLOC_FAMILY:
        symbol = symbols.get(function.name)
        if symbol is None or symbol.address in entries:
            continue
        entries.add(symbol.address)
        entry = symbol.address + bias
        patch = entry + len(ENDBR64) * (memory.read(entry, len(ENDBR64)) == ENDBR64)
        covered = b"".join(bytes(each.bytes) for each in read_whole(decoder, patch))
        throws = by_pad and function.allocates and function.result is None
        hooks.append(Hook(function, 0, entry, patch, covered, throws=throws))
    extents = [symbols[name] for name in names if name in symbols]
    own = (
        bias + min(symbol.address for symbol in extents),
        bias + max(symbol.address + symbol.size for symbol in extents),
    )
    end = max(
        segment.address + segment.file_size
        for segment in image.segments
        if segment.address + bias < code.end and segment.address + bias >= code.start
    )
    cave = Cave(bias + end, memory.read(bias + end, code.end - bias - end), code.path)
    assert not any(cave.original)
    pad = None
    if by_pad:
        module = Module(code.path, code.start, code.end, bias, image.build_id, code.path)
        pad = find_pads(module, image, memory)[0]
    image.close()
    return InlinePlan(tuple(hooks), (cave,), own, pad=pad)
