"""What the kernel keeps for a process and gives back later: pointers that stand nowhere else.

Sources: proc(5), /proc/PID/fdinfo of an epoll descriptor and /proc/PID/timers; the latter exists
where the kernel was built with CONFIG_CHECKPOINT_RESTORE.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import islice
from pathlib import Path

_EPOLL = "anon_inode:[eventpoll]"
_DATA = re.compile(r"\bdata:\s*([0-9a-f]+)")
_VALUE = re.compile(r"^signal: \d+/([0-9a-f]+)", re.MULTILINE)
_MOST_FILES = 100_000


def read_kernel_words(pid: int) -> list[int]:
    """Return the data of epoll, and the values that timers send; nothing when it has ended."""
    words: list[int] = []
    with suppress(OSError):
        words += _find_all(_VALUE, Path(f"/proc/{pid}/timers"))
    with suppress(OSError):  # it has ended
        for entry in islice(os.scandir(f"/proc/{pid}/fd"), _MOST_FILES):
            with suppress(OSError):  # it was closed
                if str(Path(entry.path).readlink()) == _EPOLL:
                    words += _find_all(_DATA, Path(f"/proc/{pid}/fdinfo/{entry.name}"))
    return words


def _find_all(pattern: re.Pattern[str], path: Path) -> list[int]:
    return [int(number, 16) for number in pattern.findall(path.read_text())]
