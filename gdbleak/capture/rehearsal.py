"""The rehearsal: what a GDB will do to the target, it does to a process of ours first.

It is the window itself, over the same machine interface: attach, arm, run, hit, turn, detach.
After each step it is checked that the step has done what a window relies on. A GDB that fails one
is not let near the target. GDB takes several times as long to do these things for the first time,
and the target does not have to wait for that either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gdbleak.capture.agent import ANSWER_TIMEOUT_S, DETACH_TIMEOUT_S, Agent
from gdbleak.capture.probe import Task
from gdbleak.capture.standing_in import CALLED, RARE, StandIn
from gdbleak.debugger.program import GdbProgram, find_another
from gdbleak.errors import DebuggerFailedError, UnprovedError
from gdbleak.host.waiting import wait_until
from gdbleak.plan.allocators import iter_changed
from gdbleak.recording.events import Decoder, Hit, iter_frames
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe
from gdbleak.safety.scratch import Scratch, read_scratch
from gdbleak.target.proc import Memory, list_threads, read_state, read_status

START_TIMEOUT_S = 20.0
_SETTLE_S, _LOOK_S = 2.0, 0.005
"""How long the kernel may take to show a detached thread as running again, and how often that is
looked at."""
STACK_BYTES = 256
CALLS = 3
_DETACH = "the detach"
_FORBIDDEN = "Operation not permitted"
_PERMIT = (
    "run as root; in a container: `docker run --cap-add SYS_PTRACE`; elsewhere:"
    " `sudo sysctl kernel.yama.ptrace_scope=0`"
)


def check_released(pid: int) -> None:
    """Wait until no thread of a process is traced or stopped any more.

    Raises:
        DebuggerFailedError: one still is.

    """
    if not wait_until(lambda: not _is_held(pid), _SETTLE_S, _LOOK_S):
        raise DebuggerFailedError("after it, a thread was still traced or stopped")


def _is_held(pid: int) -> bool:
    for thread in list_threads(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if read_status(thread)["TracerPid"] != "0" or read_state(pid, thread) in ("t", "T"):
                return True
    return False


@contextmanager
def proved_agent(
    gdb: GdbProgram,
    folder: Path,
    life: int | None = None,
    on_launch: Callable[[int], None] = lambda _: None,
) -> Iterator[Agent]:
    """Launch an agent in a GDB that has shown on a stand-in that it can be trusted.

    A GDB that cannot detach from a running process is tried once more, with a halt first.

    Args:
        gdb: The program.
        folder: A private folder.
        life: See `Agent.launch`.
        on_launch: Called with the PID of each GDB that is started.

    Raises:
        UnprovedError: it failed, and by what.
        DebuggerFailedError: the stand-in did not start.

    """

    def prove(halts_first: bool) -> Agent:
        own = folder / ("halting" if halts_first else "running")
        own.mkdir()
        return _prove(gdb, lambda: Agent.launch(gdb, own, life, halts_first), on_launch)

    try:
        agent = prove(halts_first=False)
    except DetachError:
        agent = prove(halts_first=True)
    with agent:
        yield agent


def _prove(gdb: GdbProgram, launch: Callable[[], Agent], on_launch: Callable[[int], None]) -> Agent:
    stand_in = StandIn()
    try:
        agent = launch()
        try:
            on_launch(agent.pid)
            rehearsal = Rehearsal(agent, stand_in, stand_in.meet())
            try:
                rehearsal.run()
            except DebuggerFailedError as error:
                raise describe(gdb, rehearsal.step, str(error)) from error
        except BaseException:
            # Before the stand-in: nobody else can wait for a process that GDB has attached to.
            agent.close()
            raise
    finally:
        stand_in.end()
    return agent


def describe(gdb: GdbProgram, step: str, cause: str) -> UnprovedError:
    """Return an error that says at which step of a rehearsal a GDB has failed, and why."""
    for words in ("gdb: ", "Error occurred in Python: "):
        cause = cause.removeprefix(words)
    kind = DetachError if step == _DETACH else UnprovedError
    other = find_another(gdb.path)
    return kind(
        f"gdb {gdb.version} ({gdb.path}) failed on a process of gdbleak's own, at {step}:"
        f" {cause.rstrip('.')}; yours was not touched",
        _PERMIT if _FORBIDDEN in cause else f"set GDBLEAK_GDB={other}" if other else "",
    )


class DetachError(UnprovedError):
    """A GDB does not let a process go as it has found it."""


class Rehearsal:
    """A window on a stand-in."""

    def __init__(self, agent: Agent, stand_in: StandIn, probes: tuple[Probe, ...]) -> None:
        """Prepare it.

        Args:
            agent: It may still be loading.
            stand_in: Which is ready.
            probes: Where breakpoints can be set in it.

        """
        self.step = "its start"
        """What is being tried."""
        self._agent = agent
        self._stand_in = stand_in
        self._probes = probes
        self._recording = agent.folder / "rehearsal"
        self._calls = 0

    def run(self) -> None:
        """Do everything, and check everything.

        Raises:
            DebuggerFailedError: a check has failed.

        """
        pid = self._stand_in.pid
        self._agent.await_commands(START_TIMEOUT_S)
        self._recording.touch()
        task = Task(pid, self._recording, STACK_BYTES, self._probes)
        self._agent.prepare(task, self._probes[RARE])
        with Memory(pid) as self._memory:
            scratch = read_scratch(pid, self._memory)
            self.step = "the attach"
            self._agent.start(START_TIMEOUT_S)
            self._check_tracer()
            self._check_threads()
            self._call(recorded=True)
            self._turn(Phase.NONE, {RARE})
            self._call(recorded=False)
            self._turn(Phase.ALL, {CALLED, RARE})
            self._call(recorded=True)
            self._fork()
            self._check_records()
            self.step = _DETACH
            self._agent.detach(DETACH_TIMEOUT_S)
            self._check_release(scratch)

    def _check_tracer(self) -> None:
        """Take down which process GDB is: what was started may be a script that starts it."""
        tracer = int(read_status(self._stand_in.pid)["TracerPid"])
        if not tracer:
            raise DebuggerFailedError("it has not attached")
        self._agent.pid = tracer

    def _check_threads(self) -> None:
        threads = list_threads(self._stand_in.pid)
        held = self._agent.read_threads()
        if {*held} != {*threads}:
            raise DebuggerFailedError(
                f"of {len(threads)} threads it holds {len({*held} & {*threads})}"
            )

    def _turn(self, phase: Phase, expected: set[int]) -> None:
        self.step = "the turn of breakpoints"
        self._agent.ask_turn(phase)
        while (status := self._agent.poll_status()) is None:
            self._agent.wait(ANSWER_TIMEOUT_S)
        if status.turn_error or self._find_breakpoints() != expected:
            raise DebuggerFailedError(
                "they could not be written over while it ran"
                + (f": {status.turn_error}" if status.turn_error else "")
            )

    def _find_breakpoints(self) -> set[int]:
        return {probe.id for probe in iter_changed(self._probes, self._memory)}

    def _call(self, recorded: bool) -> None:
        self.step = "a breakpoint" if recorded else "a call without a breakpoint"
        if recorded and self._find_breakpoints() != {CALLED, RARE}:
            raise DebuggerFailedError("it was not written into the code")
        answer = self._stand_in.ask(f"call {CALLS}")
        if answer is None or answer["right"] != CALLS:
            raise DebuggerFailedError(f"the thread that ran into it {self._fate(answer)}")
        if recorded:
            self._calls += CALLS
            self._caller = answer["thread"]

    def _fork(self) -> None:
        self.step = "a fork"
        answer = self._stand_in.ask("fork")
        if answer is None or answer["status"]:
            raise DebuggerFailedError("the new process did not live")

    def _fate(self, answer: Any) -> str:
        if answer is not None:
            return "went on with wrong registers"
        return self._stand_in.describe_end() or "did not go on"

    def _check_records(self) -> None:
        self.step = "the recording"
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
                f"of {self._calls} calls it holds {len(hits)}, or not what they were"
            )

    def _check_release(self, scratch: Scratch) -> None:
        if not self._memory.read(scratch.address, 1):  # it has ended
            raise DebuggerFailedError(f"after it, the process {self._fate(None)}")
        if self._find_breakpoints() or not scratch.is_intact(self._memory):
            raise DebuggerFailedError("breakpoints stayed in the code")
        check_released(self._stand_in.pid)
        answer = self._stand_in.ask(f"call {CALLS}")
        if answer is None or answer["right"] != CALLS:
            raise DebuggerFailedError(f"after it, the process {self._fate(answer)}")
