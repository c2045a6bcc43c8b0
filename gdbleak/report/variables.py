"""A place in a variable of a program or library, as it is shown. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """A word in the data of a module."""

    module: str
    """The last part of the module's path."""
    name: str | None = None
    """As the source has it; None where no symbol is known."""
    offset: int = 0
    """In bytes from the begin of the variable, or without a name, of the module's addresses."""
    file: str | None = None
    """The source file that declares it."""
    line: int | None = None

    @property
    def text(self) -> str:
        """What to call it.

        >>> Variable("redis-server", "server", 64).text, Variable("libz.so.1", None, 4660).text
        ('server+0x40', 'libz.so.1+0x1234')

        """
        name = self.name or self.module
        return f"{name}+{self.offset:#x}" if self.offset or not self.name else name

    @property
    def place(self) -> str | None:
        """Where it is declared, such as `server.c:88`; None where that is unknown."""
        if self.file is None:
            return None
        name = self.file.rsplit("/", 1)[-1]
        return f"{name}:{self.line}" if self.line else name
