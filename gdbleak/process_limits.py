"""The limits of a process that GDB and the guard inherit, and that could end them in the window.

Source: setrlimit(2). At the hard limit of processor time the kernel sends SIGKILL, and at that of
memory GDB ends itself; the breakpoints then stay in the code of the target.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gdbleak.errors import ResourceLimitError

_RAISED = (
    resource.RLIMIT_CPU,
    resource.RLIMIT_AS,
    resource.RLIMIT_DATA,
    resource.RLIMIT_RTTIME,
)
MARGIN_S = 10
"""What gdbleak and its GDB may need of the processor before and after a window."""


@contextmanager
def raised_limits() -> Iterator[None]:
    """Raise the limits of this process, for whoever it starts, as far as the kernel lets us.

    That is as far as the hard limits, and without end where we may raise those, as root may.
    """
    before = {number: resource.getrlimit(number) for number in _RAISED}
    for number, (_, hard) in before.items():
        for limit in (resource.RLIM_INFINITY, hard):
            with suppress(ValueError, OSError):
                resource.setrlimit(number, (limit, limit))
                break
    try:
        yield
    finally:
        for number, limits in before.items():
            # One that has been used up meanwhile would end us before anything is reported.
            is_used_up = number == resource.RLIMIT_CPU and _left_s(limits[0]) <= 0
            if not is_used_up:
                resource.setrlimit(number, limits)


def check_processor_time(window_s: float) -> None:
    """Check that gdbleak and GDB live as long as a window lasts, whatever they do meanwhile.

    Args:
        window_s: How long it lasts, its tail included.

    Raises:
        ResourceLimitError: their limit of processor time may end them before.

    """
    limit_s = resource.getrlimit(resource.RLIMIT_CPU)[1]
    needed_s, left_s = window_s + MARGIN_S, _left_s(limit_s)
    if left_s >= needed_s:
        return
    shorter = f", or a --duration of at most {int(left_s - MARGIN_S)}"
    raise ResourceLimitError(
        f"`ulimit -t` allows gdbleak and gdb {limit_s} s of processor time, of which they may need"
        f" {needed_s:.0f}; gdb would be killed, and the process die of its breakpoints",
        "`ulimit -t unlimited` as root, then trace from that shell"
        + (shorter if left_s - MARGIN_S >= 1 else ""),
    )


def _left_s(limit_s: int) -> float:
    """Return how much of a limit of processor time this process has not used yet."""
    return math.inf if limit_s == resource.RLIM_INFINITY else limit_s - time.process_time()
