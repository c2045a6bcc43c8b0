"""One window on one process: attach, watch, detach, prove.

Whatever happens in between, the way out leads through the detach and the proof.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gdbleak.allocators import MALLOC_FAMILY
from gdbleak.architecture import X86_64
from gdbleak.capture.debugger import Debugger, DebuggerDiedError
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.proof import prove, restore
from gdbleak.capture.sampler import StopSampler
from gdbleak.capture.tail import Tail
from gdbleak.errors import AttachError, DebuggerFailedError, WriteError
from gdbleak.gdb_program import GdbProgram, script_path
from gdbleak.modules import Module
from gdbleak.plan import Probe
from gdbleak.proc import Memory, read_state, resident_set
from gdbleak.recording import END, EndedBy, encode_json
from gdbleak.target import Target

TICK_S = 0.01
PROGRESS_S = 0.1
STATUS_S = 1.0
COMMAND_TIMEOUT_S = 30.0
RESERVE_BYTES = 1 << 18
"""Room kept on the disk for the end of a recording that has filled it."""


@dataclass(frozen=True)
class Limits:
    """What bounds a window."""

    duration_s: float = 10.0
    max_events: int | None = None
    stack_bytes: int = 4096


@dataclass(frozen=True)
class Progress:
    """Where a window stands."""

    elapsed_s: float
    duration_s: float
    events: int
    events_per_s: float
    outstanding: int
    stopped_s: float


_GONE = (None, "Z", "X")


@dataclass
class _Outcome:
    """What the END frame will say."""

    ended_by: EndedBy = EndedBy.UNKNOWN
    end_ns: int | None = None
    stops: int | None = None
    lost_events: int = 0
    stopped_s: float | None = None
    longest_pause_ms: float | None = None


class Window:
    """A window on a target, from its recording's first event to its last."""

    def __init__(
        self,
        target: Target,
        probes: tuple[Probe, ...],
        memory: Memory,
        recording: Path,
        limits: Limits,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Prepare a window.

        Args:
            target: Whom to attach to.
            probes: Where to set breakpoints.
            memory: Of the target.
            recording: A file that holds the head already.
            limits: What ends the window.
            on_progress: Called about ten times a second; must be quick.

        """
        self._target = target
        self._probes = probes
        self._memory = memory
        self._recording = recording
        self._limits = limits
        self._on_progress = on_progress
        self._tail = Tail(recording, probes, MALLOC_FAMILY, limits.max_events)
        self._sampler = StopSampler(target.pid)
        self._outcome = _Outcome()

    def run(
        self, gdb: GdbProgram, folder: Path, list_modules: Callable[[], Iterable[Module]]
    ) -> EndedBy:
        """Attach, record until a limit is reached, detach, and complete the recording.

        Args:
            gdb: The debugger to use.
            folder: A private folder for the debugger's files.
            list_modules: Returns the modules of the target, called once it is free again.

        Returns:
            Why the window ended.

        Raises:
            AttachError: the target was not attached to, or is not any more.
            DebuggerFailedError: GDB did not start.
            KeyboardInterrupt: Ctrl-C came before the attach.

        """
        reserve = self._recording.with_name(self._recording.name + ".reserve")
        try:
            reserve.write_bytes(bytes(RESERVE_BYTES))
            plan = self._write_plan(folder / "plan.json")
        except OSError as error:
            raise WriteError(f"cannot write to {error.filename}: {error.strerror}") from error
        with Interruption() as interruption:
            debugger = Debugger(
                gdb,
                script_path("gdbleak_agent.py"),
                folder,
                X86_64.elf_machine_number,
                {"GDBLEAK_PLAN": str(plan)},
            )
            try:
                self._record(debugger, interruption)
            finally:
                debugger.quit(COMMAND_TIMEOUT_S)
            verification = prove(self._target.pid, self._target.state, self._probes, self._memory)
            # After an exec they are those of another program.
            same = self._outcome.ended_by is not EndedBy.TARGET_EXEC
            modules = list_modules() if same else ()
        reserve.unlink()
        os.truncate(self._recording, self._tail.position)
        end = {
            **asdict(self._outcome),
            "rss_after": resident_set(self._target.pid),
            "verification": asdict(verification),
            "modules": [module.to_json() for module in modules],
        }
        with self._recording.open("ab") as file:
            file.write(encode_json(END, end))
        return self._outcome.ended_by

    def _write_plan(self, path: Path) -> Path:
        plan = {
            "pid": self._target.pid,
            "recording": str(self._recording),
            "stack_bytes": self._limits.stack_bytes,
            "probes": [probe.to_json() for probe in self._probes],
        }
        path.write_text(json.dumps(plan))
        return path

    def _record(self, debugger: Debugger, interruption: Interruption) -> None:
        debugger.execute_console("gdbleak-status", COMMAND_TIMEOUT_S)
        if interruption.reason:
            raise KeyboardInterrupt
        try:
            debugger.execute_console("gdbleak-start", COMMAND_TIMEOUT_S)
        except DebuggerFailedError as error:
            self._release(debugger)
            raise AttachError(
                f"could not trace process {self._target.pid}: {error}",
                f"run `gdbleak doctor {self._target.pid}`",
            ) from error
        debugger.events.clear()  # the attach has told of a stop of each thread
        started = time.monotonic()
        try:
            self._outcome.ended_by = self._watch(debugger, interruption, started)
            self._read_status(debugger)
        except DebuggerDiedError:
            self._outcome.ended_by = EndedBy.DEBUGGER_DIED
            self._tail.read()
        finally:
            elapsed_s = time.monotonic() - started
            released_s = self._release(debugger)
            outcome = self._outcome
            outcome.stopped_s = self._sampler.share * elapsed_s
            if outcome.end_ns is None and self._tail.opened_ns is not None:
                outcome.end_ns = self._tail.opened_ns + int(elapsed_s * 1e9)
            outcome.longest_pause_ms = max(outcome.longest_pause_ms or 0.0, released_s * 1e3)
            if outcome.stops:
                outcome.stopped_s += released_s

    def _watch(self, debugger: Debugger, interruption: Interruption, started: float) -> EndedBy:
        """Wait for the first of the things that end a window."""
        limits, tail = self._limits, self._tail
        next_progress = next_status = started
        while True:
            select.select([debugger.fileno(), interruption.fileno()], [], [], TICK_S)
            debugger.poll()
            tail.read()
            self._sampler.sample()
            elapsed_s = time.monotonic() - started
            ended_by = interruption.reason or _explain(debugger.events) or self._find_exec()
            debugger.events.clear()
            if ended_by:
                return ended_by
            if tail.full:
                return EndedBy.MAX_EVENTS
            if elapsed_s >= limits.duration_s:
                return EndedBy.DURATION
            if started + elapsed_s >= next_status:
                next_status += STATUS_S
                if self._read_status(debugger)["write_error"]:
                    return EndedBy.WRITE_FAILED
            if started + elapsed_s >= next_progress:
                next_progress += PROGRESS_S
                self._on_progress(
                    Progress(
                        elapsed_s,
                        limits.duration_s,
                        tail.events,
                        tail.events / elapsed_s,
                        tail.outstanding,
                        self._sampler.share * elapsed_s,
                    )
                )

    def _find_exec(self) -> EndedBy | None:
        """Notice that the target runs another program now.

        GDB trips over the breakpoints of the old one before it can report that. The kernel tells
        it by our view of the old memory, which has become empty.
        """
        if self._memory.read(self._probes[0].address, 1) or read_state(self._target.pid) in _GONE:
            return None
        return EndedBy.TARGET_EXEC

    def _read_status(self, debugger: Debugger) -> dict[str, Any]:
        """Ask the agent for its counts, and keep them."""
        text = debugger.execute_console("gdbleak-status", COMMAND_TIMEOUT_S)
        # GDB's own words may stand before it.
        status: dict[str, Any] = json.loads(text[text.index("{") :])
        self._tail.read()
        outcome = self._outcome
        outcome.end_ns = status["now_ns"]
        outcome.stops = status["stops"]
        outcome.lost_events = status["lost"]
        pauses = (status["attach_pause_ns"] or 0, status["longest_stop_ns"])
        outcome.longest_pause_ms = max(pauses) / 1e6
        return status

    def _release(self, debugger: Debugger) -> float:
        """Detach by command, and by force only when GDB has stopped answering.

        Returns:
            For how many seconds the target may have stood still.

        """
        began = time.monotonic()
        try:
            if self._outcome.ended_by is not EndedBy.TARGET_EXIT:
                debugger.execute("-target-detach", COMMAND_TIMEOUT_S)
        except DebuggerDiedError:
            restore(self._target.pid, self._probes, X86_64.breakpoint)
        except DebuggerFailedError:
            debugger.end(COMMAND_TIMEOUT_S)
            restore(self._target.pid, self._probes, X86_64.breakpoint)
        return time.monotonic() - began


def _explain(events: list[dict[str, Any]]) -> EndedBy | None:
    """Return the end that GDB's asynchronous records tell of."""
    for event in events:
        if event["message"] == "stopped":
            reason = str(event["payload"].get("reason", ""))
            if reason.startswith("exited"):
                return EndedBy.TARGET_EXIT
            return EndedBy.TARGET_EXEC if reason == "exec" else EndedBy.DEBUGGER_STOPPED
    return None
