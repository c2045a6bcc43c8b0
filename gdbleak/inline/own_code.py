"""Where the code of an allocator lies whose own calls of itself are not the program's. Pure.

`realloc` may call `malloc` and `free`, and glibc gives back the cache of a thread that ends. Such a
call is told by its return address, so all of them have to lie in one range of addresses, and no
call of the program's, as that of `strdup` in the C library, may lie there. A jump to a function of
the allocator does not count: there the return address is still that of the call before.

All addresses are link-time ones.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from gdbleak.elf.image import ElfImage
from gdbleak.errors import InlineRefusedError
from gdbleak.inline.code import ModuleCode, Use
from gdbleak.plan.own_calls import LIBRARY, THREAD_END_SYMBOLS
from gdbleak.recording.functions import AllocatorFunction

_ALLOCATOR_LIBRARY = re.compile(r"lib(jemalloc|tcmalloc|mimalloc)")
_OF_MALLOC_C = frozenset(
    {
        *("malloc", "calloc", "realloc", "memalign", "aligned_alloc", "valloc", "pvalloc"),
        *("posix_memalign", "free"),
    }
)
"""What glibc defines in its malloc/malloc.c: between two of them, there is nothing else."""
_MOST_OF_MALLOC_C = 256 << 10
"""Ten times what it has. A linker that orders functions anew would spread it."""


class OwnCode(NamedTuple):
    """Where an allocator calls itself."""

    span: range
    has_calls: bool
    """Whether there is such a call at all."""


def is_allocator_library(image: ElfImage) -> bool:
    """Return whether a file has nothing but an allocator in it."""
    return bool(_ALLOCATOR_LIBRARY.match(image.soname or ""))


def is_of_glibc(image: ElfImage) -> bool:
    """Return whether a file has the allocator of glibc in it: others take its names, too."""
    return image.soname == LIBRARY or bool(image.find_functions(THREAD_END_SYMBOLS))


def find_own_code(
    code: ModuleCode,
    entries: Mapping[int, AllocatorFunction],
    names: Collection[str],
    is_glibc: bool,
) -> OwnCode:
    """Return where the code of an allocator lies.

    Args:
        code: The code of its module.
        entries: The functions that are recorded, by address.
        names: By which they may be linked.
        is_glibc: Whether the allocator is that of glibc.

    Raises:
        InlineRefusedError: one range cannot tell its own calls from the program's.
        ElfError: the file is damaged.

    """
    if is_allocator_library(code.image):
        return OwnCode(code.span, has_calls=True)
    return _Search(code, entries, names).find(is_glibc)


class _Search:
    def __init__(
        self, code: ModuleCode, entries: Mapping[int, AllocatorFunction], names: Collection[str]
    ) -> None:
        self._code = code
        self._entries = entries
        self._uses = code.find_uses(entries, names)
        self._functions = {self._extent_at(entry) for entry in entries}
        self._calls = sorted(use.address for use in self._uses if use.is_call)

    def _extent_at(self, address: int) -> range:
        known = self._code.walk.find_known_extent(address)
        return known or range(address, address + 1)

    def _calls_in(self, span: range) -> list[int]:
        first, end = bisect_left(self._calls, span.start), bisect_left(self._calls, span.stop)
        return self._calls[first:end]

    def find(self, is_glibc: bool) -> OwnCode:
        core = range(0)
        image = self._code.image
        ends = image.find_functions(THREAD_END_SYMBOLS).values()
        if is_glibc and is_of_glibc(image):
            core = self._find_malloc_c()
            own = {self._extent_at(symbol.address) for symbol in ends}
            # All else in the library goes through the linkage table. In a program, who knows?
            if image.soname == LIBRARY:
                own |= self._find_callers([use for use in self._uses if not use.is_linked])
        else:
            reachable = self._find_reachable()
            own = self._find_callers(_within(self._uses, reachable), reachable)
        own |= {function for function in self._functions if self._calls_in(function)}
        # No larger than needed: next to it, a program's function may be called by a pointer, and
        # call `malloc` by one, as obstacks do.
        span = _hull({core, *own})
        for address in self._calls_in(span):
            if address not in core and not any(address in function for function in own):
                raise InlineRefusedError(
                    f"{image.path}: the allocator's calls of its own functions cannot be"
                    f" told from the one at {address:#x}"
                )
        return OwnCode(span, has_calls=bool(own))

    def _find_malloc_c(self) -> range:
        names = {address: function.name for address, function in self._entries.items()}
        core = _hull(self._extent_at(a) for a, name in names.items() if name in _OF_MALLOC_C)
        if core.stop - core.start > _MOST_OF_MALLOC_C:
            raise InlineRefusedError(f"{self._code.image.path}: its malloc.c is in many parts")
        return core

    def _find_callers(self, uses: list[Use], among: Collection[range] | None = None) -> set[range]:
        """Return the functions that something recorded returns to, which these call and jump to.

        What calls a function that ends in a jump is returned to by what that jumps to.

        Args:
            uses: The calls and jumps.
            among: Which functions may be among them; None for all.

        """
        callers: set[range] = set()
        jumping: set[range] = set()
        while uses:
            callers |= {self._extent_at(use.address) for use in uses if use.is_call}
            more = {self._extent_at(use.address) for use in uses if not use.is_call} - jumping
            jumping |= more
            starts = {function.start for function in more} - self._entries.keys()
            uses = self._code.find_uses(starts, ()) if starts else []
            if among is not None:
                uses = _within(uses, among)
        return callers

    def _find_reachable(self) -> set[range]:
        """Return the functions that are recorded, and those that they call in turn."""
        seen: set[range] = set()
        todo = list(self._functions)
        while todo:
            function = todo.pop()
            if function not in seen:
                seen.add(function)
                todo += self._code.find_called(function)
        return seen


def _within(uses: Iterable[Use], functions: Iterable[range]) -> list[Use]:
    """Return those of some calls and jumps that are in one of some functions."""
    ordered = sorted(uses)
    addresses = [use.address for use in ordered]
    return [
        use
        for function in functions
        for use in ordered[
            bisect_left(addresses, function.start) : bisect_left(addresses, function.stop)
        ]
    ]


def _hull(spans: Iterable[range]) -> range:
    known = [span for span in spans if span]
    if not known:
        return range(0)
    return range(min(span.start for span in known), max(span.stop for span in known))
