"""The file between the agent and the controller; what is saved, reopened and rendered again.

A recording is a magic number and then frames, each appended whole (docs/recording-format.md):

    u8 kind, u8 0, u16 probe, u32 length of the payload, payload        (little-endian)

- HEAD, first: JSON, everything known before the attach. Written by the controller.
- PHASE: u64 time from which the breakpoints of a phase are in, whose number stands in `probe`. The
  first one is the time at which the target ran again. Written by the agent.
- HIT: u64 time, u64 thread, the registers the probe asks for as u64, u64 stored values (where the
  probe stores some: the size of a block and what follows it, or what the result argument points to,
  or 0), then raw stack from the stack pointer upwards (returns only). Written by the agent.
- FREED: u64 time at which blocks were found to be free that nobody was seen to free, and of each
  u64 address, u64 time of birth. Written by the controller.
- MEMORY: u64 time, u64 bytes of the resident set. Written by the controller.
- END, last: JSON, how the window ended and what was proved. Written by the controller.

Times are nanoseconds of one monotonic clock. A file that stops anywhere is read up to its last
whole frame.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, Union

from gdbleak.allocators import AllocatorFunction
from gdbleak.errors import RecordingError
from gdbleak.modules import Module
from gdbleak.phases import Phase
from gdbleak.plan import Probe

MAGIC = b"gdbleak1"
VERSION = 5
READABLE = (4, 5)
"""Which versions are read: since 5 a probe may record more than one word from `size_offset` on."""

HEAD, PHASE, HIT, END, FREED, MEMORY = 1, 2, 3, 4, 5, 6

KEPT_BYTES = 64 << 20
"""How much of a file is held in memory before it is let go of."""

FRAME = struct.Struct("<BBHI")
_U64 = struct.Struct("<Q")
_RESIDENT = struct.Struct("<QQ")


class EndedBy(str, Enum):
    """Why a window ended."""

    DURATION = "duration"
    MAX_EVENTS = "max-events"
    MAX_PAUSE = "max-pause"
    MAX_MEMORY = "max-memory"
    BUDGET = "budget"
    INTERRUPT = "interrupt"
    TERMINATE = "terminate"
    HANGUP = "hangup"
    TARGET_EXIT = "target-exit"
    TARGET_EXEC = "target-exec"
    DEBUGGER_DIED = "debugger-died"
    DEBUGGER_SILENT = "debugger-silent"
    DEBUGGER_STOPPED = "debugger-stopped"
    STARVED = "starved"
    WRITE_FAILED = "write-failed"
    RUNNING = "running"
    UNKNOWN = "unknown"


class Hit(NamedTuple):
    """A breakpoint that was hit."""

    position: int
    """Of its frame in the file."""
    probe: int
    time_ns: int
    thread: int
    registers: tuple[int, ...]
    stored: int
    mark: int = 0
    """The second word of the block that is returned; 0 where it is not recorded."""


class Turn(NamedTuple):
    """Other breakpoints are in from now on."""

    time_ns: int
    phase: Phase


class Freed(NamedTuple):
    """Blocks that were found to be free, though nobody was seen to free them."""

    time_ns: int
    blocks: tuple[tuple[int, int], ...]
    """Address, and time of birth, of each."""


class Resident(NamedTuple):
    """How large the resident set was."""

    time_ns: int
    size: int


Event = Union[Hit, Turn, Freed, Resident]


class Decoder:
    """Decodes the payload of frames by the plan in the head."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._structs = [
            struct.Struct(f"<QQ{len(probe.registers) + probe.stores}Q") for probe in probes
        ]
        self._stores = [probe.stores for probe in probes]

    def decode(
        self, data: Any, position: int, kind: int, probe: int, payload: int, length: int
    ) -> Event | None:
        """Decode a frame that `iter_frames` has found; None for HEAD and END."""
        if kind == HIT:
            return self.decode_hit(data, position, probe, payload)
        if kind == PHASE:
            (time_ns,) = _U64.unpack_from(data, payload)
            return Turn(time_ns, Phase(probe))
        if kind == FREED:
            time_ns, *words = struct.unpack_from(f"<{length // 8}Q", data, payload)
            return Freed(time_ns, tuple(zip(words[::2], words[1::2])))
        if kind == MEMORY:
            return Resident(*_RESIDENT.unpack_from(data, payload))
        return None

    def decode_hit(self, data: Any, position: int, probe: int, payload: int) -> Hit:
        """Decode the hit whose frame begins at `position` and whose payload at `payload`."""
        time_ns, thread, *values = self._structs[probe].unpack_from(data, payload)
        registers = len(values) - self._stores[probe]
        stored, *more = values[registers:] or (0,)
        mark = more[1] if len(more) > 1 else 0
        return Hit(position, probe, time_ns, thread, tuple(values[:registers]), stored, mark)

    def stack_offset(self, probe: int) -> int:
        """Where in a hit's payload the raw stack begins."""
        return self._structs[probe].size


