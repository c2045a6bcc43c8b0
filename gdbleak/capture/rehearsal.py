"""The proof on a stand-in: what a GDB will do to the target, it does to a process of ours first.

The rehearsal is the window itself, over the same machine interface: attach, arm, run, hit, turn,
halt, detach. After each step it is checked that the step has done what a window relies on. A GDB
that fails one is not let near the target. GDB takes several times as long to do these things for
the first time, and the target does not have to wait for that either.
"""

from __future__ import annotations

import json
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gdbleak.allocator_search import iter_changed
from gdbleak.architectures import X86_64
from gdbleak.capture import stand_in
from gdbleak.capture.agent import ANSWER_TIMEOUT_S, Agent, write_plan
from gdbleak.capture.scratch import Scratch, read_scratch
from gdbleak.errors import DebuggerFailedError, UnprovedError
from gdbleak.gdb_program import GdbProgram
from gdbleak.phases import Phase
from gdbleak.plan import Probe, Role
from gdbleak.proc import Memory, list_threads, read_state, read_status
from gdbleak.recording import Decoder, Hit, iter_frames

READY_TIMEOUT_S = 20.0
START_TIMEOUT_S = 30.0
STACK_BYTES = 256
CALLS = 3
_CALLED, _RARE = range(2)


class StandIn:
    """The stand-in that runs."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            DebuggerFailedError: it did not start.

        """
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(stand_in.__file__).absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        self.pid = self._process.pid

    def meet(self) -> tuple[Probe, ...]:
        """Wait until it is ready, and return where breakpoints can be set in it.

        Raises:
            DebuggerFailedError: it did not start.

        """
        said = self._hear(READY_TIMEOUT_S)
        if said is None or len(list_threads(self.pid)) < said["threads"]:
            raise DebuggerFailedError(
                "a process of gdbleak's own did not start",
                "try again; this host may be out of memory",
            )
        with Memory(self.pid) as memory:
            return tuple(
                Probe(
                    number,
                    said[name],
                    name,
                    # Of all probes this kind asks most of GDB: the registers, and raw stack.
                    Role.RETURN,
                    (X86_64.stack_pointer, X86_64.argument_registers[0]),
                    None,
                    memory.read(said[name], len(X86_64.breakpoint)).hex(),
                )
                for number, name in ((_CALLED, "called"), (_RARE, "rare"))
            )

    def ask(self, command: str) -> dict[str, int] | None:
        """Give a command; return the answer, or None when there is none in time."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command.encode() + b"\n")
        except BrokenPipeError:
            return None
        return self._hear(ANSWER_TIMEOUT_S)

    def describe_end(self) -> str | None:
        """Say how it has ended, if it has."""
        status = self._process.poll()
        if status is None:
            return None
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else "has ended"

    def end(self) -> None:
        """End it, wherever it stands."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _hear(self, timeout_s: float) -> dict[str, int] | None:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(timeout_s) else b""
        return json.loads(line) if line.endswith(b"\n") else None


@contextmanager
def proved_agent(gdb: GdbProgram, folder: Path, life: int | None = None) -> Iterator[Agent]:
    """Launch an agent in a GDB that has shown on a stand-in that it can be trusted.

    A GDB that cannot detach from a running process is tried once more, with a halt first.

    Args:
        gdb: The program.
        folder: A private folder.
        life: See `Agent.launch`.

    Raises:
        UnprovedError: it failed, and by what.

    """
    for halts_first in (False, True):
        own = folder / ("halting" if halts_first else "running")
        own.mkdir()
        agent = Agent.launch(gdb, own, life, halts_first)
        try:
            Rehearsal(agent).run()
        except DebuggerFailedError as error:
            if halts_first or not isinstance(error, DetachError):
                raise UnprovedError(
                    f"gdb {gdb.version} ({gdb.path}) failed on a process of gdbleak's own: {error};"
                    " yours was not touched"
                ) from error
        else:
            break
    with agent.debugger:
        yield agent


class DetachError(DebuggerFailedError):
    """A GDB does not let a process go as it has found it."""


