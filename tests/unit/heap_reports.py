"""Reports of heaps that are made by hand."""

from __future__ import annotations

from typing import Any

from gdbleak.report.heap import (
    AllocatorUse,
    Amount,
    Arena,
    Free,
    Growth,
    HeapReport,
    Lost,
    LostTree,
    MappingKind,
    MappingUse,
    Pin,
    SizeClass,
    Taking,
)
from gdbleak.report.trend import find_trend

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

GLIBC = "glibc, layout of 2.27 to 2.42"

HOSTILE = "\x1b[2J=cmd|'`<script>alert(1)</script>\u202e\udcff\n| */ &amp; " + "x" * 500


def size(low: int, count: int, high: int | None = None, **changes: Any) -> SizeClass:
    """Return blocks of a size; each takes eight bytes more, as a chunk of glibc's does."""
    values = {
        "low": low,
        "high": low if high is None else high,
        "in_use": Amount(count, count * (low + 8)),
        "free": Amount(),
    }
    return SizeClass(**{**values, **changes})


def growing(low: int, *history: int, interval: float = 60.0, **changes: Any) -> SizeClass:
    """Return blocks of a size of which there were so many at each census."""
    points = [(n * interval, count) for n, count in enumerate(history)]
    growth = Growth(
        find_trend(points), find_trend([(s, n * (low + 8)) for s, n in points]), tuple(history)
    )
    return size(low, history[-1], growth=growth, **changes)


def arena(number: int = 0, **changes: Any) -> Arena:
    """Return an arena that has got 132 KiB."""
    start = 0x555555559000 if number == 0 else 0x7FFFE0000000 + number * 64 * MIB
    values = {
        "number": number,
        "address": 0x7FFFF7FAAC80 if number == 0 else start + 0x30,
        "threads": ("4711 (sessiond)",) if number == 0 else (f"{4711 + number} (worker)",),
        "heaps": ((start, start + 132 * KIB),),
        "system_bytes": 132 * KIB,
        "resident_bytes": 60 * KIB,
        "in_use": Amount(310, 40 * KIB),
        "free": {
            Free.CACHED: Amount(12, 800),
            Free.SMALL: Amount(3, 700),
            Free.TOP: Amount(1, 89 * KIB),
        },
        "trimmable_bytes": 0,
    }
    return Arena(**{**values, **changes})


def mapping(start: int, length: int, kind: MappingKind, name: str, **changes: Any) -> MappingUse:
    """Return a mapping of which a quarter is resident."""
    values = {
        "permissions": "rw-p",
        "resident_bytes": length // 4,
        "dirty_bytes": length // 4,
        "swapped_bytes": 0,
    }
    return MappingUse(start, start + length, kind=kind, name=name, **{**values, **changes})


PROGRAM = mapping(0x555555554000, 16 * KIB, MappingKind.PROGRAM, "sessiond", permissions="r-xp")
HEAP = mapping(0x555555559000, 132 * KIB, MappingKind.HEAP, "heap of the main arena")
LIBC = mapping(0x7FFFF7DE0000, 2 * MIB, MappingKind.LIBRARY, "libc.so.6", permissions="r-xp")
STACK = mapping(0x7FFFFFFDE000, 132 * KIB, MappingKind.STACK, "stack of thread 4711 (sessiond)")
VDSO = mapping(0x7FFFF7FC1000, 8 * KIB, MappingKind.KERNEL, "vdso", permissions="r-xp")


def report(**changes: Any) -> HeapReport:
    """Return a report of a small process."""
    values = {
        "pid": 4711,
        "command": "/usr/sbin/sessiond --listen 8080",
        "core": None,
        "taken_at": "2024-05-06T07:08:09+02:00",
        "taking": Taking(0.012, None, read_bytes=140 * KIB),
        "libc": GLIBC,
        "resident_bytes": 3 * MIB,
        "in_use": Amount(310, 40 * KIB),
        "mmapped": Amount(),
        "sizes": (size(1040, 20, 1528), size(24, 150), size(40, 100), size(104, 40)),
        "arenas": (arena(),),
        "mappings": (PROGRAM, HEAP, LIBC, VDSO, STACK),
    }
    return HeapReport(**{**values, **changes})


