"""The events of a recording, and the frames that hold them. Pure.

- PHASE: u64 time from which the breakpoints of a phase are in, whose number stands in `probe`. The
  first one is the time at which the target ran again. Written by the agent.
- HIT: u64 time, u64 thread, the registers the probe asks for as u64, u64 stored values (where the
  probe stores some: the size of a block and what follows it, or what the result argument points to,
  or 0), then raw stack from the stack pointer upwards (returns only). Written by the agent.
- FREED: u64 time at which blocks were found to be free that nobody was seen to free, and of each
  u64 address, u64 time of birth. Written by the controller.
- MEMORY: u64 time, u64 bytes of the resident set. Written by the controller.
- SAME: a hit whose raw stack is that of an earlier one: u64 position of the frame of that HIT, then
  what a HIT has, without the stack. This and the next two come from inside the target only.
- FOLDED: blocks of one probe and one stack that were handed out and freed again: u64 position of
  the frame of the HIT that has the stack, u64 time from which, u64 time up to which, four u16 that
  say how long the lists are that follow. Each of the blocks is in each list: pairs of u64 age and
  u64 count; pairs of u64 thread and u64 count; pairs of u64 count and u64 bytes of all those that
  are about equally large; triples of u64 zeros, u64 count and u64 bytes, of those whose lot
  ends in so many zeros, or, of the last class, in more.
- LEVEL: u64 time, u64 zeros, u64 count: so many events were left out so far, those of blocks whose
  hash does not end in so many zeros among them.
- REACH and HOLD: see `gdbleak.recording.references`; CENSUS: see `gdbleak.recording.censuses`.

Times are nanoseconds of one monotonic clock.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Union, cast

from gdbleak.recording.censuses import Censuses, decode_censuses
from gdbleak.recording.choice import HASH_BITS
from gdbleak.recording.frames import (
    CENSUS,
    END,
    FOLDED,
    FRAME,
    FREED,
    HEAD,
    HIT,
    HOLD,
    LEVEL,
    MEMORY,
    PHASE,
    REACH,
    SAME,
)
from gdbleak.recording.outside_values import UnfitError
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe
from gdbleak.recording.references import Holding, Reached, decode_holding, decode_reached

_U64 = struct.Struct("<Q")
_RESIDENT = struct.Struct("<QQ")
_FOLDED = struct.Struct("<QQQ4H")
_LEVEL = struct.Struct("<QQQ")
_TIME_AT = {SAME: 8, FOLDED: 16}
"""Where in the payload its time is, if it is not the first word."""


class Hit(NamedTuple):
    """A breakpoint that was hit."""

    position: int
    """Of the frame in the file that holds its stack."""
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


class Folded(NamedTuple):
    """Blocks of one call stack that were handed out, and freed a moment later.

    Each of its tuples is about all of them.
    """

    position: int
    """Of the frame in the file that holds their stack."""
    probe: int
    from_ns: int
    to_ns: int
    """All of it happened between these."""
    ages: tuple[tuple[int, int], ...]
    """Ages in nanoseconds, and how many blocks were as old."""
    threads: tuple[tuple[int, int], ...]
    """Threads, and how many blocks each allocated."""
    sizes: tuple[tuple[int, int], ...]
    """How many blocks have the same highest bit of their sizes, and their bytes in all."""
    zeros: tuple[tuple[int, int, int], ...]
    """In how many zeros lots of addresses end, how many blocks that is, and their bytes."""

    def kept(self, zeros: int) -> tuple[int, int]:
        """Return how many blocks have lots that end in so many zeros, and their bytes."""
        kept = [(blocks, size) for ends, blocks, size in self.zeros if ends >= zeros]
        return sum(blocks for blocks, _ in kept), sum(size for _, size in kept)


class Level(NamedTuple):
    """How much was left out so far."""

    time_ns: int
    zeros: int
    """Of blocks whose lot ends in so many zeros, nothing was left out."""
    dropped: int
    """How many events were left out."""


Event = Union[Hit, Turn, Freed, Resident, Folded, Level, Reached, Holding, Censuses]

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
        """Decode a frame that `iter_frames` has found; None for HEAD and END.

        Raises:
            struct.error, ValueError, LookupError: it is damaged.

        """
        if kind == SAME:
            (earlier,) = _U64.unpack_from(data, payload)
            return self.decode_hit(data, earlier, probe, payload + _U64.size)
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
        if kind == FOLDED:
            return _decode_folded(data, probe, payload, length)
        if kind == LEVEL:
            return decode_level(data, payload)
        if kind == REACH:
            return decode_reached(data, payload, length)
        if kind == HOLD:
            return decode_holding(data, payload, length)
        if kind == CENSUS:
            return decode_censuses(data, payload, length)
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


def decode_level(data: Any, payload: int) -> Level:
    """Decode the payload of a LEVEL frame.

    Raises:
        struct.error, UnfitError: it is damaged.

    """
    level = Level(*_LEVEL.unpack_from(data, payload))
    if level.zeros > HASH_BITS:
        raise UnfitError(f"no lot ends in {level.zeros} zeros")
    return level


def read_time(data: Any, kind: int, payload: int) -> int:
    """Return when an event was, by the kind of its frame and where its payload begins."""
    return int(_U64.unpack_from(data, payload + _TIME_AT.get(kind, 0))[0])


def encode_freed(freed: Freed) -> bytes:
    """Return a FREED frame."""
    words = [freed.time_ns, *(word for block in freed.blocks for word in block)]
    return FRAME.pack(FREED, 0, 0, 8 * len(words)) + struct.pack(f"<{len(words)}Q", *words)


def encode_resident(resident: Resident) -> bytes:
    """Return a MEMORY frame."""
    return FRAME.pack(MEMORY, 0, 0, _RESIDENT.size) + _RESIDENT.pack(*resident)


def encode_turn(turn: Turn) -> bytes:
    """Return a PHASE frame."""
    return FRAME.pack(PHASE, 0, turn.phase, _U64.size) + _U64.pack(turn.time_ns)


def encode_folded(folded: Folded) -> bytes:
    """Return a FOLDED frame."""
    position, probe, from_ns, to_ns, *lists = folded
    words = [number for each in lists for group in each for number in group]
    payload = _FOLDED.pack(position, from_ns, to_ns, *map(len, lists))
    payload += struct.pack(f"<{len(words)}Q", *words)
    return FRAME.pack(FOLDED, 0, probe, len(payload)) + payload


def _decode_folded(data: Any, probe: int, payload: int, length: int) -> Folded:
    position, from_ns, to_ns, *counts = _FOLDED.unpack_from(data, payload)
    ages, threads, sizes, zeros = counts
    in_pairs = 2 * (ages + threads + sizes)
    if length != _FOLDED.size + 8 * (in_pairs + 3 * zeros):
        raise UnfitError("its lists of folded blocks are not as long as it says")
    words = struct.unpack_from(f"<{in_pairs + 3 * zeros}Q", data, payload + _FOLDED.size)
    pairs = (*zip(words[:in_pairs:2], words[1:in_pairs:2]),)
    last = words[in_pairs:]
    return Folded(
        *(position, probe, from_ns, to_ns),
        ages=pairs[:ages],
        threads=pairs[ages : ages + threads],
        sizes=pairs[ages + threads :],
        zeros=(*zip(last[::3], last[1::3], last[2::3]),),
    )


def encode_level(level: Level) -> bytes:
    """Return a LEVEL frame."""
    return FRAME.pack(LEVEL, 0, 0, _LEVEL.size) + _LEVEL.pack(*level)


def encode_hit(hit: Hit, stack: bytes, stores: int) -> bytes:
    """Return a HIT frame, of a probe that stores so many words."""
    payload = _encode_values(hit, stores) + stack
    return FRAME.pack(HIT, 0, hit.probe, len(payload)) + payload


def encode_same(hit: Hit, stores: int) -> bytes:
    """Return a SAME frame, of a probe that stores so many words."""
    payload = _U64.pack(hit.position) + _encode_values(hit, stores)
    return FRAME.pack(SAME, 0, hit.probe, len(payload)) + payload


def _encode_values(hit: Hit, stores: int) -> bytes:
    stored = (hit.stored, 0, hit.mark)[:stores]
    values = hit.time_ns, hit.thread, *hit.registers, *stored
    return struct.pack(f"<{len(values)}Q", *values)


def iter_frames(data: Any, position: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (position, kind, probe, payload position, payload length) of each whole frame.

    The frame that is called END is the last one, whatever follows it.
    """
    unpack, size = FRAME.unpack_from, FRAME.size
    payload = position + size
    while payload <= end:
        kind, _, probe, length = unpack(data, position)
        behind = payload + length
        if not HEAD <= kind <= CENSUS or behind > end:
            return
        yield position, kind, probe, payload, length
        if kind == END:
            return
        position, payload = behind, behind + size
