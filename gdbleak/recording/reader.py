"""A recording read again: the file between the agent and the controller.

The first frame is HEAD, JSON: everything known before the attach. Events follow (see events.py).
The last is END, JSON: how the window ended and what was proved. A file that stops anywhere is read
up to its last whole frame; docs/recording-format.md describes all of it.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice

from gdbleak.errors import RecordingError
from gdbleak.host.files import FileBytes, open_regular
from gdbleak.recording.end import End
from gdbleak.recording.events import Decoder, Event, decode_level, iter_frames, read_time
from gdbleak.recording.frames import END, FRAME, HEAD, HIT, LEVEL, MAGIC, PHASE, SAME
from gdbleak.recording.head import READABLE, Head
from gdbleak.recording.outside_values import UnfitError, describe_damage, read_object
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Role
from gdbleak.text.lines import cut
from gdbleak.text.units import count_of

CHUNK_BYTES = 1 << 18
"""How much of a file is read at once, if that holds a whole frame."""

_HITS = HIT, SAME

MAX_FRAME_BYTES = 16 << 20
"""The largest frames are HEAD and END: some hundred bytes for each module and probe."""


class Recording:
    """A recording that is read from a file. A context, in which the file is open."""

    bytes_behind_end = 0
    """How many bytes follow its END frame; they are not read."""

    def __init__(self, path: str, size: int = 0) -> None:
        """Open a recording.

        Args:
            path: Of the file.
            size: How many bytes of it to read, of one that grows; 0 for all.

        Raises:
            RecordingError: the file cannot be read, is no recording, or is of a later version.

        """
        self.path = path
        try:
            self._data = FileBytes(open_regular(path))
        except OSError as error:
            raise RecordingError(f"cannot read {path}: {error.strerror}") from error
        self._size = min(size or len(self._data), len(self._data))
        if not self._size:
            raise RecordingError(f"{path} is empty")
        if self._read(0, len(MAGIC)) != MAGIC:
            raise RecordingError(f"{path} is not a recording of gdbleak")
        with reading(path):
            self._read_head()
            self._read_end()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self._data.close()

    def _read_head(self) -> None:
        data, _, frames = next(self._iter_chunks(len(MAGIC)), (b"", 0, []))
        _, kind, _, payload, length = frames[0] if frames else (0, 0, 0, 0, 0)
        if kind != HEAD:
            raise RecordingError(f"{self.path} is cut off before its first event")
        values = read_object(data[payload : payload + length])
        version = values.get("version")
        if version not in READABLE:
            raise RecordingError(
                f"{self.path} is of version {cut(repr(version), 50)};"
                f" this gdbleak reads {READABLE[0]} to {READABLE[-1]}",
                "use the gdbleak that wrote it, or a newer one",
            )
        self.head = Head.decode(values)
        self._decoder = Decoder(self.head.probes)
        self._first = len(MAGIC) + FRAME.size + length
        self._stacks = [
            (
                probe.registers,
                struct.Struct(f"<16x{len(probe.registers)}Q").unpack_from,
                self._decoder.stack_offset(number),
            )
            for number, probe in enumerate(self.head.probes)
        ]
        """Names of a hit's registers, what unpacks them, and where behind them the stack begins."""
        self._chunk = b"", 0, 0
        """The part of the file that was read last, where it begins, and where its frames end."""
        self._hit_bytes = FRAME.size
        """How long the frame of a hit may be, as far as has been seen."""

    def _read_end(self) -> None:
        self.opened_ns: int | None = None
        self.closed_ns: int | None = None
        """When only frees were recorded from then on; None if that did not happen."""
        self.end: End | None = None
        """The END frame; None when the recording is cut off."""
        self.last_ns = 0
        """When the last event was."""
        self.zeros = 0
        """Only of blocks whose lot ends in so many zeros all events are there."""
        self.dropped = 0
        """How many events of others were left out."""
        for data, _, frames in self._iter_chunks(self._first):
            for _, kind, number, payload, length in [f for f in frames if f[1] not in _HITS]:
                if kind == END:
                    self.end = End.decode(read_object(data[payload : payload + length]))
                elif kind == PHASE and self.opened_ns is None:
                    self.opened_ns = read_time(data, kind, payload)
                elif kind == PHASE and number == Phase.FREES and self.closed_ns is None:
                    self.closed_ns = read_time(data, kind, payload)
                elif kind == LEVEL:
                    _, zeros, self.dropped = decode_level(data, payload)
                    self.zeros = max(self.zeros, zeros)
            timed = (frame for frame in reversed(frames) if frame[1] not in (HEAD, END))
            for _, kind, _, payload, _ in islice(timed, 1):
                self.last_ns = read_time(data, kind, payload)

    @property
    def is_inline(self) -> bool:
        """Whether it was written inside the target."""
        return any(probe.role is Role.CALL for probe in self.head.probes)

    @property
    def notes(self) -> list[str]:
        """Sentences about the file, for the reader of its report."""
        if not self.bytes_behind_end:
            return []
        count = count_of(self.bytes_behind_end, "byte")
        return [f"the file goes on for {count} after the end of the recording: they were not read"]

    def iter_events(self) -> Iterator[Event]:
        """Yield what was recorded, in order."""
        decode, decode_hit = self._decoder.decode, self._decoder.decode_hit
        for data, start, frames in self._iter_chunks(self._first):
            self._chunk = data, start, sum(frames[-1][-2:])
            for begin, kind, probe, payload, length in frames:
                if kind == HIT:
                    yield decode_hit(data, start + begin, probe, payload)
                elif event := decode(data, start + begin, kind, probe, payload, length):
                    yield event

    def find_allocators(self, called: Collection[int]) -> tuple[str, ...]:
        """Return which allocators were called, by the probes that were hit; without any, the first.

        That is the one that would have been.
        """
        head = self.head
        heap = {f.name for f in head.functions if f.mapping is None and not f.is_internal}
        probes = (head.probes[number] for number in called)
        used = sorted({probe.allocator for probe in probes if probe.function in heap})
        return tuple(head.allocators[number] for number in used or (0,))

    def stack(self, position: int) -> tuple[memoryview, dict[str, int]]:
        """Return the raw stack of the hit at `position`, and its registers by name.

        It takes least time right after the hit was read.

        Raises:
            RecordingError: the file was cut off meanwhile.
            UnfitError: no hit is there.

        """
        data, start, end = self._chunk
        begin = position - start
        if not 0 <= begin < end:
            data, begin = self._read_frame(position), 0
        kind, _, probe, length = FRAME.unpack_from(data, begin)
        if kind != HIT:
            raise UnfitError("it looks for a stack where there is none")
        payload = begin + FRAME.size
        names, unpack, stack = self._stacks[probe]
        registers = dict(zip(names, unpack(data, payload)))
        return memoryview(data)[payload + stack : payload + length], registers

    def _read_frame(self, position: int) -> bytes:
        """Return a frame that was whole when it was found, or that another one says is there."""
        if not len(MAGIC) <= position <= self._size - FRAME.size:
            raise UnfitError("it looks for a stack beyond its end")
        data = self._read(position, self._hit_bytes)
        if len(data) < FRAME.size:
            raise RecordingError(f"{self.path} was cut off while it was read")
        _, _, _, length = FRAME.unpack_from(data)
        end = FRAME.size + min(length, MAX_FRAME_BYTES)
        if len(data) < end:
            self._hit_bytes = max(self._hit_bytes, end)  # the next one may be as long
            data = self._read(position, end)
        return data

    def _iter_chunks(
        self, position: int
    ) -> Iterator[tuple[bytes, int, list[tuple[int, int, int, int, int]]]]:
        """Yield parts of the file: bytes, where they begin in it, and the frames in them."""
        size = CHUNK_BYTES
        while position < self._size:
            data = self._read(position, size)
            frames = [*iter_frames(data, 0, len(data))]
            if frames:
                yield data, position, frames
                position += sum(frames[-1][-2:])
                if frames[-1][1] == END:
                    self.bytes_behind_end = self._size - position
                    return
                size = CHUNK_BYTES
            elif len(data) < size or size > MAX_FRAME_BYTES:
                return
            else:
                size *= 4

    def _read(self, position: int, size: int) -> bytes:
        """Return what the file holds there, up to the end that it had when it was opened."""
        try:
            return self._data.read(position, min(size, self._size - position))
        except OSError as error:
            raise RecordingError(f"cannot read {self.path}: {error.strerror}") from error


def damaged(path: str, error: Exception) -> RecordingError:
    """Return what to raise for a file of which something went wrong when it was read."""
    return RecordingError(
        f"{path} is damaged: {cut(describe_damage(error), 500)}",
        "copy it here again, or record anew with --save FILE",
    )


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn what goes wrong over a damaged recording into an error that says so."""
    try:
        yield
    except (
        *(ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError),
        *(TypeError, ValueError, struct.error),
    ) as error:
        raise damaged(path, error) from error
