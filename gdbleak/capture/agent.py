"""The controller's side of the agent: what can be asked of it, over GDB's machine interface."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdbleak.architectures import X86_64
from gdbleak.capture.debugger import Debugger
from gdbleak.errors import DebuggerFailedError, WriteError
from gdbleak.gdb_program import GdbProgram, script_path
from gdbleak.phases import Phase
from gdbleak.plan import Probe, find_sentinel

START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 10.0
DETACH_TIMEOUT_S = 20.0

AGENT = script_path("gdbleak_agent.py")
PLAN = "plan.json"
"""Name of the agent's plan in GDB's private folder."""


@dataclass(frozen=True)
class Status:
    """The agent's counts."""

    now_ns: int
    """On the clock of the recording."""
    phase: int
    turn_error: str | None
    """Why other breakpoints cannot be had in."""
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

    def __init__(self, debugger: Debugger) -> None:
        """Take a GDB that has loaded the agent, or is about to."""
        self.debugger = debugger
        self._asked: int | None = None
        self._asked_at = 0.0

    @classmethod
    def launch(
        cls,
        gdb: GdbProgram,
        folder: Path,
        pid: int,
        recording: Path,
        stack_bytes: int,
        probes: tuple[Probe, ...],
        life: int,
    ) -> Agent:
        """Start GDB and load the agent into it; the target is not touched.

        Args:
            gdb: The program.
            folder: A private folder for files that GDB reads.
            pid: The target.
            recording: Where the agent appends.
            stack_bytes: How much raw stack to keep of each return.
            probes: Where to set breakpoints.
            life: A descriptor for GDB to hold open as long as it lives.

        Raises:
            WriteError: the folder is full.

        """
        plan = folder / PLAN
        sentinel = find_sentinel(probes)
        write_plan(
            plan,
            pid,
            recording,
            stack_bytes,
            probes,
            {"lock": str(folder / "lock"), "life": life, "sentinel": sentinel and sentinel.id},
        )
        return cls(
            Debugger(
                gdb,
                AGENT,
                folder,
                X86_64.elf_machine_number,
                {"GDBLEAK_PLAN": str(plan)},
                life,
            )
        )

    def start(self) -> None:
        """Attach, arm and resume, in one step inside GDB.

        Raises:
            DebuggerFailedError: GDB could not, or has ended.

        """
        self.debugger.execute_console("gdbleak-start", START_TIMEOUT_S)
        self.debugger.events.clear()  # the attach has told of a stop

    def read_status(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Status:
        """Ask for the counts.

        Raises:
            DebuggerFailedError: GDB did not answer, or has ended.

        """
        return _parse(self.debugger.execute(_STATUS, timeout_s)[1])

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

    def detach(self) -> None:
        """Let the target go, by command.

        Raises:
            DebuggerFailedError: GDB did not, or has ended.

        """
        self.debugger.execute("-target-detach", DETACH_TIMEOUT_S)


def write_plan(
    path: Path,
    pid: int,
    recording: Path,
    stack_bytes: int,
    probes: tuple[Probe, ...],
    others: dict[str, Any],
) -> None:
    """Write what the agent is to do; `others` are values of its plan that not every one has.

    Raises:
        WriteError: the folder is full.

    """
    values = {
        "pid": pid,
        "recording": str(recording.absolute()),
        "stack_bytes": stack_bytes,
        "breakpoint": X86_64.breakpoint.hex(),
        "probes": [probe.to_json() for probe in probes],
        **others,
    }
    try:
        path.write_text(json.dumps(values))
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}") from error


def _parse(console: str) -> Status:
    # GDB's own words may stand around it, and an answer that came too late before it.
    try:
        values, _ = json.JSONDecoder().raw_decode(console, console.rindex('{"'))
        return Status(**values)
    except ValueError as error:
        raise DebuggerFailedError(f"gdb: {console.strip() or 'no answer'}") from error


_STATUS = '-interpreter-exec console "gdbleak-status"'
