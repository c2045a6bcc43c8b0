"""The functions through which a program allocates and frees, and how to read their arguments.

Sources: malloc(3), posix_memalign(3), and ISO C for what each returns; the Itanium C++ ABI, 5.1,
for the symbols of `operator new` and `delete`; jemalloc(3); mimalloc.h.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any


class MappingCall(str, Enum):
    """What a function does that takes memory from the kernel itself."""

    MAP = "map"
    UNMAP = "unmap"
    REMAP = "remap"
    MOVE_BREAK = "move break"
    SET_BREAK = "set break"


@dataclass(frozen=True)
class AllocatorFunction:
    """What a call of an allocator function means; arguments are numbered from 0."""

    name: str
    sizes: tuple[int, ...] = ()
    """Arguments whose product is the requested size; empty for a function that only frees."""
    pointer: int | None = None
    """Argument that holds the block to free or to resize."""
    result: int | None = None
    """Argument that says where the new block's address is stored; None when it is returned."""
    mapping: MappingCall | None = None
    """None for a function of the heap."""
    length: int | None = None
    """Argument that is the length of what is unmapped or remapped."""
    flags: int | None = None
    """Argument that says whether a new mapping is of a file."""

    @cached_property
    def allocates(self) -> bool:
        """True when a call can hand out a block."""
        return bool(self.sizes)

    @cached_property
    def is_internal(self) -> bool:
        """Whether all that a call does is the allocator's own business, and none of the program."""
        return not self.sizes and self.pointer is None

    @cached_property
    def arguments(self) -> tuple[int, ...]:
        """The arguments worth recording, in ascending order."""
        others = (self.pointer, self.result, self.length, self.flags)
        return tuple(sorted({*self.sizes, *(number for number in others if number is not None)}))

    def to_json(self) -> dict[str, Any]:
        """Return the function as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> AllocatorFunction:
        """Rebuild a function from `to_json`'s values."""
        mapping = values.get("mapping") and MappingCall(values["mapping"])
        return cls(**{**values, "sizes": tuple(values["sizes"]), "mapping": mapping})


SIZED_FREES = (
    AllocatorFunction("free_sized", pointer=0),
    AllocatorFunction("free_aligned_sized", pointer=0),
)
"""Those of C23, which may do no more than call `free`."""

MALLOC_FAMILY = (
    AllocatorFunction("malloc", sizes=(0,)),
    AllocatorFunction("calloc", sizes=(0, 1)),
    AllocatorFunction("realloc", sizes=(1,), pointer=0),
    AllocatorFunction("reallocarray", sizes=(1, 2), pointer=0),
    AllocatorFunction("posix_memalign", sizes=(2,), result=0),
    AllocatorFunction("aligned_alloc", sizes=(1,)),
    AllocatorFunction("memalign", sizes=(1,)),
    AllocatorFunction("valloc", sizes=(0,)),
    AllocatorFunction("pvalloc", sizes=(0,)),
    AllocatorFunction("free", pointer=0),
    AllocatorFunction("cfree", pointer=0),
    *SIZED_FREES,
)

THREAD_END = AllocatorFunction("tcache_thread_shutdown")
CACHE_START = AllocatorFunction("tcache_init")
INTERNAL_FUNCTIONS = (THREAD_END, CACHE_START)
"""What glibc calls its allocator in for itself, by the names in its malloc/malloc.c."""

OPERATORS = tuple(
    AllocatorFunction(f"_Z{operator}{arguments}", sizes=(0,))
    for operator in ("nw", "na")
    for arguments in ("m", "mRKSt9nothrow_t", "mSt11align_val_t", "mSt11align_val_tRKSt9nothrow_t")
) + tuple(
    AllocatorFunction(f"_Z{operator}Pv{arguments}", pointer=0)
    for operator in ("dl", "da")
    for arguments in (
        *("", "m", "RKSt9nothrow_t", "St11align_val_t", "mSt11align_val_t"),
        "St11align_val_tRKSt9nothrow_t",
    )
)
"""`operator new` and `delete`, for one object and for arrays: plain, nothrow, sized, aligned."""

MAPPING_FUNCTIONS = (
    AllocatorFunction("mmap", sizes=(1,), mapping=MappingCall.MAP, flags=3),
    AllocatorFunction("mmap64", sizes=(1,), mapping=MappingCall.MAP, flags=3),
    AllocatorFunction("munmap", pointer=0, mapping=MappingCall.UNMAP, length=1),
    AllocatorFunction("mremap", sizes=(2,), pointer=0, mapping=MappingCall.REMAP, length=1),
    AllocatorFunction("sbrk", sizes=(0,), mapping=MappingCall.MOVE_BREAK),
    AllocatorFunction("brk", sizes=(0,), mapping=MappingCall.SET_BREAK),
)
"""What takes memory from the kernel. Sources: mmap(2), mremap(2), brk(2)."""

_PREFIXES = ("je_", "_rjem_", "_rjem_je_", "mi_", "tc_")
"""What allocators that are linked into a program beside the C library's call themselves: jemalloc,
also that of Rust programs, mimalloc and tcmalloc."""

_OWN_INTERFACES = (
    AllocatorFunction("mallocx", sizes=(0,)),
    AllocatorFunction("rallocx", sizes=(1,), pointer=0),
    AllocatorFunction("dallocx", pointer=0),
    AllocatorFunction("sdallocx", pointer=0),
    AllocatorFunction("zalloc", sizes=(0,)),
)
"""jemalloc's and mimalloc's own functions, which they export with or without a prefix."""


def prefixed(prefix: str) -> tuple[AllocatorFunction, ...]:
    """Return the functions of an allocator whose names all begin alike."""
    return tuple(
        replace(function, name=prefix + function.name)
        for function in MALLOC_FAMILY + _OWN_INTERFACES
    )


FAMILIES = (MALLOC_FAMILY + _OWN_INTERFACES[:-1] + OPERATORS, *map(prefixed, _PREFIXES))
"""Every allocator that is known by name; its first function is that it cannot be without."""
