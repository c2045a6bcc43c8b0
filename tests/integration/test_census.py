"""What gdbleak heap counts, beside what programs and glibc itself know of their heaps."""

from __future__ import annotations

from collections import Counter

import pytest
from support.gdbs import debian_root
from support.heaps import ask_glibc, ask_truth, count_blocks
from support.processes import wait_until
from support.roots import HOST, LIBRARIES, flags_for

pytestmark = pytest.mark.usefixtures("needs_ptrace")

OF_GLIBC = {280, 584, 648, 760, 776}
"""Sizes of its tables of thread-local variables, and of the caches of threads, by release."""
STATIC = "static"
OF_STATIC = Counter({24: 1, 40: 1, 72: 1, 168: 1, 328: 1, 1240: 1})
"""What it allocates as a static program starts."""
LARGE = range(400_000, 500_000)


@pytest.fixture(params=[*LIBRARIES, STATIC])
def build(request, build_target):
    """Return a function that builds a program with one of the C libraries."""
    own = {HOST: (), STATIC: ("-static",)}
    flags = own[request.param] if request.param in own else flags_for(debian_root(request.param))

    def build(name):
        return build_target(f"heaps/{name}.c", *flags)

    build.of_glibc = OF_STATIC if request.param == STATIC else Counter()
    return build


def take_census(cli, target, *options):
    return cli.run("heap", target.pid, "--format", "json", *options).report


def assert_counts(found, known, of_glibc=()):
    """Assert that blocks of sizes that a program uses are as many as it says.

    A static program shares its heap with the start of the C library, which uses a few.
    """
    few = Counter(of_glibc)
    wrong = {
        size: (found[size], count)
        for size, count in known.items()
        if not count <= found[size] <= count + few[size]
    }
    assert wrong == {}


def free_in(arena, *places):
    return sum(row["count"] for row in arena["free"] if row["where"] in places)


@pytest.mark.parametrize("how", ["quiet", "aligned"])
def test_every_state(cli, build, start_target, how):
    target = start_target(build("census"), how)
    truth = ask_truth(target)
    report = take_census(cli, target)
    used, free = count_blocks(report, "in_use"), count_blocks(report, "free")
    assert report["taking"]["unclear_bytes"] == report["taking"]["unsettled"]["count"] == 0
    assert report["mmapped"]["count"] == len(truth["mmapped"])
    aligned = LARGE if how == "aligned" else range(0)  # they may take more than they need
    assert_counts(
        used, {s: n for s, n in truth["in_use"].items() if s not in aligned}, build.of_glibc
    )
    others = [size for size in used if size not in truth["in_use"] and size not in aligned]
    assert OF_GLIBC | build.of_glibc.keys() >= {*others}
    if how == "quiet":
        assert {size: free[size] for size in truth["freed"]} == truth["freed"]
        assert free.keys() - truth["freed"].keys() <= OF_GLIBC


def test_as_glibc_counts(cli, build, start_target):
    target = start_target(build("census"), "aligned")
    report = take_census(cli, target)
    arenas = ask_glibc(target)
    assert len(report["arenas"]) == len(arenas) == 5
    for found, known in zip(report["arenas"], arenas):
        assert found["system_bytes"] == known.system_bytes
        assert free_in(found, "fast bins") == known.fast_count
        bins = ("unsorted bin", "small bins", "large bins")
        assert free_in(found, *bins) == known.binned_count
        assert free_in(found, "unsorted bin") == known.unsorted_count


def test_many_blocks(cli, build, start_target):
    target = start_target(build("census"), "scale", "1000000", "20", "4", "3")
    truth = ask_truth(target)
    report = take_census(cli, target)
    assert_counts(count_blocks(report, "in_use"), truth["in_use"], build.of_glibc)
    assert_counts(count_blocks(report, "free"), truth["freed"])


def test_busy(cli, build, start_target):
    """A hundred thousand times a second blocks are allocated and freed."""
    target = start_target(build("census"), "rate", "100000", "200000")
    before = wait_until(
        lambda: (truth := ask_truth(target))["allocations"] > 1000 and truth, "threads work"
    )
    report = take_census(cli, target)
    after = ask_truth(target)
    assert after["allocations"] > before["allocations"] + 5000
    assert after["in_use"] == before["in_use"]
    used = count_blocks(report, "in_use")
    churn = {size: (least, most) for size, least, most in after["churn"]}
    for size, count in after["in_use"].items():
        least, most = churn.get(size, (0, 0))
        assert count + least - count / 1000 <= used[size] <= count + most + count / 1000, size
    known = sum(after["in_use"].values()) + sum(least for least, _ in churn.values())
    assert abs(report["in_use"]["count"] - known) < known / 1000


