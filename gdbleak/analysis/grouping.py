"""Which blocks make a row of a report: those of one call stack, or of several alike. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from posixpath import basename
from typing import NamedTuple

from gdbleak.analysis.callers import Wrappers, find_caller
from gdbleak.analysis.tally import Tally
from gdbleak.ledger.blocks import Block
from gdbleak.report.model import Frame
from gdbleak.text.units import format_bytes
from gdbleak.unwinding.known_stacks import CallStack

BY = ("stack", "function", "file", "module", "thread", "size")
"""What rows can be made by."""

UNKNOWN = "(unknown)"


class Key(NamedTuple):
    """What blocks are added up by as they come."""

    stack: CallStack
    kind: str
    part: str = ""
    """Which blocks of the call stack, where a row is made of a thread's, or of those of a size."""


class Rows(NamedTuple):
    """What rows are made of."""

    tallies: dict[Key, Tally]
    """Of each row, by the key of one of its call stacks."""
    labels: dict[Key, str]
    """What each is called; empty where a row is a call stack."""
    members: dict[Key, list[Key]]
    """The call stacks of each."""


def part_of(block: Block, by: str) -> str:
    """Return what a block is told apart by from others of its call stack.

    >>> from gdbleak.ledger.blocks import HEAP
    >>> block = Block(0, 100, 100, 100, 0, None, 17, 0, 0, HEAP, False, False, 0, 0)
    >>> part_of(block, "thread"), part_of(block, "size"), part_of(block, "stack")
    ('thread 17', '64 B to 127 B', '')

    """
    return name_part(block.thread, block.size, by)


def name_part(thread: int, size: int, by: str) -> str:
    """Return the same of a block of such a thread and size."""
    if by == "thread":
        return f"thread {thread}"
    if by == "size":
        low = 1 << max(size.bit_length() - 1, 0)
        return f"{format_bytes(low)} to {format_bytes(2 * low - 1)}" if size > 1 else "1 B"
    return ""


def regroup(
    tallies: Mapping[Key, Tally],
    by: str,
    frames_of: Mapping[int, tuple[Frame, ...]],
    wrappers: Wrappers,
) -> Rows:
    """Add up call stacks that share something.

    Args:
        tallies: What was added up for each call stack.
        by: What makes a row, one of `BY`.
        frames_of: The frames at each return address.
        wrappers: Which frames are not named as callers.

    Returns:
        The tally of each group by the key of the one that holds the most; without groups, the same
        tallies.

    """
    if by == "stack":
        return Rows({**tallies}, {}, {key: [key] for key in tallies})
    groups: dict[tuple[str, str], list[Key]] = {}
    for key in tallies:
        frames = tuple(frame for address in key.stack.addresses for frame in frames_of[address])
        label = key.part or _name(find_caller(frames, wrappers), by)
        groups.setdefault((label, key.kind), []).append(key)
    merged: dict[Key, Tally] = {}
    labels: dict[Key, str] = {}
    members: dict[Key, list[Key]] = {}
    for (label, _), keys in groups.items():
        largest = max(keys, key=lambda key: tallies[key].outstanding_bytes)
        merged[largest] = tallies[largest]
        for key in keys:
            if key != largest:
                merged[largest].merge(tallies[key])
        labels[largest] = label
        members[largest] = keys
    return Rows(merged, labels, members)


def _name(caller: Frame | None, by: str) -> str:
    """Return what the blocks of a caller are added up by; without a symbol, where it is."""
    if caller is None:
        return UNKNOWN
    module = basename(caller.module or "")
    if by == "module":
        return module or UNKNOWN
    if by == "file" and caller.file and caller.line:
        return f"{caller.file}:{caller.line}"
    if caller.function:
        return caller.function
    return f"{module}+{caller.offset:#x}" if module and caller.offset is not None else UNKNOWN
