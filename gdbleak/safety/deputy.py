"""The guard's voice to a GDB whose gdbleak has died.

On the standard library alone, because the guard is.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from gdbleak.safety.repair import read_tracer


class Deputy:
    """Speaks to GDB when gdbleak has died: it is to halt the target, and then to let it go.

    As long as the other end of its input is held open, GDB does not detach by itself.
    """

    def __init__(self, gdb: int, target: int) -> None:
        self._gdb = gdb
        self._target = target
        self._input = os.open(f"/proc/{gdb}/fd/0", os.O_WRONLY)
        self._output = os.open(f"/proc/{gdb}/fd/1", os.O_RDONLY | os.O_NONBLOCK)
        self._halting = False

    def ask(self) -> None:
        """Ask for what has to come next; GDB does not let go of a target that runs."""
        with suppress(OSError):  # what it says does not matter, but must not block it
            while os.read(self._output, 1 << 16):
                continue
        commands = ["gdbleak-leave"]
        if not self._halting:
            self._halting = True
            commands.insert(0, "handle SIGSTOP stop print nopass")
        with suppress(OSError):  # it has just ended
            for command in commands:
                # After a new line: gdbleak may have died in the midst of one.
                os.write(self._input, f'\n-interpreter-exec console "{command}"\n'.encode())
            if len(commands) > 1 and read_tracer(self._target) == self._gdb:
                os.kill(self._target, signal.SIGSTOP)

    def close(self) -> None:
        """Let GDB go."""
        os.close(self._input)
        os.close(self._output)
