"""Limits of the shell (`ulimit`) under which gdbleak and its GDB could not do their work."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import NamedTuple

from gdbleak.errors import FileError
from gdbleak.units import format_bytes

_PROCESSES = resource.RLIMIT_NPROC
"""Root may run as many as it likes."""


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
    # With 130 MB GDB starts, with 200 MB it cannot read the symbols of a C library.
    _Limit(
        *(resource.RLIMIT_AS, 400 << 20, "no process may have more memory than {}", format_bytes),
        option="-v unlimited",
    ),
    _Limit(
        *(resource.RLIMIT_DATA, 400 << 20, "no process may have more memory than {}", format_bytes),
        option="-d unlimited",
    ),
    # With 100 kB GDB crashes.
    _Limit(resource.RLIMIT_STACK, 1 << 20, "no stack may exceed {}", format_bytes, "-s 8192"),
    # GDB and the guard, those that are tried first, and their threads, beside what runs already.
    _Limit(_PROCESSES, 32, "this user may run only {} processes", str, "-u 4096"),
    # The kernel kills a GDB that has used it up, of which the target would die.
    _Limit(
        *(resource.RLIMIT_CPU, 3600, "no process may use the processor for more than {} s", str),
        option="-t unlimited",
    ),
)


def check_limits() -> None:
    """Raise what may be raised, and check the rest.

    What a low limit makes go wrong later seldom tells its cause.

    Raises:
        FileError: one is too low.

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
