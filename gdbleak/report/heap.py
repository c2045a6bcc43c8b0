"""What is in the heap of a process or a core file, as it is shown. Pure.

Addresses and sizes are in bytes. A block is what its program asked for; the allocator adds a header
and rounds up, and that is counted wherever bytes are: what blocks take, not what was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gdbleak.report.trend import Trend
from gdbleak.text.choices import Choice

SCHEMA = "gdbleak.heap/1"

NOT_SEARCHED = "Lost blocks were not looked for"
"""How a note begins that says why."""


class Free(Choice):
    """Where the allocator keeps memory that nobody uses."""

    CACHED = "tcache"
    FAST = "fast bins"
    UNSORTED = "unsorted bin"
    SMALL = "small bins"
    LARGE = "large bins"
    TOP = "top"


@dataclass(frozen=True)
class Amount:
    """So many blocks, and the bytes that they take."""

    count: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Growth:
    """How a size class has grown from census to census."""

    count: Trend
    """Blocks in use, by seconds."""
    bytes: Trend
    """Bytes in use, by seconds."""
    history: tuple[int, ...]
    """How many blocks were in use at each census."""


@dataclass(frozen=True)
class SizeClass:
    """Blocks of one size; those of more than 1,032 bytes, of about one size."""

    low: int
    """The smallest of them, in bytes that the program may use."""
    high: int
    """The largest."""
    in_use: Amount
    free: Amount
    """What of this size is free, wherever it is kept."""
    growth: Growth | None = None
    """None after a single census."""


@dataclass(frozen=True)
class Pin:
    """The block in use that keeps the free memory before it from the kernel."""

    address: int
    size: int
    """In bytes that the program may use."""
    free_bytes: int
    """How much is free before it, and not interrupted by more than one page in use."""


@dataclass(frozen=True)
class Arena:
    """An arena of glibc's malloc: a heap, or several, that some of the threads use."""

    number: int
    """From 0, the main one, in the order in which they are linked."""
    address: int
    threads: tuple[str, ...]
    """Which threads allocate from it, such as `4711 (worker)`, as far as they were told."""
    heaps: tuple[tuple[int, int], ...]
    """Where its memory is: from an address up to one behind."""
    system_bytes: int
    """How much it has got from the kernel, and not given back."""
    resident_bytes: int | None
    """How much of that is in memory; None where nobody knows."""
    in_use: Amount
    free: dict[Free, Amount]
    """What is free, by where it is kept."""
    trimmable_bytes: int
    """How much malloc_trim(3) would give back: whole pages of free memory that are resident."""
    pin: Pin | None = None
    """What keeps its last free memory from the kernel; None where nothing much does."""

    @property
    def free_bytes(self) -> int:
        """What is free in all, the top included."""
        return sum(amount.bytes for amount in self.free.values())


class MappingKind(Choice):
    """What a mapping is for."""

    HEAP = "heap"
    ARENA = "arena"
    ARENA_ROOM = "room of an arena"
    LARGE_BLOCK = "large block"
    STACK = "stack"
    OLD_STACK = "stack of an exited thread"
    UNJOINED_STACK = "stack of a thread never joined"
    GUARD = "guard"
    ALLOCATOR = "allocator"
    ANONYMOUS = "anonymous"
    SHARED = "shared memory"
    PROGRAM = "program"
    LIBRARY = "library"
    FILE = "file"
    KERNEL = "kernel"


@dataclass(frozen=True)
class MappingUse:
    """A mapping, or a part of one, and what is in it."""

    start: int
    end: int
    permissions: str
    kind: MappingKind
    name: str
    """What a person calls it: `heap of arena 3`, `stack of thread 4711 (worker)`, `libssl.so.3`."""
    resident_bytes: int | None
    """None where nobody knows, as in some core files."""
    dirty_bytes: int | None
    swapped_bytes: int | None
    grown_bytes: int | None = None
    """By how much the resident bytes have grown since the first census; None after one census."""

    @property
    def size(self) -> int:
        """Bytes of address space."""
        return self.end - self.start


@dataclass(frozen=True)
class AllocatorUse:
    """An allocator other than glibc's, and what can be told about it from outside."""

    name: str
    """Such as `jemalloc`."""
    module: str
    """The path of the file that holds it."""
    mapped: Amount
    """Its mappings, and their address space."""
    resident_bytes: int | None
    in_use: Amount | None = None
    """What its own statistics say is in use; None where it keeps none that can be read."""
    sizes: tuple[SizeClass, ...] = ()
    notes: tuple[str, ...] = ()
    """What these figures are, how far they can be trusted, and how to learn more."""


@dataclass(frozen=True)
class LostTree:
    """Lost blocks that hang together: a root that nothing refers to, and what it alone holds.

    Trees that look alike are counted together.
    """

    address: int
    """Of the root of the first of them; of a cycle, its first block."""
    size: int
    """Of a root, in bytes that the program may use."""
    is_cycle: bool
    """Whether the blocks of the root refer to each other in a ring."""
    trees: int
    """How many look alike."""
    blocks: int
    """In all of them, roots included."""
    bytes: int
    """What all of them take."""
    what: str | None
    """The class of the C++ object in the root, by its vtable's symbol; None where it has none."""
    content: str | None = None
    """The first bytes of the first root as text and hexadecimal, where they were asked for."""


@dataclass(frozen=True)
class Lost:
    """What nothing refers to."""

    looks: int
    """How often memory was looked at; once in a core file, or a process that was stopped."""
    took_s: float
    searched_blocks: int
    total: Amount
    trees: tuple[LostTree, ...]
    """Those that take most first."""
    mappings: tuple[MappingUse, ...]
    """Anonymous mappings that nothing refers to."""
    notes: tuple[str, ...]
    """What was left out, and why that matters."""


@dataclass(frozen=True)
class Taking:
    """How a census was taken."""

    took_s: float
    pause_ms: float | None
    """How long the process was stopped; None if it was not."""
    censuses: int = 1
    interval_s: float = 0.0
    read_bytes: int = 0
    unsettled: Amount = Amount()
    """What changed while it was counted, again and again: it is counted as it was seen last."""
    unclear_bytes: int = 0
    """Memory of the heap in which no chunks could be made out."""


@dataclass(frozen=True)
class HeapReport:
    """Everything about the heap of one process."""

    pid: int
    command: str
    core: str | None
    """The path of the core file; None for a process that runs."""
    taken_at: str
    """When, in ISO 8601 with the offset from UTC; of a core file, when it was written."""
    taking: Taking
    libc: str | None
    """Such as `glibc, layout of 2.27 to 2.42`; None where glibc's malloc has no heap."""
    resident_bytes: int | None
    """Of the whole process."""
    in_use: Amount
    mmapped: Amount
    """Blocks with a mapping of their own; they are part of `in_use`."""
    sizes: tuple[SizeClass, ...]
    """Those that take most first; after several censuses those that grow fastest first."""
    arenas: tuple[Arena, ...]
    mappings: tuple[MappingUse, ...]
    """In order of address."""
    allocators: tuple[AllocatorUse, ...] = ()
    lost: Lost | None = None
    """None where it was not asked for."""
    notes: tuple[str, ...] = field(default=())
    """What could not be told, and why."""

    @property
    def free_bytes(self) -> int:
        """What glibc's malloc holds and nobody uses."""
        return sum(arena.free_bytes for arena in self.arenas)
