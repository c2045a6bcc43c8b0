"""How much of each mapping of a process is in memory, from /proc/PID/smaps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(
    r"^(?:([0-9a-f]+)-[0-9a-f]+ |(Rss|Shared_Dirty|Private_Dirty|Swap): +(\d+) kB)", re.MULTILINE
)


class Usage(NamedTuple):
    """What a mapping takes, in bytes."""

    resident: int
    dirty: int
    """Written since it was read from a file, or since it was mapped."""
    swapped: int


def read_usage(pid: int) -> dict[int, Usage]:
    """Return what each mapping takes, by its start; nothing where the kernel does not tell.

    Source: proc(5), /proc/PID/smaps. The kernel walks the page tables of the process for it, and
    holds a lock meanwhile that mmap(2) in it waits for: a tenth of a second for some gigabytes.
    """
    try:
        text = Path(f"/proc/{pid}/smaps").read_text(errors="replace")
    except OSError:
        return {}
    return parse_usage(text)


def parse_usage(text: str) -> dict[int, Usage]:
    """Return what each mapping takes, by its start, from the text of a file smaps."""
    found: dict[int, dict[str, int]] = {}
    current: dict[str, int] = {}
    for start, name, size in _LINE.findall(text):  # of up to two million lines
        if start:
            current = found.setdefault(int(start, 16), {})
        else:
            current[name] = int(size) << 10
    return {
        start: Usage(
            each.get("Rss", 0),
            each.get("Private_Dirty", 0) + each.get("Shared_Dirty", 0),
            each.get("Swap", 0),
        )
        for start, each in found.items()
    }
