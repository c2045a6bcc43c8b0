"""The controller's side of the stand-in."""

from __future__ import annotations

import json
import selectors
import signal
import subprocess
import sys
from pathlib import Path

from gdbleak.architectures import X86_64
from gdbleak.capture import stand_in
from gdbleak.capture.agent import ANSWER_TIMEOUT_S
from gdbleak.errors import DebuggerFailedError
from gdbleak.recording.probes import Probe, Role
from gdbleak.target.proc import Memory, list_threads

READY_TIMEOUT_S = 20.0
DEATH_S = 2.0
"""How long the death of a process may take that has closed its pipes."""

CALLED, RARE = range(2)
"""Ids of the probes: at the function that is called, and at one that never is."""
_FAILED = "a process of gdbleak's own did not start"
_AGAIN = "again; this host may be out of memory or processes, or a limit too low: see `ulimit -a`"


class StandIn:
    """The stand-in that runs."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            DebuggerFailedError: it did not start.

        """
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(stand_in.__file__).absolute())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise DebuggerFailedError(_FAILED, _AGAIN) from error
        self.pid = self._process.pid

    def meet(self) -> tuple[Probe, ...]:
        """Wait until it is ready, and return where breakpoints can be set in it.

        Raises:
            DebuggerFailedError: it did not start.

        """
        said = self._hear(READY_TIMEOUT_S)
        if said is None or len(list_threads(self.pid)) < said["threads"]:
            raise DebuggerFailedError(_FAILED, _AGAIN)
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
                for number, name in ((CALLED, "called"), (RARE, "rare"))
            )

    def ask(self, command: str) -> dict[str, int] | None:
        """Give a command; return the answer, or None when it does not come in time."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command.encode() + b"\n")
        except BrokenPipeError:
            return None
        return self._hear(ANSWER_TIMEOUT_S)

    def describe_end(self) -> str | None:
        """Say how it has ended, or is about to end, if it has."""
        try:
            status = self._process.wait(DEATH_S)
        except subprocess.TimeoutExpired:
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
