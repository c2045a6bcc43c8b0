"""How many events a second the reader of the inline probe takes in, and what its reports cost.

    python benchmarks/inline_reader.py [MILLIONS...]

A ring in memory is filled with events as a program makes them: most blocks are freed at once, some
stay. Each way from there is timed by the processor: what is copied out of the ring, what is decoded
and folded, and what is written. Then recordings of MILLIONS of events (21) are made, in which one
block in twenty is not freed, and their reports. With MILLIONS only that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gdbleak.inline.model import Hook, Site
from gdbleak.inline.probes import by_site, make_probes
from gdbleak.inline.reader import RingReader
from gdbleak.inline.ring import PAGE_BYTES, TICKETS, UNIT_BYTES, Ring
from gdbleak.recording.appending import Appender
from gdbleak.recording.end import End, EndedBy, Verification
from gdbleak.recording.events import Turn
from gdbleak.recording.frames import FRAME, PHASE
from gdbleak.recording.functions import MALLOC_FAMILY
from gdbleak.recording.head import Head, TracedProcess
from gdbleak.recording.modules import Module
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Role
from gdbleak.recording.rate import unknown
from gdbleak.recording.writer import begin_recording

CODE = (0x7F12_3456_0000, 0x7F12_3476_0000)
MALLOC, FREE = 1000, 2000
STACKS = 200
THREADS = 16
STACK_SIZES = (192, 1024, 4096)
STAYS = 0.048
"""Which share of the blocks is not freed in the recordings of which reports are made."""
ROUNDS = {192: 20, 1024: 12, 4096: 8}

_BY_NAME = {function.name: function for function in MALLOC_FAMILY}
_HOOKS = tuple(
    Hook(_BY_NAME[name], 0, CODE[0], CODE[0], b"\x55" * 5) for name in ("malloc", "free")
)
_SITES = (Site(MALLOC, 0, Role.CALL), Site(FREE, 1, Role.ENTRY))
_PROBES = make_probes(_HOOKS, _SITES)


class Memory:
    """A ring that is full of events, again and again."""

    def __init__(self, unit_bits: int, stack_bytes: int, stays: float) -> None:
        self.ring = Ring(0x7E00_0000_0000, unit_bits)
        self.head = bytearray(PAGE_BYTES)
        self.head[0] = 1
        self._chance = np.random.default_rng(1)
        self._stays = stays
        words = stack_bytes // 8
        self._units = 1 + -(-words // 7)
        self._stacks = self._chance.integers(1, 1 << 20, (STACKS, (self._units - 1) * 7))
        for place in range(0, words, 5):
            self._stacks[:, place] = self._chance.integers(*CODE, STACKS)
        self._tickets = 0
        self.events = 0

    def fill(self) -> None:
        """Let events come that fill two fifths of the ring."""
        pairs = self.ring.units * 2 // 5 // (self._units + 1)
        # A block lives for as long as some others: they come in groups, then go.
        group = 8
        pairs -= pairs % group
        stack = self._chance.integers(0, STACKS, pairs)
        address = (np.arange(pairs) + self._tickets) * 64 + 0x5555_0000_0000
        calls = np.zeros((pairs, self._units, 8), np.uint64)
        calls[:, 0, 1] = MALLOC | (self._units - 1) * 56 << 16 | self._units << 32
        calls[:, 0, 2] = address
        calls[:, 0, 3] = self._chance.integers(16, 256, pairs)
        calls[:, 0, 4] = 1
        calls[:, 0, 5] = 0x7F00_0000_0000 + 4096 * self._chance.integers(0, THREADS, pairs)
        calls[:, 0, 6] = 0x7FFF_0000_0000
        calls[:, 1:, 1:] = self._stacks[stack].reshape(pairs, self._units - 1, 7)
        calls[:, 1, 2] = self._chance.integers(1, 1 << 30, pairs)  # a word that varies
        frees = np.zeros((pairs, 1, 8), np.uint64)
        frees[:, 0, 1] = FREE | 1 << 32
        frees[:, 0, 2] = address
        frees[:, 0, 5] = calls[:, 0, 5]
        # What stays: another address is freed, which nobody knows.
        frees[self._chance.random(pairs) < self._stays, 0, 2] += 1 << 40
        both = np.concatenate(
            [
                calls.reshape(pairs // group, group * self._units, 8),
                frees.reshape(pairs // group, group, 8),
            ],
            axis=1,
        ).reshape(-1, 8)
        numbers = np.arange(len(both), dtype=np.uint64) + np.uint64(self._tickets)
        both[:, 0] = 2 * (numbers + np.uint64(1))
        is_head = np.zeros((pairs // group, group * self._units + group), bool)
        is_head[:, : group * self._units : self._units] = True
        is_head[:, group * self._units :] = True
        both[is_head.reshape(-1), 0] += np.uint64(1)
        self._first, self._data = self._tickets, both.tobytes()
        self._tickets += len(both)
        self.head[TICKETS : TICKETS + 8] = self._tickets.to_bytes(8, "little")
        self.events += 2 * pairs

    def read(self, address: int, size: int) -> bytes:
        """Return what stands in the ring, which is one piece here."""
        if address < self.ring.first_unit:
            return bytes(self.head[address - self.ring.address :][:size])
        place = (address - self.ring.first_unit) // UNIT_BYTES
        start = (place - self._first) % self.ring.units * UNIT_BYTES
        return self._data[start : start + size]

    def write(self, address: int, data: bytes) -> None:
        """Take in a word of the head."""
        start = address - self.ring.address
        self.head[start : start + len(data)] = data


def head_of(seconds: float) -> Head:
    """Return the head of a recording."""
    module = Module("/usr/lib/program", *CODE, CODE[0], None, None, "made up")
    return Head(
        started="2024-05-01T09:00:00+02:00",
        target=TracedProcess(1, "program", None, None, THREADS),
        allocators=("glibc",),
        functions=tuple(hook.function for hook in _HOOKS),
        probes=_PROBES,
        modules=(module,),
        rate=unknown("made up"),
        stack_bytes=192,
        duration_s=seconds,
        tail_s=0.0,
    )


def make(path: Path, memory: Memory, rounds: int, seconds: float) -> tuple[float, int]:
    """Record so many fillings of a ring; return the reader's processor time, and bytes written."""
    now_ns = 10**9
    step_ns = round(seconds * 1e9 / rounds)

    def clock() -> int:
        return now_ns

    with begin_recording(path, head_of(seconds)), Appender(path) as out:
        turn = Turn(now_ns, Phase.ALL)
        out.append(FRAME.pack(PHASE, 0, turn.phase, 8) + turn.time_ns.to_bytes(8, "little"))
        reader = RingReader(
            memory.ring,
            memory.read,
            memory.write,
            by_site(_SITES, _PROBES),
            ["malloc"],
            out,
            [CODE],
            lambda pointer: 1000 + (pointer >> 12 & 0xFF),
            clock,
        )
        spent = 0.0
        for _ in range(rounds):
            memory.fill()
            now_ns += step_ns
            began = time.process_time()
            reader.poll()
            spent += time.process_time() - began
        counts = reader.close()
        assert counts.events == memory.events, (counts, memory.events)
        assert not counts.lost
        end = End(EndedBy.DURATION, now_ns, Verification(), ())
        out.append(end.encode())
    return spent, counts.bytes_written


