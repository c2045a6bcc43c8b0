"""One window on one process: attach, watch, detach, prove.

Whatever happens in between, the way out leads through the detach and the proof.
"""

from __future__ import annotations

import os
import selectors
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gdbleak.allocator_search import Plan
from gdbleak.bounds import bounded, check_bounds
from gdbleak.budget import Schedule
from gdbleak.capture.agent import Agent, Status
from gdbleak.capture.debugger import DebuggerDiedError
from gdbleak.capture.guard import Journal
from gdbleak.capture.guarding import Guarding
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.journals import open_journal
from gdbleak.capture.proof import prove
from gdbleak.capture.scratch import read_scratch
from gdbleak.capture.standstill import Standstill
from gdbleak.capture.tail import Tail
from gdbleak.errors import AttachError, DebuggerFailedError, NoSuchProcessError, WriteError
from gdbleak.gdb_program import GdbProgram
from gdbleak.modules import Module
from gdbleak.phases import Phase
from gdbleak.proc import Memory, resident_set
from gdbleak.recording import END, EndedBy, encode_json
from gdbleak.report import Verification
from gdbleak.target import Target

TICK_S = 0.01
PROGRESS_S = 0.1
STATUS_S = 0.2
RESERVE_BYTES = 1 << 18
"""Room kept on the disk for the end of a recording that has filled it."""


