"""A terminal for a full screen: never waited for, and always given back as it was.

It is opened anew: that it does not block then holds for this file alone, and not for others who
write to the terminal. Sources: termios(3), console_codes(4), and XTerm Control Sequences for the
alternate screen.
"""

from __future__ import annotations

import os
import re
import select
import termios
import time
from contextlib import suppress
from typing import Any

PATH = "/dev/tty"
"""The terminal that Ctrl-C comes from."""

LEAVE_TIMEOUT_S = 0.5

_ENTER = "\x1b[?1049h\x1b[?25l"
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"

_KEY = re.compile(r"\x1b(?:\[|O)([A-D])|(.)", re.DOTALL)
_ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}
_NAMES = {"\r": "enter", "\n": "enter"}

Modes = list[Any]
"""What tcgetattr(3) returns."""


class Terminal:
    """The terminal of this process."""

    def __init__(self) -> None:
        """Open it; nothing is changed.

        Raises:
            OSError: this process has no terminal.

        """
        self.file = os.open(PATH, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._modes: Modes | None = None
        self._pending = b""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        columns, rows = os.get_terminal_size(self.file)
        return columns or 80, rows or 24

    @property
    def is_ours(self) -> bool:
        """Whether our job is in its foreground."""
        return os.tcgetpgrp(self.file) == os.getpgrp()

    @property
    def is_entered(self) -> bool:
        """Whether the full screen is shown."""
        return self._modes is not None

    def read_modes(self) -> Modes:
        """Return how it is set."""
        return termios.tcgetattr(self.file)

    def enter(self) -> None:
        """Change to the full screen; keys are read as they are pressed, and not echoed."""
        self._modes = self.read_modes()
        modes = self.read_modes()
        modes[3] &= ~(termios.ICANON | termios.ECHO)
        modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self.file, termios.TCSANOW, modes)
        self._write(_ENTER)

    def leave(self) -> None:
        """Give the terminal back as it was, if it was entered."""
        if self._modes is not None:
            modes, self._modes = self._modes, None
            self.restore(modes)

    def restore(self, modes: Modes) -> None:
        """Set its modes as they were, and leave the full screen, which another process may show."""
        with suppress(termios.error, OSError):  # it has been closed
            if self.is_ours:  # a shell that has put us aside has set its own
                termios.tcsetattr(self.file, termios.TCSANOW, modes)
            # What was written so far may end in the middle of an escape sequence.
            self._pending = self._pending and b"\x18" + _HOME.encode()
            self._write(_LEAVE)
            give_up_s = time.monotonic() + LEAVE_TIMEOUT_S
            while self._pending and time.monotonic() < give_up_s:
                select.select([], [self.file], [], LEAVE_TIMEOUT_S)
                self._write("")

    def show(self, lines: list[str]) -> None:
        """Draw a screen, unless the one before was not taken yet."""
        self._write("")
        if not self._pending:
            text = "\r\n".join(_CLEAR_LINE + line for line in lines)
            self._write(_HOME + text + _CLEAR_REST)

    def read_keys(self) -> list[str]:
        """Return the keys that were pressed: characters, and names such as `up` and `enter`.

        Raises:
            OSError: the terminal is gone.

        """
        try:
            data = os.read(self.file, 1024)
        except BlockingIOError:
            return []
        if not data:
            raise OSError("the terminal has been closed")
        keys = _KEY.findall(data.decode("utf-8", "replace"))
        return [_ARROWS[arrow] if arrow else _NAMES.get(key, key) for arrow, key in keys]

    def close(self) -> None:
        """Close it."""
        os.close(self.file)

    def _write(self, text: str) -> None:
        """Write as much as the terminal takes now, of what is left from before and of this."""
        self._pending += text.encode("utf-8", "replace")
        with suppress(BlockingIOError):
            while self._pending:
                self._pending = self._pending[os.write(self.file, self._pending) :]
