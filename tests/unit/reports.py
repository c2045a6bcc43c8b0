"""Reports made by hand, one for each shape a renderer has to cope with."""

from __future__ import annotations

from dataclasses import fields, replace

from gdbleak.recording.end import EndedBy, Inline, References, Verification
from gdbleak.report.model import (
    Frame,
    Holder,
    OutstandingBlock,
    Reach,
    Recorded,
    Report,
    Site,
    Verdict,
    Word,
)
from gdbleak.report.window import (
    History,
    MemoryInfo,
    Outlook,
    Sampling,
    Suppressed,
    TargetInfo,
    WindowInfo,
)

HOSTILE = (
    "=cmd|' /C calc'!A0 `tick` a\\|b [bold red]x[/] <script>\x1b[2J\x07\r\n\t\x7f\x9b31m"
    "\u202eoverride\u200b\u2028 é \udcff @user https://example.com"
)

TARGET = TargetInfo(
    pid=4242,
    command="fibonacci",
    exe="/srv/demo/fibonacci",
    started="2024-05-01T08:00:00+02:00",
    threads=2,
    allocator="glibc 2.36",
)
WINDOW = WindowInfo(
    started="2024-05-01T09:00:00+02:00",
    duration_s=10.0,
    ended_by=EndedBy.DURATION,
    complete=True,
    events=4123,
    allocations=2100,
    frees=2023,
    frees_of_older_blocks=35,
    missed_frees=0,
    lost_events=0,
    children=0,
    stops=4123,
    stopped_s=0.495,
    longest_pause_ms=8.6,
)
MEMORY = MemoryInfo(rss_before=21_000_000, rss_after=21_204_800, explained_bytes=73_728)
LEFT_AS_FOUND = Verification(
    tracer_pid=0, state_before="S", state_after="S", text_intact=True, ok=True, ran_on_s=1.004
)
NO_PROOF = Verification(
    tracer_pid=None, state_before=None, state_after=None, text_intact=None, ok=None
)

FIBONACCI = (
    Frame(
        0x5581_9A40_123B,
        module="/srv/demo/fibonacci",
        offset=0x123B,
        function="fibonacci",
        file="/srv/demo/fibonacci.c",
        line=23,
    ),
    Frame(
        0x5581_9A40_12F0,
        module="/srv/demo/fibonacci",
        offset=0x12F0,
        function="worker",
        file="/srv/demo/fibonacci.c",
        line=41,
    ),
    Frame(
        0x7F3A_1C08_9134,
        module="/usr/lib/x86_64-linux-gnu/libc.so.6",
        offset=0x89134,
        function="start_thread",
    ),
    Frame(
        0x7F3A_1C10_97DC,
        module="/usr/lib/x86_64-linux-gnu/libc.so.6",
        offset=0x1097DC,
    ),
)

LONG_NAME = (
    "std::_Rb_tree<std::__cxx11::basic_string<char, std::char_traits<char>, "
    "std::allocator<char> >, std::pair<std::__cxx11::basic_string<char, "
    "std::char_traits<char>, std::allocator<char> > const, Session>, "
    "std::_Select1st<Session> >::_M_emplace_unique(char const*&, Session&&)"
)


