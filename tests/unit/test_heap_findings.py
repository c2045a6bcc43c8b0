"""What a report of a heap is said to mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from heap_reports import (
    CORE,
    FRAGMENTED,
    GIB,
    GLIBC,
    GROWING,
    JEMALLOC,
    KIB,
    LOST,
    MANY_ARENAS,
    MIB,
    SAMPLES,
    arena,
    growing,
    mapping,
    report,
    size,
)

from gdbleak.report.heap import (
    AllocatorUse,
    Amount,
    Free,
    HeapReport,
    Lost,
    LostTree,
    MappingKind,
    Pin,
    Taking,
)
from gdbleak.report.heap_findings import MOST, find_facts
from gdbleak.report.heap_findings.model import GROWING as GROWING_RATE
from gdbleak.report.heap_findings.model import LARGE
from gdbleak.report.heap_findings.space import MANY_STACKS, OUTSIDE, SWAPPED


def texts(made: HeapReport) -> list[str]:
    return [finding.text for finding in find_facts(made)]


def commands(made: HeapReport) -> list[str | None]:
    return [finding.command for finding in find_facts(made)]


def says(made: HeapReport, words: str) -> bool:
    return any(words in text for text in texts(made))


def census(*sizes: Any, count: int = 6, **changes: Any) -> HeapReport:
    in_use = Amount(sum(s.in_use.count for s in sizes), sum(s.in_use.bytes for s in sizes))
    taking = Taking(1.0, None, count, 60.0)
    return report(**{"sizes": sizes, "in_use": in_use, "taking": taking, **changes})


@pytest.mark.parametrize("name", SAMPLES)
def test_some_findings_but_not_many(name: str) -> None:
    found = find_facts(SAMPLES[name])
    assert 1 <= len(found) <= MOST
    for finding in found:
        assert finding.text[0].isprintable()
        assert finding.text.endswith(".")
        assert finding.text.isprintable()


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ("growing", "lost")])
def test_one_census_makes_no_leak(name: str) -> None:
    single = replace(SAMPLES[name], lost=None)
    for finding in find_facts(single):
        assert not finding.is_alarm
        assert "leak" not in finding.text.replace("(fragmentation, not a leak)", "")


def test_nothing_stands_out() -> None:
    assert texts(report()) == [
        "Nothing stands out: 40.0 KiB are in use, 51.2 % of it in blocks of 1040-1528 bytes."
    ]
    assert commands(report()) == ["gdbleak heap 4711 --interval 60 --count 6"]
    assert commands(CORE) == ["gdbleak heap /var/crash/core.sessiond.4711 --lost"]
    assert commands(replace(CORE, core="/var/my crash")) == ["gdbleak heap '/var/my crash' --lost"]
    assert texts(report(sizes=())) == ["Nothing stands out: 40.0 KiB are in use."]


def test_no_heap_at_all() -> None:
    bare = report(libc=None, in_use=Amount(), sizes=(), arenas=(), mappings=())
    assert texts(bare) == [
        "Nothing stands out: neither glibc's malloc nor another allocator that gdbleak knows has a"
        " heap here."
    ]


def test_growth() -> None:
    assert texts(GROWING)[0] == (
        "Growing: blocks of 24 bytes by 3.9 MiB an hour, with more of them after 5 of 5 intervals:"
        " 37,012,440 now take 1.1 GiB, 71.1 % of what is in use. Also blocks of 1040-1528 bytes by"
        " 675 KiB an hour."
    )
    assert commands(GROWING)[0] == "gdbleak trace 4711 --size 24"
    assert find_facts(GROWING)[0].is_alarm


def test_many_sizes_grow() -> None:
    made = census(*(growing(n, *range(0, 6000 * n, 1000 * n)) for n in (104, 88, 72, 56, 40)))
    assert (
        "Also blocks of 88 bytes by 483 MiB, 72 bytes by 330 MiB and 2 more sizes by"
        in (texts(made)[0])
    )


def test_range_of_sizes_is_typed_as_it_is_shown() -> None:
    made = census(growing(1040, *range(0, 60_000, 10_000), high=1528))
    assert commands(made)[0] == "gdbleak trace 4711 --size 1040-1528"


@pytest.mark.parametrize("count", [2, 5])
def test_too_few_censuses(count: int) -> None:
    grown = census(growing(24, *range(0, 10_000 * count, 10_000)), count=count)
    [finding] = find_facts(grown)
    assert finding.text.endswith(f" But {count} censuses are too few to be sure.")
    assert finding.command == "gdbleak trace 4711 --size 24"
    assert not finding.is_alarm
    [finding] = find_facts(census(growing(24, *[7] * count), count=count))
    assert finding.text == (
        f"No size of blocks grows so far, but {count} censuses are too few to be sure."
    )
    assert finding.command == "gdbleak heap 4711 --interval 60 --count 6"


@pytest.mark.parametrize(
    "history",
    [
        (7, 7, 7, 7, 7, 7),
        (10**6, 5, 10**6, 5, 10**6, 5),  # up and down
        (5, 5, 5, 10**6, 10**6, 10**6),  # one jump
        (9 * 10**6, 8 * 10**6, 7 * 10**6, 6 * 10**6, 5 * 10**6, 4 * 10**6),
    ],
)
def test_what_does_not_grow_steadily(history: tuple[int, ...]) -> None:
    made = census(size(4000, 9000), growing(24, *history))
    assert says(made, "No size of blocks grows steadily, in 6 censuses.")
    assert not says(made, "Growing")


def test_slow_growth_is_not_worth_a_word() -> None:
    # In a minute, so many blocks of 32 bytes come at the rate that is just enough.
    step = GROWING_RATE // 60 // 32 + 1
    assert says(census(growing(24, *range(0, 6 * step, step))), "Growing")
    step //= 2
    assert not says(census(growing(24, *range(0, 6 * step, step))), "Growing")


def test_large_size() -> None:
    made = report(in_use=Amount(10**7, 200 * MIB), sizes=(size(24, 4 * 10**6), size(8, 10)))
    assert texts(made) == [
        "Blocks of 24 bytes: 4,000,000 take 122 MiB, 61.0 % of what is in use. One census cannot"
        " tell whether they grow."
    ]
    assert commands(made) == ["gdbleak heap 4711 --interval 60 --count 6"]
    several = replace(made, taking=Taking(1.0, None, 6, 60.0))
    assert says(several, "61.0 % of what is in use.")
    assert not says(several, "One census")
    assert not says(replace(made, in_use=Amount(10**7, 500 * MIB)), "Blocks of 24")  # a fifth
    small = size(24, LARGE // 32 - 1)
    assert not says(report(in_use=small.in_use, sizes=(small,)), "Blocks of 24")


def test_large_blocks() -> None:
    made = report(in_use=Amount(400, GIB), mmapped=Amount(60, 900 * MIB))
    assert says(made, "60 large blocks, each with a mapping of its own, take 900 MiB, 87.9 % of")
    one = replace(made, mmapped=Amount(1, 900 * MIB))
    assert says(one, "A large block with a mapping of its own takes 900 MiB, 87.9 % of")
    assert not says(replace(made, mmapped=Amount(60, 500 * MIB)), "large block")


def test_fragmentation() -> None:
    assert texts(FRAGMENTED)[0] == (
        "800 MiB of the heap are resident, 94.0 MiB in use: 706 MiB are free memory that the"
        " allocator keeps (fragmentation, not a leak); malloc_trim(3) would give back 610 MiB."
    )
    [one] = FRAGMENTED.arenas
    unknown = replace(FRAGMENTED, arenas=(replace(one, resident_bytes=None),))
    assert says(unknown, "The heap has got 815 MiB, 94.0 MiB in use: 721 MiB are free")
    scattered = replace(FRAGMENTED, arenas=(replace(one, trimmable_bytes=MIB),))
    assert says(scattered, "; it lies between blocks in use, so that malloc_trim(3) would give")


def test_free_memory_that_the_kernel_has_again() -> None:
    """What malloc_trim has given back is free, but takes no memory."""
    [one] = FRAGMENTED.arenas
    trimmed = replace(one, resident_bytes=96 * MIB, trimmable_bytes=0, pin=None)
    assert not says(replace(FRAGMENTED, arenas=(trimmed,)), "fragmentation")


def test_some_free_memory_is_no_fragmentation() -> None:
    used = arena(
        system_bytes=GIB,
        resident_bytes=GIB,
        in_use=Amount(10**6, 900 * MIB),
        free={Free.LARGE: Amount(9, 124 * MIB)},
    )
    assert not says(report(arenas=(used,)), "fragmentation")


def test_block_that_pins_free_memory() -> None:
    assert texts(FRAGMENTED)[1] == (
        "One block of 40 bytes at the end of the main heap keeps 400 MiB of free memory before it"
        " from the kernel."
    )
    assert commands(FRAGMENTED)[1] == "gdbleak why 4711 0x555587654320"
    assert commands(replace(FRAGMENTED, core="core.1"))[1] == "gdbleak why core.1 0x555587654320"


def test_blocks_that_pin_free_memory_of_several_arenas() -> None:
    pins = (Pin(0x1000, 24, 20 * MIB), Pin(0x2000, 1040, 90 * MIB), Pin(0x3000, 24, 2 * MIB), None)
    made = report(arenas=tuple(arena(number, pin=pin) for number, pin in enumerate(pins)))
    assert texts(made) == [
        "One block of 1,040 bytes at the end of the heap of arena 1 keeps 90.0 MiB of free memory"
        " before it from the kernel, and 1 block in other arenas 20.0 MiB."
    ]


def test_swapped_memory() -> None:
    assert says(FRAGMENTED, "20.0 MiB are swapped out, all of it heap, and not part of what is")
    files = mapping(0x1000, GIB, MappingKind.FILE, "f", swapped_bytes=SWAPPED)
    assert says(report(mappings=(files,)), "16.0 MiB are swapped out, 0 B of it heap,")
    less = replace(files, swapped_bytes=SWAPPED - 1)
    assert not says(report(mappings=(less,)), "swapped")


def test_other_allocators() -> None:
    assert texts(JEMALLOC) == [
        "jemalloc has 500 MiB resident in 14 mappings; by its own statistics 310 MiB are in use.",
        "mimalloc has 3.0 MiB resident in 1 mapping: how much of that is in use cannot be told from"
        " outside.",
    ]
    other = AllocatorUse("tcmalloc", "/x", Amount(2, 64 * MIB), None)
    assert says(report(allocators=(other,)), "tcmalloc has 64.0 MiB of address space in 2 mappings")
    idle = replace(other, resident_bytes=40 * KIB)
    assert not says(report(allocators=(idle,)), "tcmalloc")


def test_memory_that_is_not_in_a_heap() -> None:
    jit = mapping(0x10000, 512 * MIB, MappingKind.ANONYMOUS, "anonymous", resident_bytes=300 * MIB)
    made = report(mappings=(*report().mappings, jit), resident_bytes=320 * MIB)
    assert texts(made) == [
        "301 MiB of 320 MiB resident are not in a heap: 300 MiB of that are anonymous memory that"
        " no allocator is known to hold."
    ]
    assert commands(made) == ["gdbleak trace 4711 --mappings"]
    files = replace(jit, kind=MappingKind.FILE)
    made = replace(made, mappings=(files,))
    assert says(made, "300 MiB of that are mapped files.")
    assert commands(made) == [None]
    assert not says(replace(made, resident_bytes=GIB), "not in a heap")
    small = replace(jit, resident_bytes=OUTSIDE - 1)
    assert not says(report(mappings=(small,), resident_bytes=OUTSIDE), "not in a heap")


def test_address_space_of_arenas() -> None:
    assert texts(MANY_ARENAS)[0] == (
        "12 heaps of 12 arenas, which threads have for themselves, take 64.0 MiB of address space"
        " each, 768 MiB in all, of which 396 KiB are resident. MALLOC_ARENA_MAX=2 would save"
        " address space, but hardly any memory."
    )
    full = tuple(
        arena(number, resident_bytes=20 * MIB, free={Free.LARGE: Amount(1, 9 * MIB)})
        for number in range(13)
    )
    made = replace(MANY_ARENAS, arenas=full)
    assert says(made, "108 MiB of that are free: with MALLOC_ARENA_MAX=2 it would be less.")
    few = replace(MANY_ARENAS, arenas=MANY_ARENAS.arenas[:4])
    assert not says(few, "MALLOC_ARENA_MAX")


def test_address_space_of_stacks() -> None:
    assert texts(MANY_ARENAS)[1] == (
        "13 mappings are stacks, 12 of them of 8.0 MiB (1 of threads that have ended, kept for new"
        " ones): 96.1 MiB of address space, of which 369 KiB are resident."
    )
    stacks = tuple(
        mapping(n << 30, 8 * MIB, MappingKind.STACK, f"stack {n}", resident_bytes=28 * KIB)
        for n in range(1, 1 + MANY_STACKS)
    )
    assert texts(report(mappings=stacks)) == [
        "4 mappings of 8.0 MiB are stacks: 32.0 MiB of address space, of which 112 KiB are"
        " resident."
    ]
    assert not says(report(mappings=stacks[1:]), "stacks")


def test_mappings_that_grow() -> None:
    grown = mapping(0x1000, GIB, MappingKind.ANONYMOUS, "anonymous memory", grown_bytes=80 * MIB)
    made = report(mappings=(grown,), taking=Taking(1.0, None, 6, 60.0), resident_bytes=None)
    assert texts(made)[0] == (
        "What has grown is not a heap: anonymous memory that no allocator is known to hold by 80.0"
        " MiB since the first census, most of it in anonymous memory."
    )
    assert commands(made)[0] == "gdbleak trace 4711 --mappings"
    heap = replace(grown, kind=MappingKind.HEAP)
    assert not says(replace(made, mappings=(heap,)), "not a heap")


def test_lost_blocks() -> None:
    assert texts(LOST)[:2] == [
        "Lost: 1 anonymous mapping that nothing refers to, of 16.0 MiB.",
        "Lost: 71 blocks that nothing refers to take 9,216 B, 77.8 % of it in 12 trees that begin"
        " at a block of 104 bytes (session::Session).",
    ]
    assert commands(LOST)[1] == "gdbleak trace 4711 --size 104"


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (LostTree(1, 24, False, 1, 5, 160, None), "in 1 tree that begins at a block of 24 bytes."),
        (LostTree(1, 24, False, 5, 5, 160, None), "in 5 blocks of 24 bytes."),
        (LostTree(1, 24, False, 1, 1, 32, "A"), "in 1 block of 24 bytes (A)."),
        (LostTree(1, 24, True, 3, 9, 288, None), "in 3 rings that each hold a block of 24 bytes."),
        (LostTree(1, 24, True, 1, 3, 96, "A"), "in 1 ring that holds a block of 24 bytes (A)."),
    ],
)
def test_kinds_of_trees(tree: LostTree, said: str) -> None:
    lost = Lost(1, 0.1, 310, Amount(tree.blocks, tree.bytes), (tree,), (), ())
    assert texts(report(lost=lost))[0].endswith(said)


def test_nothing_is_lost() -> None:
    lost = Lost(2, 0.1, 310, Amount(), (), (), ())
    assert texts(report(lost=lost)) == ["Nothing is lost: each of 310 blocks is referred to."]


def test_what_goes_wrong_comes_first() -> None:
    made = replace(
        FRAGMENTED,
        sizes=GROWING.sizes,
        taking=GROWING.taking,
        lost=LOST.lost,
        allocators=JEMALLOC.allocators,
        mappings=(*FRAGMENTED.mappings, *MANY_ARENAS.mappings),
        arenas=(*FRAGMENTED.arenas, *MANY_ARENAS.arenas[1:]),
        libc=GLIBC,
    )
    found = texts(made)
    assert len(found) == MOST
    assert [text[:5] for text in found[:3]] == ["Lost:", "Growi", "Lost:"]
    assert "fragmentation" in found[3]
    assert found[4].startswith("jemalloc")


def test_names_are_escaped_and_short() -> None:
    for text in texts(SAMPLES["strange"]):
        assert text.isprintable()
        assert len(text) < 400
