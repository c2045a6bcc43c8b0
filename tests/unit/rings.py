"""A ring as the recorder in a target writes it, and a program that it records."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import recordings

from gdbleak.inline.model import Hook, Site
from gdbleak.inline.probes import by_site, make_probes
from gdbleak.inline.reader import RingReader
from gdbleak.inline.ring import (
    DROPPED,
    LEVELS,
    MORE_STACK_BYTES,
    MORE_STACK_MASK,
    ON,
    PAGE_BYTES,
    READ,
    STACK_BYTES,
    STACK_WORDS_OF_UNIT,
    TICKETS,
    UNIT_BYTES,
    UNREAD,
    Ring,
    draw_lot,
    hash_address,
)
from gdbleak.recording.appending import Appender
from gdbleak.recording.functions import MALLOC_FAMILY
from gdbleak.recording.probes import Probe, Role

WORD = struct.Struct("<Q")
CODE = (recordings.PROGRAM.start, recordings.PROGRAM.end)
NAMES = ("malloc", "calloc", "realloc", "posix_memalign", "free")
FUNCTIONS = {function.name: function for function in MALLOC_FAMILY if function.name in NAMES}
HOOKS = tuple(
    Hook(FUNCTIONS[name], 0, 0x1000 * n, 0x1000 * n, b"\x55" * 5) for n, name in enumerate(NAMES, 1)
)
MALLOC, CALLOC, REALLOC, RESIZED, MEMALIGN, FREE = range(100, 700, 100)
SITES = (
    Site(MALLOC, 0, Role.CALL),
    Site(CALLOC, 1, Role.CALL),
    Site(REALLOC, 2, Role.ENTRY),
    Site(RESIZED, 2, Role.RETURN),
    Site(MEMALIGN, 3, Role.CALL),
    Site(FREE, 4, Role.ENTRY),
)
PROBES = make_probes(HOOKS, SITES)
THREADS = {0x7F0000001000 + 0x10000 * n: 500 + n for n in range(8)}
"""Thread ids by thread pointers."""
POINTERS = {thread: pointer for pointer, thread in THREADS.items()}


class Stack(NamedTuple):
    """What a call finds in its stack."""

    pointer: int
    words: tuple[int, ...]
    frame_pointer: int = 0


@dataclass
class FakeRing:
    """The ring, and who writes into it."""

    bits: int = 12
    address: int = 0x7E0000000000
    stack_bytes: int = 64
    memory: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.ring = Ring(self.address, self.bits)
        self.memory = bytearray(self.ring.size)
        self.put(ON, 1)
        self.set_stack(self.stack_bytes)

    def set_stack(self, size: int) -> None:
        for place in (STACK_BYTES, MORE_STACK_BYTES):
            self.put(place, size)

    def get(self, place: int) -> int:
        return int(WORD.unpack_from(self.memory, place)[0])

    def put(self, place: int, value: int) -> None:
        WORD.pack_into(self.memory, place, value)

    def read(self, address: int, size: int) -> bytes:
        start = address - self.address
        assert 0 <= start <= start + size <= len(self.memory)
        return bytes(self.memory[start : start + size])

    def write(self, address: int, data: bytes) -> None:
        start = address - self.address
        self.memory[start : start + len(data)] = data

    def begin_at(self, unit: int) -> None:
        """Let units before one have been written and read: it may be many rounds later."""
        self.put(TICKETS, unit)
        self.put(READ, unit)

    def record(
        self, site: int, address: int, size: int, thread: int, stack: Stack, factor: int = 1
    ) -> Iterator[None]:
        """Claim the units of an event at once; run on to have them written, one after the other."""
        wanted = STACK_BYTES if hash_address(address) & self.get(MORE_STACK_MASK) else None
        count = min(self.get(wanted or MORE_STACK_BYTES) // 8, len(stack.words))
        units = 1 + -(-count // STACK_WORDS_OF_UNIT)
        first = self._claim(address, units)
        return iter(()) if first is None else self._write(first, units, count, locals())

    def _claim(self, address: int, units: int) -> int | None:
        tickets = self.get(TICKETS)
        free = self.ring.units - 1 + self.get(READ) - tickets
        level = LEVELS + 1
        if units <= free:
            level = max(self.bits - 1 - (free.bit_length() - 1), 0)
        if level > LEVELS or draw_lot(address) & (1 << level) - 1:
            level = min(level, LEVELS + 1)
            self.put(DROPPED + 8 * level, self.get(DROPPED + 8 * level) + 1)
            self.put(UNREAD, self.get(UNREAD) + 1)
            return None
        self.put(TICKETS, tickets + units)
        return tickets

    def _write(self, first: int, units: int, count: int, event: dict[str, Any]) -> Iterator[None]:
        stack = event["stack"]
        info = event["site"] | 8 * count << 16 | units << 32
        heads = info, event["address"], event["size"], event["factor"], POINTERS[event["thread"]]
        rows = [(*heads, stack.pointer, stack.frame_pointer)]
        for start in range(0, count, STACK_WORDS_OF_UNIT):
            words = stack.words[start : min(start + STACK_WORDS_OF_UNIT, count)]
            rows.append((*words, *(CODE[0] + 5 for _ in range(STACK_WORDS_OF_UNIT - len(words)))))
        for number in (*range(1, units), 0):
            yield
            unit = first + number
            place = PAGE_BYTES + unit % self.ring.units * UNIT_BYTES
            struct.pack_into("<7Q", self.memory, place + 8, *rows[number])
            self.put(place, 2 * (unit + 1) + (number == 0))


class Clock:
    """Goes on by a millisecond whenever it is asked."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def __call__(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns


