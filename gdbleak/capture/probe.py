"""What a window asks of whatever records in a target: the seam between the two.

`Recorder` is THE seam, and each way to record implements it: `agent.Agent` is a GDB whose
breakpoints tell of each call, `inline_recorder.InlineRecorder` reads what the target has recorded
itself. A window and its watch know nothing else of what records. A hold knows one that is a
`Tracer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gdbleak.recording.end import EndedBy
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe
from gdbleak.text.choices import Choice


class ProbeKind(Choice):
    """How a target is recorded."""

    BREAKPOINT = "breakpoint"
    INLINE = "inline"
    AUTO = "auto"


@dataclass(frozen=True)
class Task:
    """What to record, and where."""

    pid: int
    recording: Path
    """A file that holds the head already."""
    stack_bytes: int
    """How much raw stack to keep of each allocation."""
    probes: tuple[Probe, ...]


@dataclass(frozen=True)
class Status:
    """The counts of a recorder."""

    now_ns: int
    """On the clock of the recording."""
    phase: int
    armed: bool
    """Whether it records; GDB takes its breakpoints out where others would run into them."""
    turn_error: str | None
    """Why the phase cannot be changed."""
    stops: int
    lost: int
    """Calls and returns that could not be recorded."""
    write_error: str | None
    last_error: str | None
    attach_pause_ns: int | None
    longest_stop_ns: int
    """The longest stop at a breakpoint, as seen from within GDB."""
    skipped: int = 0
    """Stops of which nothing was written, for they were about blocks of other sizes."""


class Recorder(Protocol):
    """Whatever records in a target.

    Every method but `wake` may raise DebuggerDiedError, once what records by a debugger has none.
    """

    @property
    def pid(self) -> int:
        """Id of the process that does the work of recording."""

    @property
    def children(self) -> int:
        """How many processes the target has started, as far as it was seen."""

    @property
    def stop_signal(self) -> str | None:
        """The last signal of job control that somebody has sent to the target."""

    def fileno(self) -> int:
        """The descriptor that becomes readable when it says something or dies."""

    def poll(self, timeout_s: float = 0) -> None:
        """Take in what it has said, or says next; return when it says nothing for so long."""

    def take_end(self) -> EndedBy | None:
        """Return why nothing more can be recorded, if it has told of that since the last time."""

    def ask_status(self) -> None:
        """Ask for the counts without waiting for them; once is enough until they come."""

    def poll_status(self) -> Status | None:
        """Return the counts that were asked for, if they have come.

        Raises:
            DebuggerFailedError: it is silent for too long.

        """

    def read_status(self, timeout_s: float) -> Status:
        """Ask for the counts and wait for them.

        Raises:
            DebuggerFailedError: it did not answer.

        """

    def ask_turn(self, phase: Phase) -> None:
        """Ask for what a phase records, unless something else was asked for that has not come.

        What the status says of the phase tells whether that is done.
        """

    def wake(self) -> None:
        """Continue it, in case somebody has stopped it."""


class Tracer(Recorder, Protocol):
    """A recorder that holds its target as long as it records.

    It is ready, and does not touch the target before `begin`.
    """

    def begin(self) -> None:
        """Start to take hold of the target, to record in it, and to let it run."""

    def has_begun(self) -> bool:
        """Return whether that has been done.

        Raises:
            DebuggerFailedError: it could not be done.

        """

    def take_forked(self) -> list[int]:
        """Return the PIDs of processes that the target has started since the last time.

        Those made by vfork are left out.
        """

    def detach(self, timeout_s: float) -> None:
        """Let the target go, by command.

        Args:
            timeout_s: How long each step may take.

        Raises:
            DebuggerSilentError: it did not in time.
            DebuggerFailedError: it did not.

        """

    def end(self) -> None:
        """End it without a command, when it does not obey."""
