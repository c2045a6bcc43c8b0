"""How a block is held, as it is shown. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Holder:
    """What refers to a block: a word in another block, or a root."""

    address: int
    """Of the word; 0 for a register."""
    root: str | None = None
    """What to call a root, such as `sessions+0x40` or `thread 4711's stack`; None for a block."""
    place: str | None = None
    """Where a variable is declared, such as `server.c:88`, or which function a stack is of."""
    module: str | None = None
    """In which a variable is."""
    block: int | None = None
    """The address of the block that the word is in; None for a root."""
    block_bytes: int | None = None
    """Its size; None where that is not known: then its address is a guess too."""

    @property
    def offset(self) -> int:
        """Where in its block the word is, in bytes."""
        return self.address - (self.block or 0)


@dataclass(frozen=True)
class Way:
    """What holds a block, what holds that, and so on: the direct holder first, the root last."""

    holders: tuple[Holder, ...]


@dataclass(frozen=True)
class Answer:
    """What was found about a block."""

    pid: int
    command: str
    address: int
    """As it was asked for."""
    block: int
    """Where the block begins that it is in."""
    block_bytes: int
    is_known: bool
    """Whether its bounds were found; else they were chosen, or given."""
    ways: tuple[Way, ...]
    """The shortest first."""
    roots: int
    """How many were found, those among them that are not in `ways`."""
    blocks: int
    """How many blocks lead to it, as far as they were met."""
    scanned_bytes: int
    took_s: float
    ended: str | None = None
    """Why it ended before all was looked at, as a sentence; None if it did not."""
    notes: tuple[str, ...] = ()
    is_core: bool = False
    """Whether a core file was searched, and not the process while it ran."""
