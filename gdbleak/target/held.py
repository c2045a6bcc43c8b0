"""A process that is held for a moment: no thread of it runs meanwhile.

A process of its own halts the threads and holds them. When it ends, for whatever reason, the kernel
lets them run on; and it ends when its time is up, or when we end. Ctrl-Z does not stop it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from contextlib import suppress

from gdbleak.errors import AlreadyTracedError, NoSuchProcessError, TargetError
from gdbleak.target.apart import fork_apart, send, undisturbed
from gdbleak.target.proc import list_threads, read_status
from gdbleak.target.ptrace import Halt, halt, let_go, look, read_words, reap

_POLL_S = 0.0001
_PATIENCE_S = 2.0
"""To let thousands of threads go takes less."""
_REAP_S = 0.02
_SAY_S = 0.1
"""How long it may take to say for how long it was held: that fits into any pipe."""
_ADVICE = "leave out --stop: it is counted while it runs then"


class HeldProcess:
    """Holds a process. A context."""

    def __init__(self, pid: int, limit_s: float, wants_registers: bool = True) -> None:
        """Prepare it.

        Args:
            pid: The process.
            limit_s: How long it may be held; then it is let go, whatever we do. To halt many
                threads, and to let them go, takes time of its own.
            wants_registers: Whether to read the registers of its threads, which takes time too.

        """
        self._pid = pid
        self._wants_registers = wants_registers
        self._limit_s = limit_s
        self.registers: dict[int, list[int]] = {}
        """What stands in the registers of its threads, by their ids."""
        self.pause_ms = 0.0
        """How long it was held, once it has been let go."""
        self.was_let_go = False
        """Whether it has run on before it was to."""
        self._began_s = 0.0
        self._holder = 0

    def __enter__(self) -> HeldProcess:
        """Hold it.

        Raises:
            TargetError: it cannot be held: it has ended, somebody else traces a thread, or one does
                not halt in time.

        """
        told, tell = os.pipe2(os.O_CLOEXEC)
        end, go = os.pipe2(os.O_CLOEXEC)
        self._began_s = time.monotonic()
        self._go: int | None = go
        self._told = os.fdopen(told)

        def hold() -> None:
            os.close(go)
            _hold(self._pid, self._limit_s, self._wants_registers, tell, end)

        try:
            with undisturbed():
                self._holder = fork_apart(hold, self._limit_s)
                os.close(tell)
                os.close(end)
            begun = self._told.readline()
        except BaseException:
            if self._holder:
                os.kill(self._holder, signal.SIGKILL)  # the kernel lets all threads run on
            self._end()
            raise
        answer = json.loads(begun) if begun.endswith("\n") else {}
        if not answer.get("held"):
            self._end()  # what it has halted runs on, and has no tracer any more
            raise _find_obstacle(self._pid, self._limit_s)
        self.registers = dict(answer["registers"])
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let it run on."""
        if self._go is None:
            return
        os.close(self._go)
        self._go = None
        if not select.select([self._told], [], [], _PATIENCE_S)[0]:
            os.kill(self._holder, signal.SIGKILL)  # it was stopped: the kernel lets go now
        answer = self._told.readline()
        if answer.endswith("\n"):
            self.pause_ms, self.was_let_go = json.loads(answer)
        else:  # somebody has killed the holder: the kernel has let it go by now
            self.was_let_go = True
            self.pause_ms = (time.monotonic() - self._began_s) * 1e3
        self._end()

    def _end(self) -> None:
        if self._go is not None:
            os.close(self._go)
            self._go = None
        self._told.close()
        if self._holder:
            os.waitpid(self._holder, 0)


def _find_obstacle(pid: int, limit_s: float) -> TargetError:
    """Return what has kept a process from being held, to be raised."""
    threads = list_threads(pid)
    if not threads:
        return NoSuchProcessError(f"process {pid} has ended meanwhile")
    for thread in threads:
        with suppress(OSError, KeyError):  # it has ended
            tracer = int(read_status(thread)["TracerPid"])
            if tracer:
                return AlreadyTracedError(
                    f"process {pid} is traced by process {tracer}: it cannot be stopped by us too",
                    _ADVICE,
                )
    return TargetError(
        f"process {pid} was not stopped: not all of its threads halted in {limit_s * 1e3:g} ms",
        _ADVICE,
    )


def _hold(pid: int, limit_s: float, wants_registers: bool, tell: int, end: int) -> None:
    """Halt all threads, say so, and let them go when the pipe is closed, or the time is up."""
    began_s = time.monotonic()
    deadline_s = began_s + limit_s
    halted: dict[int, Halt] = {}
    try:
        is_held = _halt_all(pid, deadline_s, halted)
        told = halted if is_held and wants_registers else ()
        registers = [(thread, read_words(thread)) for thread in told]
        # Whoever was stopped does not read: the time is up all the same.
        is_read = send(tell, {"held": is_held, "registers": registers}, deadline_s)
        is_asked = is_held and is_read and _wait_for(end, deadline_s)
    finally:
        for thread, how in halted.items():
            let_go(thread, how)
    if is_read:
        pause_ms = (time.monotonic() - began_s) * 1e3
        send(tell, [pause_ms, not is_asked], time.monotonic() + _SAY_S)


def _wait_for(end: int, deadline_s: float) -> bool:
    """Wait until a pipe is closed, the time is up, or all threads have ended; return whether it is.

    Threads that were killed are taken note of: their process does not end for its parent before.
    """
    while (left_s := deadline_s - time.monotonic()) > 0:
        if select.select([end], [], [], min(left_s, _REAP_S))[0]:
            return True
        if not reap():
            break
    return False


def _halt_all(pid: int, deadline_s: float, halted: dict[int, Halt]) -> bool:
    """Halt all threads, new ones too; return whether all were halted in time."""
    met: set[int] = set()
    while new := {*list_threads(pid)} - met:
        met |= new
        halting = {thread for thread in new if halt(thread)}
        if halting != new & {*list_threads(pid)}:
            return False
        while halting:
            for thread in [*halting]:
                how = look(thread)
                if how is not None:
                    halting.discard(thread)
                    if how.is_halted:
                        halted[thread] = how
            if halting and time.monotonic() > deadline_s:
                return False
            if halting:
                time.sleep(_POLL_S)
    return bool(halted)
