"""How long an attach halts a process of many threads: an estimate from their number.

GDB halts one thread after the other, and waits for each; and the more of them it has, the longer
the kernel and it take to find one of them. Measured with GDB 10.1 to 18.1 on Linux 6.18, with two
processors: half to twice of this, at 64 to 8,000 threads that sleep (docs/pause.md).

>>> [round(estimate_halt_s(threads), 3) for threads in (1, 64, 500, 2000, 8000)]
[0.001, 0.008, 0.088, 0.801, 10.401]
"""

from __future__ import annotations

import math

from gdbleak.errors import ProcessUnusableError
from gdbleak.text.units import format_seconds

_ALONE_S, _A_THREAD_S, _A_PAIR_S = 1e-3, 100e-6, 150e-9
_CAUTION = 2.0
"""How much longer it may take than estimated."""
_ROUND_MS = 100


def estimate_halt_s(threads: int) -> float:
    """Return for how many seconds an attach halts a process, about.

    The detach halts it again, each of its threads for less than that.
    """
    return _ALONE_S + _A_THREAD_S * threads + _A_PAIR_S * threads**2


def describe_halt(threads: int) -> str:
    """Return the estimate in words."""
    about_s = float(f"{estimate_halt_s(threads):.2g}")
    what = f"its {threads:,} threads" if threads > 1 else "it"
    return f"attaching would halt {what} for about {format_seconds(about_s)}"


def find_sufficient_ms(threads: int) -> int:
    """Return a longest pause that such an attach keeps, the estimate being what it is."""
    return math.ceil(_CAUTION * estimate_halt_s(threads) * 1e3 / _ROUND_MS) * _ROUND_MS


def check_halt(pid: int, threads: int, max_pause_ms: float) -> None:
    """Check that an attach can be expected to halt a process for no longer than it may.

    Raises:
        ProcessUnusableError: it cannot.

    """
    if estimate_halt_s(threads) * 1e3 <= max_pause_ms:
        return
    raise ProcessUnusableError(
        f"process {pid}: {describe_halt(threads)}, longer than the {max_pause_ms:g} ms that"
        " --max-pause allows",
        f"if it can bear that, allow it with --max-pause {find_sufficient_ms(threads)}",
    )
