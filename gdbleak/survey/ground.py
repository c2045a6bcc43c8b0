"""What a search for references has to know of a process: its areas, its blocks, what is free."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from gdbleak.analysis.images import with_zeros
from gdbleak.effort import EffortError
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import AddressError, NoSuchProcessError
from gdbleak.heap.chunk import BLOCK
from gdbleak.heap.extent import Chunks, Extent
from gdbleak.heap.free_memory import find_free_memory
from gdbleak.heap.freed import Heap
from gdbleak.memory.pieces import WORD_BYTES, Range, choose_regions, subtract, touched
from gdbleak.memory.territory import Area, Kind, Territory
from gdbleak.memory.ways import Block, Way
from gdbleak.recording.modules import ModuleMap
from gdbleak.survey.threads import areas_of_threads, first_variable, thread_bytes
from gdbleak.target.modules import VDSO
from gdbleak.target.proc import Mapping, find_data
from gdbleak.target.threads import Inhabited

_LIBC = re.compile(r"libc[.-]")
_ALLOCATORS = re.compile(r"/lib(jemalloc|tcmalloc|mimalloc)")
_ADDRESS_BITS = (1 << 48) - 1
_NEAR_BYTES, _WINDOW_BYTES = 1 << 30, 256
"""Where bounds cannot be found, a block is taken to begin at the last address that something refers
to, if that is so near; if not, so many bytes before the word. The tables of large programs are as
long, and nothing refers to their middles."""
_FAILURES = 8
"""After so many words without a chunk around them, no chunks are looked for in that mapping."""

_SIZE = "to see what refers to it all the same, add `--size BYTES`"


class Ground:
    """A process, as a search for references meets it."""

    def __init__(
        self,
        memory: Inhabited,
        modules: ModuleMap,
        images: ImageCache,
        address: int,
        size: int | None,
    ) -> None:
        """Look at everything but the memory.

        Args:
            memory: The process.
            modules: Its modules.
            images: Keeps their files.
            address: What is asked for.
            size: Of the block that begins there, if it is given.

        Raises:
            NoSuchProcessError: the process has ended.

        """
        self.memory = memory
        self.pid = memory.pid
        self.address = address
        self._size = size
        self.mappings = [m for m in memory.read_mappings() if m.path != "[vsyscall]"]
        if not self.mappings:
            raise NoSuchProcessError(f"process {self.pid} has ended meanwhile")
        self._starts = [mapping.start for mapping in self.mappings]
        self.modules = with_zeros(modules, images)
        self.program = next((each for each in self.modules if each.path != VDSO), None)
        self.threads = memory.find_threads()
        self.thread_blocks = memory.find_own_blocks(self.mappings, self.threads)
        data = self._find_data()
        self._heap = Heap(memory, data)
        self._first_variables = {
            block: first
            for block in self.thread_blocks.values()
            if self.program and (first := first_variable(block, self.program, images)) is not None
        }
        self._chunks = Chunks(memory)
        self._failures: dict[int, int] = {}
        areas = [*self._iter_areas(thread_bytes(self.modules, images))]
        free = [Range(*each) for each in find_free_memory(memory, data)] if data else []
        if size:
            end = address + size + WORD_BYTES - 1
            asked = [Range(address & -WORD_BYTES, end & -WORD_BYTES)]
            areas = [
                area._replace(start=part.start, end=part.end)
                for area in areas
                for part in subtract([Range(area.start, area.end)], asked)
            ]
            free = subtract(free, asked)
        self.territory = Territory(areas, free)
        self.registers = [
            (Area(0, 0, Kind.REGISTER, thread=thread.id), value & _ADDRESS_BITS)
            for thread in self.threads
            for value in thread.registers
        ]
        self.notes = self._say_what_is_unknown()

    def _find_data(self) -> tuple[int, int] | None:
        """Return where the writable data of the C library is; of a static program, its own."""
        library = next((m for m in self.modules if _LIBC.match(m.name)), None)
        module = library or self.program
        return find_data(self.mappings, module.path) if module else None

    def _iter_areas(self, bytes_of_threads: int) -> Iterator[Area]:
        stacks = self.memory.find_stacks(self.memory.find_waiting())
        yield from areas_of_threads(
            self.mappings, self.threads, self.thread_blocks, stacks, bytes_of_threads
        )
        for module in self.modules:
            yield Area(module.start, module.end, Kind.MODULE, module.path)
        for mapping in self.mappings:
            if mapping.inode or mapping.permissions.endswith("s"):
                yield Area(mapping.start, mapping.end, Kind.SHARED, mapping.path)

    def _say_what_is_unknown(self) -> list[str]:
        if self.threads and not self.thread_blocks:
            return ["Where threads have variables of their own is unknown: these are no roots."]
        running = sum(not thread.stack_pointer for thread in self.threads)
        if not running:
            return []
        threads = "1 thread runs" if running == 1 else f"{running} threads run"
        return [f"{threads}: registers are unknown, and all of a stack counts."]

    def find_mapping(self, address: int) -> Mapping | None:
        """Return the mapping that an address is in."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self.mappings[index].end:
            return self.mappings[index]
        return None

    def read_word(self, address: int) -> int:
        """Return what a word refers to, as it is now."""
        return int.from_bytes(self.memory.read(address, WORD_BYTES), "little") & _ADDRESS_BITS

    def split(self, target: Block | None = None) -> tuple[list[Range], list[Range]]:
        """Return what of the memory are roots, and what of it consists of blocks.

        Memory that was never touched holds nothing. A target is among the blocks all the same:
        nobody need have written into it.
        """
        ranges = touched(choose_regions(self.mappings), self.memory.find_pages)
        if target:
            end = -(-target.end // WORD_BYTES) * WORD_BYTES
            rest = subtract([Range(target.start & -WORD_BYTES, end)], ranges)
            ranges = sorted([*ranges, *rest])
        return self.territory.split(ranges)

    def widen(self, target: Block, near: int | None) -> Block:
        """Return a target of unknown bounds from the last address before it that is referred to.

        Blocks begin at multiples of 16. What is one is taken for the begin of a block.
        """
        mapping = self.find_mapping(self.address)
        if target.is_known or self.address % 16 == 0 or near is None or mapping is None:
            return target
        return target._replace(start=near) if mapping.start <= near < target.start else target

    def find_target(self) -> Block:
        """Return the block that is asked for.

        Raises:
            AddressError: the address is in no block that is in use.

        """
        mapping = self.find_mapping(self.address)
        if mapping is None:
            raise AddressError(f"nothing is mapped at {self.address:#x} in process {self.pid}")
        if self._size:
            return Block(self.address, self.address + self._size)
        self._refuse(self.territory.find(self.address))
        found = self._find_extent(self.address, mapping)
        if found is None and mapping.path == "[heap]" and self._heap.arenas:
            raise AddressError(f"{self.address:#x} is in the heap, but in no block", _SIZE)
        if found is None:
            start = self.address & -WORD_BYTES
            return Block(start, start + WORD_BYTES, is_known=False)
        if found.is_free or self.find_free([found.start]):
            raise AddressError(f"{self.address:#x} is in free memory of malloc", _SIZE)
        return Block(found.start, found.end)

    def _refuse(self, area: Area | None) -> None:
        """Raise AddressError for what is no block."""
        if area is None:
            return
        where = {
            Kind.MODULE: f"in {area.name}: variables are not held by anybody",
            Kind.STACK: f"on the stack of thread {area.thread}",
            Kind.THREAD: f"in what thread {area.thread} has of its own",
            Kind.SHARED: f"in {area.name or 'shared memory'}",
            Kind.DEAD: "on a stack, below what is in use",
        }
        if area.kind is Kind.ALLOCATOR:
            raise AddressError(f"{self.address:#x} is in free memory of malloc", _SIZE)
        raise AddressError(f"{self.address:#x} is in no block: it is {where[area.kind]}", _SIZE)

    def _find_extent(self, address: int, mapping: Mapping) -> Extent | None:
        if not self._heap.arenas or self._failures.get(mapping.start, 0) >= _FAILURES:
            return None
        found = self._chunks.find(address, (mapping.start, mapping.end))
        if found is None:
            self._failures[mapping.start] = self._failures.get(mapping.start, 0) + 1
        return found

    def find_block(self, word: int, near: int | None) -> Block | None:
        """Return the block that a word is in; None if it is free, or not mapped any more.

        Args:
            word: Its address.
            near: The last address before it that something refers to, if known.

        """
        mapping = self.find_mapping(word)
        if mapping is None:
            return None
        found = None
        if near is not None and near % 16 == 0 and self._heap.arenas:
            found = self._chunks.check(near - BLOCK, word, (mapping.start, mapping.end))
        found = found or self._find_extent(word, mapping)
        if found:
            return None if found.is_free else Block(found.start, found.end)
        start = max(word - _WINDOW_BYTES, mapping.start)
        if near is not None and near % 16 == 0 and max(word - _NEAR_BYTES, mapping.start) <= near:
            start = near
        return Block(start, word + WORD_BYTES, is_known=False)

    def look_up(self, address: int) -> Block | None:
        """Return the block that begins at an address; None if none seems to, or it is free."""
        mapping = self.find_mapping(address)
        if mapping is None or self.territory.find(address):
            return None
        if not self._heap.arenas:
            return Block(address, address + _WINDOW_BYTES, is_known=False)
        if address % 16:
            return None
        found = self._chunks.check(address - BLOCK, address, (mapping.start, mapping.end))
        return Block(found.start, found.end) if found and not found.is_free else None

    def is_doubtful(self, way: Way) -> bool:
        """Whether a way ends in what an allocator or the C library has for itself, perhaps.

        Both keep addresses of blocks whether these are in use or not.
        """
        word, area = way.steps[-1].word, way.area
        if area.kind is Kind.THREAD:
            block = self.thread_blocks.get(area.thread, 0)
            return not self._first_variables.get(block, block) <= word < block
        return area.kind is Kind.MODULE and bool(_ALLOCATORS.search(area.name))

    def find_free(self, blocks: Iterable[int]) -> set[int]:
        """Return which blocks are free, as far as glibc's lists tell."""
        blocks = [*blocks]
        if not blocks or not self._heap.arenas:
            return set()
        try:
            return self._heap.find_freed(blocks)
        except EffortError:
            return set()
