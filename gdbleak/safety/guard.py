"""The guard: a small process of its own that repairs a target whose GDB was killed.

    python -I guard.py JOURNAL LIFE CONTROL FOLDER

LIFE is a pipe that only GDB can write to: its end is the end of GDB, and the kernel tells it just
before it lets the target go. That is milliseconds after GDB was killed, for the kernel frees its
memory first. So the agent takes a robust mutex in the file `lock` of FOLDER and says `locked`: the
kernel hands such a mutex over before anything else. CONTROL is a pipe from gdbleak, with the lines

    tries PID        a GDB has started, which does not touch the target yet
    gdb PID          it may touch it now; at the end of its input it detaches by itself
    gdb PID halts    the same, but it must halt the target first: the guard has it do that
    end              GDB does not let go of the target, and is to be ended without harm
    beat             gdbleak is at work; if the next is late the guard takes the breakpoints out
                     and has GDB detach
    released         the target was released, and what happens to GDB is of no interest
    done             there is nothing more to guard

Its end without `done` is the end of gdbleak. FOLDER is removed when gdbleak is not there to do it.

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
BEAT_S = 0.9
"""How long a gdbleak that is at work may be silent."""
DEATH_S, HALT_S = 2.0, 0.1
"""How long GDB may take to die, and the threads that it held may take to be stopped."""
_PTRACE_SEIZE, _PTRACE_DETACH, _WALL = 0x4206, 17, 0x40000000
STEP_S = 0.05
"""How long GDB may take to see to those who have run into breakpoints."""
LEAVE_S = 0.05
"""How often a GDB whose controller died is asked to let a halted target go."""

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
        with suppress(FileNotFoundError), self.path.open("r+") as file:
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


def disarm(memory: int, plan: dict[str, Any]) -> int:
    """Write the original bytes over the breakpoints while GDB lives; return over how many."""
    code, restored = bytes.fromhex(plan["breakpoint"]), 0
    for probe in plan["probes"]:
        if _read(memory, len(code), probe["address"]) == code:
            with suppress(OSError):  # the process has just ended
                restored += os.pwrite(memory, bytes.fromhex(probe["original"]), probe["address"])
    return restored


def wake(plan: dict[str, Any]) -> bool:
    """Continue a target that was left stopped, or is about to stop, and was not before.

    Returns whether it was.
    """
    pid = plan["pid"]
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline and plan["state"] != "T":
        if read_start(pid) != plan["started"]:
            return False
        state = _read_state(pid)
        if state == "T" or (state != "t" and has_pending_stop(pid)):
            os.kill(pid, signal.SIGCONT)
            return True
        if state != "t":
            return False
        time.sleep(0.01)
    return False


def has_pending_stop(pid: int) -> bool:
    """Whether a SIGSTOP is on its way to a process or one of its threads.

    Source: proc(5), SigPnd and ShdPnd in /proc/PID/status.
    """
    for path in Path(f"/proc/{pid}/task").glob("*/status"):
        with suppress(OSError):  # the thread has just ended
            for line in path.read_bytes().splitlines():
                name, _, mask = line.partition(b":")
                if name in (b"SigPnd", b"ShdPnd") and int(mask, 16) >> signal.SIGSTOP - 1 & 1:
                    return True
    return False


def repair(
    memory: int, journal: Journal, who: str, debugger: int | None = None, restored: int = 0
) -> None:
    """Restore what GDB left behind, and write it down.

    Args:
        memory: A descriptor of the target's memory, for reading and writing.
        journal: Of the trace.
        who: Repairs.
        debugger: The GDB of the trace. What stands in the code is another's if that traces it.
        restored: In how many places that was done before.

    """
    if not may_write(journal.plan["pid"], debugger):
        journal.append(who=who, restored=0, traced_by_another=True, closed=True)
        return
    restored += restore(memory, journal.plan)
    continued = wake(journal.plan)
    lives = read_start(journal.plan["pid"]) == journal.plan["started"]
    left = sum(1 for _ in iter_changes(memory, journal.plan))
    journal.append(
        who=who, restored=restored, continued=continued, target_lives=lives, closed=left == 0
    )


def may_write(pid: int, debugger: int | None) -> bool:
    """Whether nobody traces a process but a GDB of ours, which may be about to end."""
    return read_tracer(pid) in (0, debugger)


def read_tracer(pid: int) -> int:
    """Return who traces a process; 0 for nobody, or if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
            if line.startswith(b"TracerPid:"):
                return int(line.split()[1])
    return 0


