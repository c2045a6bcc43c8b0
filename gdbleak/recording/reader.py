"""The file between the agent and the controller; what is saved, reopened and rendered again.

The frames of a recording (docs/recording-format.md):

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

import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Union, cast

from gdbleak.errors import RecordingError
from gdbleak.host.files import FileBytes, open_regular
from gdbleak.recording.end import End
from gdbleak.recording.frames import END, FRAME, FREED, HEAD, HIT, MAGIC, MEMORY, PHASE
from gdbleak.recording.head import READABLE, Head
from gdbleak.recording.outside_values import describe_damage, read_object
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe
from gdbleak.text.lines import cut
from gdbleak.text.units import count_of

CHUNK_BYTES = 1 << 18
"""How much of a file is read at once, if that holds a whole frame."""

MAX_FRAME_BYTES = 16 << 20
"""The largest frames are HEAD and END: some hundred bytes for each module and probe."""

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


class Recording:
    """A recording that is read from a file."""

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
            raise RecordingError(f"{path} is no recording of gdbleak")
        with reading(path):
            self._read_head()
            self._read_end()

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
        self.end: End | None = None
        """The END frame; None when the recording is cut off."""
        self.last_ns = 0
        """When the last event was."""
        for data, _, frames in self._iter_chunks(self._first):
            for _, kind, _, payload, length in [frame for frame in frames if frame[1] != HIT]:
                if kind == END:
                    self.end = End.decode(read_object(data[payload : payload + length]))
                elif kind == PHASE and self.opened_ns is None:
                    (self.opened_ns,) = _U64.unpack_from(data, payload)
            timed = (frame for frame in reversed(frames) if frame[1] not in (HEAD, END))
            for _, _, _, payload, _ in islice(timed, 1):
                (self.last_ns,) = _U64.unpack_from(data, payload)

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

    def name_allocators(self, called: Collection[int]) -> str:
        """Return which allocators were called, by the probes that were hit; without any, the first.

        That is the one that would have been.
        """
        head = self.head
        heap = {f.name for f in head.functions if f.mapping is None and not f.is_internal}
        probes = (head.probes[number] for number in called)
        used = sorted({probe.allocator for probe in probes if probe.function in heap})
        return ", ".join(head.allocators[number] for number in used or (0,))

    def stack(self, position: int) -> tuple[memoryview, dict[str, int]]:
        """Return the raw stack of the hit at `position`, and its registers by name.

        It takes least time right after the hit was read.
        """
        data, start, end = self._chunk
        begin = position - start
        if not 0 <= begin < end:
            data, begin = self._read_frame(position), 0
        _, _, probe, length = FRAME.unpack_from(data, begin)
        payload = begin + FRAME.size
        names, unpack, stack = self._stacks[probe]
        registers = dict(zip(names, unpack(data, payload)))
        return memoryview(data)[payload + stack : payload + length], registers

    def _read_frame(self, position: int) -> bytes:
        """Return a frame that was whole when it was found."""
        data = self._read(position, self._hit_bytes)
        if len(data) < FRAME.size:
            raise RecordingError(f"{self.path} was cut off while it was read")
        _, _, _, length = FRAME.unpack_from(data)
        end = FRAME.size + length
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
