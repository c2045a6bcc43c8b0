"""The guard: a small process of its own that repairs a target whose GDB was killed.

    python -I guard.py JOURNAL LIFE CONTROL FOLDER

LIFE is a pipe that only GDB can write to: its end is the end of GDB, and the kernel tells it just
before it lets the target go. That is milliseconds after GDB was killed, for the kernel frees its
memory first. So the agent takes a robust mutex in the file `lock` of FOLDER and says `locked`: the
kernel hands such a mutex over before anything else. CONTROL is a pipe from gdbleak, which says
`gdb PID` when GDB has started and `done` when the target was released; its end without that is the
end of gdbleak. GDB detaches by itself then, unless it hangs. FOLDER is removed when gdbleak is not
there to do it.

It runs as a script, on the standard library alone, to be small and to start fast. `gdbleak rescue`
does later, with the same functions, what the guard did not live to do.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

OBEY_S = 5.0
"""How long a GDB whose controller died may take to detach before it is made to end."""
SETTLE_S = 2.0


_NEEDED = {
    *("pid", "started", "state", "command", "controller", "controller_started"),
    *("breakpoint", "modules", "probes", "scratch"),
}


class Journal:
    """A file of JSON lines: what was planned for a target, and then what became of it."""

    def __init__(self, path: Path) -> None:
        """Read a journal.

        Raises:
            OSError, ValueError: it cannot be read, or is damaged.

        """
        self.path = path
        first, _, rest = path.read_text().partition("\n")
        self.plan: dict[str, Any] = _parse(first)
        self.events: list[dict[str, Any]] = []
        with suppress(ValueError):  # its writer was killed in the midst of the last line
            self.events += map(_parse, rest.splitlines())
        if not self.plan.keys() >= _NEEDED:
            raise ValueError(f"{path} is no journal")

    @property
    def closed(self) -> bool:
        """True when the target was repaired."""
        return any(event.get("closed") for event in self.events)

    def append(self, **event: Any) -> None:
        """Write down what was done."""
        event["time"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.events.append(event)
        # Without creating it: a journal that has been removed is done with.
        with self.path.open("r+") as file:
            file.seek(0, os.SEEK_END)
            file.write(json.dumps(event) + "\n")


def _parse(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError("no object")
    return values


def read_start(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def iter_changes(memory: int, plan: dict[str, Any]) -> Iterator[tuple[int, bytes]]:
    """Yield address and original bytes of each place where bytes of GDB still stand."""
    code = bytes.fromhex(plan["breakpoint"])
    for probe in plan["probes"]:
        if _read(memory, len(code), probe["address"]) == code:
            yield probe["address"], bytes.fromhex(probe["original"])
    address, original = plan["scratch"]["address"], bytes.fromhex(plan["scratch"]["original"])
    if _read(memory, len(original), address) not in (original, b""):
        yield address, original


def _read(memory: int, size: int, address: int) -> bytes:
    try:
        return os.pread(memory, size, address)
    except OSError:  # what was mapped there is not any more
        return b""


def restore(memory: int, plan: dict[str, Any]) -> int:
    """Write the original bytes over those of GDB; return in how many places."""
    restored = 0
    for address, original in iter_changes(memory, plan):
        with suppress(OSError):  # the process has just ended
            restored += os.pwrite(memory, original, address) > 0
    return restored


def wake(plan: dict[str, Any]) -> bool:
    """Continue a target that was left stopped and was not before; return whether it was."""
    pid = plan["pid"]
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline and plan["state"] != "T":
        if read_start(pid) != plan["started"]:
            return False
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "T":
            os.kill(pid, signal.SIGCONT)
            return True
        if state != "t":
            return False
        time.sleep(0.01)
    return False


def repair(memory: int, journal: Journal, who: str, restored: int = 0) -> None:
    """Restore what GDB left behind, and write it down; so many were restored before."""
    restored += restore(memory, journal.plan)
    continued = wake(journal.plan)
    lives = read_start(journal.plan["pid"]) == journal.plan["started"]
    left = sum(1 for _ in iter_changes(memory, journal.plan))
    journal.append(
        who=who, restored=restored, continued=continued, target_lives=lives, closed=left == 0
    )


class _Guard:
    def __init__(self, journal: Journal, life: int, control: int, folder: str) -> None:
        self._journal = journal
        self._life = life
        self._control = control
        self._folder = folder
        self._memory = os.open(f"/proc/{journal.plan['pid']}/mem", os.O_RDWR)
        self._gdb: int | None = None
        self._alone_since: float | None = None
        self._restored = 0
        self._waiting: threading.Thread | None = None

    def run(self) -> None:
        """Watch until gdbleak needs no guard any more, or both it and GDB have gone."""
        watched = [self._control, self._life]
        while watched:
            timeout = None if self._alone_since is None else OBEY_S
            ready = select.select(watched, [], [], timeout)[0]
            if self._life in ready and os.read(self._life, 4096):
                self._waiting = threading.Thread(target=self._wait_for_lock, daemon=True)
                self._waiting.start()
            elif self._life in ready:
                watched.remove(self._life)
                if self._waiting is not None:
                    self._waiting.join(SETTLE_S)
                repair(self._memory, self._journal, "guard", self._restored)
                with suppress(BrokenPipeError):  # nobody waits for it
                    os.write(1, b"repaired\n")
            if self._control in ready:
                words = os.read(self._control, 4096).decode().split()
                if "done" in words:
                    return
                if "gdb" in words:
                    self._gdb = int(words[1])
                if not words:
                    watched.remove(self._control)
                    self._alone_since = time.monotonic()
            if not ready and self._gdb is not None and self._alone_since is not None:
                # Continued, in case somebody has stopped it, it sees that gdbleak has gone. After
                # a SIGTERM it would end without a detach too.
                late = time.monotonic() - self._alone_since > 1.5 * OBEY_S
                os.kill(self._gdb, signal.SIGKILL if late else signal.SIGCONT)
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._journal.closed:
            self._journal.path.unlink()

    def _wait_for_lock(self) -> None:
        """Restore as soon as the kernel says that the thread of GDB that held the lock is dying."""
        with Path(self._folder, "lock").open("r+b") as file, mmap.mmap(file.fileno(), 0) as page:
            lock = ctypes.c_char.from_buffer(page)
            if ctypes.CDLL(None).pthread_mutex_lock(ctypes.byref(lock)) == errno.EOWNERDEAD:
                self._restored = restore(self._memory, self._journal.plan)
            del lock  # the page cannot be closed before


def hurry() -> None:
    """Ask to be run before others as soon as GDB has gone; the kernel grants it to root."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def main(arguments: list[str]) -> None:
    """Guard until GDB or the need for a guard has gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    journal, life, control, folder = arguments
    hurry()
    guard = _Guard(Journal(Path(journal)), int(life), int(control), folder)
    os.write(1, b"ready\n")
    guard.run()


if __name__ == "__main__":
    main(sys.argv[1:])
