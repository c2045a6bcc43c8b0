"""What a window on a process of another machine needs, whose memory only gdbserver can touch.

So there is no guard, no look at its threads, and no proof that its code is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from gdbleak.architectures import X86_64
from gdbleak.capture.backend import After
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.probe import Recorder, Status, Task
from gdbleak.capture.tail import Tail
from gdbleak.debugger.interface import Debugger
from gdbleak.debugger.program import GdbProgram
from gdbleak.errors import AttachError
from gdbleak.recording.end import EndedBy
from gdbleak.remote.agent import RemoteAgent
from gdbleak.remote.hold import RemoteHold
from gdbleak.remote.process import RemoteProcess
from gdbleak.remote.proof import RemoteProof


class RemoteObserver:
    """An observer that sees nothing: only the agent tells what happens to the process."""

    is_frozen = False
    is_armed = True
    disarmed_ns: int | None = None

    def look(self, elapsed_s: float, now_ns: int) -> None:
        """Do nothing: each file of its /proc would have to be copied."""

    def find_end(self) -> EndedBy | None:
        """Return None."""
        return None

    def find_late_end(self) -> EndedBy | None:
        """Return None."""
        return None

    def slowed_s(self, _elapsed_s: float) -> float:
        """Return 0: GDB is not looked at."""
        return 0.0

    def stopped_s(self, _elapsed_s: float) -> float:
        """Return 0: its threads are not looked at."""
        return 0.0

    def stops(self, status: Status | None) -> int | None:
        """Return how often a breakpoint was hit, as GDB has told last."""
        return status.stops if status else None

    def longest_pause_s(self, status: Status | None) -> tuple[float | None, bool]:
        """Return the longest pause that GDB has seen; it may have been longer."""
        if status is None:
            return None, False
        return max(status.attach_pause_ns or 0, status.longest_stop_ns) / 1e9, True


class RemoteBackend:
    """The `Backend` of a process behind a gdbserver."""

    def __init__(
        self,
        gdb: GdbProgram,
        process: RemoteProcess,
        agent: RemoteAgent,
        state: str,
        task: Task,
        account: Tail,
    ) -> None:
        """Prepare.

        Args:
            gdb: The debugger to use if that of the agent dies.
            process: The target.
            agent: Connected with its gdbserver.
            state: The state letter of the process before the attach.
            task: What to record.
            account: What the recording says so far.

        """
        self._gdb = gdb
        self._process = process
        self._agent = agent
        self._task = task
        self.account = account
        self._stack = ExitStack()
        self.proof = RemoteProof(process, state)

    def __enter__(self) -> RemoteBackend:
        self._stack.enter_context(self.account)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @contextmanager
    def recorder(self, interruption: Interruption) -> Iterator[Recorder]:
        """Return the agent, which is ready.

        Args:
            interruption: Defers signals before anything can happen to the target.

        Raises:
            WriteError: there is no room for the plan.

        """
        self._agent.prepare(self._task, remote=True)
        interruption.defer()
        yield self._agent

    def hold(self) -> RemoteHold:
        """Return what takes and lets go of the target."""
        return RemoteHold(self._process, self._agent, self._task.probes, self._free)

    def _free(self) -> None:
        """Have another GDB let the process go; it stays connected until the window is left.

        Raises:
            AttachError: gdbserver does not answer any more.

        """
        folder = self._agent.folder / "again"
        folder.mkdir()
        machine = X86_64.elf_machine_number
        debugger = self._stack.enter_context(Debugger(self._gdb, None, folder, machine))
        try:
            self._process.connect(debugger, folder)
            self._process.choose(self._task.pid)
        except AttachError as error:
            raise AttachError(
                f"gdb or gdbserver ended in the window, and process {self._task.pid} may hold"
                " breakpoints, and would die at one",
                "restart the process, if it lives; end gdbleak, never gdb or gdbserver",
            ) from error
        self._process.free(self._task.probes)

    def observe(self) -> RemoteObserver:
        """Begin to look at the target: see `RemoteObserver`."""
        return RemoteObserver()

    def read_after(self, has_exec: bool) -> After:
        """Return what the target holds once it is free again; its modules are those from before.

        What it has loaded since would have to be copied.
        """
        process = self._process
        modules = () if has_exec else process.modules
        return After(process.resident_set(), process.memory_status(), modules)
