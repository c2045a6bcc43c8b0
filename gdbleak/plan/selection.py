"""What the user asked to record, beside the allocators that are known by name. Pure.

>>> parse_function("pool_get:size=2", allocates=True).sizes
(1,)
"""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.errors import UsageError
from gdbleak.plan.sizes import Sizes
from gdbleak.recording.functions import AllocatorFunction

MAX_ARGUMENTS = 6
"""So many are passed in registers; later ones are on the stack, where they are not read."""

_KEYS = {True: ("size", "count", "ptr", "result"), False: ("ptr",)}
_EXAMPLES = {
    True: "write NAME:size=N, for example --alloc 'pool_get:size=2'",
    False: "write NAME:ptr=N, for example --free 'pool_put:ptr=1'",
}


@dataclass(frozen=True)
class Selection:
    """What to record of a process."""

    functions: tuple[AllocatorFunction, ...] = ()
    """Allocators of the program's own, by the names in its symbol table."""
    prefixes: tuple[str, ...] = ()
    """Prefixes of the names of an allocator's functions: `my_` for `my_malloc` and so on."""
    objects: tuple[str, ...] = ()
    """Paths or file names of the modules to look in; empty for all of them."""
    usable_sizes: bool = False
    """Read sizes from before the blocks where the layout is known: one halt less for each call."""
    mappings: bool = False
    """Record the mappings that the program makes itself, too."""
    sizes: Sizes | None = None
    """Record only blocks of these sizes; None for all."""

    @property
    def halts_once(self) -> bool:
        """Whether a call of glibc that only allocates is recorded at its return alone."""
        return self.usable_sizes or self.sizes is not None


def parse_function(text: str, *, allocates: bool) -> AllocatorFunction:
    """Parse a function and the meaning of its arguments, which are numbered from 1.

    `size` is the requested size, `count` a number to multiply it by, `ptr` the block to free or to
    resize, and `result` the address at which the new block is stored. Without `result` the function
    returns the block.

    Raises:
        UsageError: the text cannot be parsed; the message quotes it.

    """
    name, _, rest = text.partition(":")
    arguments: dict[str, int] = {}
    for part in filter(None, rest.split(",")):
        key, _, number = part.partition("=")
        if key not in _KEYS[allocates] or key in arguments:
            raise UsageError(f"{text!r}: {key!r} is not expected there", _EXAMPLES[allocates])
        if not number.isdecimal() or not 1 <= int(number) <= MAX_ARGUMENTS:
            raise UsageError(
                f"{text!r}: {key} has to be a number from 1 to {MAX_ARGUMENTS}",
                _EXAMPLES[allocates],
            )
        arguments[key] = int(number) - 1
    if not name or ("size" if allocates else "ptr") not in arguments:
        raise UsageError(
            f"{text!r} does not say which argument is the {'size' if allocates else 'block'}",
            _EXAMPLES[allocates],
        )
    return AllocatorFunction(
        name,
        sizes=tuple(arguments[key] for key in ("size", "count") if key in arguments),
        pointer=arguments.get("ptr"),
        result=arguments.get("result"),
    )
