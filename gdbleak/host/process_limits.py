"""The limits of this process (`ulimit`), which GDB and the guard inherit.

Some are too low for GDB to work at all. Others could end it in the window: at the hard limit of
processor time the kernel sends SIGKILL, and at the limit of memory GDB ends itself. The breakpoints
then stay in the code of the target. Source: setrlimit(2).
"""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from gdbleak.errors import FileError, ResourceLimitError
from gdbleak.text.units import format_bytes

_RAISED = (
    resource.RLIMIT_CPU,
    resource.RLIMIT_AS,
    resource.RLIMIT_DATA,
    resource.RLIMIT_RTTIME,
)
MARGIN_S = 10
"""How much processor time gdbleak and its GDB may need before and after a window."""


_PROCESSES = resource.RLIMIT_NPROC
"""This limit does not hold for root."""


class _Limit(NamedTuple):
    kind: int
    least: int
    words: str
    show: Callable[[int], str]
    option: str


_LIMITS = (
    # About 30 are open in a trace, some more with what shows its window.
    _Limit(resource.RLIMIT_NOFILE, 64, "only {} files may be open at once", str, "-n 1024"),
    # A recording begins with what the process has mapped, and keeps room for its end.
    _Limit(
        resource.RLIMIT_FSIZE,
        1 << 20,
        "no file may be larger than {}",
        format_bytes,
        "-f unlimited",
    ),
    # With less GDB does not start. With 200 MB it cannot read the symbols of a C library yet.
    _Limit(
        *(resource.RLIMIT_AS, 128 << 20, "no process may have more memory than {}", format_bytes),
        option="-v unlimited",
    ),
    _Limit(
        *(resource.RLIMIT_DATA, 64 << 20, "no process may have more memory than {}", format_bytes),
        option="-d unlimited",
    ),
    # With 100 kB GDB crashes.
    _Limit(resource.RLIMIT_STACK, 1 << 20, "no stack may exceed {}", format_bytes, "-s 8192"),
    # GDB and the guard, those that are tried first, and their threads, beside what runs already.
    _Limit(_PROCESSES, 32, "this user may run only {} processes", str, "-u 4096"),
)


def check_limits() -> None:
    """Raise the limits that may be raised, and check the others.

    What fails later by a low limit seldom tells its cause.

    Raises:
        FileError: a limit is too low.

    """
    for limit in _LIMITS:
        soft, hard = resource.getrlimit(limit.kind)
        if not _is_low(soft, limit.least) or (limit.kind == _PROCESSES and os.geteuid() == 0):
            continue
        if soft != hard:
            resource.setrlimit(limit.kind, (hard, hard))
        if _is_low(hard, limit.least):
            least = limit.show(limit.least)
            raise FileError(
                f"{limit.words.format(limit.show(hard))}, and gdbleak needs {least} at least",
                f"raise the limit with `ulimit {limit.option}`",
            )


def _is_low(value: int, least: int) -> bool:
    return value != resource.RLIM_INFINITY and value < least


@contextmanager
def raised_limits() -> Iterator[None]:
    """Raise the limits of this process, and so of those that it starts, as far as it may.

    Root may lift them altogether, others may raise them to the hard limits.
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
            # A limit that was exceeded meanwhile would end us before anything is reported.
            is_used_up = number == resource.RLIMIT_CPU and _left_s(limits[0]) <= 0
            if not is_used_up:
                resource.setrlimit(number, limits)


def check_processor_time(window_s: float) -> None:
    """Check that their limit of processor time cannot end gdbleak and GDB in a window.

    Args:
        window_s: How long the window lasts in seconds, its tail included.

    Raises:
        ResourceLimitError: it can.

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
