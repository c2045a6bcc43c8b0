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
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.observer import LocalObserver
from gdbleak.capture.probe import Recorder, Task
from gdbleak.capture.rehearsal import proved_agent
from gdbleak.capture.session import Session
from gdbleak.capture.tail import Tail
from gdbleak.plan.allocators import Plan
from gdbleak.plan.breakpoints import find_sentinel
from gdbleak.safety.guarding import Guarding
from gdbleak.safety.journal import Journal
from gdbleak.safety.journals import open_journal
from gdbleak.safety.last_resort import LastResort
from gdbleak.safety.proof import LocalProof
from gdbleak.safety.scratch import read_scratch
from gdbleak.target.modules import looking_at
from gdbleak.target.shared_memory import check_sharers


class LocalBackend:
    """The `Backend` of a process of this machine."""

    def __init__(self, session: Session, plan: Plan, recording: Path, notebook: Notebook) -> None:
        """Prepare.

        Args:
            session: The process to attach to, and what the trace of it has.
            plan: Where to set breakpoints.
            recording: A file that holds the head already.
            notebook: Adds to the recording.

        """
        self._session = session
        self._plan = plan
        self._recording = recording
        self._notebook = notebook
        self._pauses = Pauses()
        self.account = Tail(recording, plan.probes, plan.functions, session.limits.max_events)
        self._agent: Agent | None = None
        self._hold: LocalHold | None = None

    def __enter__(self) -> LocalBackend:
        """Write a journal, and start a guard.

        Raises:
            OpenJournalError: the process is being traced, or an earlier trace has left something.
            WriteError: the journal cannot be written.
            NoSuchProcessError: the process has ended.
            DebuggerFailedError: the guard did not start.

        """
        session, probes = self._session, self._plan.probes
        target, source = session.target, session.source
        modules = [allocator.module for allocator in self._plan.allocators]
        with ExitStack() as stack:
            stack.enter_context(self.account)
            with looking_at(target.pid):
                self._scratch = read_scratch(target.pid, source)
            places = [(probe.address, bytes.fromhex(probe.original)) for probe in probes]
            places.append((self._scratch.address, self._scratch.original))
            self.proof = LocalProof(target, places, source)
            journal = open_journal(target, modules, probes, self._scratch, session.folder)
            stack.callback(self._close_journal, journal)
            self._guard = stack.enter_context(Guarding(journal, session.folder))
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
        session, guard, probes = self._session, self._guard, self._plan.probes
        pid = session.target.pid
        with proved_agent(session.gdb, session.folder, guard.life, guard.note) as agent:
            check_sharers(pid)  # once more: seconds have passed
            guard.announce(agent.pid, agent.halts_first)
            interruption.defer()
            agent.prepare(
                Task(pid, self._recording, session.limits.stack_bytes, probes),
                find_sentinel(probes),
                lock=encode_path(session.folder / "lock"),
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
        session, probes = self._session, self._plan.probes
        pid, max_pause_s = session.target.pid, session.limits.max_pause_ms / 1e3
        last_resort = LastResort(
            self._agent, self._guard, pid, probes, self._scratch, session.source
        )
        self._hold = LocalHold(
            pid, self._agent, self._guard, last_resort, max_pause_s, self._pauses
        )
        return self._hold

    def observe(self) -> LocalObserver:
        """Begin to look at the target, which the recorder has taken."""
        assert self._agent is not None
        return LocalObserver(
            self._session.target.pid,
            self._session.source,
            self._agent,
            self._guard,
            self.account,
            self._session.limits,
            self._notebook,
            self._pauses,
        )

    def read_after(self, has_exec: bool) -> After:
        """Return what the target holds once it is free again."""
        return self._session.read_after(has_exec)