@dataclass(frozen=True)
class Limits:
    """What bounds a window."""

    duration_s: float = bounded(10.0, 0.001, 31 * 86400)
    max_events: int | None = bounded(None, 1)
    max_pause_ms: float = bounded(500.0, 250)
    """How long the target may stand still at once."""
    max_memory: int = bounded(512 << 20, 1 << 20)
    """How many bytes gdbleak and its GDB may hold resident, each."""
    stack_bytes: int = bounded(4096, 64, 1 << 20)
    budget_percent: float = bounded(30.0, 0.1, 100)
    """For which share of the time the target may be slowed."""
    tail_s: float = bounded(0.0, 0, 86400)
    """For how long after the window it is recorded what becomes of its blocks."""

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            UsageError: a number is out of range.

        """
        check_bounds(self)


@dataclass(frozen=True)
class Progress:
    """Where a window stands."""

    elapsed_s: float
    duration_s: float
    """Of the window and its tail."""
    events: int
    events_per_s: float
    outstanding: int
    stopped_s: float


@dataclass
class _Outcome:
    """What the END frame will say."""

    ended_by: EndedBy = EndedBy.UNKNOWN
    end_ns: int | None = None
    stops: int | None = None
    lost_events: int = 0
    children: int = 0
    stop_signal: str | None = None
    stopped_s: float | None = None
    longest_pause_ms: float | None = None


class Window:
    """A window on a target, from its recording's first event to its last."""

    def __init__(
        self,
        target: Target,
        plan: Plan,
        memory: Memory,
        recording: Path,
        limits: Limits,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Prepare a window.

        Args:
            target: Whom to attach to.
            plan: Where to set breakpoints.
            memory: Of the target.
            recording: A file that holds the head already.
            limits: What ends the window.
            on_progress: Called about ten times a second; must be quick.

        """
        self._target = target
        self._plan = plan
        self._probes = plan.probes
        self._memory = memory
        self._recording = recording
        self._limits = limits
        self._on_progress = on_progress
        self._tail = Tail(recording, plan.probes, plan.functions, limits.max_events)
        self._outcome = _Outcome()
        self._verification = Verification(None, target.state, None, None, None)

    def run(
        self, gdb: GdbProgram, folder: Path, list_modules: Callable[[], Iterable[Module]]
    ) -> None:
        """Attach, record until a limit is reached, detach, and complete the recording.

        Args:
            gdb: The debugger to use.
            folder: A private folder for the debugger's files.
            list_modules: Returns the modules of the target, called once it is free again.

        Raises:
            AttachError: the target was not attached to, or is not any more.
            DebuggerFailedError: GDB did not start.
            WriteError: there is no room for the recording.
            KeyboardInterrupt: Ctrl-C came before the attach.

        """
        pid, stack_bytes = self._target.pid, self._limits.stack_bytes
        with _reserve(self._recording.absolute().parent), Interruption() as interruption:
            with self._journal() as journal, Guarding(journal, folder) as guard:
                agent = Agent(
                    gdb, folder, pid, self._recording, stack_bytes, self._probes, guard.life
                )
                with agent.debugger:
                    guard.announce(agent.debugger.pid)
                    self._record(agent, guard, interruption)
            # After an exec they are those of another program.
            same = self._outcome.ended_by is not EndedBy.TARGET_EXEC
            modules = list_modules() if same else ()
        end = {
            **asdict(self._outcome),
            "rss_after": resident_set(pid),
            "verification": asdict(self._verification),
            "modules": [module.to_json() for module in modules],
        }
        try:
            os.truncate(self._recording, self._tail.position)
            with self._recording.open("r+b") as file:
                file.seek(0, os.SEEK_END)
                file.write(encode_json(END, end))
        except OSError as error:
            raise WriteError(
                f"cannot complete the recording {self._recording}: {error.strerror};"
                f" process {pid} was released"
            ) from error

    @contextmanager
    def _journal(self) -> Iterator[Journal]:
        """Keep a journal, until the target is proved to be as it was found."""
        target, probes = self._target, self._probes
        modules = [allocator.module for allocator in self._plan.allocators]
        try:
            scratch = read_scratch(target.pid, self._memory)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise NoSuchProcessError(f"process {target.pid} has ended meanwhile") from error
        journal = open_journal(target, modules, probes, scratch)
        try:
            yield journal
        finally:
            own_stop = self._outcome.stop_signal is not None
            self._verification = prove(
                target.pid, target.state, probes, scratch, self._memory, own_stop
            )
            if self._verification.ok is not False:
                journal.path.unlink(missing_ok=True)

    def _record(self, agent: Agent, guard: Guarding, interruption: Interruption) -> None:
        if interruption.reason:
            raise KeyboardInterrupt
        try:
            agent.start()
        except DebuggerFailedError as error:
            self._release(agent, guard)
            raise AttachError(
                f"could not trace process {self._target.pid}: {error}",
                f"run `gdbleak doctor {self._target.pid}`",
            ) from error
        standstill = Standstill(self._target.pid, agent.debugger.pid)
        started = time.monotonic()
        outcome = self._outcome
        try:
            outcome.ended_by = self._watch(agent, interruption, standstill, started)
            agent.debugger.wake()
            status = agent.read_status()
            self._keep(status)
            outcome.end_ns = status.now_ns
            self._tail.read_all()
        except DebuggerDiedError:
            outcome.ended_by = EndedBy.DEBUGGER_DIED
        except DebuggerFailedError:
            outcome.ended_by = EndedBy.DEBUGGER_SILENT
        finally:
            elapsed_s = time.monotonic() - started
            released_s = self._release(agent, guard)
        if outcome.ended_by in (EndedBy.DEBUGGER_DIED, EndedBy.DEBUGGER_SILENT):
            self._tail.read_all()
            outcome.end_ns = (self._tail.opened_ns or 0) + int(elapsed_s * 1e9)
        outcome.children = agent.debugger.children
        outcome.stop_signal = agent.debugger.stop_signal
        outcome.stopped_s = standstill.estimate(elapsed_s)
        pause_s = max(released_s, standstill.longest_s)
        outcome.longest_pause_ms = max(outcome.longest_pause_ms or 0.0, pause_s * 1e3)

    def _watch(
        self, agent: Agent, interruption: Interruption, standstill: Standstill, started: float
    ) -> EndedBy:
        """Wait for the first of the things that end a window."""
        limits, tail, debugger = self._limits, self._tail, agent.debugger
        schedule = Schedule(limits.duration_s, limits.tail_s, limits.budget_percent / 100)
        phase = Phase.ALL
        next_progress = next_status = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(debugger, selectors.EVENT_READ)
            selector.register(interruption, selectors.EVENT_READ)
            while True:
                selector.select(TICK_S)
                standstill.sample()
                debugger.poll()
                tail.read()
                elapsed_s = time.monotonic() - started
                ended_by = interruption.reason or _explain(debugger.events) or self._find_exec()
                debugger.events.clear()
                if ended_by:
                    return ended_by
                if tail.full:
                    return EndedBy.MAX_EVENTS
                if standstill.frozen_s(tail.position) * 1e3 > limits.max_pause_ms:
                    return EndedBy.MAX_PAUSE
                if elapsed_s >= schedule.end_s:
                    return EndedBy.DURATION
                slowed_s = max(tail.slowed_s, standstill.estimate(elapsed_s))
                wanted = schedule.choose(elapsed_s, slowed_s)
                if wanted is not phase:
                    agent.ask_turn(wanted)
                status = agent.poll_status()
                if status:
                    self._keep(status)
                    phase = Phase(status.phase)
                    if status.write_error:
                        return EndedBy.WRITE_FAILED
                if elapsed_s >= next_status:
                    next_status = elapsed_s + STATUS_S
                    agent.ask_status()
                    if self._exceeds_memory(debugger.pid):
                        return EndedBy.MAX_MEMORY
                if elapsed_s >= next_progress:
                    next_progress = elapsed_s + PROGRESS_S
                    self._on_progress(
                        Progress(
                            elapsed_s,
                            schedule.end_s,
                            tail.events,
                            tail.events / elapsed_s,
                            len(tail.outstanding),
                            slowed_s,
                        )
                    )

    def _find_exec(self) -> EndedBy | None:
        """Notice that the target runs another program now.

        GDB trips over the breakpoints of the old one before it can report that. The kernel tells
        it by our view of the old memory, which has become empty.
        """
        # A process that is ending has no memory at all.
        if self._memory.read(self._probes[0].address, 1) or not resident_set(self._target.pid):
            return None
        return EndedBy.TARGET_EXEC

    def _exceeds_memory(self, debugger_pid: int) -> bool:
        sizes = (resident_set(pid) or 0 for pid in (os.getpid(), debugger_pid))
        return max(sizes) > self._limits.max_memory

    def _keep(self, status: Status) -> None:
        outcome = self._outcome
        outcome.stops = status.stops
        outcome.lost_events = status.lost
        outcome.longest_pause_ms = max(status.attach_pause_ns or 0, status.longest_stop_ns) / 1e6

    def _release(self, agent: Agent, guard: Guarding) -> float:
        """Detach by command; a GDB that does not answer is ended, and the guard repairs.

        Returns:
            For how many seconds the target may have stood still.

        """
        began = time.monotonic()
        try:
            if self._outcome.ended_by is not EndedBy.TARGET_EXIT:
                agent.debugger.wake()
                agent.detach()
            guard.stand_down()
        except DebuggerFailedError:
            agent.debugger.end()
            guard.repair()
        return time.monotonic() - began


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


def _explain(events: list[dict[str, Any]]) -> EndedBy | None:
    """Return the end that GDB's asynchronous records tell of."""
    for event in events:
        if event["message"] == "stopped":
            reason = str(event["payload"].get("reason", ""))
            if reason.startswith("exited"):
                return EndedBy.TARGET_EXIT
            return EndedBy.TARGET_EXEC if reason == "exec" else EndedBy.DEBUGGER_STOPPED
    return None
