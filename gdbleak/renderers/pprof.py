"""A profile for pprof: what is in use and what was allocated, in bytes and in blocks.

Source: proto/profile.proto of github.com/google/pprof, which gives the numbers of fields. The
values have the names of those of Go's heap profiles, which pprof knows.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gdbleak.renderers.content import heading
from gdbleak.renderers.protobuf import content, integer, packed
from gdbleak.renderers.stacks import iter_stacks, name
from gdbleak.report.model import Frame, Report
from gdbleak.text.lines import printable

_VALUES = (
    ("inuse_space", "bytes"),
    ("inuse_objects", "count"),
    ("alloc_space", "bytes"),
    ("alloc_objects", "count"),
)
"""In the order of `Weights`."""


@dataclass(frozen=True)
class PprofRenderer:
    """Writes every site, as a gzipped message."""

    def render(self, report: Report) -> bytes:
        """Return the report as bytes; the same report gives the same bytes."""
        return gzip.compress(_Profile().encode(report), mtime=0)


@dataclass
class _Profile:
    """Tables of what a profile refers to by number; they begin with 1, strings with 0."""

    strings: dict[str, int] = field(default_factory=lambda: {"": 0})
    mappings: dict[str, int] = field(default_factory=dict)
    functions: dict[tuple[str, str], int] = field(default_factory=dict)
    locations: dict[tuple[Frame, ...], int] = field(default_factory=dict)

    def encode(self, report: Report) -> bytes:
        """Return the message."""
        samples = [
            packed(1, map(self.location, _group(frames))) + packed(2, weights)
            for frames, weights in iter_stacks(report)
        ]
        locations = [self.encode_location(*entry) for entry in self.locations.items()]
        functions = [
            integer(1, number)
            + integer(2, self.string(function))
            + integer(3, self.string(function))
            + integer(4, self.string(file))
            for (function, file), number in self.functions.items()
        ]
        mappings = [
            integer(1, number) + integer(5, self.string(path)) + integer(7, 1) + integer(8, 1)
            for path, number in self.mappings.items()
        ]
        values = [integer(1, self.string(a)) + integer(2, self.string(b)) for a, b in _VALUES]
        rest = (
            integer(9, _nanoseconds(report.window.started))
            + integer(10, round(report.window.duration_s * 1e9))
            + integer(13, self.string(heading(report).text))
            + integer(14, self.string("inuse_space"))
        )
        strings = [text.encode() for text in self.strings]
        tables = [values, samples, mappings, locations, functions, strings]
        parts = (content(number, item) for number, items in enumerate(tables, 1) for item in items)
        return b"".join(parts) + rest

    def string(self, text: str) -> int:
        """Return the number of a string."""
        return self.strings.setdefault(printable(text), len(self.strings))

    def location(self, frames: tuple[Frame, ...]) -> int:
        """Return the number of an address, by its frames: what was inlined there comes first."""
        return self.locations.setdefault(frames, len(self.locations) + 1)

    def encode_location(self, frames: tuple[Frame, ...], number: int) -> bytes:
        """Return one, and give numbers to what it refers to."""
        path = frames[0].module or ""
        mapping = self.mappings.setdefault(path, len(self.mappings) + 1) if path else 0
        lines = b""
        for frame in frames:
            key = name(frame), frame.file or ""
            function = self.functions.setdefault(key, len(self.functions) + 1)
            lines += content(4, integer(1, function) + integer(2, frame.line or 0))
        return integer(1, number) + integer(2, mapping) + integer(3, frames[0].address) + lines


def _group(frames: Sequence[Frame]) -> list[tuple[Frame, ...]]:
    """Return the frames of each address, innermost first."""
    groups: list[tuple[Frame, ...]] = []
    inlined: tuple[Frame, ...] = ()
    for frame in reversed(frames):
        inlined += (frame,)
        if not frame.inlined:
            groups.append(inlined)
            inlined = ()
    return [*groups, inlined] if inlined else groups


def _nanoseconds(started: str) -> int:
    """Return when a window began, in nanoseconds since 1970; 0 if the report does not say."""
    try:
        return round(datetime.fromisoformat(started).timestamp() * 1e9)
    except (ArithmeticError, ValueError):
        return 0
