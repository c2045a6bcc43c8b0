"""Which sizes of blocks are recorded: from what the user types to the books."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gdbleak.errors import UsageError
from gdbleak.ledger.replay import Replay
from gdbleak.plan.sizes import parse_sizes
from gdbleak.recording.events import Hit
from gdbleak.recording.functions import MALLOC_FAMILY
from gdbleak.recording.outside_values import UnfitError
from gdbleak.recording.probes import Probe, Role

SP, A, B, C = 0x7FFF_0000, 0x1000, 0x2000, 0x3000
SMALL, LARGE = 0x21, 0x71
"""Words before blocks: of a size that is recorded, and of another."""


@pytest.mark.parametrize(
    ("text", "requests", "by_glibc", "chunks"),
    [
        ("1", (0, 1), (0, 24), (32, 32)),
        ("20", (0, 20), (0, 24), (32, 32)),
        ("24", (0, 24), (0, 24), (32, 32)),
        ("25", (10, 25), (25, 40), (48, 48)),
        ("40", (25, 40), (25, 40), (48, 48)),
        ("48", (33, 48), (41, 56), (64, 64)),
        ("1k", (1009, 1024), (1017, 1032), (1040, 1040)),
        ("25-56", (25, 56), (25, 56), (48, 64)),
        ("0-24", (0, 24), (0, 24), (32, 32)),
        ("1M-1G", (1 << 20, 1 << 30), ((1 << 20) - 7, (1 << 30) + 8), (1048592, 1073741840)),
    ],
)
def test_sizes_that_a_user_types(text, requests, by_glibc, chunks):
    sizes = parse_sizes(text)
    assert (sizes.requests, sizes.served_by_glibc, sizes.chunks) == (requests, by_glibc, chunks)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        *((text, "is no size") for text in ("", "x", "-5", "24-", "-", "1.5", "3T", "1-2-3")),
        ("40-24", "ends before it begins"),
        ("1024G", "is larger than any block"),
    ],
)
def test_sizes_that_make_no_sense(text, wrong):
    with pytest.raises(UsageError, match=wrong) as raised:
        parse_sizes(text)
    assert "--size" in raised.value.help_text


def test_the_class_of_a_request_is_that_of_every_request_it_serves():
    for size in range(2000):
        least, most = parse_sizes(str(size)).served_by_glibc
        assert least <= size <= most
        assert {parse_sizes(str(each)).chunks for each in (least, most)} == {
            parse_sizes(str(size)).chunks
        }


def returns(function, number, kept, offset=-8):
    registers = ("rsp", "rax", "rbp")
    return Probe(
        number, 0x1000 + number, function, Role.RETURN, registers, None, "c3", 0, offset,
        kept_sizes=kept,
    )  # fmt: skip


def enters(function, number, kept, offset=-8, registers=("rsp", "rdi")):
    return Probe(
        number, 0x1000 + number, function, Role.ENTRY, registers, None, "55", 0, offset,
        kept_sizes=kept,
    )  # fmt: skip


KEPT = 32, 48
GLIBC = (
    returns("malloc", 0, KEPT),
    enters("free", 1, KEPT),
    enters("realloc", 2, None, registers=("rsp", "rdi", "rsi")),
    returns("realloc", 3, KEPT),
    enters("posix_memalign", 4, None, None, ("rsp", "rdi", "rdx")),
    returns("posix_memalign", 5, KEPT, None),
)
OTHER = (
    enters("malloc", 0, (10, 24), None),
    returns("malloc", 1, None, None),
    enters("free", 2, None, None),
    enters("realloc", 3, (10, 24), None, ("rsp", "rdi", "rsi")),
    returns("realloc", 4, None, None),
)


class Story:
    """Events in a row, and the books of them."""

    def __init__(self, probes) -> None:
        self.freed = []
        self.older = []
        self.replay = Replay(
            probes,
            MALLOC_FAMILY,
            lambda block: self.freed.append(block.address),
            free_older=lambda size, _: self.older.append(size),
        )
        self._now = 0

    def hit(self, probe, *registers, stored=0):
        self._now += 1
        self.replay.feed(Hit(self._now, probe, self._now, 1, (SP, *registers), stored))
        return self

    def books(self):
        """Return what is alive, what was freed, and the older blocks that were."""
        ledger = self.replay.ledger
        ledger.close()
        assert ledger.unfinished_calls == ledger.missed_frees == 0
        alive = [(block.address, block.size) for block in ledger.outstanding.values()]
        return alive, self.freed, self.older


def glibc():
    return Story(GLIBC)


def other():
    return Story(OTHER)


def resize(story, old, size, new, before=SMALL, behind=SMALL):
    return story.hit(2, old, size, stored=before).hit(3, new, 0, stored=behind)


def test_blocks_of_glibc_are_told_by_their_chunks():
    story = glibc().hit(0, A, 0, stored=SMALL).hit(0, B, 0, stored=0x35)
    assert story.hit(1, A, stored=SMALL).books() == ([(B, 40)], [A], [])
    assert glibc().hit(1, C, stored=SMALL).books() == ([], [], [24])


def test_return_of_another_size_is_of_no_block():
    """It is there where the call was written: `realloc` of nothing may end in `malloc`."""
    assert glibc().hit(2, 0, 99).hit(0, A, 0, stored=LARGE).books() == ([], [], [])


def test_resize_within_the_sizes():
    story = resize(glibc().hit(0, A, 0, stored=SMALL), A, 35, B, behind=0x31)
    assert story.books() == ([(B, 35)], [], [])


def test_resize_to_another_size_ends_the_block():
    story = resize(glibc().hit(0, A, 0, stored=SMALL), A, 99, B, behind=LARGE)
    assert story.books() == ([], [A], [])
    assert resize(glibc(), A, 99, B, behind=LARGE).books() == ([], [], [24])


def test_resize_from_another_size_begins_a_block():
    story = resize(glibc(), A, 20, B, before=LARGE)
    assert story.books() == ([(B, 20)], [], [])
    (block,) = story.replay.ledger.outstanding.values()
    assert (block.is_older, block.net_bytes) == (False, 20)


def test_resize_of_an_older_block_of_a_recorded_size_is_of_an_older_block():
    story = resize(glibc(), A, 30, B, behind=0x31)
    assert story.books() == ([(B, 30)], [], [])
    (block,) = story.replay.ledger.outstanding.values()
    assert (block.is_older, block.net_bytes) == (True, 6)


def test_resize_among_other_sizes_is_nothing():
    assert resize(glibc(), A, 99, B, before=LARGE, behind=LARGE).books() == ([], [], [])
    assert resize(glibc(), A, 0, 0, before=LARGE, behind=0).books() == ([], [], [])


def test_resize_that_fails_changes_nothing():
    story = resize(glibc().hit(0, A, 0, stored=SMALL), A, 1 << 60, 0, behind=0)
    assert story.books() == ([(A, 24)], [], [])


def test_resize_to_nothing_frees():
    story = resize(glibc().hit(0, A, 0, stored=SMALL), A, 0, 0, behind=0)
    assert story.books() == ([], [A], [])


def test_stored_block():
    assert glibc().hit(4, 0x9000, 20).hit(5, 0, 0, stored=A).books() == ([(A, 20)], [], [])
    assert glibc().hit(4, 0x9000, 99).hit(5, 0, 0, stored=0).books() == ([], [], [])


def test_blocks_of_others_are_told_by_what_was_requested():
    story = other().hit(0, 24).hit(1, A, 0).hit(0, 9).hit(1, B, 0).hit(0, 25).hit(1, C, 0)
    assert story.hit(2, B).hit(2, C).books() == ([(A, 24)], [], [])


def test_resize_of_another_allocator():
    story = other().hit(0, 24).hit(1, A, 0).hit(3, A, 99).hit(4, B, 0)
    assert story.books() == ([], [A], [])
    assert other().hit(3, A, 99).hit(4, B, 0).books() == ([], [], [])
    story = other().hit(3, A, 20).hit(4, B, 0)
    assert story.books() == ([(B, 20)], [], [])
    assert not story.replay.ledger.outstanding[B].is_older


WHOLE = (
    Probe(0, 0x1000, "malloc", Role.CALL, ("rsp", "rax", "rbp", "rdi"), None, "55",
          kept_sizes=(10, 24)),
    enters("free", 1, None, None),
    enters("realloc", 2, None, None),
    Probe(3, 0x1003, "realloc", Role.RETURN, ("rsp", "rax", "rbp", "rsi"), None, "55",
          kept_sizes=(10, 24)),
)  # fmt: skip


def test_calls_that_were_seen_whole_of_an_allocator_that_tells_no_sizes():
    """The recorder writes a resize to another size as one to nothing, and all frees."""
    story = Story(WHOLE).hit(0, A, 0, 24).hit(2, A).hit(3, 0, 0, 0)
    assert story.hit(1, C).books() == ([], [A], [])
    story = Story(WHOLE).hit(2, C).hit(3, B, 0, 20)
    assert story.books() == ([(B, 20)], [], [])
    assert not story.replay.ledger.outstanding[B].is_older
    assert Story(WHOLE).hit(2, C).hit(3, 0, 0, 0).books() == ([], [], [])


def test_calls_that_were_seen_whole_of_glibc():
    probes = [replace(probe, kept_sizes=(32, 32)) for probe in WHOLE]
    assert Story(probes).hit(1, C).books() == ([], [], [0])
    story = Story(probes).hit(2, C).hit(3, B, 0, 20)
    assert story.replay.ledger.outstanding[B].is_older


@pytest.mark.parametrize("values", [[1], [1, 2, 3], ["x", 2], 7, {}])
def test_damaged_range_in_a_recording(values):
    damaged = {**GLIBC[0].to_json(), "kept_sizes": values}
    with pytest.raises(UnfitError, match="kept_sizes"):
        Probe.from_json(damaged)


def test_range_survives_json():
    for probe in (*GLIBC, *OTHER):
        assert Probe.from_json(probe.to_json()) == probe