FRAGMENTED = report(
    taking=Taking(2.4, 41.5, read_bytes=812 * MIB),
    resident_bytes=812 * MIB,
    in_use=Amount(1_234_567, 95 * MIB),
    sizes=(size(40, 1_100_000, free=Amount(900_000, 45 * MIB)), size(2064, 20_000, 2544)),
    arenas=(
        arena(
            system_bytes=815 * MIB,
            resident_bytes=800 * MIB,
            in_use=Amount(1_234_000, 94 * MIB),
            free={
                Free.CACHED: Amount(40, 2 * KIB),
                Free.FAST: Amount(10_000, 470 * KIB),
                Free.UNSORTED: Amount(3, 9 * KIB),
                Free.SMALL: Amount(400_000, 220 * MIB),
                Free.LARGE: Amount(90, 500 * MIB),
                Free.TOP: Amount(1, 60 * KIB),
            },
            trimmable_bytes=610 * MIB,
            pin=Pin(0x555587654320, 40, 400 * MIB),
        ),
    ),
    mappings=(
        PROGRAM,
        mapping(
            0x555555559000,
            815 * MIB,
            MappingKind.HEAP,
            "heap of the main arena",
            resident_bytes=800 * MIB,
            dirty_bytes=800 * MIB,
            swapped_bytes=20 * MIB,
        ),
        LIBC,
        STACK,
    ),
)

_MILLIONS = (37_000_000, 37_002_100, 37_004_250, 37_006_300, 37_008_500, 37_012_440)

GROWING = report(
    taking=Taking(9.1, None, 6, 60.0, 6 * GIB, Amount(812, 26 * KIB), 12 * KIB),
    resident_bytes=2 * GIB,
    in_use=Amount(37_912_440, 1588 * MIB),
    mmapped=Amount(3, 60 * MIB),
    sizes=(
        growing(24, *_MILLIONS, free=Amount(12, 384)),
        growing(1040, 700, 711, 722, 730, 744, 752, high=1528),
        growing(40, 500, 480, 510, 490, 505, 500),
        growing(20_971_504, 3, 3, 3, 3, 3, 3, high=25_165_808),
        size(72, 900_000),
    ),
    mappings=tuple(
        mapping(
            each.start,
            each.size,
            each.kind,
            each.name,
            grown_bytes=4 * MIB if each is HEAP else 0,
        )
        for each in (PROGRAM, HEAP, LIBC, VDSO, STACK)
    ),
)


def _threads(count: int) -> tuple[MappingUse, ...]:
    made = []
    for number in range(1, count + 1):
        start = 0x7FFFE0000000 - number * 64 * MIB
        used, thread = 132 * KIB, f"thread {4711 + number} (worker)"
        made += [
            mapping(start, used, MappingKind.ARENA, f"heap of arena {number}"),
            mapping(
                start + used,
                64 * MIB - used,
                MappingKind.ARENA_ROOM,
                f"room of arena {number}",
                permissions="---p",
                resident_bytes=0,
                dirty_bytes=0,
            ),
        ]
        top = 0x7FFFF0000000 + number * (8 * MIB + 4 * KIB)
        made += [
            mapping(
                top,
                4 * KIB,
                MappingKind.GUARD,
                f"guard of the stack of {thread}",
                permissions="---p",
                resident_bytes=0,
                dirty_bytes=0,
            ),
            mapping(
                top + 4 * KIB,
                8 * MIB,
                MappingKind.STACK if number < count else MappingKind.OLD_STACK,
                f"stack of {thread}" if number < count else "stack of an exited thread",
                resident_bytes=28 * KIB,
                dirty_bytes=28 * KIB,
            ),
        ]
    return tuple(sorted(made, key=lambda each: each.start))


MANY_ARENAS = report(
    resident_bytes=11 * MIB,
    in_use=Amount(4030, 520 * KIB),
    arenas=(arena(), *map(arena, range(1, 13))),
    mappings=(PROGRAM, HEAP, *_threads(12), LIBC, VDSO, STACK),
)

