"""The controller's side of the agent: what can be asked of it, over GDB's machine interface."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdbleak.architectures import X86_64
from gdbleak.debugger.interface import Debugger
from gdbleak.debugger.program import GdbProgram, script_path
from gdbleak.errors import DebuggerFailedError, WriteError
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe

START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 10.0
DETACH_TIMEOUT_S = 20.0

AGENT = script_path("gdbleak_agent.py")


@dataclass(frozen=True)
class Status:
    """The agent's counts."""

    now_ns: int
    """On the clock of the recording."""
    phase: int
    armed: bool
    """Whether GDB's breakpoints are in; it takes them out where others would run into them."""
    turn_error: str | None
    """Why other breakpoints cannot be put in."""
    stops: int
    lost: int
    """Hits that could not be recorded."""
    write_error: str | None
    last_error: str | None
    attach_pause_ns: int | None
    longest_stop_ns: int
    """Of the stops, as seen from within GDB."""


class Agent:
    """A GDB with the agent loaded."""

    def __init__(self, debugger: Debugger, folder: Path, halts_first: bool = False) -> None:
        """Take a GDB that has loaded the agent, or is about to.

        Args:
            debugger: The GDB.
            folder: Its current one, for plans.
            halts_first: Whether to halt a target before it is detached from. Before GDB 11 a target
                that runs keeps its breakpoints at a detach.

        """
        self.debugger = debugger
        self.folder = folder
        self.halts_first = halts_first
        self._asked: int | None = None
        self._asked_at = 0.0

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

    def start(self, plan: Path, timeout_s: float = START_TIMEOUT_S) -> None:
        """Attach, arm and resume, in one step inside GDB.

        Args:
            plan: A file in GDB's folder that `write_plan` has written.
            timeout_s: How long it may take.

        Raises:
            DebuggerFailedError: GDB could not, or has ended.

        """
        self.begin(plan)
        deadline = time.monotonic() + timeout_s
        while not self.has_begun():
            self.debugger.wait(max(deadline - time.monotonic(), 0))

    def begin(self, plan: Path) -> None:
        """Ask for what `start` does, without waiting for it."""
        self.debugger.forget()
        if self.halts_first:  # the one before has changed that for its end
            self._handle_stop("nostop noprint nopass")
        self._asked = self.debugger.ask(f'-interpreter-exec console "gdbleak-start {plan.name}"')

    def has_begun(self) -> bool:
        """Return whether that has been done.

        Raises:
            DebuggerFailedError: GDB could not, or has ended.

        """
        if self._asked is None or not self.debugger.answer(self._asked):
            return False
        self._asked = None
        self.debugger.events.clear()  # the attach has told of a stop
        return True

    def read_status(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Status:
        """Ask for the counts.

        Raises:
            DebuggerFailedError: GDB did not answer, or has ended.

        """
        return _parse(self.debugger.execute(_STATUS, timeout_s)[1])

    def read_threads(self) -> list[int]:
        """Ask for the ids of the threads that GDB holds.

        Raises:
            DebuggerFailedError: GDB did not answer, or has ended.

        """
        text = self.debugger.execute_console("gdbleak-threads", ANSWER_TIMEOUT_S)
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
            self._asked = self.debugger.ask(command)
            self._asked_at = time.monotonic()

    def poll_status(self) -> Status | None:
        """Return the counts that were asked for, if they have come.

        Raises:
            DebuggerFailedError: GDB is silent for too long, or has ended.

        """
        if self._asked is None:
            return None
        answer = self.debugger.answer(self._asked)
        if answer:
            self._asked = None
            return _parse(answer[1])
        if time.monotonic() - self._asked_at > ANSWER_TIMEOUT_S:
            raise DebuggerFailedError(f"gdb (process {self.debugger.pid}) does not answer")
        return None

    def pass_trap(self) -> None:
        """Let a target run on that was halted by a SIGTRAP of its own, and gets it now."""
        self.debugger.tell('-interpreter-exec console "signal SIGTRAP &"')

    def detach(self, pid: int, timeout_s: float = DETACH_TIMEOUT_S) -> None:
        """Let the target go, by command.

        Args:
            pid: Of the target.
            timeout_s: How long each step may take.

        Raises:
            DebuggerSilentError: it did not in time.
            DebuggerFailedError: GDB did not, or has ended.

        """
        if self.debugger.is_halted and self.debugger.halted_by == "SIGTRAP":
            self.pass_trap()
        if self.halts_first:
            self._halt(pid, timeout_s)
        self.debugger.execute("-target-detach", timeout_s)
        if self.halts_first and self.debugger.halted_by != "SIGSTOP":
            # Something else had halted it, and the signal is still under way.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _halt(self, pid: int, timeout_s: float) -> None:
        """Halt the target by a SIGSTOP, which GDB takes; a SIGINT could be blocked.

        Raises:
            DebuggerFailedError: GDB did not report it, or has ended.

        """
        debugger = self.debugger
        self._handle_stop("stop print nopass")
        if not debugger.is_halted:
            with suppress(ProcessLookupError):  # GDB will report its end
                os.kill(pid, signal.SIGSTOP)
        debugger.wait_until_halted(timeout_s)

    def _handle_stop(self, how: str) -> None:
        self.debugger.execute_console(f"handle SIGSTOP {how}", ANSWER_TIMEOUT_S)


def write_plan(
    path: Path,
    pid: int,
    recording: Path,
    stack_bytes: int,
    probes: tuple[Probe, ...],
    sentinel: Probe | None,
    **others: Any,
) -> None:
    """Write what the agent is to do; `others` are values of its plan that not every one has.

    Raises:
        WriteError: the folder is full.

    """
    values = {
        "pid": pid,
        "recording": encode_path(recording),
        "stack_bytes": stack_bytes,
        "breakpoint": X86_64.breakpoint.hex(),
        "sentinel": sentinel and sentinel.id,
        "probes": [probe.to_json() for probe in probes],
        **others,
    }
    try:
        path.write_text(json.dumps(values))
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}") from error


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
