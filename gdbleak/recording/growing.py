"""A recording that somebody else is writing: its events, each once, as they come."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gdbleak.recording.events import Decoder, Event, Hit, iter_frames
from gdbleak.recording.frames import FRAME, SAME
from gdbleak.recording.probes import Probe, Role

CHUNK_BYTES = 1 << 18
"""As much is read at once, or as much more as the next frame takes."""
_WORD = struct.Struct("<Q")
_RETURNED = Role.RETURN, Role.CALL


class Appended(NamedTuple):
    """An event, and its frame."""

    event: Event
    data: bytes
    payload: int
    """Where in `data` the payload of the frame begins."""


class GrowingRecording:
    """Reads on where it has stopped. The file may be cut off behind its last whole frame.

    It is a context: the file is open until its end.
    """

    def __init__(self, path: str | Path, probes: Sequence[Probe], position: int) -> None:
        """Open the file at `path`; `position` is where a frame begins, or will."""
        self.position = position
        """Where the last frame that was taken in ends."""
        self._probes = probes
        self._decoder = Decoder(probes)
        self._is_whole = any(probe.role is Role.CALL for probe in probes)
        self._callers: dict[int, int] = {}
        """By position of the frame that has the stack, of calls that were seen whole."""
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> GrowingRecording:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    @property
    def size(self) -> int:
        """How long the file is by now; whoever writes it may be as fast as whoever reads it."""
        return os.fstat(self._file).st_size

    def read(self, end: int | None = None) -> Iterator[Appended]:
        """Yield the next events. Whoever stops at one goes on behind it the next time.

        Args:
            end: Where the frames end that count; None for all that has come.

        """
        start, size = self.position, CHUNK_BYTES
        while self.position == start:
            data = os.pread(
                self._file, size if end is None else min(size, max(end - start, 0)), start
            )
            for frame in iter_frames(data, 0, len(data)):
                event = self._decoder.decode(data, start + frame[0], *frame[1:])
                self.position = start + frame[3] + frame[4]
                if event is not None:
                    yield Appended(event, data, frame[3])
            if len(data) < size:
                return
            size *= 2

    def read_all(self, end: int | None = None) -> Iterator[Appended]:
        """Yield every event that has come by now, up to an end as `read` does."""
        before = -1
        while self.position != before and self.position != end:
            before = self.position
            yield from self.read(end)

    def find_caller(self, appended: Appended) -> int:
        """Return the address to which a function has returned; 0 for other events.

        It has to be asked for every event, as others may have the same stack.
        """
        event, data, payload = appended
        if not isinstance(event, Hit) or self._probes[event.probe].role not in _RETURNED:
            return 0
        kind, _, _, length = FRAME.unpack_from(data, payload - FRAME.size)
        if kind == SAME:
            return self._callers.get(event.position, 0)
        at = self._decoder.stack_offset(event.probe)
        (caller,) = _WORD.unpack_from(data, payload + at) if at < length else (0,)
        if self._is_whole:
            self._callers[event.position] = caller
        return int(caller)

    def read_stack(self, appended: Appended) -> tuple[memoryview, dict[str, int]] | None:
        """Return the raw stack of an event, and its registers by name; None if it has none."""
        event, data, payload = appended
        if not isinstance(event, Hit) or self._probes[event.probe].role not in _RETURNED:
            return None
        kind, _, _, length = FRAME.unpack_from(data, payload - FRAME.size)
        if kind == SAME:
            return None
        at = self._decoder.stack_offset(event.probe)
        registers = dict(zip(self._probes[event.probe].registers, event.registers))
        return memoryview(data)[payload + at : payload + length], registers
