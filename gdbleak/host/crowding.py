"""How busy this machine is."""

from __future__ import annotations

import os


def measure_crowding() -> float:
    """Return how many threads there are that want to run, for each processor; 1 at least.

    By the load of the last minute. Whoever wakes up has to wait for about so many others.
    """
    return max(os.getloadavg()[0] / len(os.sched_getaffinity(0)), 1.0)