def measure_reader(folder: Path) -> None:
    """Print what the reader sustains, by bytes of stack."""
    print("stack bytes  stays  M events/s  s of CPU a M events  bytes of recording an event")
    for stack_bytes in STACK_SIZES:
        for stays in (0.0, 0.01, 1.0):
            memory = Memory(20, stack_bytes, stays)
            spent, size = make(folder / "recording", memory, ROUNDS[stack_bytes], 10.0)
            millions = memory.events / 1e6
            print(
                f"{stack_bytes:11} {stays:6.0%} {millions / spent:11.2f}"
                f" {spent / millions:20.3f} {size / memory.events:28.2f}"
            )


def measure_report(folder: Path, millions: float) -> None:
    """Print what the report of so many events takes."""
    memory = Memory(22, 192, STAYS)
    memory.fill()
    rounds = round(millions * 1e6 / memory.events)
    memory = Memory(22, 192, STAYS)
    path = folder / "recording"
    spent, size = make(path, memory, rounds, 20.0)
    print(f"{memory.events / 1e6:.1f} M events, {size / 1e6:.1f} MB, read in {spent:.1f} s of CPU")
    code = (
        "import json, sys, time, gdbleak\n"
        "began = time.process_time()\n"
        "window = gdbleak.load(sys.argv[1]).window\n"
        "status = open('/proc/self/status').read()\n"
        "peak = int(status.partition('VmHWM:')[2].split()[0]) / 1e3\n"
        "print(json.dumps([time.process_time() - began, peak, window.allocations, window.frees]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    )
    seconds, peak, allocations, frees = json.loads(done.stdout)
    print(
        f"its report: {seconds:.1f} s, {peak:.0f} MB, of {allocations / 1e6:.1f} M allocations and"
        f" {frees / 1e6:.1f} M frees"
    )


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        if not sys.argv[1:]:
            measure_reader(Path(folder))
        for millions in sys.argv[1:] or ("21",):
            measure_report(Path(folder), float(millions))


if __name__ == "__main__":
    main()
