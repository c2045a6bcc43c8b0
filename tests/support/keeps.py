"""The program of tests/targets/keeps: blocks of which it is known whether something refers to them.

What it is and what its labels mean says its main.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gdbleak.target.proc import Memory
from support.processes import Target

FOLDER = Path(__file__).parents[1] / "targets" / "keeps"
PORTABLE = ("main", "plain", "mapped", "threads", "movers", "lost", "hidden")
"""Its parts that need neither the C++ library nor glibc."""
PARTS = (*PORTABLE, "library", "coroutines")
FLAGS = ("-std=c++17", "-fno-optimize-sibling-calls")

IN_REGISTERS = frozenset({"register_spinning", "register_blocked"})
"""Kinds of kept blocks to which only registers refer."""
MOVED = frozenset({"moved", "queue", "relinked", "remapped", "breathing_deques", "regrown_vector"})
"""Kinds of kept blocks whose pointers move while the program stirs."""
IN_DEAD_MEMORY = frozenset({"below_stack", "freed_holder", "shrunk_holder", "coroutine_freed"})
"""Kinds of lost blocks to which only memory refers that is in nobody's use."""


@dataclass(frozen=True)
class Block:
    """A block of the program, and the truth about it."""

    label: str
    """kept, lost, hidden or stale"""
    kind: str
    """The way in which it is: kinds of several labels may have the same name."""
    address: int
    size: int
    """As it was asked for, in bytes; may be 0."""
    links: int
    """From this offset on it holds its pattern."""

    @property
    def end(self) -> int:
        """The address behind its last byte."""
        return self.address + self.size

    @property
    def pattern(self) -> bytes:
        """What it holds from the offset `links` on, for as long as it lives."""
        return bytes([0x80 | self.size % 128]) * (self.size - self.links)


def parse_labels(lines: Iterable[str]) -> list[Block]:
    """Parse the answer to "labels", which ends with the line that says "end"."""
    rows = [line.split() for line in lines]
    end, count, key = rows.pop()
    assert (end, int(count)) == ("end", len(rows))
    return [
        Block(label, kind, int(address, 16) ^ int(key, 16), int(size), int(links))
        for label, kind, address, size, links in rows
    ]


class Keeps:
    """The program, running."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.pid = target.pid

    def go(self, *kinds: str) -> None:
        """Let it allocate the blocks of some kinds, or of all."""
        assert self.target.ask(" ".join(("go", *kinds))) == "ok"

    def labels(self) -> list[Block]:
        """Return all blocks, in the order in which they were allocated."""
        self.target.tell("labels")
        lines = [self.target.lines.next()]
        while not lines[-1].startswith("end "):
            lines.append(self.target.lines.next())
        return parse_labels(lines)

    def stir(self, on: bool) -> None:
        """Let pointers move all the time, or let every one come to rest where it is seen."""
        assert self.target.ask(f"stir {'on' if on else 'off'}") == "ok"

    def moves(self) -> tuple[int, ...]:
        """Return how often each of the threads that move pointers has done so."""
        return tuple(int(count) for count in self.target.ask("moves").split())

    def overwritten(self, blocks: Iterable[Block]) -> list[Block]:
        """Return the blocks that hold their pattern no longer."""
        with Memory(self.pid) as memory:
            return [
                block
                for block in blocks
                if block.pattern
                and memory.read(block.address + block.links, len(block.pattern)) != block.pattern
            ]


def start_keeps(
    build_target: Callable[..., Path],
    start_target: Callable[..., Target],
    folder: Path,
    library: str | None = None,
) -> Keeps:
    """Start it with the allocator of the C library, or with that of a library for LD_PRELOAD."""
    main, *others = (FOLDER / f"{part}.cpp" for part in PARTS)
    program = build_target(f"keeps/{main.name}", *FLAGS, *others, name="keeps")
    preload = ("env", f"LD_PRELOAD={library}") if library else ()
    return Keeps(start_target(*preload, program, folder))