@pytest.mark.parametrize("size", ["104", "200"])
@pytest.mark.parametrize("where", ["main", "thread"])
@pytest.mark.parametrize("how", ["pinned", "scattered", "leaked"])
def test_fragmented(cli, build_target, start_target, how, where, size):
    """Of what trimming would give back, nearly all comes back when the program does it."""
    target = start_target(build_target("heaps/fragmented.c"), how, "100", where, size)
    truth = ask_truth(target)
    report = take_census(cli, target)
    assert_counts(count_blocks(report, "in_use"), truth["in_use"])
    free = sum(row["bytes"] for each in report["arenas"] for row in each["free"])
    assert truth["freed_bytes"] <= free < truth["freed_bytes"] + (1 << 20)
    arena = report["arenas"][where == "thread"]
    if how == "pinned" and size != "104":
        assert int(arena["pin"]["address"], 16) == truth["last"]
        assert arena["pin"]["free_bytes"] > 30 << 20
    trimmable = sum(each["trimmable_bytes"] for each in report["arenas"])
    assert abs(trimmable - int(target.ask("trim"))) < 1 << 20


@pytest.mark.parametrize("how", ["sbrk", "early", "blocked", "shrinks"])
def test_heap_in_pieces(cli, build, start_target, how):
    target = start_target(build("foreign"), how)
    truth = ask_truth(target)
    report = take_census(cli, target)
    assert_counts(count_blocks(report, "in_use"), truth["in_use"], build.of_glibc)
    assert report["taking"]["unclear_bytes"] <= truth["foreign"] + 4096


CORRUPTED = {
    "cached-cycle": 0,
    "cached-wild": 0,
    "fast-cycle": 0,
    "bin-cycle": 0,
    "zero": 2,
    "huge": 2,
    "beyond": 2001,
    "inside": 2,
    "top": 0,
    "top-short": 0,
    "noise": 1100,
}
"""How many of 4,000 blocks may be missed at most, by what was corrupted."""


@pytest.mark.parametrize("how", CORRUPTED)
def test_corrupt(cli, build_target, start_target, how):
    target = start_target(build_target("heaps/corrupt.c"), how)
    report = take_census(cli, target)
    assert 4000 - CORRUPTED[how] <= count_blocks(report, "in_use")[56] <= 4000
    assert report["in_use"]["bytes"] < 2 << 20
    if how == "fast-cycle":
        assert any("lists of free blocks" in note for note in report["notes"])


def test_hooked(cli, build_target, start_target):
    """A debugging malloc adds some bytes to every block; no block is missed."""
    hooked = ("env", "LD_PRELOAD=libc_malloc_debug.so.0", "MALLOC_CHECK_=3")
    target = start_target(*hooked, build_target("heaps/census.c"), "quiet")
    truth = ask_truth(target)
    report = take_census(cli, target)
    known = sum(truth["in_use"].values())
    assert known <= report["in_use"]["count"] <= known + 50
    assert any("libc_malloc_debug" in note for note in report["notes"])


def test_growth(cli, build_target, start_target):
    """Blocks of 20 bytes leak; a cache that was filled and what comes and goes do not grow."""
    target = start_target(build_target("heaps/grows_by_size.c"), "3000", "5000")
    wait_until(
        lambda: (truth := ask_truth(target))["cached"] == truth["cached_most"], "the cache was full"
    )
    before = ask_truth(target)["leaked"]
    report = take_census(cli, target, "--count", "6", "--interval", "0.4")
    leaked = ask_truth(target)["leaked"] - before
    first = report["sizes"][0]
    assert (first["low"], first["high"]) == (24, 24)
    history = first["growth"]["history"]
    assert history == sorted(history)
    assert 1000 < history[-1] - history[0] <= leaked + 300
    cache = next(row for row in report["sizes"] if row["low"] == 200)
    assert max(cache["growth"]["history"]) - min(cache["growth"]["history"]) < 300