def encode_freed(freed: Freed) -> bytes:
    """Return a FREED frame."""
    words = [freed.time_ns, *(word for block in freed.blocks for word in block)]
    return FRAME.pack(FREED, 0, 0, 8 * len(words)) + struct.pack(f"<{len(words)}Q", *words)


def encode_resident(resident: Resident) -> bytes:
    """Return a MEMORY frame."""
    return FRAME.pack(MEMORY, 0, 0, _RESIDENT.size) + _RESIDENT.pack(*resident)


def encode_json(kind: int, values: dict[str, Any], payload_bytes: int = 0) -> bytes:
    """Return a HEAD or END frame, whose payload is at least so long."""
    payload = json.dumps(values, separators=(",", ":")).encode().ljust(payload_bytes)
    return FRAME.pack(kind, 0, 0, len(payload)) + payload


def iter_frames(data: Any, position: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (position, kind, probe, payload position, payload length) of each whole frame."""
    while position + FRAME.size <= end:
        kind, _, probe, length = FRAME.unpack_from(data, position)
        payload = position + FRAME.size
        if not HEAD <= kind <= MEMORY or payload + length > end:
            return
        yield position, kind, probe, payload, length
        position = payload + length


class Recording:
    """A recording that is read from a file."""

    def __init__(self, path: str, size: int = 0) -> None:
        """Open a recording.

        Args:
            path: Of the file.
            size: How many bytes of it to read, of one that grows; 0 for all.

        Raises:
            RecordingError: the file cannot be read, is no recording, or is of a later version.

        """
        self.path = path
        self._kept = 0
        try:
            with Path(path).open("rb") as file:
                self._data = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        except OSError as error:
            raise RecordingError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:  # an empty file cannot be mapped
            raise RecordingError(f"{path} is empty") from error
        if self._data[: len(MAGIC)] != MAGIC:
            raise RecordingError(f"{path} is no recording of gdbleak")
        with reading(path):
            self._read_head()
            self._read_end()

    def _read_head(self) -> None:
        frames = iter_frames(self._data, len(MAGIC), len(self._data))
        _, kind, _, payload, length = next(frames, (0, 0, 0, 0, 0))
        if kind != HEAD:
            raise RecordingError(f"{self.path} is cut off before its first event")
        self.head = self._json(payload, length)
        version = self.head.get("version")
        if version not in READABLE:
            raise RecordingError(
                f"{self.path} is of version {version};"
                f" this gdbleak reads {READABLE[0]} to {READABLE[-1]}",
                "use the gdbleak that wrote it, or a newer one",
            )
        self.functions = [AllocatorFunction.from_json(f) for f in self.head["functions"]]
        self.probes = [Probe.from_json(values) for values in self.head["probes"]]
        self._decoder = Decoder(self.probes)
        self._first = payload + length

    def _read_end(self) -> None:
        self.opened_ns: int | None = None
        self.end: dict[str, Any] | None = None
        """The END frame; None when the recording is cut off."""
        self.last_ns = 0
        """When the last event was."""
        for _, kind, _, payload, length in self._iter_frames():
            if kind not in (HEAD, END):
                (self.last_ns,) = _U64.unpack_from(self._data, payload)
            if kind == PHASE and self.opened_ns is None:
                (self.opened_ns,) = _U64.unpack_from(self._data, payload)
            elif kind == END:
                self.end = self._json(payload, length)
        after = [] if self.end is None else self.end["modules"]
        self.modules_before = [Module.from_json(values) for values in self.head["modules"]]
        self.modules_after = [Module.from_json(values) for values in after]

    def iter_events(self) -> Iterator[Event]:
        """Yield what was recorded, in order."""
        for frame in self._iter_frames():
            event = self._decoder.decode(self._data, *frame)
            if event is not None:
                yield event

    def stack(self, position: int) -> tuple[memoryview, dict[str, int]]:
        """Return the raw stack of the hit at `position`, and its registers by name."""
        self._let_go(position)
        _, _, probe, length = FRAME.unpack_from(self._data, position)
        payload = position + FRAME.size
        hit = self._decoder.decode_hit(self._data, position, probe, payload)
        begin = payload + self._decoder.stack_offset(probe)
        registers = dict(zip(self.probes[probe].registers, hit.registers))
        return memoryview(self._data)[begin : payload + length], registers

    def _let_go(self, position: int) -> None:
        """Give back the pages before a position: the kernel counts all that were read as ours."""
        self._kept = min(self._kept, position & -mmap.PAGESIZE)
        read = (position & -mmap.PAGESIZE) - self._kept
        if read > KEPT_BYTES:
            self._data.madvise(mmap.MADV_DONTNEED, self._kept, read)
            self._kept += read

    def _iter_frames(self) -> Iterator[tuple[int, int, int, int, int]]:
        for frame in iter_frames(self._data, self._first, len(self._data)):
            self._let_go(frame[0])
            yield frame

    def _json(self, payload: int, length: int) -> dict[str, Any]:
        return dict(json.loads(self._data[payload : payload + length]))


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn what goes wrong over a damaged recording into an error that says so."""
    try:
        yield
    except (
        *(ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
        struct.error,
    ) as error:
        raise RecordingError(f"{path} is damaged: {error!r}") from error
