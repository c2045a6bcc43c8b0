"""The limits of a process that GDB and the guard inherit, and that could end them in the window.

Source: setrlimit(2). At the hard limit of processor time the kernel sends SIGKILL, and at that of
memory GDB ends itself; the breakpoints then stay in the code of the target.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gdbleak.errors import ResourceLimitError

_RAISED = (
    resource.RLIMIT_CPU,
    resource.RLIMIT_AS,
    resource.RLIMIT_DATA,
    getattr(resource, "RLIMIT_RTTIME", 15),  # Python does not name it; 15 on x86-64
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
            resource.setrlimit(number, limits)


def check_processor_time(window_s: float) -> None:
    """Check that gdbleak and GDB live as long as a window lasts, whatever they do meanwhile.

    Args:
        window_s: How long it lasts, its tail included.

    Raises:
        ResourceLimitError: their limit of processor time may end them before.

    """
    limit_s = resource.getrlimit(resource.RLIMIT_CPU)[1]
    needed_s = window_s + MARGIN_S
    left_s = limit_s - time.process_time()
    if limit_s == resource.RLIM_INFINITY or left_s >= needed_s:
        return
    shorter = f", or a --duration of at most {int(left_s - MARGIN_S)}"
    raise ResourceLimitError(
        f"`ulimit -t` allows gdbleak and gdb {limit_s} s of processor time, of which they may need"
        f" {needed_s:.0f}; gdb would be killed, and the process die of its breakpoints",
        "`ulimit -t unlimited` as root, then trace from that shell"
        + (shorter if left_s - MARGIN_S >= 1 else ""),
    )
