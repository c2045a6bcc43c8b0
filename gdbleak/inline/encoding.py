"""Frames of a recording, many at a time, out of columns. Pure; see `gdbleak.recording.events`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdbleak.inline.ring import ADDRESS, FACTOR, FRAME_POINTER, SIZE, STACK_POINTER, WORD_BYTES
from gdbleak.recording.frames import FRAME, HIT, SAME
from gdbleak.recording.probes import Probe, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gdbleak.inline.ring_reader import Batch, Flags, Numbers, Words

_BEFORE = 3
"""Words of a HIT before its registers: what stands before the payload, time, thread."""


class Kept(NamedTuple):
    """Events that are to be written, in their order."""

    events: Numbers
    """Which of the batch they are."""
    sames: Numbers
    """Position of the frame that holds the same stack; 0 where there is none yet, or no stack."""
    firsts: Numbers
    """Which of the events, by place among these, has the same stack and comes before; -1 if none:
    its position is not known before all are laid out."""
    with_stack: Flags
    """Those that are to be written with their own stacks."""


class Encoder:
    """Encodes hits."""

    def __init__(self, probes: Mapping[int, Probe]) -> None:
        """Begin; `probes` is the probe of each site."""
        self._fields = {site: _fields(probe) for site, probe in probes.items()}
        self._probes = dict(probes)
        self._words = np.zeros(1 << 16, np.int64)
        """By site, the words of a HIT without its stack."""
        for site, probe in probes.items():
            self._words[site] = _BEFORE + len(probe.registers) + probe.stores

    def encode(
        self, batch: Batch, kept: Kept, times: Numbers, threads: Numbers, position: int
    ) -> tuple[bytes, Numbers]:
        """Return frames, and the position of each.

        Args:
            batch: The events.
            kept: Which of them, and how.
            times: Of all events of the batch, in nanoseconds.
            threads: The thread id of each of them.
            position: Where in the recording the first frame will be.

        """
        events = kept.events
        sites = batch.sites[events]
        is_same = (kept.sames > 0) | (kept.firsts >= 0)
        lengths = self._words[sites] + is_same
        lengths[kept.with_stack] += batch.stack_words[events[kept.with_stack]]
        begins = np.cumsum(lengths) - lengths
        positions = position + begins * WORD_BYTES
        behind = np.where(kept.firsts >= 0, positions[kept.firsts], kept.sames)
        out: Words = np.zeros(int(lengths.sum()), np.uint64)
        kinds = np.where(is_same, SAME, HIT)
        for site, fields in self._fields.items():
            mine = np.flatnonzero(sites == site)
            if not len(mine):
                continue
            at, number = begins[mine], self._probes[site].id
            sizes = (lengths[mine] - 1) * WORD_BYTES << 32
            out[at] = (kinds[mine] | number << 16 | sizes).astype(np.uint64)
            same = is_same[mine]
            out[at[same] + 1] = behind[mine[same]].astype(np.uint64)
            at = at + same + 1
            own = events[mine]
            out[at] = times[own].astype(np.uint64)
            out[at + 1] = threads[own].astype(np.uint64)
            for place, field in enumerate(fields, 2):
                out[at + place] = batch.fields[field][own]
        ends = begins + lengths
        for place in np.flatnonzero(kept.with_stack).tolist():
            stack = batch.stack(int(events[place]))
            out[ends[place] - len(stack) : ends[place]] = stack
        return out.astype("<u8", copy=False).tobytes(), positions


def _fields(probe: Probe) -> tuple[int, ...]:
    """Return which words of an event are the registers of a probe, and what it stores."""
    if probe.role is Role.ENTRY:
        return (STACK_POINTER, ADDRESS, SIZE)[: len(probe.registers) + probe.stores]
    sizes = (SIZE,) if len(probe.registers) == 4 else (FACTOR, SIZE)
    return STACK_POINTER, ADDRESS, FRAME_POINTER, *sizes


assert FRAME.size == WORD_BYTES  # so every frame of whole words begins at a whole word
