"""Blocks that are lost, and who holds others: from a recording made by hand to its report."""

from __future__ import annotations

from dataclasses import replace

import pytest
import recordings
from recordings import free, malloc

from gdbleak.analysis.holders import name_root
from gdbleak.analysis.options import ReportOptions
from gdbleak.analysis.passes import analyse
from gdbleak.recording.end import References
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.phases import Phase
from gdbleak.recording.reader import Recording
from gdbleak.recording.references import HELD, LOST, Held, encode_holding, encode_reached
from gdbleak.report.model import Frame, Holder, Reach
from gdbleak.report.suppressions import parse

S = 10**9
SEARCH = References(looks=3, took_s=0.9, scanned_bytes=1 << 30)
ONE, TWO, NODE = 0x50001, 0x50002, 0x50003
NAMES = {ONE: "one", TWO: "two", NODE: "node"}
LOOKED_NS, END_NS = 14 * S, 15 * S
TOLD = {"looks": 3, "took_s": 0.9, "scanned_bytes": 1 << 30, "reason": None}


def resolve(addresses):
    return {a: (Frame(a, function=NAMES.get(a)),) for a in addresses}


@pytest.fixture
def make_report(tmp_path):
    """Return a function that makes the report of frames."""

    def make_report(*frames, head=None, name_roots=None, **options):
        path = recordings.write(
            tmp_path / "recording",
            *(head or recordings.head(), recordings.opened(5 * S), *frames),
            recordings.end(end_ns=END_NS, references=TOLD),
        )
        chosen = ReportOptions(**{"older_ms": 0, **options})
        modules = ModuleMap([recordings.PROGRAM])
        return analyse(Recording(path), modules, chosen, resolve, name_roots=name_roots)

    return make_report


def blocks(count, caller=ONE, at=0xA000, born_ns=6 * S):
    """Return the frames of so many blocks, and what each is known by."""
    known = [(at + 0x100 * number, born_ns + number) for number in range(count)]
    return [malloc(born, address, 100, caller) for address, born in known], known


def holding(block, holder, root, hops):
    """Return who holds a block, by the words that refer to it, directly and from outside."""
    return Held(block[0], block[1], holder, root[0], root[1], hops)


def found(known, state):
    return encode_reached(LOOKED_NS, [(*block, state) for block in known])


def test_report_of_lost_blocks(make_report):
    frames, known = blocks(6)
    more, others = blocks(6, TWO, 0xB000)
    report = make_report(*frames, *more, found(known, LOST), found(others, HELD))
    one, two = report.sites
    assert report.window.references == SEARCH
    assert (one.caller.function, one.reach) == ("one", Reach(6, 6, 0, 0, 0, looks=3))
    assert one.is_lost
    assert one.verdict.evidence.startswith("lost: nothing in the process refers to 6 of 6 blocks")
    assert (two.reach, two.is_lost) == (Reach(6, 0, 0, 6, 0, looks=3), False)


