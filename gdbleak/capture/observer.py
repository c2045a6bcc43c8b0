"""What looks at a process of this machine beside the recording, while a window is open."""

from __future__ import annotations

from gdbleak.capture.halts import Pauses, find_longest
from gdbleak.capture.limits import Limits
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.outside import ResidentSet, find_end_of_program
from gdbleak.capture.probe import Status, Tracer
from gdbleak.capture.standstill import Standstill
from gdbleak.capture.tail import Tail
from gdbleak.readable import Readable
from gdbleak.recording.end import EndedBy
from gdbleak.safety.guarding import Guarding
from gdbleak.target.shared_memory import has_trapped, share_memory


class LocalObserver:
    """Looks at a target: whether it stands still, which program it runs, who shares its memory."""

    def __init__(
        self,
        pid: int,
        memory: Readable,
        recorder: Tracer,
        guard: Guarding,
        tail: Tail,
        limits: Limits,
        notebook: Notebook,
        pauses: Pauses,
    ) -> None:
        """Begin to look; the window has just been opened.

        Args:
            pid: The target.
            memory: The memory of the target.
            recorder: Holds the target.
            guard: Takes the breakpoints out when it does not hear of us.
            tail: What the recording says so far.
            limits: What ends the window.
            notebook: Adds to the recording.
            pauses: For how long the target stood still.

        """
        self._pid = pid
        self._memory = memory
        self._recorder = recorder
        self._guard = guard
        self._tail = tail
        self._limits = limits
        self._resident_set = ResidentSet(pid, limits, notebook.note)
        self._pauses = pauses
        self._taken_s = pauses.halts.longest_s
        """The longest halt of the attach, which is over: to end the window would mend nothing."""
        self._standstill = Standstill(pid, recorder.pid, pauses.halts)
        self._sharer: int | None = None
        self.is_frozen = False
        self.is_armed = True

    @property
    def disarmed_ns(self) -> int | None:
        """When the guard took the breakpoints out, if it did, on the clock of the recording."""
        return self._guard.disarmed_ns

    def look(self, elapsed_s: float, now_ns: int) -> None:
        """Tell the guard that we are at work, and look at some threads.

        Args:
            elapsed_s: Seconds since the window was opened.
            now_ns: On the clock of the recording.

        Raises:
            WriteError: the recording cannot be written on.

        """
        self._resident_set.look(elapsed_s, now_ns)
        self._guard.beat()
        self._standstill.sample(self.is_armed)

    def find_end(self) -> EndedBy | None:
        """Return why the window has to end, if it has to, by what was seen."""
        if self._runs_another_program():
            return EndedBy.TARGET_EXEC
        if self._guard.disarmed_ns is not None:
            return EndedBy.STARVED
        self._look_for_sharers()
        if self._sharer is not None:
            return EndedBy.DISARMED
        frozen_s = self._standstill.frozen_s()
        self.is_frozen = frozen_s > 0
        # One that is over by now counts too: who sees it late has not had a processor.
        longest_s = max(frozen_s, self._tail.longest_call_s[0])
        if self._pauses.halts.longest_s > self._taken_s:
            longest_s = max(longest_s, self._pauses.halts.longest_s)
        return EndedBy.MAX_PAUSE if longest_s * 1e3 > self._limits.max_pause_ms else None

    def find_late_end(self) -> EndedBy | None:
        """Return what is seen only after the target was let go, if it is why the window ended."""
        trapped = self._sharer is not None and has_trapped(self._sharer)
        return EndedBy.CHILD_TRAPPED if trapped else None

    def _runs_another_program(self) -> bool:
        """Notice that the target runs another program now.

        GDB trips over the breakpoints of the old one before it can report that. The kernel tells
        it by our view of the old memory, which has become empty.
        """
        ended_by = find_end_of_program(self._pid, self._memory, self._tail.probes[0].address)
        return ended_by is EndedBy.TARGET_EXEC

    def _look_for_sharers(self) -> None:
        """Notice a new process that shares the memory: GDB takes its breakpoints out for it.

        It puts them in again after the next child of vfork, and that process would die of them.
        """
        for child in self._recorder.take_forked():
            if share_memory(self._pid, child) or has_trapped(child):
                self._sharer = child

    def slowed_s(self, elapsed_s: float) -> float:
        """Return for how many of the seconds gone by breakpoints kept it waiting, at least."""
        return self._standstill.estimate(elapsed_s)

    def stopped_s(self, elapsed_s: float) -> float:
        """Return for how many of the seconds gone by the target stood still, by its threads."""
        return self._standstill.estimate(elapsed_s)

    def stops(self, status: Status | None) -> int | None:
        """Return how often a breakpoint was hit, as GDB has told last."""
        return status.stops if status else None

    def longest_pause_s(self, status: Status | None) -> tuple[float, bool]:
        """Return for how long the target stood still at once, and whether that is the least.

        Args:
            status: The last counts of the recorder, if it has told them.

        """
        held_s, possibly_held_s = self._tail.longest_call_s
        if status:
            self._pauses.taking.bound_s = (status.attach_pause_ns or 0) / 1e9
        stop_s = status.longest_stop_ns / 1e9 if status else 0.0
        return find_longest(
            self._pauses.halts,
            (self._pauses.taking, self._pauses.letting_go),
            max(stop_s, held_s),
            max(possibly_held_s, self._standstill.possible_s),
        )