def site(rank: int = 1, frames: tuple[Frame, ...] = FIBONACCI, **changes: object) -> Site:
    """Return a site that leaks 9 of 10 blocks."""
    made = Site(
        rank=rank,
        outstanding_bytes=73_728,
        outstanding_count=9,
        allocated_bytes=81_920,
        allocated_count=10,
        freed_count=1,
        bytes_per_s=7372.8,
        oldest_s=9.5,
        caller=frames[0] if frames else None,
        truncated=False,
        frames=frames,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def report(*sites: Site, **changes: object) -> Report:
    """Return a report of these sites."""
    made = Report(TARGET, WINDOW, MEMORY, LEFT_AS_FOUND, sites)
    return replace(made, **changes)  # type: ignore[arg-type]


def many_sites() -> Report:
    """Return a service's report: sites of all sizes, more than are shown, one without a leak."""
    inlined = (
        Frame(
            0x5581_9A41_0010,
            module="/opt/service/bin/service",
            offset=0x11010,
            function="operator new[](unsigned long)",
            file="/usr/include/c++/12/new",
            line=126,
            inlined=True,
        ),
        Frame(
            0x5581_9A41_0010,
            module="/opt/service/bin/service",
            offset=0x11010,
            function="SessionTable::open",
            file="/build/service-3.1/src/session_table.cpp",
            line=318,
        ),
    )
    long_name = (
        Frame(
            0x5581_9A42_2222,
            module="/opt/service/bin/service",
            offset=0x22222,
            function=LONG_NAME,
            file="/usr/include/c++/12/bits/stl_tree.h",
            line=2451,
        ),
    )
    no_symbols = (Frame(0x7F3A_2000_BEEF, module="/opt/service/lib/libcodec.so.2", offset=0xBEEF),)
    ten_more = tuple(
        site(
            rank,
            outstanding_bytes=100 * (20 - rank),
            outstanding_count=20 - rank,
            bytes_per_s=(20 - rank) / 5,
            oldest_s=0.72,
        )
        for rank in range(5, 15)
    )
    return report(
        site(
            1,
            inlined + FIBONACCI[2:],
            outstanding_bytes=1_288_490_188,
            outstanding_count=1_234_567,
            allocated_count=2_345_678,
            freed_count=1_111_111,
            bytes_per_s=128_849_018.8,
            oldest_s=9.96,
        ),
        site(2, long_name, outstanding_bytes=2_097_152, truncated=True, bytes_per_s=209_715.2),
        site(3, no_symbols),
        site(4, ()),
        *ten_more,
        site(
            15,
            outstanding_bytes=0,
            outstanding_count=0,
            bytes_per_s=0.0,
            oldest_s=None,
            freed_count=10,
        ),
        notes=("libcodec.so.2 has no symbols: its frames are shown as module+offset.",),
    )


def _recursion() -> Report:
    """Return a report of recursion: of one function, of two that call each other, of templates."""

    def frames(*functions: tuple[str, int]) -> tuple[Frame, ...]:
        return tuple(
            Frame(
                0x40_1000 + line, "/srv/demo/tree", 0x1000 + line, name, "/srv/demo/tree.cpp", line
            )
            for name, line in functions
        )

    even, odd = ("is_even(unsigned long)", 20), ("is_odd(unsigned long)", 30)
    insert = f"Tree<{LONG_NAME.partition('::_M_')[0]} >::insert(Node const&, unsigned long)"
    ends = ("leaf(int)", 5), ("main", 99)
    return report(
        site(1, frames(ends[0], *[("walk(Node*)", 10)] * 212, ends[1])),
        site(2, frames(ends[0], *[even, odd] * 106, even, ends[1])),
        site(3, frames(ends[0], *[(insert, 40)] * 3, *[even] * 2, ends[1])),
        site(4, frames(*[("walk(Node*)", 10)] * 1000), truncated=True),
    )


def _hostile() -> Report:
    frame = Frame(0x1000, module=HOSTILE, offset=0, function=HOSTILE, file=HOSTILE, line=1)
    huge = Frame(0x2000, module="m", offset=1, function="f" * 1_000_000)
    deep = Frame(
        0x3000, module="m" * 1_000_000, offset=2, function="f<" * 500_000, file="/" * 99999
    )
    return report(
        site(1, (frame, huge)),
        site(2, (huge,)),
        site(3, (deep, huge)),
        target=replace(TARGET, command=HOSTILE, exe=HOSTILE, allocator=HOSTILE),
        window=replace(WINDOW, ended_by=EndedBy.OTHER),
        notes=(HOSTILE,),
    )


def _incomplete() -> Report:
    return report(
        site(),
        window=replace(
            WINDOW, ended_by=EndedBy.UNKNOWN, complete=False, missed_frees=3, lost_events=12
        ),
        memory=replace(MEMORY, rss_after=20_000_000),
        verification=Verification(
            tracer_pid=77, state_before="S", state_after="t", text_intact=False, ok=False
        ),
        notes=("The recording is cut off after 4,123 events.",),
    )


def _nothing_known() -> Report:
    return report(
        site(1, (Frame(0x7F00_0000_0001),), oldest_s=None),
        target=replace(TARGET, exe=None, started=None),
        window=replace(
            WINDOW, ended_by=EndedBy.TARGET_EXIT, stops=None, stopped_s=None, longest_pause_ms=None
        ),
        memory=MemoryInfo(rss_before=None, rss_after=None, explained_bytes=None),
        verification=NO_PROOF,
    )


def _sampled() -> Report:
    sampling = Sampling(
        bursts=291,
        recorded_s=5.98,
        recorded_calls=12_345,
        calls=5_940_000,
        scale=481.2,
        scale_low=5.01,
        scale_high=481.2,
        never_freed=0.004,
    )
    made = many_sites()

    def estimated(site: Site) -> Site:
        names = [each.name for each in fields(Recorded)]
        recorded = Recorded(*(getattr(site, name) for name in names))
        return replace(
            site,
            recorded=recorded,
            outstanding_bytes_low=round(site.outstanding_bytes * 4.1),
            outstanding_bytes_high=round(site.outstanding_bytes * 599.7),
            bytes_per_s=site.bytes_per_s * sampling.scale,
            **{name: round(getattr(site, name) * sampling.scale) for name in names},
        )

    return replace(
        made,
        memory=replace(
            MEMORY,
            explained_bytes=None,
            outstanding_bytes=270_000_000,
            rest=("72 KiB are pages of files, which the kernel can take back",),
        ),
        history=History(
            times_s=(7.5, 15.0, 22.5, 30.0),
            outstanding_bytes=(300_000_000, 650_000_000, 970_000_000, 1_290_000_000),
            rss=(None, 700_000_000, 1_000_000_000, 1_300_000_000),
        ),
        suppressed=Suppressed(2, 4096, 17),
        outlook=Outlook(43_000_000.0, 8 << 30, "control group", 167.5),
        window=replace(
            WINDOW,
            tail_s=5.0,
            missed_frees=41,
            found_free=9_411,
            sampling=sampling,
            longest_pause_is_least=True,
            duration_s=30.0,
        ),
        sites=tuple(
            replace(
                estimated(site),
                verdict=Verdict(Word.SUSPECT, "0 of 9 freed, up to 9 s old", 1.0, 0.66, 1.0, 7.5),
                blocks=(OutstandingBlock(0x5581_9A60_12A0, 8192, 9.5, 4243),),
                history=(1000, 40_000, 60_000, site.outstanding_bytes),
            )
            for site in made.sites
        ),
        notes=("the sizes of 12,001 blocks are those that glibc reserved for them",),
    )


INLINE = Inline(
    *(0, 1, "/lib/x86_64-linux-gnu/libc.so.6", 2009, 9, 32 << 20, 4),
    children=2,
)
REFERENCES = References(looks=3, took_s=0.9, scanned_bytes=1_288_490_188)


def _reached() -> Report:
    """Return a report of what is lost, held, disproved, and in part cut off."""
    verdict = Verdict(Word.LEAK, "0 of 9 freed, up to 9.5 s old; +0.9/s throughout")
    lost = "lost: nothing in the process refers to 8 of 9 blocks (3 looks in 900 ms)"
    holders = (
        Holder(60, 64, "sessions", "server, server.c:88", (2, 1, 3, 77)),
        Holder(2, 64, "thread 4711's stack", "worker, pool.c:31"),
        *(Holder(1, 64, f"libpool.so.2+0x{number:x}") for number in (0x4010, 0x4018)),
    )
    return report(
        site(1, verdict=replace(verdict, evidence=lost), reach=Reach(9, 8, 1, 0, 0, 3)),
        site(2, verdict=verdict, reach=Reach(500, 0, 0, 500, 0, 3, 0, holders)),
        site(3, FIBONACCI[1:], verdict=verdict, reach=Reach(9, 9, 0, 0, 0, 3, freed_after=2)),
        site(
            4,
            verdict=verdict,
            reach=Reach(9, 3, 2, 3, 1, 3, 0, (Holder(2, 2, HOSTILE, HOSTILE, (4,)),)),
        ),
        window=replace(WINDOW, references=REFERENCES),
    )


SAMPLES = {
    "reached": _reached(),
    "not-searched": report(
        site(),
        window=replace(WINDOW, references=References(0, 0.0, 0, "the process ended meanwhile")),
    ),
    "sampled": _sampled(),
    "inline": report(
        site(), window=replace(WINDOW, events=4_120_331, stops=4, children=3, inline=INLINE)
    ),
    "inline-trouble": report(
        window=replace(
            WINDOW, inline=replace(INLINE, lost=7, one_of=4, left="the recorder: a thread runs it")
        )
    ),
    "empty": report(window=replace(WINDOW, events=0, allocations=0, frees=0, stops=0)),
    "nothing-outstanding": report(
        site(
            outstanding_bytes=0, outstanding_count=0, bytes_per_s=0.0, oldest_s=None, freed_count=10
        )
    ),
    "one-site": report(site()),
    "many-sites": many_sites(),
    "no-frames": report(site(1, (), truncated=True)),
    "recursion": _recursion(),
    "hostile": _hostile(),
    "incomplete": _incomplete(),
    "cut-off": report(
        site(),
        window=replace(WINDOW, ended_by=EndedBy.UNKNOWN, complete=False),
        verification=NO_PROOF,
    ),
    "nothing-known": _nothing_known(),
}
"""Every shape, by name."""
