"""The guard: a small process of its own that repairs a target whose GDB was killed.

A recorder that was put into the target stays there, because it does no harm; but a target that GDB
has halted to put it in has to be continued.

    main([JOURNAL, LIFE, CONTROL, FOLDER])

LIFE is a pipe that only GDB can write to: its end is the end of GDB, and the kernel tells it just
before it lets the target go. That is milliseconds after GDB was killed, for the kernel frees its
memory first. So the agent takes a robust mutex in the file `lock` of FOLDER and says `locked`: the
kernel hands such a mutex over before anything else. CONTROL is a pipe from gdbleak, with the lines

    tries PID        a GDB has started, which does not touch the target yet
    gdb PID          it may touch it now; at the end of its input it detaches by itself
    gdb PID halts    the same, but it must halt the target first: the guard has it do that
    end              GDB does not let go of the target: end it without harm
    beat             gdbleak is at work; if the next is late the guard takes the breakpoints out
                     and has GDB detach
    released         the target was released, and what happens to GDB does not matter
    done             there is nothing more to guard

Its end without `done` is the end of gdbleak. FOLDER is removed when gdbleak is not there to do it.

It runs on the standard library alone, as do the modules that it imports, to be small and to start
fast.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import select
import shutil
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from gdbleak.safety.deputy import Deputy
from gdbleak.safety.forced_end import end_debugger
from gdbleak.safety.journal import Journal
from gdbleak.safety.repair import (
    SETTLE_S,
    disarm,
    is_as_it_was,
    may_write,
    read_tracer,
    repair,
    restore,
)

OBEY_S = 5.0
"""How long a GDB whose controller died may take to detach before it is made to end."""
BEAT_S = 0.9
"""How long a gdbleak that is at work may be silent."""
STEP_S = 0.05
"""How long GDB may take to see to those who have run into breakpoints."""
LEAVE_S = 0.05
"""How often a GDB whose controller died is asked to let a halted target go."""


class _Guard:
    def __init__(self, journal: Journal, life: int, control: int, folder: str) -> None:
        self._journal = journal
        self._life = life
        self._control = control
        self._folder = folder
        self._memory = os.open(f"/proc/{journal.plan['pid']}/mem", os.O_RDWR)
        self._gdb: int | None = None
        self._deputy: Deputy | None = None
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
        if self._journal.closed or is_as_it_was(self._memory, self._journal.plan):
            self._journal.path.unlink(missing_ok=True)

    def _disarm(self) -> None:
        """Take the breakpoints out under GDB, which sees to who has run into one already."""
        self._beat_at = None
        if not self._released and read_tracer(self._journal.plan["pid"]) == self._gdb:
            disarm(self._memory, self._journal.plan)

    def _let_go(self) -> None:
        """Have GDB detach: when its output pipe is full and not read, it halts the target for good.

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
                self._deputy = Deputy(self._gdb, self._journal.plan["pid"])
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