LOST = report(
    lost=Lost(
        looks=3,
        took_s=2.31,
        searched_blocks=310,
        total=Amount(71, 9 * KIB),
        trees=(
            LostTree(0x55555555A2A0, 104, False, 12, 60, 7 * KIB, "session::Session", None),
            LostTree(0x55555555B010, 24, True, 3, 9, 1536, None, "6e 6f 64 65 |node|"),
            LostTree(0x55555555C4F0, 1040, False, 2, 2, 512, None, None),
        ),
        mappings=(mapping(0x7FFFE8000000, 16 * MIB, MappingKind.ANONYMOUS, "anonymous memory"),),
        notes=("registers of threads that ran were not read: a block that only they hold is lost",),
    ),
)

CORE = report(
    core="/var/crash/core.sessiond.4711",
    taking=Taking(0.4, None, read_bytes=3 * MIB),
    resident_bytes=None,
    arenas=(arena(resident_bytes=None, threads=()),),
    mappings=tuple(
        mapping(
            each.start,
            each.size,
            each.kind,
            each.name,
            resident_bytes=None,
            dirty_bytes=None,
            swapped_bytes=None,
        )
        for each in (PROGRAM, HEAP, LIBC, STACK)
    ),
    notes=("the core file is cut off: 12 KiB of the heap are not in it",),
)

JEMALLOC = report(
    command="redis-server *:6379",
    libc=None,
    resident_bytes=540 * MIB,
    in_use=Amount(),
    sizes=(),
    arenas=(),
    mappings=(
        PROGRAM,
        mapping(0x7FFFD0000000, 520 * MIB, MappingKind.ALLOCATOR, "memory of jemalloc"),
        LIBC,
        STACK,
    ),
    allocators=(
        AllocatorUse(
            "jemalloc",
            "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
            Amount(14, 520 * MIB),
            500 * MIB,
            Amount(3_000_000, 310 * MIB),
            (size(32, 2_000_000), size(64, 1_000_000)),
            ("by jemalloc's own counters, which lag behind what its threads have cached",),
        ),
        AllocatorUse("mimalloc", "/usr/bin/redis-server", Amount(1, 64 * MIB), 3 * MIB),
    ),
)

_HUGE = (1 << 47) - 4096

STRANGE = report(
    pid=4_194_304,
    command=HOSTILE,
    libc=HOSTILE,
    resident_bytes=_HUGE,
    in_use=Amount(_HUGE >> 5, _HUGE),
    mmapped=Amount(_HUGE >> 6, _HUGE >> 1),
    sizes=(
        growing(24, 0, 10**11, 2 * 10**11, 3 * 10**11, 4 * 10**11, 10**12),
        size(_HUGE >> 1, 7, _HUGE),
    ),
    arenas=tuple(
        arena(
            number,
            threads=(HOSTILE,) * 3,
            system_bytes=1022 * GIB,
            resident_bytes=1022 * GIB,
            in_use=Amount(_HUGE >> 6, 1022 * MIB),
            free=dict.fromkeys(Free, Amount(_HUGE >> 7, 511 * MIB)),
            trimmable_bytes=1022 * MIB,
            pin=Pin(0x7FFFFFFFF000, 123_456_789, 1022 * MIB),
        )
        for number in range(101)
    ),
    mappings=(
        mapping(0x1000, _HUGE, MappingKind.FILE, HOSTILE, grown_bytes=-1022 * GIB),
        mapping(0x7FFFFFFFF000, 1022 * GIB, MappingKind.ANONYMOUS, HOSTILE, grown_bytes=5),
    ),
    allocators=(AllocatorUse(HOSTILE, HOSTILE, Amount(1, _HUGE), None, notes=(HOSTILE,)),),
    lost=Lost(
        1,
        0.0,
        _HUGE,
        Amount(_HUGE, _HUGE),
        (LostTree(_HUGE, _HUGE, True, 10**12, 10**13, _HUGE, HOSTILE, HOSTILE),),
        (mapping(0x1000, 4096, MappingKind.ANONYMOUS, HOSTILE),),
        (HOSTILE,),
    ),
    notes=(HOSTILE,),
)

SAMPLES = {
    "small": report(),
    "fragmented": FRAGMENTED,
    "growing": GROWING,
    "many-arenas": MANY_ARENAS,
    "lost": LOST,
    "core": CORE,
    "jemalloc": JEMALLOC,
    "strange": STRANGE,
}
"""By name."""
