"""The last frame of a recording: how the window ended, and what was proved. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gdbleak.recording.frames import END, encode_json
from gdbleak.recording.modules import Module
from gdbleak.recording.outside_values import fill
from gdbleak.text.choices import Choice


class EndedBy(Choice):
    """Why a window ended."""

    DURATION = "duration"
    MAX_EVENTS = "max-events"
    MAX_PAUSE = "max-pause"
    MAX_MEMORY = "max-memory"
    BUDGET = "budget"
    INTERRUPT = "interrupt"
    TERMINATE = "terminate"
    HANGUP = "hangup"
    TARGET_EXIT = "target-exit"
    TARGET_KILLED = "target-killed"
    TARGET_EXEC = "target-exec"
    DEBUGGER_DIED = "debugger-died"
    DEBUGGER_SILENT = "debugger-silent"
    DEBUGGER_STOPPED = "debugger-stopped"
    STARVED = "starved"
    DISARMED = "disarmed"
    CHILD_TRAPPED = "child-trapped"
    WRITE_FAILED = "write-failed"
    RUNNING = "running"
    UNKNOWN = "unknown"
    OTHER = "other"
    """What a later gdbleak has recorded, and this one does not know."""

    @classmethod
    def _missing_(cls, value: object) -> EndedBy | None:
        return cls.OTHER if isinstance(value, str) else None


TARGET_ENDED = (EndedBy.TARGET_EXIT, EndedBy.TARGET_KILLED)
"""With these there is nothing left to detach from."""


@dataclass(frozen=True)
class Verification:
    """Proof that the target was left as it was found; None for what could not be read."""

    tracer_pid: int | None = None
    state_before: str | None = None
    state_after: str | None = None
    """State letters of proc(5)."""
    text_intact: bool | None = None
    """Every place in its code that is written to holds again what it held before."""
    ok: bool | None = None
    """None when the process had ended, so that there was nothing left to look at."""
    ran_on_s: float | None = None
    """For how long after the detach it was seen to live; None if it was not looked at."""
    death: str | None = None
    """How it ended meanwhile, if it did: the name of a signal, or "unknown"."""


@dataclass(frozen=True)
class Inline:
    """What was written into the target so that it recorded its calls itself."""

    lost: int
    """Events that could not be recorded."""
    one_of: int
    """Of so many blocks one was recorded, chosen by address; 1 when all were."""
    path: str
    """The file in whose unused bytes the recorder stood."""
    code_bytes: int
    """The length of the recorder."""
    functions: int
    """How many functions of the allocator jumped to it."""
    ring_bytes: int
    """Memory of the target in which it left what it recorded until that was read."""
    attaches: int
    """How often GDB attached, to write it and to take it out."""
    children: int = 0
    """Processes that were forked meanwhile, lived on, and were restored too."""
    left: str | None = None
    """What is still in the target; None when all was taken out."""


@dataclass(frozen=True)
class References:
    """The search for what in the target's memory refers to its blocks."""

    looks: int
    """How often all of the memory was read."""
    took_s: float
    """From the beginning of the first look to the end of the last."""
    scanned_bytes: int
    """Memory that was read, in all looks together."""
    reason: str | None = None
    """Why nothing was found out, as a part of a sentence; None when the search was finished."""


@dataclass(frozen=True)
class HeapCount:
    """The censuses of the heap that were taken in the window."""

    censuses: int
    took_s: float
    """How long the longest of them took."""
    reason: str | None = None
    """Why there is none, as a part of a sentence; None when there are some."""


@dataclass(frozen=True)
class End:
    """What an END frame holds."""

    ended_by: EndedBy
    end_ns: int | None
    """When the window and its tail ended, on the clock of the recording; None if that is unknown:
    with the last event then."""
    verification: Verification
    modules: tuple[Module, ...]
    """The program and libraries that were mapped after the window; none where nobody could tell."""
    stops: int | None = None
    lost_events: int = 0
    """Hits that could not be recorded."""
    children: int = 0
    """Processes that the target started: all when breakpoints recorded, those seen when inline."""
    stop_signal: str | None = None
    """Of a SIGSTOP or the like that somebody sent the target in the window: its name."""
    stopped_s: float | None = None
    """For how long the target stood still, or did little but that."""
    longest_pause_ms: float | None = None
    longest_pause_is_least: bool = False
    """Whether the longest pause may have been much longer than what was seen of it."""
    rss_after: int | None = None
    """Resident set in bytes."""
    memory: dict[str, int] = field(default_factory=dict)
    """As in the head."""
    inline: Inline | None = None
    """None when breakpoints recorded."""
    searched_ns: int | None = None
    """When the window and its tail were over, and a search of memory began, until whose end it was
    still recorded what was freed; None without one."""
    references: References | None = None
    """None where nobody has thought of it: in recordings of earlier versions, say."""
    heap: HeapCount | None = None
    """As above."""

    def encode(self, payload_bytes: int = 0) -> bytes:
        """Return the frame, whose payload is at least so long."""
        return encode_json(END, asdict(self), payload_bytes)

    @classmethod
    def decode(cls, values: Mapping[str, Any]) -> End:
        """Return the end that a JSON object describes.

        Raises:
            KeyError: a value is missing.
            TypeError, ValueError: a value is not what it should be.

        """
        inline, references = values.get("inline"), values.get("references")
        heap = values.get("heap")
        parts = {
            "ended_by": EndedBy(values["ended_by"]),
            "inline": fill(Inline, inline) if inline else None,
            "references": fill(References, references) if references else None,
            "heap": fill(HeapCount, heap) if heap else None,
            "verification": fill(Verification, values["verification"]),
            "modules": [Module.from_json(each) for each in values["modules"]],
        }
        return fill(cls, {**values, **parts})


UNFINISHED = End(EndedBy.UNKNOWN, None, Verification(), ())
"""Of a recording that is cut off."""
