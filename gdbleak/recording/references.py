"""What a search of the target's memory has found about blocks, and the frames that hold it. Pure.

- REACH: u64 time at which the last look ended, u64 number of blocks, and of each u64 address, u64
  time of birth, u64 what was found, one of the numbers below. Written by the controller.
- HOLD: u64 time, u64 number of blocks, and of each the six u64 of a `Held`. Only a sample of the
  blocks that are held.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from gdbleak.recording.frames import FRAME, HOLD, REACH
from gdbleak.recording.outside_values import UnfitError

HELD, LOST, LOST_WITH, UNKNOWN = range(1, 5)
"""What was found of a block: it can be reached from outside the recorded blocks; nothing refers to
it; only lost blocks do; or that could not be told."""

UNREACHED = LOST, LOST_WITH

BLOCKS_IN_FRAME = 50_000
"""So many blocks at most are in one frame: what is longer would not be read again."""

_ABOUT = struct.Struct("<QQ")
"""What stands before the blocks."""
_REACH_WORDS = 3
_HOLD_WORDS = 6


class Reached(NamedTuple):
    """Blocks that were looked for in the memory of the target."""

    time_ns: int
    """When the last look ended."""
    blocks: tuple[tuple[int, int, int], ...]
    """Address, time of birth, and what was found, of each."""


class Held(NamedTuple):
    """A block, and who holds it."""

    address: int
    born_ns: int
    holder: int
    """Address of the word that refers to it."""
    root: int
    """Address of the word outside the recorded blocks from which it is reached; 0 for a register"""
    thread: int
    """Whose register or stack the root is in; 0 for none."""
    hops: int
    """How many recorded blocks lie between the root and this one."""


class Holding(NamedTuple):
    """Blocks of which it was found out who holds them."""

    time_ns: int
    blocks: tuple[Held, ...]


def encode_reached(time_ns: int, blocks: Sequence[tuple[int, int, int]]) -> bytes:
    """Return REACH frames, as many as it takes; each block is as in `Reached`."""
    return _encode(REACH, time_ns, blocks)


def encode_holding(time_ns: int, blocks: Sequence[Held]) -> bytes:
    """Return HOLD frames, as many as it takes."""
    return _encode(HOLD, time_ns, blocks)


def decode_reached(data: Any, payload: int, length: int) -> Reached:
    """Decode the payload of a REACH frame.

    Raises:
        struct.error, UnfitError: it is damaged.

    """
    time_ns, words = _decode(data, payload, length, _REACH_WORDS)
    states = words[2::3]
    if not all(HELD <= state <= UNKNOWN for state in states):
        raise UnfitError("it says of a block what nobody can have found")
    return Reached(time_ns, (*zip(words[::3], words[1::3], states),))


def decode_holding(data: Any, payload: int, length: int) -> Holding:
    """Decode the payload of a HOLD frame.

    Raises:
        struct.error, UnfitError: it is damaged.

    """
    time_ns, words = _decode(data, payload, length, _HOLD_WORDS)
    starts = range(0, len(words), _HOLD_WORDS)
    return Holding(time_ns, tuple(Held(*words[at : at + _HOLD_WORDS]) for at in starts))


def _encode(kind: int, time_ns: int, blocks: Sequence[Iterable[int]]) -> bytes:
    frames = []
    for start in range(0, len(blocks), BLOCKS_IN_FRAME):
        part = blocks[start : start + BLOCKS_IN_FRAME]
        words = [*chain.from_iterable(part)]
        payload = _ABOUT.pack(time_ns, len(part)) + struct.pack(f"<{len(words)}Q", *words)
        frames.append(FRAME.pack(kind, 0, 0, len(payload)) + payload)
    return b"".join(frames)


def _decode(data: Any, payload: int, length: int, each: int) -> tuple[int, tuple[int, ...]]:
    """Return the time of a frame, and the words of its blocks."""
    time_ns, count = _ABOUT.unpack_from(data, payload)
    if length != _ABOUT.size + 8 * each * count:
        raise UnfitError("its list of blocks is not as long as it says")
    return time_ns, struct.unpack_from(f"<{each * count}Q", data, payload + _ABOUT.size)
