"""A terminal to run the command line on: what is drawn on it, and how it is left."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

import psutil
import pyte

from support.cli import GDBLEAK
from support.processes import Lines, lives

_SHELL = """
import fcntl, os, signal, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
for number in (signal.SIGINT, signal.SIGTSTP, signal.SIGHUP):
    signal.signal(number, lambda *_: None)
command = subprocess.Popen(sys.argv[1:], stdout=0, stderr=0)
print(command.pid, flush=True)
print(command.wait(), flush=True)
while True:
    signal.pause()
"""
"""Leads the session, as a shell does: when its leader ends, nobody can use a terminal any more."""

KEYS = {"up": "\x1b[A", "down": "\x1b[B", "enter": "\r", "ctrl-c": "\x03", "ctrl-z": "\x1a"}


class TerminalRun:
    """A command that runs on a terminal of its own, as its controlling one."""

    def __init__(
        self, *arguments: object, columns: int = 80, rows: int = 24, **environment: str
    ) -> None:
        self.master, self._slave = os.openpty()
        self.resize(columns, rows)
        self.modes_before = self.modes
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.output = b""
        """Everything that was written so far, as far as it was read."""
        self._shell = subprocess.Popen(
            [sys.executable, "-c", _SHELL, *GDBLEAK, *map(str, arguments)],
            stdin=self._slave,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", **environment},
        )
        assert self._shell.stdout
        self._said = Lines(self._shell.stdout)
        self.process = psutil.Process(int(self._said.next()))

    @property
    def modes(self) -> Any:
        """How the terminal is set."""
        return termios.tcgetattr(self._slave)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    @property
    def is_full_screen(self) -> bool:
        """Whether the last that was said of it is that the full screen is shown."""
        return self.output.rfind(b"\x1b[?1049h") > self.output.rfind(b"\x1b[?1049l")

    @property
    def shows_cursor(self) -> bool:
        """Whether the last that was said of it is that the cursor is shown."""
        return self.output.rfind(b"\x1b[?25h") >= self.output.rfind(b"\x1b[?25l")

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if hasattr(self, "screen"):
            self.screen.resize(rows, columns)

    def press(self, *keys: str) -> None:
        """Press keys, by name or character."""
        for key in keys:
            os.write(self.master, KEYS.get(key, key).encode())

    def read(self, timeout_s: float = 0.05) -> None:
        """Take in what is written now."""
        while select.select([self.master], [], [], timeout_s)[0]:
            data = os.read(self.master, 65536)
            self.output += data
            self._stream.feed(data)
            timeout_s = 0

    def read_until(self, condition: Callable[[], Any], deadline_s: float = 60) -> None:
        """Take in what is written until that is true."""
        give_up = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < give_up, f"waited in vain; the screen is:\n{self.text}"
            self.read()

    def read_until_shown(self, *words: str) -> None:
        """Take in what is written until all the words stand on the screen."""
        self.read_until(lambda: all(word in self.text for word in words))

    def finish(self) -> int:
        """Return the exit status, once it has ended and everything was read."""
        self.read_until(lambda: not lives(self.process))
        self.read()
        return int(self._said.next())

    def assert_restored(self) -> None:
        """Assert that the terminal is as it was."""
        assert self.modes == self.modes_before
        assert (self.is_full_screen, self.shows_cursor) == (False, True)

    def end(self) -> None:
        """Kill what still runs."""
        if lives(self.process):
            self.process.kill()
        self._shell.kill()
        self._shell.wait()
        assert self._shell.stdout
        self._shell.stdout.close()
        os.close(self._slave)
        os.close(self.master)
