"""A line on standard error that is redrawn in place."""

from __future__ import annotations

from contextlib import suppress

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text


class TerminalLine:
    """The line of a command that takes its time. A context.

    It is drawn on a terminal alone. A terminal that is closed meanwhile ends nothing.
    """

    def __init__(self, alone: bool = True) -> None:
        """Prepare it.

        Args:
            alone: Whether nothing else is written meanwhile; redrawing would garble that.

        """
        console = Console(stderr=True, highlight=False)
        self.draws = alone and console.is_terminal and not console.is_dumb_terminal
        """Whether anything is drawn."""
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._shown: tuple[str, ...] = ()

    def __enter__(self) -> TerminalLine:
        if self.draws:
            with suppress(OSError):
                self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._live.stop()

    def say(self, line: str) -> None:
        """Write a line that stays, above the one that is drawn."""
        if self.draws:
            with suppress(OSError):
                self._live.console.print(Text(line), soft_wrap=True)

    def draw(self, line: str, below: str = "") -> None:
        """Draw one line, cut to the width of the terminal, and maybe a text below it."""
        if not self.draws or self._shown == (line, below):
            return
        self._shown = line, below
        texts = Text(line, no_wrap=True, overflow="ellipsis"), Text(below)
        with suppress(OSError):
            self._live.update(Group(*filter(None, texts)), refresh=True)
