"""What is planned for a target, and what is written into it. Pure.

`hooks` makes an `InlinePlan` of a process's allocators, `payload` an `Image` of that plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.plan.sizes import Sizes
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.probes import Role


@dataclass(frozen=True)
class Cave:
    """Bytes of an executable segment that nothing uses; addresses are those of the target."""

    address: int
    original: bytes
    """What stands there, as many bytes as there is room."""
    path: str
    """Of the file that is mapped there."""


@dataclass(frozen=True)
class Pad:
    """Bytes behind a call that never returns, which a function of ours can return to instead.

    Whoever unwinds a stack finds the frame of the call there, by the tables of its module.
    """

    address: int
    original: bytes
    """What stands there, as many bytes as a jump has; nothing ever runs them."""
    frame_bytes: int
    """Size of the frame, with the return address on top of it and no saved registers."""
    path: str
    """Of the file that is mapped there."""


@dataclass(frozen=True)
class Hook:
    """A function of an allocator whose first instructions can be replaced by a jump."""

    function: AllocatorFunction
    allocator: int
    """Number of the allocator, as in `Probe`."""
    entry: int
    """Run-time address of the function."""
    patch: int
    """Where the jump goes: the entry, or what follows its `endbr64`."""
    code: bytes
    """The whole instructions from there on that the jump of five bytes covers."""
    sized: bool = False
    """Whether the word before a block of its allocator is the size of that, as in glibc."""
    throws: bool = False
    """Whether exceptions may leave it, so that it has to return to the pad."""
    chooses_ends: bool = False
    """Where only blocks of some sizes are recorded: whether only their frees are, too, and only the
    beginnings of their resizes."""

    @property
    def tells_size(self) -> bool:
        """Whether the size of a block that the function returns is known, too, by that word."""
        return self.sized and not self.throws


@dataclass(frozen=True)
class InlinePlan:
    """How the calls of a process's allocators can be recorded inside it."""

    hooks: tuple[Hook, ...]
    caves: tuple[Cave, ...]
    """Where the recorder may go, the largest first; each is near enough to every hook."""
    own_code: tuple[int, int]
    """From where to where the code of the allocator lies whose own calls are not the program's."""
    notes: tuple[str, ...] = ()
    """Sentences about what is not recorded."""
    pad: Pad | None = None
    """Where the functions return to that throw; None if none does."""
    sizes: Sizes | None = None
    """Of which blocks calls are recorded; None for all."""


@dataclass(frozen=True)
class Site:
    """A place in the image that writes events."""

    number: int
    """What its events carry: where it is, from the beginning of the image."""
    hook: int
    """Number of the hook in the plan."""
    role: Role
    """ENTRY of a block that is about to be freed or resized; CALL of one that was handed out;
    RETURN of one that was resized."""


@dataclass(frozen=True)
class Jump:
    """A jump to the image, from the entry of a function or from the pad."""

    address: int
    original: bytes
    code: bytes
    """As long as `original`."""
    twins: tuple[tuple[int, int], ...]
    """Addresses of the instructions behind the first that it covers, and of their copies."""
    is_pad: bool = False
    """Whether it is from the pad: there before the others, and until nothing returns to it."""


@dataclass(frozen=True)
class Image:
    """What is written into a cave, and the jumps that lead there."""

    address: int
    code: bytes
    sites: tuple[Site, ...]
    jumps: tuple[Jump, ...]
    """In the order in which they are written."""
    map_ring: int
    """Address of the routine that maps the ring: a thread that is set there runs it, and goes on at
    the address in `resume`. The kernel may set it two bytes before, to repeat a system call: then
    it goes on at the address in the word behind."""
    unmap_ring: int
    """Address of the routine that unmaps it, in the same way."""
    resume: int
    """Address of the two words."""