class Rig:
    """A ring, its reader, and the recording. A context."""

    def __init__(self, path: Path, ring: FakeRing, **values: Any) -> None:
        self.path, self.ring, self.clock = path, ring, Clock()
        functions = [function.to_json() for function in FUNCTIONS.values()]
        probes = [probe.to_json() for probe in PROBES]
        head = recordings.head(functions=functions, probes=probes)
        recordings.write(path, head, recordings.opened(self.clock.now_ns))
        self.out = Appender(path)
        self.asked: list[int] = []
        self.reader = RingReader(
            ring.ring,
            ring.read,
            ring.write,
            by_site(SITES, PROBES),
            [name for name, function in FUNCTIONS.items() if function.allocates],
            self.out,
            [CODE],
            self.find_thread,
            self.clock,
            **values,
        )

    def find_thread(self, pointer: int) -> int:
        self.asked.append(pointer)
        return THREADS[pointer]

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.out.__exit__()

    def finish(self) -> None:
        """Read all that is left, and end the recording."""
        self.reader.poll()
        self.reader.close()
        self.out.append(recordings.end(end_ns=self.clock()))


class Program:
    """Calls an allocator as a program does, into a ring; and keeps books of its own."""

    def __init__(self, ring: FakeRing, seed: int, places: int = 6, addresses: int = 40) -> None:
        self.ring, self.chance = ring, random.Random(seed)
        self.alive: dict[int, tuple[int, int]] = {}
        """Size, and the first return address, of each block."""
        self.frames: list[bytes] = []
        """The same in a recording of breakpoints."""
        self.allocations = self.frees = 0
        self._free = [0x5000_0000 + 48 * n for n in range(addresses)]
        chance = self.chance
        callers = [CODE[0] + 0x101 + 16 * n for n in range(places)]
        self._stacks = [
            Stack(
                recordings.SP + 512 * n,
                (
                    callers[n],
                    *(chance.choice((CODE[0] + 0x8000 + m, 5, 0x7000)) for m in range(20)),
                ),
            )
            for n in range(places)
        ]

    def step(self) -> None:
        """Make one call, all of it or, of a resize in another thread, with others in between."""
        chance = self.chance
        thread = chance.choice([*THREADS.values()])
        stack = chance.choice(self._stacks)
        # The words that are no return addresses differ from call to call.
        words = tuple(
            chance.randrange(1 << 15) if word in (5, 0x7000) else word for word in stack.words
        )
        stack = stack._replace(words=words)
        kind = chance.random()
        if kind < 0.45 and self._free:
            self._allocate(thread, stack)
        elif kind < 0.85:
            self._release(thread, stack)
        else:
            self._resize(thread, stack)

    def _emit(self, site, address, size, thread, stack, factor=1):
        for _ in self.ring.record(site, address, size, thread, stack, factor):
            pass

    def _take(self) -> int:
        return self._free.pop(self.chance.randrange(len(self._free)))

    def _hit(self, probe, thread, *values, stack=b""):
        time_ns = 1_000_000_000 + len(self.frames)
        self.frames.append(recordings.hit(probe, time_ns, *values, thread=thread, stack=stack))

    def _allocate(self, thread: int, stack: Stack) -> None:
        address, size = self._take(), self.chance.choice((8, 24, 100, 4000))
        site, factor = self.chance.choice(((MALLOC, 1), (CALLOC, 3), (MEMALIGN, 1)))
        self._emit(site, address, size, thread, stack, factor)
        self.alive[address] = size * factor, stack.words[0]
        self.allocations += 1
        raw = struct.pack("<21Q", *stack.words)
        self._hit(0, thread, stack.pointer, size * factor)
        self._hit(1, thread, stack.pointer, address, 0, 0, stack=raw)

    def _release(self, thread: int, stack: Stack) -> None:
        if self.alive and self.chance.random() < 0.9:
            address = self.chance.choice([*self.alive])
            del self.alive[address]
            self._free.append(address)
        else:
            address = 0x4000_0000 + 16 * self.chance.randrange(1 << 20)  # older than the window
        self.frees += 1
        self._emit(FREE, address, 0, thread, stack, 0)
        self._hit(2, thread, stack.pointer, address)

    def _resize(self, thread: int, stack: Stack) -> None:
        old = self.chance.choice([0, *self.alive])
        size = self.chance.choice((0, 60, 5000))
        size = size or 16 * (old == 0)
        if old:
            self._emit(REALLOC, old, 0, thread, stack, 0)
        self._hit(3, thread, stack.pointer, old, size)
        _, caller = self.alive.get(old, (0, stack.words[0]))
        result, kind = 0, self.chance.random()
        if size and (kind < 0.4 and old):
            result = old
        elif size and kind < 0.9 and self._free:
            result = self._take()
        if result:
            self.allocations += old == 0
            self.alive.pop(old, None)
            self.alive[result] = size, caller
        elif old and not size:
            self.frees += 1
            del self.alive[old]
        if old and old not in self.alive:
            self._free.append(old)
        self._emit(RESIZED, result, size, thread, stack)
        raw = struct.pack("<21Q", *stack.words)
        self._hit(4, thread, stack.pointer, result, 0, 0, stack=raw)

    def write_with_breakpoints(self, path: Path) -> str:
        """Write the recording that breakpoints would have made."""
        probes = [
            *recordings.PROBES,
            Probe(*(3, 0x3000, "realloc", Role.ENTRY, ("rsp", "rdi", "rsi"), None, "55")),
            Probe(*(4, 0x3010, "realloc", Role.RETURN, ("rsp", "rax", "rbp"), None, "c3")),
        ]
        head = recordings.head(probes=[probe.to_json() for probe in probes])
        opened = recordings.opened(1_000_000_000)
        end = recordings.end(end_ns=1_000_000_000 + len(self.frames))
        return recordings.write(path, head, opened, *self.frames, end)
