"""The events of a recording, and the frames that hold them. Pure.

- PHASE: u64 time from which the breakpoints of a phase are in, whose number stands in `probe`. The
  first one is the time at which the target ran again. Written by the agent.
- HIT: u64 time, u64 thread, the registers the probe asks for as u64, u64 stored values (where the
  probe stores some: the size of a block and what follows it, or what the result argument points to,
  or 0), then raw stack from the stack pointer upwards (returns only). Written by the agent.
- FREED: u64 time at which blocks were found to be free that nobody was seen to free, and of each
  u64 address, u64 time of birth. Written by the controller.
- MEMORY: u64 time, u64 bytes of the resident set. Written by the controller.

Times are nanoseconds of one monotonic clock.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Union, cast

from gdbleak.recording.frames import END, FRAME, FREED, HEAD, HIT, MEMORY, PHASE
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe

_U64 = struct.Struct("<Q")
_RESIDENT = struct.Struct("<QQ")


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

_new_hit = cast("Callable[[tuple[Any, ...]], Hit]", partial(tuple.__new__, Hit))
"""Makes a hit of its seven fields in half the time: there is one in nearly every frame."""


class Decoder:
    """Decodes the payload of frames by the plan in the head."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._structs = [
            struct.Struct(f"<QQ{len(probe.registers) + probe.stores}Q") for probe in probes
        ]
        self._layouts = [
            (layout.unpack_from, end, probe.stores and end, probe.stores > 2 and end + 2)
            for layout, probe in zip(self._structs, probes)
            for end in [2 + len(probe.registers)]
        ]
        """What unpacks a hit, and where then the registers end, what is stored and the mark is."""

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
        unpack, end, stored, mark = self._layouts[probe]
        values = unpack(data, payload)
        return _new_hit(
            (
                position,
                probe,
                values[0],
                values[1],
                values[2:end],
                values[stored] if stored else 0,
                values[mark] if mark else 0,
            )
        )

    def stack_offset(self, probe: int) -> int:
        """Where in a hit's payload the raw stack begins."""
        return self._structs[probe].size


def read_time(data: Any, payload: int) -> int:
    """Return when an event was, of any kind, by where its payload begins."""
    return int(_U64.unpack_from(data, payload)[0])


def encode_freed(freed: Freed) -> bytes:
    """Return a FREED frame."""
    words = [freed.time_ns, *(word for block in freed.blocks for word in block)]
    return FRAME.pack(FREED, 0, 0, 8 * len(words)) + struct.pack(f"<{len(words)}Q", *words)


def encode_resident(resident: Resident) -> bytes:
    """Return a MEMORY frame."""
    return FRAME.pack(MEMORY, 0, 0, _RESIDENT.size) + _RESIDENT.pack(*resident)


def iter_frames(data: Any, position: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (position, kind, probe, payload position, payload length) of each whole frame.

    The frame that is called END is the last one, whatever follows it.
    """
    unpack, size = FRAME.unpack_from, FRAME.size
    payload = position + size
    while payload <= end:
        kind, _, probe, length = unpack(data, position)
        behind = payload + length
        if not HEAD <= kind <= MEMORY or behind > end:
            return
        yield position, kind, probe, payload, length
        if kind == END:
            return
        position, payload = behind, behind + size