@pytest.mark.parametrize(("lost", "word"), [(0, "growing"), (3, "growing"), (4, "leak")])
def test_what_is_held_and_never_freed_grows(make_report, lost, word):
    """From nine tenths on; whether it will be freed, only the program knows."""
    known = [(0xA000 + 0x100 * number, 5 * S + number * S * 3 // 10) for number in range(30)]
    frames = [malloc(born, address, 100, ONE) for address, born in known]
    [site] = make_report(*frames, found(known[:lost], LOST), found(known[lost:], HELD)).sites
    assert (site.verdict.word, site.is_lost) == (word, False)
    assert site.verdict.evidence.startswith("0 of 30 freed")


def test_only_outstanding_blocks_count(make_report):
    frames, known = blocks(6)
    young, late = blocks(3, at=0xB000, born_ns=END_NS - S // 10)
    report = make_report(*frames, *young, found(known + late, LOST), older_ms=500)
    assert report.sites[0].reach.looked_at == 6


@pytest.mark.parametrize("is_before", [True, False])
def test_block_that_is_freed_after_all_proves_its_site_wrong(make_report, is_before):
    """It may be freed while others are looked for: then the result comes behind its free."""
    frames, known = blocks(30)
    freed, result = free(LOOKED_NS - S // 2, known[0][0]), found(known, LOST)
    order = (freed, result) if is_before else (result, freed)
    [site] = make_report(*frames, *order).sites
    assert site.reach == Reach(29, 29, 0, 0, 0, looks=3, freed_after=1)
    assert not site.is_lost
    assert "refer" not in site.verdict.evidence


def test_block_of_the_same_address_is_another(make_report):
    frames, known = blocks(6)
    again = malloc(8 * S, known[0][0], 100, ONE)
    [site] = make_report(*frames, free(7 * S, known[0][0]), again, found(known, LOST)).sites
    assert site.reach == Reach(5, 5, 0, 0, 0, looks=3)


BURSTS = recordings.turn(7 * S, Phase.NONE), recordings.turn(8 * S, Phase.ALL)


@pytest.mark.parametrize(
    ("allocators", "turns", "word"),
    [
        (["glibc 2.36"], (), "leak"),
        (["glibc 2.36"], BURSTS, "leak"),
        (["jemalloc 5.3.0"], (), "leak"),
        (["jemalloc 5.3.0"], BURSTS, "leak?"),
        (["libglibc-like.so"], BURSTS, "leak?"),
        (["jemalloc 5.3.0"], [recordings.turn(LOOKED_NS + 1, Phase.NONE)], "leak"),
    ],
)
def test_where_freed_blocks_are_not_told_from_lost_ones(make_report, allocators, turns, word):
    frames, known = blocks(6)
    report = make_report(*frames, *turns[:2], found(known, LOST), head=head(allocators))
    if len(turns) == 1:
        report = make_report(*frames, found(known, LOST), *turns, head=head(allocators))
    [site] = report.sites
    assert (site.verdict.word, site.is_lost) == (word, word == "leak")
    assert ("lost" in site.verdict.evidence) == (word == "leak")
    assert site.reach.is_lost


def head(allocators):
    return recordings.head(allocators=allocators)


def test_holders(make_report):
    table, tables = blocks(2, TWO, 0xB000)
    nodes, chain = blocks(3, NODE, 0xC000)
    frames, known = blocks(6, ONE)
    sessions, cache, main = (0x18008, 0), (0x18100, 0), (0x7000, 4711)
    (first, born), (second, _), _ = chain
    held = [
        holding(known[0], tables[0][0] + 8, sessions, 1),
        holding(known[1], tables[0][0] + 16, sessions, 1),
        holding(known[2], tables[1][0], cache, 1),
        holding(known[3], second + 8, cache, 3),
        holding((second, born + 1), first + 99, cache, 2),
        holding((first, born), 0x18100, cache, 0),
        holding(known[4], 0x7000, main, 0),
        holding(known[5], 0, (0, 4711), 0),
        holding((0xD000, 5), 0, (0, 4711), 0),
    ]
    events = (
        *(*table, *nodes, *frames, found(known, HELD), found(chain, HELD)),
        encode_holding(LOOKED_NS, held),
    )

    def name_roots(roots):
        assert {sessions, cache, main, (0, 4711)} == set(roots)
        return {sessions: ("sessions", "server, server.c:88")}

    report = make_report(*events, name_roots=name_roots)
    ranks = {site.caller.function: site.rank for site in report.sites}
    reaches = {site.caller.function: site.reach for site in report.sites}
    through = (ranks["two"],)
    assert reaches["one"].holders == (
        Holder(2, 6, "program+0x8100", None, through),  # by the way of most, or of the first
        Holder(2, 6, "sessions", "server, server.c:88", through),
        Holder(1, 6, "a register of thread 4711"),
        Holder(1, 6, "thread 4711's stack or own variables"),
    )
    assert reaches["node"].holders == (Holder(2, 2, "program+0x8100"),)
    assert reaches["two"] is None

    less = make_report(*events, suppressions=parse(["leak:two"], "file"))
    reaches = {site.caller.function: site.reach for site in less.sites}
    assert reaches["one"].holders[0].through == ()
    ranks = {site.caller.function: site.rank for site in less.sites}
    assert {h.through for h in reaches["one"].holders} == {()}


@pytest.mark.parametrize(
    ("state", "path", "count"),
    [
        (LOST, "/usr/lib/libluajit-5.1.so.2", 1),
        (HELD, "/usr/lib/libluajit-5.1.so.2", 0),
        (LOST, "/usr/lib/liblua5.1.so.0", 0),
    ],
)
def test_library_that_hides_pointers(make_report, state, path, count):
    frames, known = blocks(6)
    modules = [recordings.PROGRAM.to_json(), {**recordings.PROGRAM.to_json(), "path": path}]
    head = recordings.head(modules=modules)
    notes = make_report(*frames, found(known, state), head=head).notes
    said = "libluajit-5.1.so.2 stores pointers in a form that a search of memory does not recognise"
    assert [note.partition(":")[0] for note in notes] == [said] * count


def test_words_of_one_variable_are_one_root(make_report):
    frames, known = blocks(6)
    words = [0x18000, 0x18008, 0x18010, 0x18100, 0x18200, 0x18300]
    names = {
        (0x18000, 0): ("slots", "app.c:3"),
        (0x18008, 0): ("slots+0x8", "app.c:3"),
        (0x18010, 0): ("slots+0x10", "app.c:3"),
        (0x18100, 0): ("server+0x40", None),
        (0x18200, 0): ("program+0x8200", None),
    }
    held = [holding(block, word, (word, 0), 0) for block, word in zip(known, words)]
    [site] = make_report(
        *(*frames, found(known, HELD), encode_holding(LOOKED_NS, held)),
        name_roots=lambda _: names,
    ).sites
    assert site.reach.holders == (
        Holder(3, 6, "slots", "app.c:3"),
        Holder(1, 6, "program+0x8200"),
        Holder(1, 6, "program+0x8300"),
        Holder(1, 6, "server+0x40"),
    )


def test_holders_that_hold_each_other_are_followed_once(make_report):
    frames, known = blocks(2)
    (first, _), (second, _) = known
    root = 0x18000, 0
    held = [holding(known[0], second, root, 9), holding(known[1], first, root, 9)]
    [site] = make_report(*frames, found(known, HELD), encode_holding(LOOKED_NS, held)).sites
    assert site.reach.holders == (Holder(2, 2, "program+0x8000"),)


@pytest.mark.parametrize(
    ("roots", "name"),
    [
        ([(0x99000, 0), (0xAA000, 0)], "memory of no known variable"),
        ([(0x99000, 7), (0xAA000, 8)], "several threads' stacks or own variables"),
        ([(0, 7), (0, 8)], "registers of several threads"),
        ([(0, 0), (0, 0)], "the kernel (epoll or a timer)"),
        ([(0x99000, 0), (0x99000, 0)], "0x99000"),
    ],
)
def test_roots_that_are_alike_are_one(make_report, roots, name):
    frames, known = blocks(2)
    held = [holding(each, 0x99000, root, 0) for each, root in zip(known, roots)]
    [site] = make_report(*frames, found(known, HELD), encode_holding(LOOKED_NS, held)).sites
    assert site.reach.holders == (Holder(2, 2, name),)


def test_what_the_allocator_holds_comes_last(make_report):
    frames, known = blocks(3)
    roots = [(0x18000, 0), (0x18000, 0), (0x18008, 0)]
    held = [holding(each, 0x99000, root, 0) for each, root in zip(known, roots)]
    events = *frames, found(known, HELD), encode_holding(LOOKED_NS, held)
    names = {(0x18000, 0): ("libjemalloc.so.2+0x10", None), (0x18008, 0): ("cache", None)}
    [site] = make_report(*events, name_roots=lambda _: names).sites
    assert [(each.root, each.blocks) for each in site.reach.holders] == [
        ("cache", 1),
        ("libjemalloc.so.2+0x10", 2),
    ]


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ((0x18008, 0), "program+0x8008"),
        ((0x99000, 0), "0x99000"),
        ((0x99000, 7), "thread 7's stack or own variables"),
        ((0, 7), "a register of thread 7"),
        ((0, 0), "the kernel (epoll or a timer)"),
    ],
)
def test_root_without_a_name(root, name):
    assert name_root(root, ModuleMap([recordings.PROGRAM])) == name


def test_grouped_call_stacks_add_up(make_report):
    frames, known = blocks(6)
    more, others = blocks(4, TWO, 0xB000)
    held = encode_holding(LOOKED_NS, [holding(others[0], 0x18000, (0x18000, 0), 0)])
    events = *frames, *more, found(known, LOST), found(others, HELD), held
    [site] = make_report(*events, by="module").sites
    assert site.reach == replace(
        Reach(10, 6, 0, 4, 0, looks=3), holders=(Holder(1, 1, "program+0x8000"),)
    )
