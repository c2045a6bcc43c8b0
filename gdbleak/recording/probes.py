"""The breakpoints of a plan, as a recording holds them. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from gdbleak.recording.outside_values import UnfitError, fits
from gdbleak.recording.phases import Phase


class Role(str, Enum):
    """What it means that a probe is hit."""

    ENTRY = "entry"
    """A function is called."""
    RETURN = "return"
    """A function returns, and its result is known."""
    ESCAPE = "escape"
    """A function is left for somewhere unknown: it is not seen to return."""
    CALL = "call"
    """A call has handed out a block, and was seen whole, from inside the target."""


@dataclass(frozen=True)
class Probe:
    """One breakpoint, and what to record where it is hit."""

    id: int
    address: int
    """Run-time address."""
    function: str
    """The function entered, or, for a way out, one of those that leave there."""
    role: Role
    registers: tuple[str, ...]
    """The registers to record; the stack pointer is the first.

    Where calls are seen whole: of a CALL, and of a RETURN from a resize, the stack pointer, `rax`
    with the block's address, however the function tells it, `rbp`, and those that hold `sizes`."""
    out_register: str | None
    """At an entry: the register that says where the result will be stored."""
    original: str
    """The bytes of the ELF file at the address that a breakpoint covers, in hexadecimal."""
    allocator: int = 0
    """Number of the allocator it belongs to, in the order of the recording's head."""
    size_offset: int | None = None
    """Where, from the block that is returned, freed or resized, its size is; None if not known."""
    size_words: int = 1
    """How many words are recorded from there on: the size, and with more what follows it."""
    phases: tuple[Phase, ...] = (Phase.ALL, Phase.FEWER)
    """When the breakpoint is in."""
    kept_sizes: tuple[int, ...] | None = None
    """Of which blocks hits are kept: the smallest and the largest size; None for all.

    With glibc these are sizes of chunks; else, and of a function of the program's own, they are
    what was requested."""

    @property
    def stores(self) -> int:
        """How many words of memory a hit holds beside the registers."""
        if self.size_offset is not None:
            return self.size_words
        return int(self.role is Role.RETURN)

    def to_json(self) -> dict[str, Any]:
        """Return the probe as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Probe:
        """Rebuild a probe from `to_json`'s values."""
        known = {
            "registers": tuple(values["registers"]),
            "role": Role(values["role"]),
            "phases": tuple(map(Phase, values["phases"])),
            "kept_sizes": _read_range(values.get("kept_sizes")),
        }
        return cls(**{**values, **known})


def _read_range(values: Any) -> tuple[int, ...] | None:
    """Return a pair of sizes.

    Raises:
        UnfitError: it is something else.

    """
    if values is None:
        return None
    if not (fits(values, "tuple[int, ...]") and len(values) == len(("smallest", "largest"))):
        raise UnfitError(f"kept_sizes cannot be {str(values)[:100]!r}")
    return tuple(values)


def is_kept(size: int, kept_sizes: tuple[int, ...] | None) -> bool:
    """Return whether hits of a block of a size are kept, by the `kept_sizes` of a probe.

    >>> is_kept(32, (32, 48)), is_kept(64, (32, 48)), is_kept(64, None)
    (True, False, True)

    """
    return kept_sizes is None or kept_sizes[0] <= size <= kept_sizes[1]
