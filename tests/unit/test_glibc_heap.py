"""Free blocks of glibc's malloc in hand-built memory, as each of its versions leaves them."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz import scaled

from gdbleak.effort import EffortError
from gdbleak.heap.freed import Heap
from gdbleak.target.proc import find_data, parse_mapping

DATA = 0x7F0000200000
HEAP = 0x555555559000
HEAP_END = HEAP + 0x4000
OTHER_HEAP = 0x7F0004000000
MAPPED = 0x7F0000800000
KEY = 0x9E4C246C875A5582


class Image:
    """Memory in which nothing is mapped at first."""

    def __init__(self):
        self.pages = {}

    def map(self, start, end):
        for page in range(start, end, 4096):
            self.pages[page] = bytearray(4096)

    def put(self, address, *words):
        for at, word in enumerate(words):
            place = address + 8 * at
            struct.pack_into("<Q", self.pages[place & -4096], place & 4095, word)

    def word(self, address):
        return int.from_bytes(self.read(address, 8), "little")

    def read(self, address, size):
        data = b""
        while len(data) < size and (page := self.pages.get(address & -4096)) is not None:
            part = page[address & 4095 :][: size - len(data)]
            data += part
            address += len(part)
        return data


class Glibc:
    """A process whose main heap is full of chunks of 96 bytes, all of them in use, up to top."""

    SIZE = 96
    FIRST = HEAP + 0x290

    def __init__(self, bins_offset=112):
        self.image = Image()
        self.image.map(DATA, DATA + 0x3000)
        self.image.map(HEAP, HEAP_END)
        self.arena = self.put_arena(DATA + 0x340, bins_offset)
        self.top = self.FIRST + 100 * self.SIZE
        self.chunks = list(range(self.FIRST, self.top, self.SIZE))
        self.image.put(HEAP + 8, 0x291)
        for chunk in self.chunks:
            self.image.put(chunk + 8, self.SIZE | 1, 0x1111, 0x2222)
        self.put_top(self.top)

    def put_arena(self, address, bins_offset):
        bins = address + bins_offset
        for at in range(bins, bins + 127 * 16, 16):
            self.image.put(at, at - 16, at - 16)
        self.image.put(bins + 2048, address)
        self.image.put(bins + 2072, HEAP_END - HEAP)
        return bins

    def put_top(self, top):
        self.image.put(self.arena - 16, top)
        self.image.put(top + 8, (HEAP_END - top) | 1)

    def put_in_bin(self, chunk, size, number=0):
        """Make a chunk of a size, from the start of another, and link it as the first of a bin."""
        head = self.arena + 16 * number - 16
        following = self.image.word(head + 16)
        self.image.put(chunk + 8, size | 1, following, head)
        self.image.put(following + 24, chunk)
        self.image.put(head + 16, chunk)
        self.image.put(chunk + size, size, self.image.word(chunk + size + 8) & ~1)

    def put_in_fast_bin(self, chunks, protects):
        link = 0
        for chunk in chunks:
            self.image.put(chunk + 16, link ^ (chunk + 16 >> 12) if protects else link)
            link = chunk
        self.image.put(self.arena - 96 + 8 * (self.SIZE // 16 - 2), link)

    def put_in_tcache(self, chunks, cache, count_bytes, protects, mark):
        number, link = self.SIZE // 16 - 2, 0
        self.image.put(cache - 8, 0x251 if count_bytes == 1 else 0x291)
        for chunk in chunks:
            block = chunk + 16
            self.image.put(block, link ^ (block >> 12) if protects else link)
            if mark:
                self.image.put(block + 8, cache if mark == ITSELF else mark)
            link = block
        at = cache + number * count_bytes
        self.image.put(at & -8, len(chunks) << 8 * (at & 7))
        self.image.put(cache + 64 * count_bytes + 8 * number, link)

    @property
    def blocks(self):
        return [chunk + 16 for chunk in self.chunks]

    def find_freed(self, blocks=None, data=(DATA, DATA + 0x3000)):
        return Heap(self.image, data).find_freed(self.blocks if blocks is None else blocks)


def blocks_of(chunks):
    return {chunk + 16 for chunk in chunks}


@pytest.fixture(autouse=True)
def look_on_a_busy_host(monkeypatch):
    """Bound a look by its steps alone: a busy host may need any time for them."""
    monkeypatch.setattr("gdbleak.heap.freed.LOOK_S", 600)


@pytest.fixture(params=[112, 104, 24], ids=["since 2.27", "until 2.26", "since 2.43"])
def glibc(request):
    return Glibc(request.param)


def test_nothing_is_free_when_all_is_in_use(glibc):
    assert glibc.find_freed() == set()


@pytest.mark.parametrize("number", [0, 4, 126])
def test_chunks_in_bins(glibc, number):
    free = glibc.chunks[3:40:4]
    for chunk in free:
        glibc.put_in_bin(chunk, glibc.SIZE, number)
    assert glibc.find_freed() == blocks_of(free)


def test_chunks_merged_into_one_that_left_nothing_of_them(glibc):
    glibc.put_in_bin(glibc.chunks[5], 10 * glibc.SIZE)
    for chunk in glibc.chunks[6:15]:
        glibc.image.put(chunk, *[0xA5A5A5A5A5A5A5A5] * 12)
    glibc.image.put(glibc.chunks[15], 10 * glibc.SIZE, glibc.SIZE)
    assert glibc.find_freed() == blocks_of(glibc.chunks[5:15])


def test_a_chunk_in_a_bin_is_known_without_its_arena(glibc):
    glibc.put_in_bin(glibc.chunks[5], 10 * glibc.SIZE)
    alone = {glibc.chunks[5] + 16, glibc.chunks[14] + 16}
    assert glibc.find_freed(alone, data=None) <= alone
    assert glibc.chunks[14] + 16 in glibc.find_freed(data=None)


@pytest.mark.parametrize(
    ("where", "word"),
    [(8, 0x71), (16, DATA), (24, DATA), (96, 0x70), (104, 97)],
    ids=["size", "next", "previous", "size at the end", "flag behind"],
)
def test_a_chunk_of_which_not_all_says_that_it_is_in_a_bin(glibc, where, word):
    glibc.put_in_bin(glibc.chunks[5], glibc.SIZE)
    glibc.image.put(glibc.chunks[5] + where, word)
    assert glibc.find_freed() == set()


def test_what_top_has_taken_back(glibc):
    glibc.put_top(glibc.chunks[90])
    assert glibc.find_freed() == blocks_of(glibc.chunks[90:])


@pytest.mark.parametrize("size", [0x4001, 0x4005, 0x10], ids=["end", "flags", "too small"])
def test_a_top_that_is_none(glibc, size):
    glibc.put_top(glibc.chunks[90])
    glibc.image.put(glibc.chunks[90] + 8, size)
    assert glibc.find_freed() == set()


@pytest.mark.parametrize(
    ("bins_offset", "protects"),
    [(104, False), (112, False), (112, True)],
    ids=["until 2.26", "until 2.31", "since 2.32"],
)
def test_fast_bins(bins_offset, protects):
    glibc = Glibc(bins_offset)
    free = glibc.chunks[3:40:4]
    glibc.put_in_fast_bin(free, protects)
    assert glibc.find_freed() == blocks_of(free)


def test_what_stands_before_an_arena_without_fast_bins_is_no_list():
    glibc = Glibc(24)
    glibc.put_in_fast_bin(glibc.chunks[3:40:4], protects=True)
    assert glibc.find_freed() == set()


ITSELF = -1
TCACHES = {  # bytes of a count, whether links are protected, the mark
    "2.26": (1, False, 0),
    "2.29": (1, False, ITSELF),
    "2.30": (2, False, ITSELF),
    "2.32": (2, True, ITSELF),
    "2.34": (2, True, KEY),
}


@pytest.mark.parametrize("version", TCACHES)
def test_tcaches(version):
    count_bytes, protects, mark = TCACHES[version]
    glibc = Glibc()
    cache = HEAP + 16
    free = glibc.chunks[3:40:7]
    glibc.put_in_tcache(free, cache, count_bytes, protects, mark)
    assert glibc.find_freed() == blocks_of(free)


def test_a_glance_sees_what_has_the_random_mark():
    glibc = Glibc()
    free = glibc.chunks[3:40:7]
    glibc.image.put(DATA + 0x2008, KEY)
    glibc.put_in_tcache(free, HEAP + 16, *TCACHES["2.34"])
    glibc.image.put(glibc.chunks[50] + 16, glibc.chunks[6] + 16, KEY)  # linked to none of its kind
    heap = Heap(glibc.image, (DATA, DATA + 0x3000))
    assert heap.find_quickly(glibc.blocks) == blocks_of(free)
    assert heap.find_quickly([]) == set()
    assert Heap(glibc.image, None).find_quickly(glibc.blocks) == set()


def test_a_glance_sees_what_top_has_taken_back(glibc):
    glibc.put_top(glibc.chunks[90])
    heap = Heap(glibc.image, (DATA, DATA + 0x3000))
    assert heap.find_quickly(glibc.blocks) == blocks_of(glibc.chunks[90:])


@pytest.mark.parametrize("version", ["2.29", "2.30", "2.32", "2.34"])
def test_the_tcache_of_a_thread_that_shares_its_arena(version):
    count_bytes, protects, mark = TCACHES[version]
    glibc = Glibc()
    cache = glibc.chunks[50] + 16
    free = glibc.chunks[3:40:7]
    glibc.put_in_tcache(free, cache, count_bytes, protects, mark)
    glibc.image.put(DATA + 0x2008, KEY)
    glibc.chunks = glibc.chunks[:50]
    assert glibc.find_freed() == blocks_of(free)


def test_a_block_with_the_key_that_is_linked_to_none_of_its_kind():
    glibc = Glibc()
    glibc.image.put(DATA + 0x2008, KEY)
    glibc.image.put(glibc.chunks[5] + 16, glibc.chunks[6] + 16, KEY)
    assert glibc.find_freed() == set()


def test_a_tcache_list_that_is_longer_than_its_count():
    glibc = Glibc()
    glibc.put_in_tcache(glibc.chunks[3:9:2], HEAP + 16, 1, False, 0)
    glibc.image.put(glibc.chunks[3] + 16, glibc.chunks[20] + 16)
    glibc.image.put(glibc.chunks[20] + 16, 0)
    assert glibc.find_freed() == set()


@pytest.mark.parametrize("version", ["2.30", "2.32", "2.34"])
def test_a_tcache_list_in_which_a_block_has_no_mark(version):
    count_bytes, protects, mark = TCACHES[version]
    glibc = Glibc()
    glibc.put_in_tcache(glibc.chunks[3:9:2], HEAP + 16, count_bytes, protects, mark)
    glibc.image.put(glibc.chunks[5] + 24, 0)
    assert glibc.find_freed() == set()


def test_blocks_mapped_for_themselves_are_free_once_they_are_not_mapped(glibc):
    for start in (MAPPED, MAPPED + 0x40000):
        glibc.image.map(start, start + 0x2000)
        glibc.image.put(start + 8, 0x2002)
    blocks = [MAPPED + 16, MAPPED + 0x40010]
    assert glibc.find_freed(blocks) == set()
    for page in (MAPPED, MAPPED + 0x1000):
        del glibc.image.pages[page]
    assert glibc.find_freed(blocks) == {MAPPED + 16}


def test_a_block_mapped_for_itself_in_two_versions(glibc):
    """It is known once it was seen so; then another word before it says that it is gone."""
    for start, size in ((MAPPED, 0x2002), (MAPPED + 0x40000, 0x1FF2)):
        glibc.image.map(start, start + 0x2000)
        glibc.image.put(start + 8, size)
    blocks = [MAPPED + 16, MAPPED + 0x40010]
    heap = Heap(glibc.image, (DATA, DATA + 0x3000))
    assert heap.find_freed(blocks) == set()
    for block in blocks:
        glibc.image.put(block - 8, 0xA5A5A5A5A5A5A5A5)
    assert heap.find_freed(blocks) == set(blocks)


@pytest.mark.parametrize("data", [(DATA, DATA + 0x3000), None], ids=["data", "no data"])
def test_a_process_that_has_ended_has_freed_nothing(glibc, data):
    glibc.image.pages.clear()
    assert glibc.find_freed(data=data) == set()


def test_a_block_whose_memory_was_handed_out_in_another(glibc):
    heap = Heap(glibc.image, (DATA, DATA + 0x3000))
    glibc.image.put(glibc.chunks[20] + 8, 0xA5A5A5A5A5A5A5A5)
    assert heap.find_freed(glibc.blocks) == set(), "it never looked like a block of glibc"
    glibc.image.put(glibc.chunks[40] + 8, 0xA5A5A5A5A5A5A5A5)
    assert heap.find_freed(glibc.blocks) == {glibc.chunks[40] + 16}


@pytest.mark.parametrize("data", [(DATA, DATA + 0x3000), None], ids=["data", "no data"])
def test_the_heap_of_another_arena(glibc, data):
    main, offset = glibc.arena, glibc.arena - DATA - 0x340
    glibc.image.map(OTHER_HEAP, OTHER_HEAP + 0x3000)
    other = OTHER_HEAP + 0x30
    bins = glibc.put_arena(other, offset)
    glibc.image.put(OTHER_HEAP, other, 0, 0x2000, 0x3000)
    glibc.image.put(bins + 2048, DATA + 0x340)
    glibc.image.put(main + 2048, other)
    chunks = list(range(OTHER_HEAP + 0xA00, OTHER_HEAP + 0x1000, glibc.SIZE))
    for chunk in chunks:
        glibc.image.put(chunk + 8, glibc.SIZE | 5, 0x1111, 0x2222)
    glibc.image.put(bins - 16, chunks[10])
    glibc.image.put(chunks[10] + 8, OTHER_HEAP + 0x2000 - chunks[10] | 1)
    glibc.arena = bins
    glibc.put_in_bin(chunks[3], 2 * glibc.SIZE)
    given_back = OTHER_HEAP + 0x2810
    blocks = [*blocks_of(chunks), *glibc.blocks, given_back]
    expected = {*blocks_of(chunks[3:5]), *blocks_of(chunks[10:]), given_back}
    assert glibc.find_freed(blocks, data) == expected


def test_only_what_two_looks_agree_on_is_free(glibc):
    glibc.put_in_bin(glibc.chunks[5], glibc.SIZE)
    looks = 0

    def read(address, size):
        nonlocal looks
        looks += address == DATA and size == 0x3000
        if looks == 2:
            glibc.image.put(glibc.chunks[6] + 8, glibc.SIZE | 1)
        return glibc.image.read(address, size)

    assert Heap(SimpleNamespace(read=read), (DATA, DATA + 0x3000)).find_freed(glibc.blocks) == set()
    assert looks == 2


@pytest.mark.parametrize("kind", ["fast bin", "tcache"])
def test_a_link_that_its_program_wrote_between_two_reads(kind):
    glibc = Glibc()
    taken, in_use = glibc.chunks[5], glibc.chunks[9]
    glibc.image.put(in_use + 16, 0)
    if kind == "tcache":
        glibc.put_in_tcache([glibc.chunks[3], taken], HEAP + 16, 1, False, 0)
        false_link = in_use + 16
    else:
        glibc.put_in_fast_bin([glibc.chunks[3], taken], protects=False)
        false_link = in_use
    true_link = glibc.image.word(taken + 16)
    reads = 0

    def read(address, size):
        nonlocal reads
        reads += address <= taken + 16 < address + size
        # The block is taken from the list, and put back, again and again: a look sees either.
        glibc.image.put(taken + 16, true_link if reads % 3 else false_link)
        return glibc.image.read(address, size)

    found = Heap(SimpleNamespace(read=read), (DATA, DATA + 0x3000)).find_freed(glibc.blocks)
    assert in_use + 16 not in found


def test_lists_that_go_round_come_to_an_end():
    glibc = Glibc()
    glibc.put_in_fast_bin(glibc.chunks[3:9:2], protects=False)
    glibc.image.put(glibc.chunks[3] + 16, glibc.chunks[7])
    glibc.put_in_tcache(glibc.chunks[10:20:2], HEAP + 16, 2, False, HEAP + 16)
    glibc.image.put(glibc.chunks[10] + 16, glibc.chunks[18] + 16)
    first, second = glibc.chunks[30], glibc.chunks[32]
    for chunk, other in ((first, second), (second, first)):
        glibc.put_in_bin(chunk, glibc.SIZE)
        glibc.image.put(chunk + 16, other, other)
    assert blocks_of([first, second]) <= glibc.find_freed()


def test_arenas_that_never_lead_back():
    glibc = Glibc()
    glibc.image.put(glibc.arena + 2048, DATA + 0x2000)
    glibc.put_top(glibc.chunks[90])
    assert glibc.find_freed() == set()


WORDS = st.one_of(
    st.sampled_from([0, 1, 0x61, 0x60, 0x291, KEY, (1 << 64) - 1, DATA + 0x340, HEAP + 16]),
    st.integers(0, 110).map(lambda number: Glibc.FIRST + 96 * number),
    st.integers(0, 110).map(lambda number: Glibc.FIRST + 96 * number + 16),
    st.integers(0, 126).map(lambda number: DATA + 0x3A0 + 16 * number),
    st.integers(0, (1 << 64) - 1),
)
PLACES = st.one_of(
    st.integers(0, 0x3000 // 8 - 1).map(lambda at: DATA + 8 * at),
    st.integers(0, 0x4000 // 8 - 1).map(lambda at: HEAP + 8 * at),
)


@settings(max_examples=scaled(150))
@given(st.lists(st.tuples(PLACES, WORDS), max_size=60), st.integers(0, 4097), WORDS)
def test_garbage_is_survived(changes, shortest, other):
    glibc = Glibc()
    for chunk in glibc.chunks[3:40:4]:
        glibc.put_in_bin(chunk, glibc.SIZE)
    glibc.put_in_fast_bin(glibc.chunks[41:50:3], protects=True)
    glibc.put_in_tcache(glibc.chunks[51:60:3], HEAP + 16, 2, True, KEY)
    for place, word in changes:
        glibc.image.put(place, word)

    def read(address, size):
        return glibc.image.read(address, size)[: max(shortest, size - address % 3)]

    blocks = [*glibc.blocks, other, -16, 1 << 70]
    assert Heap(SimpleNamespace(read=read), (DATA, DATA + 0x3000)).find_freed(blocks) <= set(blocks)


MAPS = """\
555555554000-555555558000 rw-p 00000000 08:01 1 /usr/bin/server
7f0000000000-7f0000100000 r-xp 00000000 08:01 2 /lib/libc.so.6
7f0000100000-7f0000104000 r--p 00100000 08:01 2 /lib/libc.so.6
7f0000104000-7f0000106000 rw-p 00104000 08:01 2 /lib/libc.so.6
7f0000106000-7f0000113000 rw-p 00000000 00:00 0
7f0000113000-7f0000114000 rw-p 00000000 00:00 0 [stack]
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/lib/libc.so.6", (0x7F0000104000, 0x7F0000113000)),
        ("/usr/bin/server", (0x555555554000, 0x555555558000)),
        ("/lib/other.so", None),
    ],
)
def test_the_data_of_a_file(path, expected):
    assert find_data(map(parse_mapping, MAPS.splitlines()), path) == expected


