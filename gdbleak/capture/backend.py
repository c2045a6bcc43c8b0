"""What a window needs of a target, wherever that runs.

`Backend` brings what differs between a process of this machine (`local.py`) and one behind a
gdbserver (`gdbleak/remote/`): what records in it, holds it, observes it, guards it, and proves that
it was left as it was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from gdbleak.capture.account import Account
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.probe import Recorder, Status
from gdbleak.recording.end import EndedBy, Inline, Verification
from gdbleak.recording.modules import Module


@dataclass(frozen=True)
class After:
    """What a target holds after the window."""

    resident_bytes: int | None
    memory: dict[str, int]
    """The sizes by their kinds in bytes: see `proc.memory_status`."""
    modules: tuple[Module, ...]
    """The program and libraries; empty where they could not be read or another program runs."""
    inline: Inline | None = None
    """What was written into it to record there; None when breakpoints recorded."""


class Hold(Protocol):
    """How a target is taken, and how it is let go."""

    released_s: float | None
    """When it was let go, on the monotonic clock."""

    @property
    def registers(self) -> Mapping[int, Sequence[int]]:
        """What stood in the registers of threads then, by their ids, as far as that is known."""

    def take(self) -> None:
        """Attach, arm and resume.

        Raises:
            TargetError: the process cannot be traced, or not any more. It was let go.

        """

    def let_go(self, ended_by: EndedBy) -> None:
        """Take the breakpoints out and detach. It is done when this returns.

        Args:
            ended_by: Why the window ends.

        """


class Observer(Protocol):
    """What looks at the target beside the recording, while a window is open."""

    is_frozen: bool
    """Whether a thread is halted, and the end of that must not be missed."""
    is_armed: bool
    """To be set: whether breakpoints are in."""

    @property
    def disarmed_ns(self) -> int | None:
        """When the guard took the breakpoints out, if it did, on the clock of the recording."""

    def look(self, elapsed_s: float, now_ns: int) -> None:
        """Look at the target; called up to a hundred times a second.

        Args:
            elapsed_s: Seconds since the window was opened.
            now_ns: On the clock of the recording.

        Raises:
            WriteError: the recording cannot be written on.

        """

    def find_end(self) -> EndedBy | None:
        """Return why the window has to end, if it has to, by what was seen."""

    def find_late_end(self) -> EndedBy | None:
        """Return what is seen only after the target was let go, if it is why the window ended."""

    def slowed_s(self, elapsed_s: float) -> float:
        """Return for how many of the seconds gone by breakpoints kept it waiting, at least."""

    def stopped_s(self, elapsed_s: float) -> float:
        """Return for how many of the seconds gone by the target stood still, by its threads."""

    def stops(self, status: Status | None) -> int | None:
        """Return how often the target was halted; None if nobody knows.

        Args:
            status: The last counts of the recorder, if it has told them.

        """

    def longest_pause_s(self, status: Status | None) -> tuple[float | None, bool]:
        """Return for how long the target stood still at once, and whether that is the least.

        Args:
            status: The last counts of the recorder, if it has told them.

        """


class Proof(Protocol):
    """The check that a target was left as it was found, and runs on."""

    def look(self, own_stop: bool) -> Verification:
        """Look at the process right after the detach.

        Args:
            own_stop: Whether somebody has sent it a signal of job control meanwhile.

        """

    def conclude(
        self, released_s: float, own_stop: bool, has_exec: bool, waits: bool
    ) -> Verification:
        """Wait until the process has lived long enough, and look again.

        Args:
            released_s: When it was let go, on the monotonic clock.
            own_stop: See `look`.
            has_exec: Whether it runs another program by now, whose end is its own affair.
            waits: Whether to wait at all.

        """


class Backend(Protocol):
    """What a window needs of one target; a context, from before the attach until the proof.

    Entering it starts what guards the target.
    """

    @property
    def account(self) -> Account:
        """What is known so far of what was recorded, once there is a recorder."""

    def __enter__(self) -> Backend: ...

    def __exit__(self, *error: object) -> None: ...

    @property
    def proof(self) -> Proof:
        """What the window ends with."""

    def recorder(self, interruption: Interruption) -> AbstractContextManager[Recorder]:
        """Return a recorder that is ready, and was proved on a process of ours.

        Args:
            interruption: Defers signals before anything can happen to the target.

        Raises:
            UnprovedError: the debugger failed on a process of ours; the target was not touched.
            KeyboardInterrupt: Ctrl-C came before that.

        """

    def hold(self) -> Hold:
        """Return what takes and lets go of the target, once there is a recorder."""

    def observe(self) -> Observer:
        """Begin to look at a target that was taken."""

    def read_after(self, has_exec: bool) -> After:
        """Return what the target holds once it is free again.

        Args:
            has_exec: Whether it runs another program by now.

        """
