"""The first frame of a recording: everything that was known before the attach. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gdbleak.recording.chosen import Chosen
from gdbleak.recording.frames import HEAD, encode_json
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.memory_limit import MemoryLimit
from gdbleak.recording.modules import Module
from gdbleak.recording.outside_values import UnfitError, fill
from gdbleak.recording.probes import Probe
from gdbleak.recording.rate import Rate

VERSION = 9
READABLE = (4, 5, 6, 7, 8, 9)
"""Which versions are read: since 5 a probe may record more than one word from `size_offset` on;
since 6 there are calls that were seen whole, and frames for them that save space; since 7 there may
be frames that tell which blocks are lost, and who holds others; since 8 only blocks of some sizes
may be recorded; since 9 there may be a frame that says how many blocks the heap held, and a burst
may begin with a time in which new blocks do not count; and blocks are left out by another function
of their addresses."""


@dataclass(frozen=True)
class TracedProcess:
    """The process that a recording is about."""

    pid: int
    command: str
    exe: str | None
    started: str | None
    """When the process began, ISO 8601 with its offset from UTC."""
    threads: int
    namespace_pid: int | None = None
    """Its PID as it knows it itself, in a container say; None when that is the same."""


@dataclass(frozen=True)
class Head:
    """What a HEAD frame holds."""

    started: str
    """When the window was about to begin, ISO 8601 with its offset from UTC."""
    target: TracedProcess
    allocators: tuple[str, ...]
    """Names of what is recorded; a probe's `allocator` is a place among them."""
    functions: tuple[AllocatorFunction, ...]
    """Those that have probes."""
    probes: tuple[Probe, ...]
    modules: tuple[Module, ...]
    """The program and libraries that were mapped before the window."""
    rate: Rate
    stack_bytes: int
    """How much raw stack was to be kept of each allocation."""
    duration_s: float
    """How long the window was to be."""
    tail_s: float
    """For how long after the window it was to be recorded what becomes of its blocks."""
    notes: tuple[str, ...] = ()
    """Sentences for the reader of the report."""
    rss_before: int | None = None
    """Resident set in bytes."""
    memory: dict[str, int] = field(default_factory=dict)
    """Kinds of memory in bytes, and the number of threads, by their names in /proc/PID/status."""
    limit: MemoryLimit | None = None
    sizes: tuple[int, ...] = ()
    """The smallest and the largest request whose blocks are recorded; empty for all."""
    chosen: Chosen | None = None
    """How it was recorded, and why so; None where there is no choice, or nobody has said."""
    version: int = VERSION
    """Of the format."""

    def encode(self) -> bytes:
        """Return the frame."""
        return encode_json(HEAD, asdict(self))

    @classmethod
    def decode(cls, values: Mapping[str, Any]) -> Head:
        """Return the head that a JSON object describes.

        Raises:
            KeyError: a value is missing.
            TypeError, ValueError: a value is not what it should be.

        """
        limit = values.get("limit")
        parts = {
            "target": fill(TracedProcess, values["target"]),
            "functions": [AllocatorFunction.from_json(each) for each in values["functions"]],
            "probes": [Probe.from_json(each) for each in values["probes"]],
            "modules": [Module.from_json(each) for each in values["modules"]],
            "rate": fill(Rate, values["rate"]),
            "limit": fill(MemoryLimit, limit) if limit else None,
            "chosen": fill(Chosen, values["chosen"]) if values.get("chosen") else None,
        }
        head = fill(cls, {**values, **parts})
        if len(head.sizes) not in (0, 2):
            raise UnfitError(f"sizes cannot be {str(head.sizes)[:100]!r}")
        return head
