"""The loop of an open window: it has breakpoints put in and out until something ends it."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable

from gdbleak.capture.account import Account
from gdbleak.capture.backend import Observer
from gdbleak.capture.budget import Schedule
from gdbleak.capture.heap_counts import HeapCounts
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.looks import GLANCE_S, Looks
from gdbleak.capture.probe import Recorder, Status
from gdbleak.capture.search import Search, why_given_up
from gdbleak.capture.slowness import STOP_NS
from gdbleak.errors import WriteError
from gdbleak.recording.end import EndedBy
from gdbleak.recording.phases import Phase
from gdbleak.target.proc import resident_set

TICK_S, FROZEN_TICK_S = 0.01, 0.002
PROGRESS_S = 0.1
STATUS_S = 0.2
DISARMED_S = 1.0
"""How long GDB may leave its breakpoints out for a child of vfork; it sees no calls meanwhile."""
CATCH_UP_S = 5.0
"""How long a search may take before it begins: it has to read all that was recorded."""


class Watch:
    """Watches a target in which a recorder is at work."""

    def __init__(
        self,
        recorder: Recorder,
        observer: Observer,
        account: Account,
        looks: Looks | None,
        limits: Limits,
        search: Search | None = None,
        heap: HeapCounts | None = None,
    ) -> None:
        """Begin to watch; the window has just been opened.

        Args:
            recorder: Records in the target.
            observer: Looks at the target.
            account: What the recording says so far.
            looks: Finds what was freed between bursts; None where that cannot be told from memory.
            limits: What ends the window.
            search: Follows the window, if that ends as it should.
            heap: Counts the blocks of the heap until the window is over.

        """
        self._search = search
        self._heap = heap
        self.searched_ns: int | None = None
        """When the window was over and the search began, on the clock of the recording."""
        self._recorder = recorder
        self._observer = observer
        self._account = account
        self._looks = looks
        self._limits = limits
        self._schedule = Schedule(limits.duration_s, limits.tail_s, limits.budget_percent / 100)
        self._phase = Phase.ALL
        self._searched: float | None = None
        self._catch_up_s = self._search_end_s = 0.0
        self._began_s = time.monotonic()
        self._next_progress_s = self._next_status_s = 0.0
        self.armed_ns = account.opened_ns or time.monotonic_ns()
        """When GDB's breakpoints were in, as far as was seen, or not wanted; on the recording's
        clock."""
        self.latest: Status | None = None
        """The recorder's counts when it was asked last."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the window was opened."""
        return time.monotonic() - self._began_s

    @property
    def stopped_s(self) -> float:
        """How many of these seconds the target stood still, or did little else."""
        elapsed_s = self.elapsed_s
        slowed_s = self._account.slowed_s + self._skipped_s
        return min(max(slowed_s, self._observer.stopped_s(elapsed_s)), elapsed_s)

    @property
    def _skipped_s(self) -> float:
        """For how long stops that were not written down have slowed the target, about."""
        return self.latest.skipped * STOP_NS / 1e9 if self.latest else 0.0

    def run(self, interruption: Interruption, on_progress: Callable[[Progress], None]) -> EndedBy:
        """Wait for the first thing that ends the window, and return which it was.

        Raises:
            DebuggerFailedError: GDB is silent, or has ended.

        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._recorder, selectors.EVENT_READ)
            selector.register(interruption, selectors.EVENT_READ)
            while True:
                try:
                    self._wait(selector)
                    self._observer.is_armed = self._phase is not Phase.NONE
                    self._observer.look(self.elapsed_s, self._now_ns)
                except WriteError:
                    return EndedBy.WRITE_FAILED
                self._recorder.poll()
                self._account.read()
                elapsed_s = self.elapsed_s
                ended_by = interruption.reason or self._find_end(elapsed_s)
                if ended_by and self._heap:
                    self._heap.close(self._now_ns)
                if ended_by is EndedBy.DURATION and self._is_searched():
                    ended_by = None
                ended_by = ended_by or self._steer(elapsed_s)
                if ended_by:
                    if self._search and ended_by is not EndedBy.DURATION:
                        self._search.give_up(why_given_up(ended_by))
                    return ended_by
                if elapsed_s >= self._next_progress_s:
                    self._next_progress_s = elapsed_s + PROGRESS_S
                    on_progress(self._describe(elapsed_s))

    def _is_searched(self) -> bool:
        """Return whether it is still searched for references, now that the window is over."""
        if self._search is None:
            return False
        if self.searched_ns is None:
            self.searched_ns = self._now_ns
            self._search.begin(self.searched_ns)
            self._catch_up_s = self.elapsed_s + CATCH_UP_S
            self._search_end_s = self._catch_up_s + self._limits.scan_s
        elif self.elapsed_s > self._search_end_s:
            self._search.give_up("it took too long: see --scan-time")
        elif not self._searched and self.elapsed_s > self._catch_up_s:
            self._search.give_up(f"it could not begin within {CATCH_UP_S:g} s")
        self._searched = self._search.poll()
        return self._searched is not None

    def _wait(self, selector: selectors.BaseSelector) -> None:
        """Wait until something is said, or for a tick; between bursts, look at the heap."""
        if self._observer.is_frozen:
            selector.select(FROZEN_TICK_S)
            return
        if self._phase is not Phase.NONE or not self._looks:
            selector.select(TICK_S)
            return
        deadline_s = time.monotonic() + TICK_S
        self._looks.look(self._account.outstanding, self._now_ns)
        while not selector.select(GLANCE_S) and time.monotonic() < deadline_s:
            self._looks.glance(self._now_ns)

    @property
    def _now_ns(self) -> int:
        """The time on the clock of the recording."""
        return (self._account.opened_ns or 0) + int(self.elapsed_s * 1e9)

    def _find_end(self, elapsed_s: float) -> EndedBy | None:
        ended_by = self._recorder.take_end() or self._observer.find_end()
        if ended_by:
            return ended_by
        if self._account.full:
            return EndedBy.MAX_EVENTS
        return EndedBy.DURATION if elapsed_s >= self._schedule.end_s else None

    def _steer(self, elapsed_s: float) -> EndedBy | None:
        """Have the breakpoints in that the budget allows; return why that cannot go on."""
        # Threads that had come to a breakpoint wait for GDB though it is out by now.
        armed = self._phase is not Phase.NONE or self._observer.is_frozen
        slowed_s = max(self._account.slowed_s + self._skipped_s, self._observer.slowed_s(elapsed_s))
        wanted = self._schedule.choose(elapsed_s, slowed_s, armed, self._account.round_s)
        if wanted is not self._phase:
            self._recorder.ask_turn(wanted)
        status = self._recorder.poll_status()
        if status:
            self.latest = status
            self._phase = Phase(status.phase)
            # Between bursts none is wanted in: what GDB does with its own then makes no difference.
            if status.armed or wanted is Phase.NONE:
                self.armed_ns = status.now_ns
            elif status.now_ns - self.armed_ns > DISARMED_S * 1e9:
                return EndedBy.DISARMED
            if status.write_error:
                return EndedBy.WRITE_FAILED
            if status.turn_error:
                return EndedBy.BUDGET
        if elapsed_s >= self._next_status_s:
            self._next_status_s = elapsed_s + STATUS_S
            self._recorder.ask_status()
            sizes = (resident_set(pid) or 0 for pid in (os.getpid(), self._recorder.pid))
            if max(sizes) > self._limits.max_memory:
                return EndedBy.MAX_MEMORY
        return None

    def _describe(self, elapsed_s: float) -> Progress:
        account = self._account
        return Progress(
            elapsed_s,
            self._schedule.end_s,
            account.events,
            account.events / elapsed_s,
            len(account.outstanding),
            self.stopped_s,
            self._schedule.samples,
            self.latest.stops if self.latest else 0,
            self._now_ns,
            account.position,
            account.ring_fill,
            self.latest.lost if self.latest else 0,
            self._searched,
        )
