"""The controller's side of the agent: what can be asked of it, over GDB's machine interface.

The recorder that works by breakpoints.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gdbleak.architectures import X86_64
from gdbleak.capture.probe import Status, Task, Tracer
from gdbleak.capture.stops import find_end, is_own_trap
from gdbleak.debugger.interface import Debugger
from gdbleak.debugger.program import GdbProgram, script_path
from gdbleak.errors import DebuggerFailedError, WriteError
from gdbleak.recording.end import EndedBy
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe

START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 10.0
DETACH_TIMEOUT_S = 20.0

AGENT = script_path("gdbleak_agent.py")


class Agent(Tracer):
    """A GDB with the agent loaded."""

    def __init__(self, debugger: Debugger, folder: Path, halts_first: bool = False) -> None:
        """Take a GDB that has loaded the agent, or is about to.

        Args:
            debugger: The GDB.
            folder: Its current one, for plans.
            halts_first: Whether to halt a target before it is detached from. Before GDB 11 a target
                that runs keeps its breakpoints at a detach.

        """
        self._debugger = debugger
        self.folder = folder
        self.halts_first = halts_first
        self._plan = folder / "plan.json"
        self._target_pid = 0
        self._asked: int | None = None
        self._asked_at = 0.0

    @property
    def pid(self) -> int:
        """Process id of GDB."""
        return self._debugger.pid

    @pid.setter
    def pid(self, pid: int) -> None:
        # What was started may be a script that has started GDB.
        self._debugger.pid = pid

    @property
    def children(self) -> int:
        """How many processes the target has started, which GDB lets go."""
        return self._debugger.children

    @property
    def stop_signal(self) -> str | None:
        """The last signal of job control that somebody has sent to the target."""
        return self._debugger.stop_signal

    def fileno(self) -> int:
        """The descriptor that becomes readable when GDB says something or dies."""
        return self._debugger.fileno()

    def poll(self, timeout_s: float = 0) -> None:
        """Take in what GDB has said, or says next; return when it says nothing for so long."""
        self._debugger.poll(timeout_s)

    def wait(self, timeout_s: float) -> None:
        """Take in what GDB says next.

        Raises:
            DebuggerFailedError: it says nothing in time, or has ended.

        """
        self._debugger.wait(timeout_s)

    def wake(self) -> None:
        """Continue GDB, in case somebody has stopped it."""
        self._debugger.wake()

    def end(self) -> None:
        """End a GDB that does not obey."""
        self._debugger.end()

    def close(self) -> None:
        """End it and let go of its pipes, once or again."""
        self._debugger.close()

    def __enter__(self) -> Agent:
        self._debugger.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """End GDB, which has no target any more."""
        self._debugger.__exit__(*error)

    @classmethod
    def launch(
        cls, gdb: GdbProgram, folder: Path, life: int | None = None, halts_first: bool = False
    ) -> Agent:
        """Start GDB and load the agent into it; nothing is attached to.

        Args:
            gdb: The program.
            folder: A private folder for files that GDB reads, its current one.
            life: A descriptor for GDB to hold open as long as it lives.
            halts_first: See above.

        """
        machine = X86_64.elf_machine_number
        return cls(Debugger(gdb, AGENT, folder, machine, life), folder, halts_first)

    def await_commands(self, timeout_s: float) -> None:
        """Wait until GDB has started and knows the agent's commands.

        Raises:
            DebuggerFailedError: GDB did not in time, or has ended.

        """
        try:
            self._debugger.execute_console("help gdbleak-start", timeout_s)
        except DebuggerFailedError as error:
            if not self._debugger.complaint:
                raise
            raise DebuggerFailedError(f"{error} {self._debugger.complaint}") from error

    def prepare(self, task: Task, sentinel: Probe | None = None, **others: Any) -> None:
        """Write down what GDB will do; nothing is attached to yet.

        Args:
            task: What to record.
            sentinel: A probe whose breakpoint only GDB takes out; see `gdbleak_agent.py`.
            others: Further values that the agent reads: see there.

        Raises:
            WriteError: the folder is full.

        """
        self._target_pid = task.pid
        values = {
            "pid": task.pid,
            "recording": encode_path(task.recording),
            "stack_bytes": task.stack_bytes,
            "breakpoint": X86_64.breakpoint.hex(),
            "sentinel": sentinel and sentinel.id,
            "probes": [probe.to_json() for probe in task.probes],
            **others,
        }
        try:
            self._plan.write_text(json.dumps(values))
        except OSError as error:
            raise WriteError(f"cannot write {self._plan}: {error.strerror}") from error

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Attach, arm and resume, in one step inside GDB.

        Raises:
            DebuggerFailedError: GDB could not, or has ended.

        """
        self.begin()
        deadline = time.monotonic() + timeout_s
        while not self.has_begun():
            self._debugger.wait(max(deadline - time.monotonic(), 0))

    def begin(self) -> None:
        """Ask for what `start` does, without waiting for it."""
        self._debugger.forget()
        if self.halts_first:  # the window before has changed that for its end
            self._handle_stop("nostop noprint nopass")
        command = f"gdbleak-start {self._plan.name}"
        self._asked = self._debugger.ask(f'-interpreter-exec console "{command}"')

    def has_begun(self) -> bool:
        """Return whether that has been done.

        Raises:
            DebuggerFailedError: GDB could not, or has ended.

        """
        if self._asked is None or not self._debugger.answer(self._asked):
            return False
        self._asked = None
        self._debugger.events.clear()  # the attach has told of a stop
        return True

    def read_status(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Status:
        """Ask for the counts.

        Raises:
            DebuggerFailedError: GDB did not answer, or has ended.

        """
        return _parse(self._debugger.execute(_STATUS, timeout_s)[1])

    def read_threads(self) -> list[int]:
        """Ask for the ids of the threads that GDB holds.

        Raises:
            DebuggerFailedError: GDB did not answer, or has ended.

        """
        text = self._debugger.execute_console("gdbleak-threads", ANSWER_TIMEOUT_S)
        threads = _decode(text, "[")
        return [thread for thread in threads if isinstance(thread, int)]

    def ask_status(self) -> None:
        """Ask for the counts without waiting for them; once is enough until they come."""
        self._ask(_STATUS)

    def ask_turn(self, phase: Phase) -> None:
        """Ask for other breakpoints, unless something else was asked for that has not come yet.

        What the status says of the phase tells whether they are in.
        """
        self._ask(f'-interpreter-exec console "gdbleak-turn {phase:d}"')

    def _ask(self, command: str) -> None:
        # One at a time: the console does not tell whose words are whose.
        if self._asked is None:
            self._asked = self._debugger.ask(command)
            self._asked_at = time.monotonic()

    def poll_status(self) -> Status | None:
        """Return the counts that were asked for, if they have come.

        Raises:
            DebuggerFailedError: GDB is silent for too long, or has ended.

        """
        if self._asked is None:
            return None
        answer = self._debugger.answer(self._asked)
        if answer:
            self._asked = None
            return _parse(answer[1])
        if time.monotonic() - self._asked_at > ANSWER_TIMEOUT_S:
            raise DebuggerFailedError(f"gdb (process {self._debugger.pid}) does not answer")
        return None

    def take_end(self) -> EndedBy | None:
        """Return the end that GDB's records have told of since the last time.

        A SIGTRAP that no breakpoint has made ends nothing: GDB has halted the target for it, which
        now gets the signal and runs on.
        """
        events = self._debugger.events
        if is_own_trap(events):
            self._pass_trap()
            events.clear()
        ended_by = find_end(events)
        events.clear()
        return ended_by

    def take_forked(self) -> list[int]:
        """Return the PIDs of processes that the target has forked since the last time."""
        forked, self._debugger.forked = self._debugger.forked, []
        return forked

    def _pass_trap(self) -> None:
        """Let a target run on that was halted by a SIGTRAP of its own, and gets it now."""
        self._debugger.tell('-interpreter-exec console "signal SIGTRAP &"')

    def detach(self, timeout_s: float = DETACH_TIMEOUT_S) -> None:
        """Let the target go, by command.

        Args:
            timeout_s: How long each step may take.

        Raises:
            DebuggerSilentError: it did not in time.
            DebuggerFailedError: GDB did not, or has ended.

        """
        if self._debugger.is_halted and self._debugger.halted_by == "SIGTRAP":
            self._pass_trap()
        if self.halts_first:
            self._halt(timeout_s)
        self._debugger.execute("-target-detach", timeout_s)
        if self.halts_first and self._debugger.halted_by != "SIGSTOP":
            # Something else had halted it, and the signal is still under way.
            with suppress(ProcessLookupError):
                os.kill(self._target_pid, signal.SIGCONT)

    def _halt(self, timeout_s: float) -> None:
        """Halt the target by a SIGSTOP, which GDB takes; a SIGINT could be blocked.

        Raises:
            DebuggerFailedError: GDB did not report it, or has ended.

        """
        debugger = self._debugger
        self._handle_stop("stop print nopass")
        if not debugger.is_halted:
            with suppress(ProcessLookupError):  # GDB will report its end
                os.kill(self._target_pid, signal.SIGSTOP)
        debugger.wait_until_halted(timeout_s)

    def _handle_stop(self, how: str) -> None:
        self._debugger.execute_console(f"handle SIGSTOP {how}", ANSWER_TIMEOUT_S)


def encode_path(path: Path) -> str:
    """Return a path as the agent reads it: a character for each byte."""
    return os.fsencode(path.absolute()).decode("latin-1")


def _parse(console: str) -> Status:
    try:
        return Status(**_decode(console, '{"'))
    except TypeError as error:
        raise DebuggerFailedError(f"gdb: {console.strip()}") from error


def _decode(console: str, opening: str) -> Any:
    """Return the JSON of an answer.

    GDB's own words may stand around it, and an answer that came too late before it.
    """
    try:
        return json.JSONDecoder().raw_decode(console, console.rindex(opening))[0]
    except ValueError as error:
        raise DebuggerFailedError(f"gdb: {console.strip() or 'no answer'}") from error


_STATUS = '-interpreter-exec console "gdbleak-status"'
