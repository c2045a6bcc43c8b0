"""A window on a process of another machine: attach, watch, detach, through its gdbserver."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from pathlib import Path

from gdbleak.architectures import X86_64
from gdbleak.capture.agent import AGENT, Agent, Status, write_plan
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.tail import Tail
from gdbleak.capture.watch import PROGRESS_S, TICK_S, explain
from gdbleak.debugger.interface import Debugger, DebuggerDiedError
from gdbleak.debugger.program import GdbProgram
from gdbleak.errors import AttachError, DebuggerFailedError, WriteError
from gdbleak.plan.allocators import Plan
from gdbleak.recording.end import TARGET_ENDED, End, EndedBy
from gdbleak.remote.process import COMMAND_TIMEOUT_S, RemoteProcess
from gdbleak.target.process import Target

LOOK_S = 0.5


class RemoteWindow:
    """A window that records everything: what needs a hand on the memory is not to be had."""

    def __init__(
        self,
        gdb: GdbProgram,
        process: RemoteProcess,
        agent: Agent,
        target: Target,
        plan: Plan,
        recording: Path,
        limits: Limits,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Prepare a window; the arguments are as those of `Window`."""
        self._gdb = gdb
        self._process = process
        self._agent = agent
        self._target = target
        self._recording = recording
        self._limits = limits
        self._on_progress = on_progress
        self._plan = plan
        self._tail = Tail(recording, plan.probes, plan.functions, limits.max_events)
        self._latest: Status | None = None
        self._vector = process.read_text("auxv")

    def run(self, interruption: Interruption) -> None:
        """Arm, record until a limit is reached, detach, and complete the recording.

        Raises:
            AttachError: no breakpoints could be set.
            WriteError: there is no room for the recording.

        """
        with self._tail:
            self._record(interruption)

    def _record(self, interruption: Interruption) -> None:
        agent, stack_bytes = self._agent, self._limits.stack_bytes
        plan, probes = agent.folder / "plan.json", self._plan.probes
        write_plan(plan, self._target.pid, self._recording, stack_bytes, probes, None, remote=True)
        ended_by, end_ns = EndedBy.UNKNOWN, None
        try:
            agent.debugger.execute_console(f"source {AGENT}", COMMAND_TIMEOUT_S)
            try:
                agent.start(plan)
            except DebuggerFailedError as error:
                raise AttachError(f"could not trace process {self._target.pid}: {error}") from error
            ended_by = self._watch(interruption)
            self._latest = agent.read_status()
            end_ns = self._latest.now_ns
        except DebuggerDiedError:
            ended_by = EndedBy.DEBUGGER_DIED
        finally:
            if ended_by not in (EndedBy.DEBUGGER_DIED, *TARGET_ENDED):
                agent.detach(self._target.pid)
        self._tail.read_all()
        if ended_by is not EndedBy.DEBUGGER_DIED:
            self._complete(self._process, ended_by, end_ns)
            return
        self._free(agent.folder)

    def _free(self, folder: Path) -> None:
        """Have another GDB let the process go.

        Raises:
            AttachError: gdbserver does not answer any more.

        """
        again = folder / "again"
        again.mkdir()
        machine = X86_64.elf_machine_number
        with Debugger(self._gdb, None, again, machine) as debugger:
            try:
                process = RemoteProcess(debugger, again, self._process.address)
                process.choose(self._target.pid)
            except AttachError as error:
                raise AttachError(
                    f"gdb or gdbserver ended in the window, and process {self._target.pid} may hold"
                    " breakpoints, of which it dies",
                    "restart the process, if it lives; end gdbleak, never gdb or gdbserver",
                ) from error
            process.free(self._plan.probes)
            self._complete(process, EndedBy.DEBUGGER_DIED, None)

    def _watch(self, interruption: Interruption) -> EndedBy:
        began_s = time.monotonic()
        next_look_s = next_progress_s = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(self._agent.debugger, selectors.EVENT_READ)
            selector.register(interruption, selectors.EVENT_READ)
            while True:
                selector.select(TICK_S)
                self._agent.debugger.poll()
                self._tail.read()
                elapsed_s = time.monotonic() - began_s
                ended_by = interruption.reason or self._find_end(elapsed_s)
                if ended_by:
                    return ended_by
                if elapsed_s >= next_look_s:
                    next_look_s = elapsed_s + LOOK_S
                    ended_by = self._look()
                    if ended_by:
                        return ended_by
                if elapsed_s >= next_progress_s:
                    next_progress_s = elapsed_s + PROGRESS_S
                    self._on_progress(self._describe(elapsed_s))

    def _find_end(self, elapsed_s: float) -> EndedBy | None:
        debugger = self._agent.debugger
        told = explain(debugger.events)
        lost = any(event["message"] == "thread-group-exited" for event in debugger.events)
        debugger.events.clear()
        if told:
            return told
        if lost:  # the process, or the connection to it
            return EndedBy.TARGET_EXIT if self._process.answers() else EndedBy.DEBUGGER_DIED
        if self._tail.full:
            return EndedBy.MAX_EVENTS
        return EndedBy.DURATION if elapsed_s >= self._limits.duration_s else None

    def _look(self) -> EndedBy | None:
        """Ask for what nobody tells.

        GDB trips over the breakpoints of the old program before it can report an exec. The kernel
        gives each program another auxiliary vector.
        """
        if self._agent.read_status().write_error:
            return EndedBy.WRITE_FAILED
        vector = self._process.read_text("auxv")
        return EndedBy.TARGET_EXEC if vector and vector != self._vector else None

    def _describe(self, elapsed_s: float) -> Progress:
        tail = self._tail
        rate = tail.events / elapsed_s
        return Progress(
            *(elapsed_s, self._limits.duration_s, tail.events, rate),
            *(len(tail.outstanding), tail.slowed_s),
        )

    def _complete(self, process: RemoteProcess, ended_by: EndedBy, end_ns: int | None) -> None:
        status, tail = self._latest, self._tail
        pauses_ns = (status.attach_pause_ns or 0, status.longest_stop_ns) if status else (0,)
        proof = process.verify(self._target.state, ended_by in TARGET_ENDED)
        end = End(
            ended_by,
            end_ns,
            proof,
            modules=(),
            stops=status.stops if status else None,
            lost_events=status.lost if status else 0,
            children=self._agent.debugger.children,
            stopped_s=tail.slowed_s,
            longest_pause_ms=max(pauses_ns) / 1e6 if status else None,
            longest_pause_is_least=status is not None,  # nobody looks at the threads
            rss_after=process.resident_set(),
            memory=process.memory_status(),
        )
        try:
            os.truncate(self._recording, tail.position)
            with self._recording.open("ab") as file:
                file.write(end.encode())
        except OSError as error:
            raise WriteError(
                f"cannot complete the recording {self._recording}: {error.strerror};"
                f" process {self._target.pid} was released"
            ) from error
