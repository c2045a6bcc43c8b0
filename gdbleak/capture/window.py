"""One window on one process: attach, watch, detach, prove.

Whatever happens in between, the way out leads through the detach and the proof.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from gdbleak.allocator_search import Plan
from gdbleak.capture.agent import Agent, Status
from gdbleak.capture.debugger import DebuggerDiedError
from gdbleak.capture.guard import Journal
from gdbleak.capture.guarding import Guarding
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.journals import open_journal
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.looks import Looks
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.proof import prove
from gdbleak.capture.scratch import read_scratch
from gdbleak.capture.tail import Tail
from gdbleak.capture.watch import Watch
from gdbleak.errors import AttachError, DebuggerFailedError, NoSuchProcessError, WriteError
from gdbleak.gdb_program import GdbProgram
from gdbleak.modules import Module
from gdbleak.proc import Memory, memory_status, resident_set
from gdbleak.recording import END, EndedBy, encode_json
from gdbleak.report import Verification
from gdbleak.target import Target

RESERVE_BYTES = 1 << 18
"""Room kept on the disk for the end of a recording that has filled it."""


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
        looks: Looks | None,
        notebook: Notebook,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Prepare a window.

        Args:
            target: Whom to attach to.
            plan: Where to set breakpoints.
            memory: Of the target.
            recording: A file that holds the head already.
            limits: What ends the window.
            looks: See `Watch`.
            notebook: Of the recording.
            on_progress: Called about ten times a second; must be quick.

        """
        self._target = target
        self._plan = plan
        self._probes = plan.probes
        self._memory = memory
        self._recording = recording
        self._limits = limits
        self._on_progress = on_progress
        self._looks = looks
        self._notebook = notebook
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
                agent = Agent.launch(
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
            "memory": memory_status(pid),
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
        watch = Watch(
            self._target, self._memory, agent, self._tail, self._looks, self._limits, self._notebook
        )
        outcome = self._outcome
        try:
            outcome.ended_by = watch.run(interruption, self._on_progress)
            agent.debugger.wake()
            watch.latest = agent.read_status()
            outcome.end_ns = watch.latest.now_ns
            self._tail.read_all()
        except DebuggerDiedError:
            outcome.ended_by = EndedBy.DEBUGGER_DIED
        except DebuggerFailedError:
            outcome.ended_by = EndedBy.DEBUGGER_SILENT
        finally:
            elapsed_s, outcome.stopped_s = watch.elapsed_s, watch.stopped_s
            released_s = self._release(agent, guard)
        if outcome.ended_by in (EndedBy.DEBUGGER_DIED, EndedBy.DEBUGGER_SILENT):
            self._tail.read_all()
            outcome.end_ns = (self._tail.opened_ns or 0) + int(elapsed_s * 1e9)
        outcome.children = agent.debugger.children
        outcome.stop_signal = agent.debugger.stop_signal
        self._keep(watch.latest, max(released_s, watch.longest_freeze_s))

    def _keep(self, status: Status | None, pause_s: float) -> None:
        """Keep the agent's last counts, and for how long the target may have stood still."""
        outcome = self._outcome
        if status:
            outcome.stops = status.stops
            outcome.lost_events = status.lost
            pauses_ns = status.attach_pause_ns or 0, status.longest_stop_ns
            pause_s = max(pause_s, max(pauses_ns) / 1e9)
        outcome.longest_pause_ms = pause_s * 1e3

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
