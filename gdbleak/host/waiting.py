"""Waiting for what nothing announces: the state of a thread, or a word in memory.

On the standard library alone, because the guard is.
"""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], bool], limit_s: float, every_s: float = 0.001) -> bool:
    """Return whether something has come to be within so many seconds; it is looked at again.

    Args:
        is_so: Whether it has; what it raises ends the waiting.
        limit_s: How long to wait.
        every_s: How long from one look to the next.

    """
    deadline_s = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(every_s)
    return True
