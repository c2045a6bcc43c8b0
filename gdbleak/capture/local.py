"""What a window on a process of this machine needs: guard and journal, GDB, hold and proof."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gdbleak.capture.agent import Agent, encode_path
from gdbleak.capture.backend import After
from gdbleak.capture.halts import Pauses
from gdbleak.capture.hold import LocalHold
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.observer import LocalObserver
from gdbleak.capture.probe import Recorder, Task
from gdbleak.capture.rehearsal import proved_agent
from gdbleak.capture.tail import Tail
from gdbleak.debugger.program import GdbProgram
from gdbleak.errors import NoSuchProcessError
from gdbleak.plan.allocators import Plan
from gdbleak.plan.breakpoints import find_sentinel
from gdbleak.safety.guarding import Guarding
from gdbleak.safety.journal import Journal
from gdbleak.safety.journals import open_journal
from gdbleak.safety.last_resort import LastResort
from gdbleak.safety.proof import LocalProof
from gdbleak.safety.scratch import read_scratch
from gdbleak.target.live import LiveProcess
from gdbleak.target.proc import memory_status, resident_set
from gdbleak.target.process import Target
from gdbleak.target.shared_memory import check_sharers


class LocalBackend:
    """The `Backend` of a process of this machine."""

    def __init__(
        self,
        gdb: GdbProgram,
        source: LiveProcess,
        target: Target,
        plan: Plan,
        folder: Path,
        recording: Path,
        limits: Limits,
        notebook: Notebook,
    ) -> None:
        """Prepare.

        Args:
            gdb: The debugger to use.
            source: The process to attach to, as it is read.
            target: What it was before.
            plan: Where to set breakpoints.
            folder: A private folder for files of the debugger and the guard.
            recording: A file that holds the head already.
            limits: What ends the window.
            notebook: Adds to the recording.

        """
        self._gdb = gdb
        self._target = target
        self._plan = plan
        self._source = source
        self._folder = folder
        self._recording = recording
        self._limits = limits
        self._notebook = notebook
        self._pauses = Pauses()
        self.account = Tail(recording, plan.probes, plan.functions, limits.max_events)
        self._agent: Agent | None = None
        self._hold: LocalHold | None = None

    def __enter__(self) -> LocalBackend:
        """Write a journal, and start a guard.

        Raises:
            OpenJournalError: the process is being traced, or an earlier trace has left something.
            WriteError: the journal cannot be written.
            DebuggerFailedError: the guard did not start.

        """
        target, probes = self._target, self._plan.probes
        modules = [allocator.module for allocator in self._plan.allocators]
        with ExitStack() as stack:
            stack.enter_context(self.account)
            try:
                self._scratch = read_scratch(target.pid, self._source)
            except (FileNotFoundError, ProcessLookupError) as error:
                raise NoSuchProcessError(f"process {target.pid} has ended meanwhile") from error
            places = [(probe.address, bytes.fromhex(probe.original)) for probe in probes]
            places.append((self._scratch.address, self._scratch.original))
            self.proof = LocalProof(target, places, self._source)
            journal = open_journal(target, modules, probes, self._scratch)
            stack.callback(self._close_journal, journal)
            self._guard = stack.enter_context(Guarding(journal, self._folder))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _close_journal(self, journal: Journal) -> None:
        """Remove the journal, unless there is something to repair."""
        if not self._needs_repair():
            journal.path.unlink(missing_ok=True)

    def _needs_repair(self) -> bool:
        if self._hold is None or self._agent is None:  # nothing was touched
            return False
        latest = self.proof.latest or self.proof.look(self._agent.stop_signal is not None)
        if latest.ok is not False or not self.proof.lives():
            return False
        # When another got hold of it first, what stands in its code is not ours.
        return self._hold.released_s is not None or not latest.tracer_pid

    @contextmanager
    def recorder(self, interruption: Interruption) -> Iterator[Recorder]:
        """Return a GDB that is ready, and was proved on a process of ours.

        Args:
            interruption: Defers signals before anything can happen to the target.

        Raises:
            UnprovedError: the debugger failed on a process of ours; the target was not touched.
            ProcessUnusableError: another process shares the memory of the target by now.
            WriteError: there is no room for the plan.
            KeyboardInterrupt: Ctrl-C came before the attach.

        """
        guard, probes = self._guard, self._plan.probes
        with proved_agent(self._gdb, self._folder, guard.life, guard.note) as agent:
            check_sharers(self._target.pid)  # once more: seconds have passed
            guard.announce(agent.pid, agent.halts_first)
            interruption.defer()
            agent.prepare(
                Task(self._target.pid, self._recording, self._limits.stack_bytes, probes),
                find_sentinel(probes),
                lock=encode_path(self._folder / "lock"),
                life=guard.life,
            )
            if interruption.reason:
                guard.stand_down()  # nothing was touched that it might repair
                raise KeyboardInterrupt
            self._agent = agent
            yield agent

    def hold(self) -> LocalHold:
        """Return what takes and lets go of the target, once there is a recorder."""
        assert self._agent is not None
        target, probes, source = self._target, self._plan.probes, self._source
        last_resort = LastResort(
            self._agent, self._guard, target.pid, probes, self._scratch, source
        )
        max_pause_s = self._limits.max_pause_ms / 1e3
        self._hold = LocalHold(
            target.pid, self._agent, self._guard, last_resort, max_pause_s, self._pauses
        )
        return self._hold

    def observe(self) -> LocalObserver:
        """Begin to look at the target, which the recorder has taken."""
        assert self._agent is not None
        return LocalObserver(
            self._target.pid,
            self._source,
            self._agent,
            self._guard,
            self.account,
            self._limits,
            self._notebook,
            self._pauses,
        )

    def read_after(self, has_exec: bool) -> After:
        """Return what the target holds once it is free again."""
        pid = self._target.pid
        modules = () if has_exec else self._source.read_modules_again()
        return After(resident_set(pid), memory_status(pid), tuple(modules))
