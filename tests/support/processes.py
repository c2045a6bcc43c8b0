"""Start programs, talk to them line by line, and look at what the kernel says about them."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil

from gdbleak.target.proc import find_data, list_threads, read_mappings, read_state

T = TypeVar("T")

_SEIZE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(0x4206, int(sys.argv[1]), None, None) == -1:  # PTRACE_SEIZE
    sys.exit(os.strerror(ctypes.get_errno()))
print("ready", flush=True)
sys.stdin.read()
"""
TRACER = [sys.executable, "-c", _SEIZE]
"""Command that traces the PID given as argument until its stdin is closed."""


def wait_until(condition: Callable[[], T], what: str, deadline_s: float = 20) -> T:
    """Return what `condition` returns as soon as that is true."""
    give_up = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < give_up, f"waited {deadline_s} s in vain until {what}"
        time.sleep(0.005)
    return value


def status_of(path: Path) -> dict[str, str]:
    """Return the fields of a `status` file of /proc."""
    return dict(line.split(":\t", 1) for line in (path / "status").read_text().splitlines())


def state_of(pid: int) -> str:
    """Return the letter of the state a process is in."""
    return status_of(Path(f"/proc/{pid}"))["State"][0]


def states_of(pid: int) -> list[str | None]:
    """Return the letters of the states that a process's threads are in; None of one that ends."""
    return [read_state(pid, thread) for thread in list_threads(pid)]


def lives(process: psutil.Process) -> bool:
    """Return whether a process runs, rather than waiting for its parent to notice its end."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_as_found(pid: int) -> None:
    """Assert that nobody traces a process, nothing stopped it, and its code is its files'."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended by now
            status = status_of(thread)
            assert (status["TracerPid"], status["State"][0] in "RSDZX") == ("0", True), status
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, permissions, offset, _, inode, *path = line.split(maxsplit=5)
            if "x" in permissions and inode != "0":
                start, end = (int(address, 16) for address in span.split("-"))
                file_path = Path(path[0])
                if not file_path.exists():  # only from where the process is
                    file_path = Path(f"/proc/{pid}/map_files/{span}")
                with file_path.open("rb") as file:
                    file.seek(int(offset, 16))
                    code = file.read(end - start)
                memory.seek(start)
                assert memory.read(len(code)) == code, f"code of {path[0]} was changed"


def data_of_libc(pid: int) -> tuple[int, int] | None:
    """Return the range of the writable data of a process's C library."""
    mappings = read_mappings(pid)
    names = (mapping.path for mapping in mappings)
    path = next(path for path in names if Path(path).name.startswith(("libc.so", "libc-2")))
    return find_data(mappings, path)


class Lines:
    """The lines of a pipe, each to come within a deadline."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe
        self._pipe = pipe
        self._rest = b""
        self.seen = ""

    def next(self, deadline_s: float = 60) -> str:
        """Return the next line without its end; raise EOFError after the last."""
        give_up = time.monotonic() + deadline_s
        while b"\n" not in self._rest:
            left_s = max(0, give_up - time.monotonic())
            assert select.select([self._pipe], [], [], left_s)[0], f"no line after: {self.seen}"
            data = self._pipe.read(65536)
            if not data:
                raise EOFError(f"the last lines were: {self.seen}{self._rest.decode()}")
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        self.seen += line.decode() + "\n"
        return line.decode()

    def rest(self, deadline_s: float = 60) -> str:
        """Return everything up to the end, what was seen before included."""
        try:
            while True:
                self.next(deadline_s)
        except EOFError:
            return self.seen + self._rest.decode()


@contextmanager
def running(*command: str | Path) -> Iterator[Target]:
    """Start a program that says "ready", and end it; it must stand then as it stood before."""
    target = Target(command)
    try:
        assert target.lines.next() == "ready"
        yield target
        target.assert_as_found()
    finally:
        target.end()


class Target:
    """A running program that says "ready", then obeys the lines it reads."""

    def __init__(self, command: Sequence[str | Path], **options: Any) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            **{"start_new_session": True, **options},
        )
        self.pid = self.process.pid
        self.lines = Lines(self.process.stdout)

    def tell(self, command: str) -> None:
        """Give a command that has no answer."""
        assert self.process.stdin
        self.process.stdin.write(command.encode() + b"\n")

    def ask(self, command: str) -> str:
        """Give a command and return its answer."""
        self.tell(command)
        return self.lines.next()

    def wait(self) -> int:
        """Return the exit code, once there is one."""
        return self.process.wait(60)

    def assert_as_found(self) -> None:
        """Assert that nobody traces it, nothing stopped it, and its code is that of its files."""
        assert_as_found(self.pid)

    def end(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(60)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
