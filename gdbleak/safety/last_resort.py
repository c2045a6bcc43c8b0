"""How a GDB that cannot let go of its target is ended, and when that does no harm.

A thread that does not stop (its child of vfork runs on, a file system does not answer) keeps GDB
waiting, at the attach and at the detach, and all other threads with it. The death of GDB frees
them. That does no harm if no breakpoint is in the code, and no thread stands where only GDB can
help it on.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gdbleak.architectures import X86_64
from gdbleak.host.waiting import wait_until
from gdbleak.plan.allocators import iter_changed
from gdbleak.readable import Readable
from gdbleak.recording.probes import Probe
from gdbleak.safety.guarding import Guarding
from gdbleak.safety.repair import read_tracer
from gdbleak.safety.scratch import Scratch
from gdbleak.target.proc import Memory, list_threads, read_state

_SETTLE_S = 0.02
"""How long GDB may take to see to those who have run into breakpoints."""
_STOP_S = 1.0
"""How long GDB may take to be stopped by a SIGSTOP."""


class Tracer(Protocol):
    """A GDB that holds a target, as far as it takes to end it."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def wake(self) -> None:
        """Continue it."""

    def end(self) -> None:
        """Kill it and wait for its end."""


class LastResort:
    """Disarms a target without GDB, and ends GDB when that does no harm."""

    def __init__(
        self,
        tracer: Tracer,
        guard: Guarding,
        pid: int,
        probes: tuple[Probe, ...],
        scratch: Scratch,
        memory: Readable,
    ) -> None:
        """Take down where breakpoints are or will be.

        Args:
            tracer: The GDB that holds the target.
            guard: Knows how to end it.
            pid: The target.
            probes: Where its breakpoints are.
            scratch: Where GDB steps over them.
            memory: The memory of the target.

        """
        self._tracer = tracer
        self._guard = guard
        self._pid = pid
        self._probes = probes
        self._scratch = scratch
        self._memory = memory
        # Where a thread stands that has run into a breakpoint, until GDB has moved it back, and one
        # that steps over it.
        self._helpless = {probe.address + len(X86_64.breakpoint) for probe in probes}
        self._helpless |= {scratch.address + offset for offset in range(len(scratch.original))}

    def disarm(self) -> None:
        """Write the old bytes over all breakpoints, and let GDB see to who has run into one."""
        self._write_over()
        wait_until(lambda: not any(map(self._is_halted, list_threads(self._pid))), _SETTLE_S)

    def _is_halted(self, thread: int) -> bool:
        return read_state(self._pid, thread) == "t"

    def _write_over(self) -> None:
        if read_tracer(self._pid) != self._tracer.pid:  # then they are not ours
            return
        with suppress(OSError), Memory(self._pid, writable=True) as memory:
            for probe in iter_changed(self._probes, memory):
                memory.write(probe.address, bytes.fromhex(probe.original))

    def end(self, attaching: bool = False) -> bool:
        """End GDB, if that does no harm.

        Args:
            attaching: Whether it is still before its first breakpoint.

        Returns:
            Whether it was ended; otherwise it runs on.

        """
        tracer = self._tracer
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(tracer.pid, signal.SIGSTOP)
        wait_until(lambda: read_state(tracer.pid) in ("T", "Z", None), _STOP_S)
        if self._is_harmless(attaching):
            self._guard.end_debugger()
            tracer.end()
            return True
        tracer.wake()
        return False

    def _is_harmless(self, attaching: bool) -> bool:
        if any(iter_changed(self._probes, self._memory)):
            return False
        if attaching:
            return True
        if not self._scratch.is_intact(self._memory):
            return False
        return all(map(self._stands_well, list_threads(self._pid)))

    def _stands_well(self, thread: int) -> bool:
        """Whether a thread is halted where it can go on by itself.

        Source: proc(5), /proc/PID/task/TID/syscall: its program counter is the last number, and
        `running` stands there for a thread that is not halted.
        """
        try:
            words = Path(f"/proc/{self._pid}/task/{thread}/syscall").read_text().split()
            place = int(words[-1], 16)
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            return True
        except (OSError, ValueError, IndexError):
            return False
        return place not in self._helpless
