"""The events of a recording that grows, each once."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from gdbleak.plan import Role
from gdbleak.recording import MAGIC, Decoder, Event, Hit, Recording, iter_frames

CHUNK_BYTES = 1 << 18

_WORD = struct.Struct("<Q")


class EventReader:
    """Reads on where it has stopped. The file may be cut off behind its last whole frame."""

    def __init__(self, recording: Recording) -> None:
        self._file = os.open(recording.path, os.O_RDONLY | os.O_CLOEXEC)
        self._probes = recording.probes
        self._decoder = Decoder(recording.probes)
        self._position = len(MAGIC)
        self._chunk_bytes = CHUNK_BYTES

    def read(self) -> Iterator[tuple[Event, int]]:
        """Yield each event since, and of a return where it leads, else 0."""
        while True:
            data = os.pread(self._file, self._chunk_bytes, self._position)
            end = 0
            for frame in iter_frames(data, 0, len(data)):
                event = self._decoder.decode(data, *frame)
                end = frame[3] + frame[4]
                if event is not None:
                    yield event, self._find_caller(event, data, frame[3])
            self._position += end
            if not end:
                if len(data) < self._chunk_bytes:
                    return
                self._chunk_bytes *= 2

    def _find_caller(self, event: Event, data: bytes, payload: int) -> int:
        if not isinstance(event, Hit) or self._probes[event.probe].role is not Role.RETURN:
            return 0
        (caller,) = _WORD.unpack_from(data, payload + self._decoder.stack_offset(event.probe))
        return int(caller)
