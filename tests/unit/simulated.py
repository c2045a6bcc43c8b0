"""A process that allocates by itself: which blocks it hands out, where, when, and until when.

Its allocator hands out the address that was freed last, by classes of sizes, as glibc's does.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

S = 1_000_000_000
WINDOW_NS = 30 * S
PAGE = 4096


class Block(NamedTuple):
    """A block; times in nanoseconds since the window began."""

    site: str
    address: int
    """From the beginning of the heap."""
    size: int
    born_ns: int
    freed_ns: int | None
    """None for one that is there at the end of the window."""


class Site(NamedTuple):
    """How a call stack allocates."""

    waits_ns: Callable[[random.Random], float]
    """Returns how long it is to its next allocation."""
    size: Callable[[random.Random], int]
    lives_ns: Callable[[random.Random], float]
    """Returns how long a block lives."""
    clump: int = 1
    """So many blocks come at once."""


FOR_EVER = float("inf")


def poisson(per_s: float) -> Callable[[random.Random], float]:
    """Return the waits of allocations that come at any time, so often."""
    return lambda chance: chance.expovariate(per_s / S)


def clock(per_s: float) -> Callable[[random.Random], float]:
    """Return the waits of allocations that come regularly."""
    return lambda _: S / per_s


SITES = {
    "leak": Site(poisson(30), lambda _: 100, lambda _: FOR_EVER),
    "rare leak": Site(poisson(4), lambda _: 40, lambda _: FOR_EVER),
    "leak of any size": Site(
        poisson(40), lambda chance: int(chance.lognormvariate(5, 1)) + 1, lambda _: FOR_EVER
    ),
    "leak with a few large blocks": Site(
        poisson(40), lambda chance: 2000 if chance.random() < 0.1 else 50, lambda _: FOR_EVER
    ),
    "leak of one in ten": Site(
        poisson(200),
        lambda _: 64,
        lambda chance: FOR_EVER if chance.random() < 0.1 else 2_000_000,
    ),
    "leak in clumps": Site(poisson(6), lambda _: 32, lambda _: FOR_EVER, clump=8),
    "sessions": Site(poisson(40), lambda _: 200, lambda chance: chance.expovariate(0.1 / S)),
    "leak by the clock": Site(clock(10), lambda _: 24, lambda _: FOR_EVER),
    "requests": Site(poisson(400), lambda _: 64, lambda chance: chance.expovariate(100 / S)),
}
"""Of which all but the last hold blocks at the end."""


def run(seed: int) -> list[Block]:
    """Return the blocks of a window, in the order of their births."""
    chance = random.Random(seed)
    births: list[tuple[float, str]] = []
    for name, site in SITES.items():
        at_ns = site.waits_ns(chance)
        while at_ns < WINDOW_NS:
            births += [(at_ns + 2000 * number, name) for number in range(site.clump)]
            at_ns += site.waits_ns(chance)
    births.sort()
    free: dict[int, list[int]] = {}
    top, order = 0, count()
    living: list[tuple[float, int, int, int]] = []
    blocks = []
    for born_ns, name in births:
        while living and living[0][0] <= born_ns:
            _, _, chunk, address = heapq.heappop(living)
            free.setdefault(chunk, []).append(address)
        site = SITES[name]
        size = site.size(chance)
        chunk = max((size + 23) // 16 * 16, 32)
        if free.get(chunk):
            address = free[chunk].pop()
        else:
            address, top = top + 16, top + chunk
        freed_ns = born_ns + site.lives_ns(chance)
        heapq.heappush(living, (freed_ns, next(order), chunk, address))
        stays = freed_ns >= WINDOW_NS
        blocks.append(Block(name, address, size, int(born_ns), None if stays else int(freed_ns)))
    return blocks
