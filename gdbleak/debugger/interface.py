"""A running GDB, through its machine interface.

`records` parses the lines. A reply is known by its token, and a dead GDB by the end of its output;
nothing waits until GDB is quiet.
Source of the protocol: GDB manual, "GDB/MI Output Syntax".
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gdbleak.debugger.blank_program import write_blank_program
from gdbleak.debugger.program import SAFE_OPTIONS, GdbProgram, safe_environment
from gdbleak.debugger.records import parse
from gdbleak.errors import DebuggerFailedError

# These come beside the options for safety. No symbols and no libraries are read, so that the pause
# of the target does not depend on their size. GDB works asynchronously: it listens while the target
# runs, and can be told to detach without an interrupt, which would be a SIGINT to the target.
# Displaced stepping, GDB's default, stays on: without it GDB halts every other thread at each
# breakpoint, and each time their epoll_wait comes back with EINTR.
_OPTIONS = (
    "--readnever",
    *("-iex", "set auto-solib-add off"),
    *("-iex", "set exec-file-mismatch off"),
    *("-iex", "set mi-async on"),
    # With more threads GDB takes longer to end, and the guard waits for that.
    *("-iex", "maint set worker-threads 0"),
    *("-iex", "set displaced-stepping auto"),
    # "all" leaves out SIGINT and SIGTRAP. SIGTRAP must not pass: our breakpoints are made of it.
    *("-ex", "handle all nostop noprint pass"),
    *("-ex", "handle SIGINT nostop noprint pass"),
    # GDB halts threads by SIGSTOP; if it passed, it would leave the target stopped.
    *("-ex", "handle SIGSTOP nostop noprint nopass"),
    # The signals of job control are the target's own; they take effect at the detach.
    *("-ex", "handle SIGTSTP SIGTTIN SIGTTOU nostop print pass"),
)


END_TIMEOUT_S = 10.0
PIPE_BYTES = 1 << 20
"""How much GDB can write before we read it: the start of some 10,000 threads."""
_F_SETPIPE_SZ = 1031  # fcntl(2), since Linux 2.6.35; Python names it since 3.10

# GDB tells of these only in words for people.
_JOB_CONTROL = re.compile(r" received signal (SIGTSTP|SIGTTIN|SIGTTOU),")
_CHILD = re.compile(r"\[Detaching after (v?)fork from child (?:process (\d+))?")
_PYTHON_ERROR = re.compile(r"\w+(Error|Exception)\b")


class DebuggerDiedError(DebuggerFailedError):
    """GDB has ended."""


class DebuggerSilentError(DebuggerFailedError):
    """GDB does not answer; it may do so later."""


class Debugger:
    """A running GDB. Every method may raise DebuggerDiedError once GDB has ended."""

    def __init__(
        self,
        gdb: GdbProgram,
        script: str | None,
        folder: Path,
        machine: int,
        life: int | None = None,
    ) -> None:
        """Start GDB with a script.

        Args:
            gdb: The program.
            script: Absolute path of a Python file for GDB to load, or None.
            folder: A private folder that stays until GDB has ended, its current one.
            machine: `e_machine` of the target.
            life: A descriptor that GDB holds open as long as it lives, or None.

        """
        # A blank program keeps GDB from reading the symbols of the real one during the attach. An
        # empty folder as the root of the target's files keeps it from reading the C library, which
        # `auto-solib-add off` does not.
        write_blank_program(folder / "blank", machine)
        (folder / "empty").mkdir()
        self.events: list[dict[str, Any]] = []
        """Asynchronous records, as long as nobody has taken them."""
        self.children = 0
        """How many processes the target has started; GDB lets them go."""
        self.forked: list[int] = []
        """The PIDs of those not made by vfork, as long as nobody has taken them."""
        self.stop_signal: str | None = None
        """The last signal of job control that was sent to the target, by name."""
        self.is_halted = False
        """Whether the target is halted, by what GDB has reported last."""
        self.complaint = ""
        """The last error of Python that GDB has printed, such as one in the script."""
        self.halted_by: str | None = None
        """The signal that has halted it last, by name; None if something else has."""
        self._token = 0
        self._results: dict[int | None, dict[str, Any]] = {}
        self._console: list[str] = []
        self._rest = b""
        self._process = subprocess.Popen(
            [
                *(gdb.path, *SAFE_OPTIONS, *_OPTIONS, "--interpreter=mi2"),
                *("-iex", "set sysroot empty", "-iex", "set debug-file-directory empty"),
                *("-iex", "set libthread-db-search-path empty", "-iex", "exec-file blank"),
                *(("-x", script) if script else ()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=folder,
            env=safe_environment(),
            pass_fds=() if life is None else (life,),
            start_new_session=True,
        )
        self.pid = self._process.pid
        """Process id of GDB, or of the script that has started it until that is noticed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        with suppress(OSError):  # it may be more than this user may have, or this kernel knows
            # GDB writes a line for each thread that starts, and must not wait until we read it.
            fcntl.fcntl(self._output, _F_SETPIPE_SZ, PIPE_BYTES)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)

    def fileno(self) -> int:
        """The descriptor that becomes readable when GDB says something or dies."""
        return self._output.fileno()

    def execute(self, command: str, timeout_s: float) -> tuple[dict[str, Any], str]:
        """Run a machine-interface command, and wait for its answer.

        Returns:
            Its result record, and the console output before that.

        Raises:
            DebuggerFailedError: GDB refused it, or did not answer in time.

        """
        token = self.ask(command)
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self.answer(token)
            if answer:
                return answer
            if time.monotonic() >= deadline:
                raise DebuggerSilentError(
                    f"gdb (process {self.pid}) did not answer `{command}` within {timeout_s:g} s"
                )
            self._read(deadline - time.monotonic())

    def ask(self, command: str) -> int:
        """Send a machine-interface command; return the token of its answer, for `answer`."""
        self._token += 1
        self._console.clear()
        self._send(f"{self._token}{command}\n")
        return self._token

    def tell(self, command: str) -> None:
        """Send a machine-interface command, and do not ask for its answer."""
        self._send(f"{command}\n")

    def answer(self, token: int) -> tuple[dict[str, Any], str] | None:
        """Return what `execute` returns, or None as long as GDB has not answered.

        Raises:
            DebuggerFailedError: GDB refused the command.

        """
        record = self._results.pop(token, None)
        if record is None:
            return None
        if record["message"] == "error":
            reason = (record["payload"] or {}).get("msg", "it gives no reason")
            raise DebuggerFailedError(f"gdb: {reason}")
        return record, "".join(self._console)

    def execute_console(self, command: str, timeout_s: float) -> str:
        """Run a console command and return what it printed."""
        return self.execute(f"-interpreter-exec console {json.dumps(command)}", timeout_s)[1]

    def poll(self, timeout_s: float = 0) -> None:
        """Take in what GDB has written; if there is nothing, wait for so long."""
        self._read(timeout_s)

    def forget(self) -> None:
        """Forget what GDB has told of the target before."""
        self.events.clear()
        self.children = 0
        self.forked.clear()
        self.stop_signal = None

    def wait_until_halted(self, timeout_s: float) -> None:
        """Wait until GDB has reported that the target is halted, or has ended.

        Raises:
            DebuggerFailedError: it did not in time.

        """
        deadline = time.monotonic() + timeout_s
        while not self.is_halted:
            self.wait(max(deadline - time.monotonic(), 0))

    def wake(self) -> None:
        """Continue GDB, in case it was stopped by a signal."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)

    def wait(self, timeout_s: float) -> None:
        """Take in what GDB writes next.

        Raises:
            DebuggerFailedError: it writes nothing in time.

        """
        if not self._selector.select(timeout_s):
            raise DebuggerSilentError(
                f"gdb (process {self.pid}) has said nothing for {timeout_s:g} s"
            )
        self._read(0)

    def end(self) -> None:
        """Kill a GDB that does not obey; at a SIGTERM it would not detach either."""
        if self._process.poll() is None:
            # Its whole session, because the program may be a script that has started GDB.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Kill it and close its pipes, once or again."""
        self.end()
        self._selector.close()
        self._input.close()
        self._output.close()

    def __enter__(self) -> Debugger:
        return self

    def __exit__(self, *_: object) -> None:
        """Let GDB exit, which has no target any more."""
        try:
            with suppress(DebuggerDiedError):  # which is what is wanted
                self._send("-gdb-exit\n")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_TIMEOUT_S)
        finally:  # Ctrl-C ends the wait
            self.close()

    def _send(self, text: str) -> None:
        try:
            self._input.write(text.encode())
        except BrokenPipeError as error:
            raise self._death() from error

    def _read(self, timeout_s: float) -> None:
        """Take in the records of one read."""
        if not self._selector.select(max(timeout_s, 0)):
            return
        data = self._output.read(1 << 16)
        if data == b"":
            raise self._death()
        *lines, self._rest = (self._rest + (data or b"")).split(b"\n")
        for record in map(parse, lines):
            if record["type"] == "notify":
                self.events.append(record)
                if record["message"] in ("stopped", "running"):
                    self.is_halted = record["message"] == "stopped"
                    self.halted_by = (record["payload"] or {}).get("signal-name")
            elif record["type"] == "result":
                self._results[record["token"]] = record
            elif record["type"] in ("console", "log"):
                self._hear(record["type"], record["payload"])

    def _hear(self, stream: str, words: str) -> None:
        if stream == "console":
            self._console.append(words)
        elif _PYTHON_ERROR.match(words):
            self.complaint = words.strip()
        # Which of the two streams this comes on differs between versions.
        child = _CHILD.match(words)
        self.children += bool(child)
        if child and child[2] and not child[1]:
            self.forked.append(int(child[2]))
        stop_signal = _JOB_CONTROL.match(words)
        if stop_signal:
            self.stop_signal = stop_signal[1]

    def _death(self) -> DebuggerDiedError:
        status = self._process.wait()
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        return DebuggerDiedError(f"gdb (process {self.pid}) {how}")
