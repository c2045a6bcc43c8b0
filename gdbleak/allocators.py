"""The functions through which a program allocates and frees, and how to read their arguments.

Sources: malloc(3), posix_memalign(3), and ISO C for what each returns.
"""

from __future__ import annotations

from dataclasses import dataclass


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

    @property
    def allocates(self) -> bool:
        """True when a call can hand out a block."""
        return bool(self.sizes)

    @property
    def arguments(self) -> tuple[int, ...]:
        """The arguments worth recording, in ascending order."""
        return tuple(
            sorted({*self.sizes, *(a for a in (self.pointer, self.result) if a is not None)})
        )


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
)

BY_NAME = {function.name: function for function in MALLOC_FAMILY}