CACHES = 0x7F0100000000
NODES = 0x7F0200000000


def put_circles(image):
    """Put as many caches as are looked at, in each of which all lists go round; return blocks."""
    image.map(NODES, NODES + 0x1000)
    for number in range(64):
        node = NODES + 32 * number + 16
        image.put(node - 8, 16 * (number + 2), node)
    blocks = []
    for number in range(256):
        cache, block = CACHES + 0x1000 * number + 16, HEAP + 0x1000 + 96 * number + 16
        image.map(cache & -4096, (cache & -4096) + 4096)
        image.put(cache - 8, 0x291, *[0xFFFF_FFFF_FFFF_FFFF] * 16)
        image.put(cache + 128, *(NODES + 32 * number + 16 for number in range(64)))
        image.put(block - 8, 97, 0x1111, cache)
        blocks.append(block)
    image.put(HEAP + 0x1000 + 96 * 256 + 8, 97)
    return blocks


def test_lists_that_go_round_keep_nobody():
    image = Image()
    image.map(HEAP, HEAP + 0x8000)
    image.map(DATA, DATA + 0x3000)
    blocks = put_circles(image)
    with pytest.raises(EffortError, match="it would take too long"):
        Heap(image, (DATA, DATA + 0x3000)).find_freed(blocks)


def test_what_looks_like_many_empty_bins_keeps_nobody():
    image = Image()
    image.map(DATA, DATA + (1 << 20))
    for at in range(DATA + 0x1000, DATA + (1 << 20) - 16, 16):
        image.put(at, at - 16, at - 16)
    assert Heap(image, (DATA, DATA + (1 << 20))).main_arena is None
