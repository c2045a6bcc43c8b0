"""What happens while a window is open: breakpoints come and go, until something ends it."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from typing import Any

from gdbleak.capture.agent import Agent, Status
from gdbleak.capture.budget import Schedule
from gdbleak.capture.halts import Halts
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.looks import GLANCE_S, Looks
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.standstill import Standstill
from gdbleak.capture.tail import Tail
from gdbleak.errors import WriteError
from gdbleak.recording.end import EndedBy
from gdbleak.recording.phases import Phase
from gdbleak.recording.reader import Resident, encode_resident
from gdbleak.safety.guarding import Guarding
from gdbleak.target.proc import Memory, resident_set
from gdbleak.target.process import Target
from gdbleak.target.shared_memory import has_trapped, share_memory

TICK_S, FROZEN_TICK_S = 0.01, 0.002
PROGRESS_S = 0.1
STATUS_S = 0.2
DISARMED_S = 1.0
"""For how long GDB may leave its breakpoints out, for a child of vfork; calls are unseen then."""
RESIDENT_S, RESIDENT_SHARE = 0.1, 0.005
"""How often the resident set is noted at most, in seconds and as a share of the window."""


class Watch:
    """Watches a target to which an agent is attached."""

    def __init__(
        self,
        target: Target,
        memory: Memory,
        agent: Agent,
        guard: Guarding,
        tail: Tail,
        looks: Looks | None,
        limits: Limits,
        notebook: Notebook,
        halts: Halts,
    ) -> None:
        """Begin to watch; the window has just been opened.

        Args:
            target: Who is watched.
            memory: Of the target.
            agent: Who is attached to it.
            guard: Takes the breakpoints out when it does not hear of us.
            tail: Of the recording.
            looks: Finds what was freed between bursts; None where that cannot be told from memory.
            limits: What ends the window.
            notebook: Of the recording.
            halts: Of the target's threads.

        """
        self._target = target
        self._memory = memory
        self._agent = agent
        self._guard = guard
        self._tail = tail
        self._looks = looks
        self._limits = limits
        self._notebook = notebook
        self._schedule = Schedule(limits.duration_s, limits.tail_s, limits.budget_percent / 100)
        self._standstill = Standstill(target.pid, agent.debugger.pid, halts)
        self._is_frozen = False
        self._phase = Phase.ALL
        self._began_s = time.monotonic()
        self._next_progress_s = self._next_status_s = self._next_resident_s = 0.0
        self.armed_ns = tail.opened_ns or time.monotonic_ns()
        """When GDB's breakpoints were seen to be in, on the clock of the recording."""
        self.sharer: int | None = None
        """The PID of a new process that shares the memory of the target."""
        self.latest: Status | None = None
        """The agent's counts when it was asked last."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the window was opened."""
        return time.monotonic() - self._began_s

    @property
    def stopped_s(self) -> float:
        """For how many of them the target stood still, or did little but that."""
        elapsed_s = self.elapsed_s
        return min(max(self._tail.slowed_s, self._standstill.estimate(elapsed_s)), elapsed_s)

    @property
    def possible_pause_s(self) -> float:
        """For how long a thread may have stood still at a breakpoint, though nobody has seen it."""
        return max(self._tail.longest_call_s[1], self._standstill.possible_s)

    def run(self, interruption: Interruption, on_progress: Callable[[Progress], None]) -> EndedBy:
        """Wait for the first of the things that end a window.

        Raises:
            DebuggerFailedError: GDB is silent, or has ended.

        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._agent.debugger, selectors.EVENT_READ)
            selector.register(interruption, selectors.EVENT_READ)
            while True:
                try:
                    self._wait(selector)
                    self._note_resident_set(self.elapsed_s)
                except WriteError:
                    return EndedBy.WRITE_FAILED
                self._guard.beat()
                self._standstill.sample()
                self._agent.debugger.poll()
                self._tail.read()
                elapsed_s = self.elapsed_s
                ended_by = (
                    interruption.reason or self._find_end(elapsed_s) or self._steer(elapsed_s)
                )
                if ended_by:
                    return ended_by
                if elapsed_s >= self._next_progress_s:
                    self._next_progress_s = elapsed_s + PROGRESS_S
                    on_progress(self._describe(elapsed_s))

    def _wait(self, selector: selectors.BaseSelector) -> None:
        """Wait until something is said, or for a tick; between bursts, look at the heap."""
        if self._is_frozen:  # its end is not to be missed
            selector.select(FROZEN_TICK_S)
            return
        if self._phase is not Phase.NONE or not self._looks:
            selector.select(TICK_S)
            return
        deadline_s = time.monotonic() + TICK_S
        self._looks.look(self._tail.outstanding, self._now_ns)
        while not selector.select(GLANCE_S) and time.monotonic() < deadline_s:
            self._looks.glance(self._now_ns)

    def _note_resident_set(self, elapsed_s: float) -> None:
        if elapsed_s < self._next_resident_s:
            return
        self._next_resident_s = elapsed_s + max(
            RESIDENT_S, self._limits.duration_s * RESIDENT_SHARE
        )
        size = resident_set(self._target.pid)
        if size:
            self._notebook.note(encode_resident(Resident(self._now_ns, size)))

    @property
    def _now_ns(self) -> int:
        """The time on the clock of the recording."""
        return (self._tail.opened_ns or 0) + int(self.elapsed_s * 1e9)

    def _find_end(self, elapsed_s: float) -> EndedBy | None:
        limits, debugger = self._limits, self._agent.debugger
        if is_own_trap(debugger.events):
            self._agent.pass_trap()
            debugger.events.clear()
        told = explain(debugger.events)
        debugger.events.clear()
        if told or self._runs_another_program():
            return told or EndedBy.TARGET_EXEC
        if self._tail.full:
            return EndedBy.MAX_EVENTS
        if self._guard.disarmed_ns is not None:
            return EndedBy.STARVED
        self._look_for_sharers()
        if self.sharer is not None:
            return EndedBy.DISARMED
        frozen_s = self._standstill.frozen_s()
        self._is_frozen = frozen_s > 0
        if frozen_s * 1e3 > limits.max_pause_ms:
            return EndedBy.MAX_PAUSE
        return EndedBy.DURATION if elapsed_s >= self._schedule.end_s else None

    def _look_for_sharers(self) -> None:
        """Notice a new process that shares the memory: GDB takes its breakpoints out for it.

        It puts them in again after the next child of vfork, and that process would die of them.
        """
        forked = self._agent.debugger.forked
        for child in forked:
            if share_memory(self._target.pid, child) or has_trapped(child):
                self.sharer = child
        forked.clear()

    def _steer(self, elapsed_s: float) -> EndedBy | None:
        """Have the breakpoints in that the budget allows; return why that cannot go on."""
        armed = self._phase is not Phase.NONE
        wanted = self._schedule.choose(elapsed_s, self._tail.slowed_s, armed)
        if wanted is not self._phase:
            self._agent.ask_turn(wanted)
        status = self._agent.poll_status()
        if status:
            self.latest = status
            self._phase = Phase(status.phase)
            if status.armed:
                self.armed_ns = status.now_ns
            elif status.now_ns - self.armed_ns > DISARMED_S * 1e9:
                return EndedBy.DISARMED
            if status.write_error:
                return EndedBy.WRITE_FAILED
            if status.turn_error:
                return EndedBy.BUDGET
        if elapsed_s >= self._next_status_s:
            self._next_status_s = elapsed_s + STATUS_S
            self._agent.ask_status()
            sizes = (resident_set(pid) or 0 for pid in (os.getpid(), self._agent.debugger.pid))
            if max(sizes) > self._limits.max_memory:
                return EndedBy.MAX_MEMORY
        return None

    def _runs_another_program(self) -> bool:
        """Notice that the target runs another program now.

        GDB trips over the breakpoints of the old one before it can report that. The kernel tells
        it by our view of the old memory, which has become empty.
        """
        if self._memory.read(self._tail.probes[0].address, 1):
            return False
        # A process that is ending has no memory at all.
        return bool(resident_set(self._target.pid))

    def _describe(self, elapsed_s: float) -> Progress:
        tail = self._tail
        return Progress(
            elapsed_s,
            self._schedule.end_s,
            tail.events,
            tail.events / elapsed_s,
            len(tail.outstanding),
            self.stopped_s,
            self._schedule.samples,
            self.latest.stops if self.latest else 0,
            self._now_ns,
            tail.position,
        )


def is_own_trap(events: list[dict[str, Any]]) -> bool:
    """Return whether GDB has halted the target for a SIGTRAP that is none of ours.

    GDB halts everything for it, so it is the last event.
    """
    stops = [event["payload"] or {} for event in events if event["message"] == "stopped"]
    return bool(stops) and stops[-1].get("signal-name") == "SIGTRAP"


def explain(events: list[dict[str, Any]]) -> EndedBy | None:
    """Return the end that GDB's asynchronous records tell of."""
    for event in events:
        if event["message"] == "stopped":
            reason = str(event["payload"].get("reason", ""))
            if reason.startswith("exited"):
                killed = reason == "exited-signalled"
                return EndedBy.TARGET_KILLED if killed else EndedBy.TARGET_EXIT
            return EndedBy.TARGET_EXEC if reason == "exec" else EndedBy.DEBUGGER_STOPPED
    return None
