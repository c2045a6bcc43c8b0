"""One visit to a process: GDB attaches, does some steps while nothing runs, and detaches."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from gdbleak.architectures import X86_64
from gdbleak.debugger.interface import Debugger, DebuggerDiedError, DebuggerSilentError
from gdbleak.debugger.program import GdbProgram, script_path
from gdbleak.errors import DebuggerFailedError, WriteError
from gdbleak.injection.seccomp import Filters
from gdbleak.injection.steps import Step
from gdbleak.safety.forced_end import end_debugger
from gdbleak.safety.guarding import Guarding
from gdbleak.safety.journal import Journal
from gdbleak.safety.repair import read_tracer, wake
from gdbleak.target.life import start_of_living
from gdbleak.target.proc import list_threads, read_state, read_switches

_MACHINE = X86_64.elf_machine_number
VISIT = script_path("gdbleak_visit.py")
READY_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 10.0
"""How long GDB may take beside the time in which it holds the process."""
_TICK_S = 0.005
STUCK_S = 0.2
"""A thread that waits in the kernel for so long, where no signal reaches it, is not waited for."""
_LOOK_S = 0.02


class ThreadState(NamedTuple):
    """A thread as a visit has found it."""

    id: int
    rip: int
    rsp: int
    call: int
    """The number of the system call that it is in, or -1."""
    fs_base: int | None
    """Its thread pointer; None where GDB does not know it."""


class ToldFilters(NamedTuple):
    """The seccomp filters of threads, as a visit has found them."""

    known: dict[int, Filters]
    """Those of each thread, by its id."""
    unread: str | None
    """Why those of others could not be read."""


@dataclass(frozen=True)
class Outcome:
    """What became of a visit."""

    tracer: int
    """Process id of the GDB."""
    done: int
    """How many steps were done."""
    failed: str | None
    """The step that failed: what it does, or "attach" or "detach"; None if all were done."""
    why: str | None
    where: int | None
    """The thread that it failed at, if it was one."""
    pause_ns: int
    """How long it took, from before the attach until after the detach."""
    threads: tuple[ThreadState, ...] | None
    """The threads, if a step has asked for their registers."""
    filters: ToldFilters | None
    """Those of threads, if a step has asked for them."""
    hijacked: int | None
    """The thread that was sent to a routine."""
    contents: dict[int, list[int]] | None = None
    """What is in the registers of each thread, if a step has asked for it."""


class Visitor(Protocol):
    """Whatever can visit a process."""

    def visit(self, pid: int, steps: Sequence[Step], patience: int = 1) -> Outcome:
        """Attach to a process, do some steps up to the first that fails, and detach.

        Args:
            pid: The process.
            steps: What to do.
            patience: How many times as long as usual the process may stand still.

        Raises:
            DebuggerFailedError: it is not known what was done. The process was let go.
            WriteError: the steps could not be written down; the process was not touched.

        """


class GdbVisitor:
    """Visits by a GDB, and by another one when that has ended. A context."""

    def __init__(
        self,
        gdb: GdbProgram,
        folder: Path,
        max_pause_s: float,
        journal: Journal | None = None,
    ) -> None:
        """Prepare.

        Args:
            gdb: The program.
            folder: A private folder.
            max_pause_s: How long a process may stand still before its GDB is ended.
            journal: What a guard of each GDB reads; without one there is no guard.

        """
        self._gdb = gdb
        self._folder = folder
        self._max_pause_s = max_pause_s
        self._journal = journal
        self._debugger: Debugger | None = None
        self._guard: Guarding | None = None
        self._session = 0
        self.launches = 0
        """How many GDBs it took so far."""

    def __enter__(self) -> GdbVisitor:
        return self

    def __exit__(self, *error: object) -> None:
        if self._guard is not None:
            self._guard.stand_down()
        if self._debugger is not None:
            self._debugger.__exit__(*error)
        self.drop()

    @property
    def pid(self) -> int:
        """Process id of the GDB; 0 when none is running."""
        return self._debugger.pid if self._debugger else 0

    def launch(self) -> Debugger:
        """Return a GDB that is ready; start one if there is none.

        Raises:
            DebuggerFailedError: it did not start.

        """
        if self._debugger is not None:
            try:
                self._debugger.poll()
                return self._debugger
            except DebuggerDiedError:
                self.drop()
        self.launches += 1
        own = self._folder / f"visits{self.launches}"
        self._plan = own / "plan.json"
        try:
            own.mkdir(0o700, parents=True)  # who tidies up TMPDIR may have removed what was there
            debugger = self._debugger = self._start(own)
            self._session = debugger.pid
            debugger.execute_console("help gdbleak-visit", READY_TIMEOUT_S)
        except OSError as error:
            self.drop()
            raise DebuggerFailedError(f"gdb could not be started: {error.strerror}") from error
        except BaseException:
            self.drop()
            raise
        return debugger

    def _start(self, folder: Path) -> Debugger:
        """Start a GDB, and what guards it."""
        if self._journal is None:
            return Debugger(self._gdb, VISIT, folder, _MACHINE)
        guard = self._guard = Guarding(self._journal, folder)
        try:
            debugger = Debugger(self._gdb, VISIT, folder, _MACHINE, guard.life)
        except BaseException:
            os.close(guard.life)
            raise
        guard.announce(debugger.pid, halts_first=False)
        return debugger

    def drop(self) -> None:
        """End the GDB, and its guard; the next visit starts others."""
        if self._debugger is not None:
            self._debugger.close()
            self._debugger = None
        if self._guard is not None:
            self._guard.__exit__()
            self._guard = None

    def visit(self, pid: int, steps: Sequence[Step], patience: int = 1) -> Outcome:
        """See `Visitor`."""
        debugger = self.launch()
        stuck = find_stuck(pid)
        if stuck:
            why = "a thread cannot be halted: it waits in the kernel, perhaps for a child of vfork"
            return Outcome(debugger.pid, 0, "attach", why, stuck, 0, None, None, None)
        try:
            self._plan.write_text(json.dumps({"pid": pid, "steps": steps}))
        except OSError as error:
            self.drop()
            raise WriteError(f"cannot write {self._plan}: {error.strerror}") from error
        before = {"pid": pid, "started": start_of_living(pid), "state": read_state(pid)}
        try:
            debugger.forget()
            token = debugger.ask(f'-interpreter-exec console "gdbleak-visit {self._plan.name}"')
            outcome = _parse(self._await(debugger, pid, token, self._max_pause_s * patience))
            self._learn(debugger, outcome.tracer)
            if self._holds(read_tracer(pid)):
                raise DebuggerFailedError(f"gdb (process {debugger.pid}) has not detached")
            return outcome
        except (DebuggerFailedError, KeyboardInterrupt):
            self._end(pid)
            wake(before, was_held=True)
            raise

    def _await(self, debugger: Debugger, pid: int, token: int, max_pause_s: float) -> str:
        """Return what GDB has printed at the end of a visit.

        Raises:
            DebuggerSilentError: it did not end in time.

        """
        deadline_s = time.monotonic() + ANSWER_TIMEOUT_S + max_pause_s
        held_s: float | None = None
        while True:
            answer = debugger.answer(token)
            if answer:
                return answer[1]
            debugger.poll(_TICK_S)
            now_s = time.monotonic()
            if held_s is None and self._holds(read_tracer(pid)):
                held_s = now_s
            if held_s is not None and now_s - held_s > max_pause_s:
                raise DebuggerSilentError(
                    f"gdb (process {debugger.pid}) did not let go of process {pid} within"
                    f" {max_pause_s * 1e3:.0f} ms; it was ended",
                    "try again later, or allow a longer pause with --max-pause",
                )
            if now_s > deadline_s:
                raise DebuggerSilentError(f"gdb (process {debugger.pid}) does not answer")

    def _learn(self, debugger: Debugger, tracer: int) -> None:
        """Take down which process GDB is: what was started may be a script that starts it."""
        if tracer != debugger.pid:
            debugger.pid = tracer
            if self._guard:
                self._guard.note(tracer)

    def _holds(self, tracer: int) -> bool:
        """Whether a tracer is our GDB, or was started by the script that was started for it."""
        with suppress(ProcessLookupError):
            return tracer != 0 and os.getsid(tracer) == self._session
        return False

    def _end(self, pid: int) -> None:
        """End the GDB, and set a process free that it holds: that does no harm at any moment."""
        tracer = read_tracer(pid)
        if self._holds(tracer):
            end_debugger(tracer, pid)
        self.drop()


def find_stuck(pid: int) -> int | None:
    """Return a thread that no debugger could halt now; GDB would hold all others meanwhile."""
    deadline_s = time.monotonic() + STUCK_S
    threads = (each for each in list_threads(pid) if read_state(pid, each) == "D")
    waiting = {each: read_switches(pid, each) for each in threads}
    while waiting and time.monotonic() < deadline_s:
        time.sleep(_LOOK_S)
        # One that has run meanwhile waits for something else by now.
        waiting = {
            each: switches
            for each, switches in waiting.items()
            if read_state(pid, each) == "D" and read_switches(pid, each) == switches
        }
    return next(iter(waiting), None)


def _parse(console: str) -> Outcome:
    try:
        values: dict[str, Any]
        values = json.JSONDecoder().raw_decode(console, console.rindex('{"'))[0]
        threads, told = values.pop("threads"), values.pop("filters")
        states = None if threads is None else tuple(ThreadState(*thread) for thread in threads)
        filters = None if told is None else _parse_filters(*told)
        contents = values.pop("contents")
        return Outcome(
            threads=states,
            filters=filters,
            contents=None if contents is None else dict(contents),
            **values,
        )
    except (IndexError, ValueError, TypeError) as error:
        said = console.strip() or "nothing"
        raise DebuggerFailedError(f"gdb does not tell what it has done, but says {said}") from error


def _parse_filters(programs: list[str], threads: list[Any], unread: str | None) -> ToldFilters:
    codes = [bytes.fromhex(program) for program in programs]
    known = {thread: tuple(codes[number] for number in numbers) for thread, numbers in threads}
    return ToldFilters(known, unread)
