"""A window on a process of another machine: attach, watch, detach, through its gdbserver."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gdbleak.allocator_search import Plan
from gdbleak.capture.agent import AGENT, PLAN, Agent, Status, write_plan
from gdbleak.capture.debugger import DebuggerDiedError
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.remote import COMMAND_TIMEOUT_S, RemoteProcess
from gdbleak.capture.tail import Tail
from gdbleak.capture.watch import PROGRESS_S, STATUS_S, TICK_S, explain
from gdbleak.errors import AttachError, DebuggerFailedError, WriteError
from gdbleak.recording import END, EndedBy, encode_json
from gdbleak.target import Target


class RemoteWindow:
    """A window that records everything: what needs a hand on the memory is not to be had."""

    def __init__(
        self,
        process: RemoteProcess,
        agent: Agent,
        target: Target,
        plan: Plan,
        recording: Path,
        limits: Limits,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Prepare a window; the arguments are as those of `Window`."""
        self._process = process
        self._agent = agent
        self._target = target
        self._recording = recording
        self._limits = limits
        self._on_progress = on_progress
        self._plan = plan
        self._tail = Tail(recording, plan.probes, plan.functions, limits.max_events)
        self._latest: Status | None = None

    def run(self, folder: Path, interruption: Interruption) -> None:
        """Arm, record until a limit is reached, detach, and complete the recording.

        Raises:
            AttachError: no breakpoints could be set.
            WriteError: there is no room for the recording.

        """
        agent, stack_bytes = self._agent, self._limits.stack_bytes
        others = {"remote": True, "sentinel": None}
        plan = folder / PLAN
        write_plan(plan, self._target.pid, self._recording, stack_bytes, self._plan.probes, others)
        ended_by, end_ns = EndedBy.UNKNOWN, None
        try:
            agent.debugger.execute_console(f"source {AGENT}", COMMAND_TIMEOUT_S)
            try:
                agent.start()
            except DebuggerFailedError as error:
                raise AttachError(f"could not trace process {self._target.pid}: {error}") from error
            ended_by = self._watch(interruption)
            self._latest = agent.read_status()
            end_ns = self._latest.now_ns
        except DebuggerDiedError:
            ended_by = EndedBy.DEBUGGER_DIED
        finally:
            if ended_by not in (EndedBy.DEBUGGER_DIED, EndedBy.TARGET_EXIT):
                agent.detach()
        self._tail.read_all()
        self._complete(ended_by, end_ns)

    def _watch(self, interruption: Interruption) -> EndedBy:
        began_s = time.monotonic()
        next_status_s = next_progress_s = 0.0
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
                if elapsed_s >= next_status_s:
                    next_status_s = elapsed_s + STATUS_S
                    self._agent.ask_status()
                if elapsed_s >= next_progress_s:
                    next_progress_s = elapsed_s + PROGRESS_S
                    self._on_progress(self._describe(elapsed_s))

    def _find_end(self, elapsed_s: float) -> EndedBy | None:
        debugger = self._agent.debugger
        told = explain(debugger.events)
        lost = any(event["message"] == "thread-group-exited" for event in debugger.events)
        debugger.events.clear()
        if told or lost:
            return told or EndedBy.TARGET_EXIT
        if self._tail.full:
            return EndedBy.MAX_EVENTS
        status = self._agent.poll_status()
        if status and status.write_error:
            return EndedBy.WRITE_FAILED
        return EndedBy.DURATION if elapsed_s >= self._limits.duration_s else None

    def _describe(self, elapsed_s: float) -> Progress:
        tail = self._tail
        rate = tail.events / elapsed_s
        return Progress(
            *(elapsed_s, self._limits.duration_s, tail.events, rate),
            *(len(tail.outstanding), tail.slowed_s),
        )

    def _complete(self, ended_by: EndedBy, end_ns: int | None) -> None:
        status, tail = self._latest, self._tail
        pauses_ns = (status.attach_pause_ns or 0, status.longest_stop_ns) if status else (0,)
        proof = self._process.verify(self._target.state)
        end: dict[str, Any] = {
            "ended_by": ended_by,
            "end_ns": end_ns,
            "stops": status and status.stops,
            "lost_events": status.lost if status else 0,
            "children": self._agent.debugger.children,
            "stop_signal": None,
            "stopped_s": tail.slowed_s,
            "longest_pause_ms": max(pauses_ns) / 1e6 if status else None,
            "rss_after": self._process.resident_set(),
            "verification": vars(proof),
            "modules": [],
        }
        try:
            os.truncate(self._recording, tail.position)
            with self._recording.open("ab") as file:
                file.write(encode_json(END, end))
        except OSError as error:
            raise WriteError(
                f"cannot complete the recording {self._recording}: {error.strerror};"
                f" process {self._target.pid} was released"
            ) from error