def end_debugger(debugger: int, pid: int) -> None:
    """Kill the GDB that holds a process, so that no thread dies of having been stepped by it.

    Such a thread keeps the flag by which the processor traps after each instruction. The kernel
    takes it back when a tracer detaches, not when it dies. So the threads go over from the hands of
    GDB into a stop, and from there through ours.

    Source: ptrace(2), PTRACE_SEIZE of a stopped thread; ptrace_disable and exit_ptrace in Linux.
    """
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        # With its whole group, which is its own: a script may have started it.
        os.killpg(os.getpgid(debugger), signal.SIGKILL)
        deadline = time.monotonic() + DEATH_S
        while read_tracer(pid) == debugger and time.monotonic() < deadline:
            time.sleep(0.001)
        deadline = time.monotonic() + HALT_S
        for thread in Path(f"/proc/{pid}/task").iterdir():
            _pass_through(int(thread.name), deadline)
        os.kill(pid, signal.SIGCONT)


def _pass_through(thread: int, deadline: float) -> None:
    """Attach to a thread that is about to be stopped, and detach again."""
    with suppress(OSError, IndexError):  # it has ended
        while (state := _read_state(thread)) not in "TDZX" and time.monotonic() < deadline:
            time.sleep(0.001)
        ptrace = ctypes.CDLL(None).ptrace
        ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
        # One that waits in the kernel was not stepped.
        if state == "T" and ptrace(_PTRACE_SEIZE, thread, None, None) == 0:
            while os.waitpid(thread, _WALL | os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
                time.sleep(0.001)
            ptrace(_PTRACE_DETACH, thread, None, None)


def _read_state(thread: int) -> str:
    return Path(f"/proc/{thread}/stat").read_text().rpartition(")")[2].split()[0]


class _Deputy:
    """Speaks to GDB when gdbleak has died: it is to halt the target, and then to let it go.

    Who holds the other end of its input keeps GDB from detaching by itself.
    """

    def __init__(self, gdb: int, target: int) -> None:
        self._gdb = gdb
        self._target = target
        self._input = os.open(f"/proc/{gdb}/fd/0", os.O_WRONLY)
        self._output = os.open(f"/proc/{gdb}/fd/1", os.O_RDONLY | os.O_NONBLOCK)
        self._halting = False

    def ask(self) -> None:
        """Ask for what has to come next; GDB does not let go of a target that runs."""
        with suppress(OSError):  # what it has to say is of no interest, but must not block it
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


class _Guard:
    def __init__(self, journal: Journal, life: int, control: int, folder: str) -> None:
        self._journal = journal
        self._life = life
        self._control = control
        self._folder = folder
        self._memory = os.open(f"/proc/{journal.plan['pid']}/mem", os.O_RDWR)
        self._gdb: int | None = None
        self._deputy: _Deputy | None = None
        self._alone_since: float | None = None
        self._beat_at: float | None = None
        self._released = False
        self._restored = 0
        self._waiting: threading.Thread | None = None
        self._watched = [control, life]

    def run(self) -> None:
        """Watch until gdbleak needs no guard any more, or both it and GDB have gone."""
        while self._watched:
            ready = select.select(self._watched, [], [], self._timeout_s())[0]
            if self._control in ready:  # first: it may say that GDB's end does not matter
                words = os.read(self._control, 4096).decode()
                if not words:
                    self._watched.remove(self._control)
                    self._alone_since = time.monotonic()
                    self._disarm()
                for line in filter(None, words.splitlines()):
                    if line == "done":
                        return
                    self._obey(*line.split())
            if self._life in ready and self._life in self._watched:
                self._hear_gdb(os.read(self._life, 4096))
            if self._alone_since is not None and self._life in self._watched:
                self._end_gdb(time.monotonic() - self._alone_since)
            elif self._beat_at is not None and time.monotonic() - self._beat_at >= BEAT_S:
                self._disarm()
                os.write(1, f"disarmed {time.monotonic_ns()}\n".encode())
                time.sleep(STEP_S)
                self._let_go()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._journal.closed or not any(iter_changes(self._memory, self._journal.plan)):
            self._journal.path.unlink(missing_ok=True)

    def _disarm(self) -> None:
        """Take the breakpoints out under GDB, which sees to who has run into one already."""
        self._beat_at = None
        if not self._released and read_tracer(self._journal.plan["pid"]) == self._gdb:
            disarm(self._memory, self._journal.plan)

    def _let_go(self) -> None:
        """Have GDB detach: once a pipe that nobody reads is full it halts the target for good.

        With the breakpoints out a GDB before 11 may do that while the target runs, too.
        """
        if self._gdb is None or read_tracer(self._journal.plan["pid"]) != self._gdb:
            return
        with suppress(OSError):  # it has just ended, or is stopped
            gdb_input = os.open(f"/proc/{self._gdb}/fd/0", os.O_WRONLY | os.O_NONBLOCK)
            # After a new line: gdbleak may have been stopped in the midst of one.
            os.write(gdb_input, b"\n-target-detach\n")
            os.close(gdb_input)

    def _timeout_s(self) -> float | None:
        if self._alone_since is not None:
            return LEAVE_S if self._deputy else OBEY_S
        if self._beat_at is not None:
            return max(self._beat_at + BEAT_S - time.monotonic(), 0)
        return None

    def _obey(self, command: str, *arguments: str) -> None:
        if command == "beat":
            self._beat_at = time.monotonic()
            return
        if command == "tries":
            self._gdb = int(arguments[0])
            return
        if command == "released":
            self._released, self._beat_at = True, None
            if self._life in self._watched:
                self._watched.remove(self._life)
            if self._deputy:
                self._deputy.close()
        elif command == "end":
            if self._gdb is not None:
                end_debugger(self._gdb, self._journal.plan["pid"])
        elif command == "gdb":
            self._gdb = int(arguments[0])
            if "halts" in arguments:
                self._deputy = _Deputy(self._gdb, self._journal.plan["pid"])
        os.write(1, b"noted\n")

    def _hear_gdb(self, said: bytes) -> None:
        if said:
            self._waiting = threading.Thread(target=self._wait_for_lock, daemon=True)
            self._waiting.start()
            return
        self._watched.remove(self._life)
        if self._waiting is not None:
            self._waiting.join(SETTLE_S)
        repair(self._memory, self._journal, "guard", self._gdb, self._restored)
        with suppress(BrokenPipeError):  # nobody waits for it
            os.write(1, b"repaired\n")

    def _end_gdb(self, alone_s: float) -> None:
        """Have a GDB let go of the target whose controller has died so long ago."""
        if self._deputy and alone_s < OBEY_S:
            self._deputy.ask()
        elif self._gdb is not None and alone_s >= OBEY_S:
            # Continued, in case somebody has stopped it, it sees that gdbleak has gone. After
            # a SIGTERM it would end without a detach too.
            if alone_s > 1.5 * OBEY_S:
                end_debugger(self._gdb, self._journal.plan["pid"])
            else:
                with suppress(ProcessLookupError):
                    os.killpg(os.getpgid(self._gdb), signal.SIGCONT)

    def _wait_for_lock(self) -> None:
        """Restore as soon as the kernel says that the thread of GDB that held the lock is dying."""
        try:
            file = os.open(Path(self._folder, "lock"), os.O_RDWR)
        except FileNotFoundError:  # gdbleak was killed, and its folder is gone already
            return
        with mmap.mmap(file, 0) as page:
            lock = ctypes.c_char.from_buffer(page)
            owner_died = (
                ctypes.CDLL(None).pthread_mutex_lock(ctypes.byref(lock)) == errno.EOWNERDEAD
            )
            may_write_it = may_write(self._journal.plan["pid"], self._gdb)
            if owner_died and not self._released and may_write_it:
                self._restored = restore(self._memory, self._journal.plan)
            del lock  # the page cannot be closed before


def hurry() -> None:
    """Ask to be run before others as soon as GDB has gone; the kernel grants it to root."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def main(arguments: list[str]) -> None:
    """Guard until GDB or the need for a guard has gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
    journal, life, control, folder = arguments
    hurry()
    guard = _Guard(Journal(Path(journal)), int(life), int(control), folder)
    os.write(1, b"ready\n")
    guard.run()


if __name__ == "__main__":
    main(sys.argv[1:])
