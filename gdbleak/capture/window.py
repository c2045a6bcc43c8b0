"""One window on one process: attach, watch, detach, prove.

Whatever happens in between, the way out leads through the detach and the proof.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gdbleak.capture.agent import ANSWER_TIMEOUT_S
from gdbleak.capture.backend import Backend, Hold, Observer
from gdbleak.capture.heap_counts import HeapCounts
from gdbleak.capture.hold import AFTER_A_PAUSE_S
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.looks import Looks
from gdbleak.capture.probe import Recorder
from gdbleak.capture.search import Search, why_given_up
from gdbleak.capture.watch import Watch
from gdbleak.debugger.interface import DebuggerDiedError
from gdbleak.errors import DebuggerFailedError, WriteError
from gdbleak.recording.end import TARGET_ENDED, End, EndedBy, HeapCount, References, Verification
from gdbleak.recording.frames import FRAME

RESERVE_BYTES = 1 << 18
"""Room kept on the disk for the end of a recording that has filled it."""
LATER_BYTES = 100
"""Room in the END frame for what the proof still adds to it."""


@dataclass
class _Outcome:
    """What is known so far of what the END frame will say."""

    ended_by: EndedBy = EndedBy.UNKNOWN
    end_ns: int | None = None
    searched_ns: int | None = None
    stops: int | None = None
    lost_events: int = 0
    children: int = 0
    stop_signal: str | None = None
    stopped_s: float | None = None
    longest_pause_ms: float | None = None
    longest_pause_is_least: bool = False
    references: References | None = None
    heap: HeapCount | None = None


HURRY_S = 1.0
"""How long the last census of the heap may take when the window ended early."""


class Window:
    """A window on a target: a context, from before the attach until the target has run on.

    Entering it starts what guards the target; the way out leads through the proof.
    """

    def __init__(
        self,
        pid: int,
        recording: Path,
        limits: Limits,
        backend: Backend,
        looks: Looks | None,
        on_progress: Callable[[Progress], None],
        search: Search | None = None,
        heap: HeapCounts | None = None,
    ) -> None:
        """Prepare a window.

        Args:
            pid: The process id of the target.
            recording: A file that holds the head already.
            limits: What ends the window.
            backend: Records in the target, holds, observes, guards and proves it.
            looks: See `Watch`.
            on_progress: Called about ten times a second; must be quick.
            search: See `Watch`.
            heap: See `Watch`.

        """
        self._search = search
        self._heap = heap
        self._pid = pid
        self._recording = recording
        self._limits = limits
        self._backend = backend
        self._looks = looks
        self._on_progress = on_progress
        self._outcome = _Outcome()
        self._end: End | None = None
        self._end_bytes = self._found_bytes = 0
        self._verification: Verification | None = None
        self._released_s: float | None = None
        self.is_hurried = False
        """Whether Ctrl-C came when the window was over: the report must not take long then."""

    def __enter__(self) -> Window:
        """Start what guards the target.

        Raises:
            GdbleakError: it did not start; see the backend.

        """
        self._backend.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._backend.__exit__(*error)

    @property
    def _has_own_stop(self) -> bool:
        return self._outcome.stop_signal is not None

    def run(self, interruption: Interruption) -> None:
        """Attach, record until a limit is reached, detach, and complete the recording.

        Args:
            interruption: Tells of Ctrl-C; a context that was entered.

        Raises:
            UnprovedError: the debugger failed on a process of ours; the target was not touched.
            ProcessUnusableError: another process shares the memory of the target by now.
            AttachError: the target was not attached to, or is not any more.
            WriteError: there is no room for the recording.
            KeyboardInterrupt: Ctrl-C came before the attach.

        """
        reserve = _reserve(self._recording.absolute().parent)
        with reserve, self._backend.recorder(interruption) as recorder:
            self._record(recorder, interruption)
        self._verification = self._backend.proof.look(self._has_own_stop)
        has_exec = self._outcome.ended_by is EndedBy.TARGET_EXEC
        after = self._backend.read_after(has_exec)
        self._end = End(
            **vars(self._outcome),
            verification=self._verification,
            modules=after.modules,
            rss_after=after.resident_bytes,
            memory=after.memory,
            inline=after.inline,
        )
        self._write_end(self._end)
        self.is_hurried = interruption.reason not in (None, self._outcome.ended_by)

    def conclude(self, waits: bool = True) -> Verification:
        """Return the proof, once the target has run on for long enough.

        Args:
            waits: Whether to wait for that; it is looked at in any case.

        Raises:
            WriteError: it cannot be written into the recording.

        """
        assert self._verification is not None
        assert self._end is not None
        if self._outcome.ended_by not in TARGET_ENDED and self._released_s is not None:
            self._verification = self._backend.proof.conclude(
                self._released_s,
                self._has_own_stop,
                self._outcome.ended_by is EndedBy.TARGET_EXEC,
                waits,
            )
            self._write_end(replace(self._end, verification=self._verification))
        return self._verification

    def _write_end(self, end: End) -> None:
        """Write the last frame; over the one before, and no longer, for the disk may be full."""
        is_first = not self._end_bytes
        frame = end.encode(self._end_bytes)
        if is_first:
            frame = end.encode(len(frame) + LATER_BYTES)
            self._end_bytes = len(frame) - FRAME.size
        try:
            position = self._account.position + self._found_bytes
            if is_first:
                os.truncate(self._recording, position)
            with self._recording.open("r+b") as file:
                file.seek(position)
                file.write(frame)
        except OSError as error:
            raise WriteError(
                f"cannot complete the recording {self._recording}: {error.strerror};"
                f" process {self._pid} was released"
            ) from error

    def _record(self, recorder: Recorder, interruption: Interruption) -> None:
        self._account = self._backend.account
        hold = self._backend.hold()
        hold.take()
        observer = self._backend.observe()
        watch = Watch(
            recorder,
            observer,
            self._account,
            self._looks,
            self._limits,
            self._search,
            self._heap,
        )
        outcome = self._outcome
        try:
            outcome.ended_by = watch.run(interruption, self._on_progress)
            recorder.wake()
            has_waited = outcome.ended_by is EndedBy.MAX_PAUSE
            watch.latest = recorder.read_status(AFTER_A_PAUSE_S if has_waited else ANSWER_TIMEOUT_S)
            outcome.end_ns = observer.disarmed_ns or watch.latest.now_ns
            if outcome.ended_by is EndedBy.DISARMED:
                outcome.end_ns = watch.armed_ns
            self._account.read_all()
        except DebuggerDiedError:
            outcome.ended_by = EndedBy.DEBUGGER_DIED
        except DebuggerFailedError:
            if outcome.ended_by is not EndedBy.MAX_PAUSE:
                outcome.ended_by = EndedBy.DEBUGGER_SILENT
        finally:
            elapsed_s, outcome.stopped_s = watch.elapsed_s, watch.stopped_s
            hold.let_go(outcome.ended_by)
            self._released_s = hold.released_s
            outcome.searched_ns = watch.searched_ns
        if outcome.end_ns is None:
            self._account.read_all()
            outcome.end_ns = (self._account.opened_ns or 0) + int(elapsed_s * 1e9)
        outcome.children = recorder.children
        outcome.stop_signal = recorder.stop_signal
        outcome.ended_by = observer.find_late_end() or outcome.ended_by
        self._keep(watch, observer)
        if self._heap:
            self._keep_counts(self._heap, interruption)
        if self._search:
            self._keep_findings(self._search, hold, interruption)

    def _keep_counts(self, heap: HeapCounts, interruption: Interruption) -> None:
        """Keep how many blocks the heap held."""
        is_whole = self._outcome.ended_by is EndedBy.DURATION
        deadline_s = time.monotonic() + HURRY_S
        counted = heap.conclude(
            lambda: interruption.reason is not None if is_whole else time.monotonic() > deadline_s
        )
        reason = self._append(counted.frames)
        self._outcome.heap = replace(counted.heap, reason=reason) if reason else counted.heap

    def _keep_findings(self, search: Search, hold: Hold, interruption: Interruption) -> None:
        """Keep what was found of the blocks."""
        if self._outcome.ended_by is not EndedBy.DURATION:
            search.give_up(why_given_up(self._outcome.ended_by))
        findings = search.conclude(hold.registers, lambda: interruption.reason is not None)
        reason = self._append(findings.frames)
        found = findings.references
        self._outcome.references = replace(found, reason=reason) if reason else found

    def _append(self, frames: bytes) -> str | None:
        """Write frames behind all that was recorded; return why that failed, if it did."""
        try:
            os.truncate(self._recording, self._account.position + self._found_bytes)
            with self._recording.open("ab") as file:
                file.write(frames)
        except OSError as error:
            return f"cannot write them: {error.strerror}"
        self._found_bytes += len(frames)
        return None

    def _keep(self, watch: Watch, observer: Observer) -> None:
        """Keep the recorder's last counts, and for how long the target stood still."""
        outcome, status = self._outcome, watch.latest
        if status:
            outcome.lost_events = status.lost
        outcome.stops = observer.stops(status)
        pause_s, outcome.longest_pause_is_least = observer.longest_pause_s(status)
        outcome.longest_pause_ms = None if pause_s is None else pause_s * 1e3


@contextmanager
def _reserve(folder: Path) -> Iterator[None]:
    """Keep room on the disk, so that a recording that fills it can still be completed."""
    try:
        # Without a name: nothing to find, to follow or to leave behind.
        reserve = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `with` below
        reserve.write(bytes(RESERVE_BYTES))
        reserve.flush()
    except OSError as error:
        raise WriteError(f"cannot write in {folder}: {error.strerror}") from error
    with reserve:
        yield