class Rehearsal:
    """A window on a stand-in."""

    def __init__(self, agent: Agent) -> None:
        """Prepare it for an agent that is just being loaded."""
        self._agent = agent
        self._plan = agent.folder / "rehearsal.json"
        self._recording = agent.folder / "rehearsal"
        self._calls = 0

    def run(self) -> None:
        """Do everything, and check everything.

        Raises:
            DetachError: the stand-in was not let go as it was found.
            DebuggerFailedError: another check has failed.

        """
        self._stand_in = StandIn()
        try:
            self._probes = self._stand_in.meet()
            with Memory(self._stand_in.pid) as self._memory:
                self._rehearse(read_scratch(self._stand_in.pid, self._memory))
        except BaseException:
            # First, because nobody else can wait for a process that it has attached to.
            self._agent.debugger.close()
            raise
        finally:
            self._stand_in.end()

    def _rehearse(self, scratch: Scratch) -> None:
        self._recording.touch()
        write_plan(
            self._plan,
            self._stand_in.pid,
            self._recording,
            STACK_BYTES,
            self._probes,
            self._probes[_RARE],
        )
        self._agent.start(self._plan, START_TIMEOUT_S)
        self._check_threads()
        self._call(recorded=True)
        self._turn(Phase.NONE, {_RARE})
        self._call(recorded=False)
        self._turn(Phase.ALL, {_CALLED, _RARE})
        self._call(recorded=True)
        self._fork()
        self._check_counts()
        try:
            self._agent.detach(self._stand_in.pid)
        except DebuggerFailedError as error:
            raise DetachError(f"it could not be detached: {error}") from error
        self._check_release(scratch)

    def _check_threads(self) -> None:
        threads = list_threads(self._stand_in.pid)
        held = self._agent.read_threads()
        if {*held} != {*threads}:
            raise DebuggerFailedError(
                f"of its {len(threads)} threads it holds {len({*held} & {*threads})}"
            )

    def _turn(self, phase: Phase, expected: set[int]) -> None:
        self._agent.ask_turn(phase)
        while (status := self._agent.poll_status()) is None:
            self._agent.debugger.wait(ANSWER_TIMEOUT_S)
        found = {probe.id for probe in iter_changed(self._probes, self._memory)}
        if status.turn_error or found != expected:
            raise DebuggerFailedError(
                "its breakpoints could not be written over while it ran"
                + (f": {status.turn_error}" if status.turn_error else "")
            )

    def _call(self, recorded: bool) -> None:
        found = {probe.id for probe in iter_changed(self._probes, self._memory)}
        if recorded and found != {_CALLED, _RARE}:
            raise DebuggerFailedError("its breakpoints are not in the code")
        answer = self._stand_in.ask(f"call {CALLS}")
        if answer is None or answer["right"] != CALLS:
            raise DebuggerFailedError(f"a thread that ran into a breakpoint {self._fate(answer)}")
        if recorded:
            self._calls += CALLS
            self._caller = answer["thread"]

    def _fork(self) -> None:
        answer = self._stand_in.ask("fork")
        if answer is None or answer["status"]:
            raise DebuggerFailedError("a process that it forked did not live")

    def _fate(self, answer: Any) -> str:
        return self._stand_in.describe_end() or (
            "did not go on" if answer is None else "went on with wrong registers"
        )

    def _check_counts(self) -> None:
        stops = self._agent.read_status().stops
        data = self._recording.read_bytes()
        decoder = Decoder(self._probes)
        events = [decoder.decode(data, *frame) for frame in iter_frames(data, 0, len(data))]
        hits = [event for event in events if isinstance(event, Hit)]
        arguments = [hit.registers[1] for hit in hits]
        expected = [(1 << 64) - number for number in range(1, CALLS + 1)]
        if (
            stops != self._calls
            or arguments != expected * (self._calls // CALLS)
            or {hit.thread for hit in hits} != {self._caller}
        ):
            raise DebuggerFailedError(
                f"{len(hits)} of {self._calls} calls were recorded, or not as they were"
            )

    def _check_release(self, scratch: Scratch) -> None:
        pid = self._stand_in.pid
        if any(iter_changed(self._probes, self._memory)) or not scratch.is_intact(self._memory):
            raise DetachError("breakpoints stayed in its code after the detach")
        for thread in list_threads(pid):
            with suppress(FileNotFoundError, ProcessLookupError):
                tracer = read_status(thread)["TracerPid"]
                if tracer != "0" or read_state(pid, thread) in ("t", "T"):
                    raise DetachError("a thread was still traced or stopped after the detach")
        answer = self._stand_in.ask(f"call {CALLS}")
        if answer is None or answer["right"] != CALLS:
            raise DetachError(f"after the detach it {self._fate(answer)}")
