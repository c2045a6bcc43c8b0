"""One window on one process: attach, watch, detach, prove.

Whatever happens in between, the way out leads through the detach and the proof.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gdbleak.capture.agent import ANSWER_TIMEOUT_S, Agent, encode_path, write_plan
from gdbleak.capture.halts import Edge, Halts, find_longest, watch_closely
from gdbleak.capture.hold import AFTER_A_PAUSE_S, Hold
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.looks import Looks
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.rehearsal import proved_agent
from gdbleak.capture.tail import Tail
from gdbleak.capture.watch import Watch
from gdbleak.debugger.interface import DebuggerDiedError
from gdbleak.debugger.program import GdbProgram
from gdbleak.errors import DebuggerFailedError, NoSuchProcessError, WriteError
from gdbleak.plan.allocators import Plan
from gdbleak.plan.breakpoints import find_sentinel
from gdbleak.recording.end import TARGET_ENDED, End, EndedBy, Verification
from gdbleak.recording.frames import FRAME
from gdbleak.recording.modules import Module
from gdbleak.safety.guarding import Guarding
from gdbleak.safety.journal import Journal
from gdbleak.safety.journals import open_journal
from gdbleak.safety.last_resort import LastResort
from gdbleak.safety.proof import Proof
from gdbleak.safety.scratch import read_scratch
from gdbleak.target.proc import Memory, memory_status, resident_set
from gdbleak.target.process import Target
from gdbleak.target.shared_memory import check_sharers, has_trapped

RESERVE_BYTES = 1 << 18
"""Room kept on the disk for the end of a recording that has filled it."""
LATER_BYTES = 100
"""Room in that end for what the proof still adds to it."""


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
    longest_pause_is_least: bool = False


class Window:
    """A window on a target: a context, from before the attach until the target has run on.

    Whoever enters it has a guard and a journal; whoever leaves it has a proof.
    """

    def __init__(
        self,
        target: Target,
        plan: Plan,
        memory: Memory,
        folder: Path,
        recording: Path,
        limits: Limits,
        looks: Looks | None,
        notebook: Notebook,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Prepare a window.

        Args:
            target: Whom to attach to.
            plan: Where to set breakpoints.
            memory: Of the target.
            folder: A private folder for files of the debugger and the guard.
            recording: A file that holds the head already.
            limits: What ends the window.
            looks: See `Watch`.
            notebook: Of the recording.
            on_progress: Called about ten times a second; must be quick.

        """
        self._target = target
        self._plan = plan
        self._memory = memory
        self._folder = folder
        self._recording = recording
        self._limits = limits
        self._on_progress = on_progress
        self._looks = looks
        self._notebook = notebook
        self._tail = Tail(recording, plan.probes, plan.functions, limits.max_events)
        self._halts = Halts()
        self._outcome = _Outcome()
        self._end: End | None = None
        self._end_bytes = 0
        self._verification: Verification | None = None
        self._released_s: float | None = None
        self._is_touched = False
        self.is_hurried = False
        """Whether Ctrl-C came when the window was over: nobody is to wait for the report."""

    def __enter__(self) -> Window:
        """Write a journal, and start a guard.

        Raises:
            OpenJournalError: the process is being traced, or an earlier trace has left something.
            WriteError: the journal cannot be written.
            DebuggerFailedError: the guard did not start.

        """
        target, probes = self._target, self._plan.probes
        modules = [allocator.module for allocator in self._plan.allocators]
        with ExitStack() as stack:
            stack.enter_context(self._tail)
            try:
                scratch = read_scratch(target.pid, self._memory)
            except (FileNotFoundError, ProcessLookupError) as error:
                raise NoSuchProcessError(f"process {target.pid} has ended meanwhile") from error
            self._scratch = scratch
            self._proof = Proof(target, probes, scratch, self._memory)
            journal = open_journal(target, modules, probes, scratch)
            stack.callback(self._close_journal, journal)
            self._guard = stack.enter_context(Guarding(journal, self._folder))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def _close_journal(self, journal: Journal) -> None:
        """Remove the journal, unless there is something to repair."""
        if self._is_touched and self._verification is None:
            self._verification = self._proof.look(self._has_own_stop)
        proof = self._verification
        # When another got hold of it first, what stands in its code is not ours.
        if (
            proof is None
            or proof.ok is not False
            or (self._released_s is None and proof.tracer_pid)
        ):
            journal.path.unlink(missing_ok=True)

    @property
    def _has_own_stop(self) -> bool:
        return self._outcome.stop_signal is not None

    def run(self, gdb: GdbProgram, list_modules: Callable[[], Iterable[Module]]) -> None:
        """Attach, record until a limit is reached, detach, and complete the recording.

        Args:
            gdb: The debugger to use.
            list_modules: Returns the modules of the target, called once it is free again.

        Raises:
            UnprovedError: the debugger failed on a process of ours; the target was not touched.
            ProcessUnusableError: another process shares the memory of the target by now.
            AttachError: the target was not attached to, or is not any more.
            WriteError: there is no room for the recording.
            KeyboardInterrupt: Ctrl-C came before the attach.

        """
        with Interruption() as interruption:
            guard, reserve = self._guard, _reserve(self._recording.absolute().parent)
            proved = proved_agent(gdb, self._folder, guard.life, guard.note)
            with reserve, proved as agent:
                check_sharers(self._target.pid)  # once more: seconds have passed
                guard.announce(agent.debugger.pid, agent.halts_first)
                interruption.defer()
                plan = self._write_plan(agent.folder)
                if interruption.reason:
                    self._guard.stand_down()  # nothing was touched that it might repair
                    raise KeyboardInterrupt
                self._record(agent, plan, interruption)
            self._verification = self._proof.look(self._has_own_stop)
            # After an exec they are those of another program.
            same = self._outcome.ended_by is not EndedBy.TARGET_EXEC
            modules = list_modules() if same else ()
            self._end = End(
                **vars(self._outcome),
                verification=self._verification,
                modules=tuple(modules),
                rss_after=resident_set(self._target.pid),
                memory=memory_status(self._target.pid),
            )
            self._write_end(self._end)
            self.is_hurried = interruption.reason not in (None, self._outcome.ended_by)

    def _write_plan(self, folder: Path) -> Path:
        path = folder / "plan.json"
        write_plan(
            path,
            self._target.pid,
            self._recording,
            self._limits.stack_bytes,
            self._plan.probes,
            find_sentinel(self._plan.probes),
            lock=encode_path(self._folder / "lock"),
            life=self._guard.life,
        )
        return path

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
            self._verification = self._proof.conclude(
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
            if is_first:
                os.truncate(self._recording, self._tail.position)
            with self._recording.open("r+b") as file:
                file.seek(self._tail.position)
                file.write(frame)
        except OSError as error:
            raise WriteError(
                f"cannot complete the recording {self._recording}: {error.strerror};"
                f" process {self._target.pid} was released"
            ) from error

    def _record(self, agent: Agent, plan: Path, interruption: Interruption) -> None:
        self._is_touched = True
        halts = self._halts
        max_pause_s = self._limits.max_pause_ms / 1e3
        hold = Hold(
            self._target.pid, agent, self._guard, self._make_last_resort(agent), max_pause_s
        )
        with watch_closely(self._target.pid, halts) as taking:
            hold.take(plan)
        watch = Watch(
            self._target,
            self._memory,
            agent,
            self._guard,
            self._tail,
            self._looks,
            self._limits,
            self._notebook,
            halts,
        )
        outcome = self._outcome
        try:
            outcome.ended_by = watch.run(interruption, self._on_progress)
            agent.debugger.wake()
            has_waited = outcome.ended_by is EndedBy.MAX_PAUSE
            watch.latest = agent.read_status(AFTER_A_PAUSE_S if has_waited else ANSWER_TIMEOUT_S)
            outcome.end_ns = self._guard.disarmed_ns or watch.latest.now_ns
            if outcome.ended_by is EndedBy.DISARMED:
                outcome.end_ns = watch.armed_ns
            self._tail.read_all()
        except DebuggerDiedError:
            outcome.ended_by = EndedBy.DEBUGGER_DIED
        except DebuggerFailedError:
            if outcome.ended_by is not EndedBy.MAX_PAUSE:
                outcome.ended_by = EndedBy.DEBUGGER_SILENT
        finally:
            elapsed_s, outcome.stopped_s = watch.elapsed_s, watch.stopped_s
            with watch_closely(self._target.pid, halts) as letting_go:
                letting_go.bound_s = self._release(hold, max_pause_s)
        if outcome.end_ns is None:
            self._tail.read_all()
            outcome.end_ns = (self._tail.opened_ns or 0) + int(elapsed_s * 1e9)
        outcome.children = agent.debugger.children
        outcome.stop_signal = agent.debugger.stop_signal
        if watch.sharer is not None and has_trapped(watch.sharer):
            outcome.ended_by = EndedBy.CHILD_TRAPPED
        self._keep(watch, taking, letting_go)

    def _make_last_resort(self, agent: Agent) -> LastResort:
        debugger, probes = agent.debugger, self._plan.probes
        return LastResort(
            debugger, self._guard, self._target.pid, probes, self._scratch, self._memory
        )

    def _keep(self, watch: Watch, taking: Edge, letting_go: Edge) -> None:
        """Keep the agent's last counts, and for how long the target stood still."""
        outcome, status = self._outcome, watch.latest
        if status:
            outcome.stops = status.stops
            outcome.lost_events = status.lost
            taking.bound_s = (status.attach_pause_ns or 0) / 1e9
        stop_s = status.longest_stop_ns / 1e9 if status else 0.0
        stop_s = max(stop_s, self._tail.longest_call_s[0])
        pause_s, is_least = find_longest(
            self._halts, (taking, letting_go), stop_s, watch.possible_pause_s
        )
        outcome.longest_pause_ms = pause_s * 1e3
        outcome.longest_pause_is_least = is_least

    def _release(self, hold: Hold, max_pause_s: float) -> float:
        """Let the target go; return for how many seconds it stood still for that at most."""
        began_s = time.monotonic()
        ended_by = self._outcome.ended_by
        if ended_by in TARGET_ENDED:
            self._guard.stand_down()
        else:
            # When it has stood still already for as long as it may, it does not wait much longer.
            hold.let_go(AFTER_A_PAUSE_S if ended_by is EndedBy.MAX_PAUSE else max_pause_s)
        self._released_s = time.monotonic()
        return self._released_s - began_s


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
