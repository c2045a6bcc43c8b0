"""The plan of the inline probe: which functions get a jump, and what has to be proved of each.

Pure: memory and files are read, and nothing is touched.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from gdbleak.architectures import X86_64
from gdbleak.architectures.decoder import Flow
from gdbleak.architectures.x86_64_decoder import make_instruction
from gdbleak.architectures.x86_64_moving import ENDBR64, JUMP_BYTES, UnmovableError, read_whole
from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.elf.file import PAGE_SIZE
from gdbleak.elf.image import ElfImage
from gdbleak.errors import AllocatorError, ElfError, ForeignBreakpointError, InlineRefusedError
from gdbleak.inline.caves import LEAST_BYTES, find_caves, is_near
from gdbleak.inline.choice import choose
from gdbleak.inline.code import ModuleCode
from gdbleak.inline.exceptions import is_unknown
from gdbleak.inline.model import Cave, Hook, InlinePlan, Pad
from gdbleak.inline.own_code import OwnCode, find_own_code, is_of_glibc
from gdbleak.inline.pads import find_pads
from gdbleak.plan.allocators import LOADER, Allocator
from gdbleak.plan.breakpoints import find_entries
from gdbleak.plan.selection import Selection
from gdbleak.readable import Readable
from gdbleak.recording.functions import MALLOC_FAMILY, AllocatorFunction
from gdbleak.recording.modules import Module, ModuleMap

_IS_KEPT = re.compile(rf"libc[.-]|{LOADER.pattern}")
_ALIASES = ("", "__libc_", "__")
"""What stands before the names by which glibc links its own functions."""


def plan_inline(
    allocators: Collection[Allocator],
    memory: Readable,
    modules: ModuleMap,
    images: ImageCache | None = None,
    has_shadow_stack: bool = False,
    selection: Selection = Selection(),  # noqa: B008 - frozen
) -> InlinePlan:
    """Return how the calls of allocators can be recorded inside a process of x86-64.

    The number of an allocator in the hooks is its place in `allocators`.

    Args:
        allocators: Those of the process, the one that its calls are bound to first.
        memory: The memory of the process.
        modules: All that is mapped there.
        images: Keeps the files.
        has_shadow_stack: Whether the processor compares return addresses with those of the calls.
        selection: Which sizes are recorded.

    Raises:
        InlineRefusedError: something about the first of them, or about one that the user named,
            cannot be proved.
        AllocatorError: which function is called will be known only when the program runs.
        ForeignBreakpointError: code in memory differs from its file.

    """
    planner = _Planner(memory, modules, images or ImageCache(), has_shadow_stack)
    for number, allocator in enumerate(allocators):
        try:
            planner.add(number, allocator)
        except (InlineRefusedError, AllocatorError, ForeignBreakpointError, ElfError) as error:
            if not planner.hooks or any(map(is_unknown, allocator.functions)):
                if isinstance(error, ElfError):
                    raise InlineRefusedError(str(error)) from error
                raise
            planner.notes.append(f"{allocator.name} is not recorded: {error}")
    return choose_sizes(planner.finish(), selection)


def choose_sizes(plan: InlinePlan, selection: Selection) -> InlinePlan:
    """Return a plan in which calls are recorded only of the selected sizes of blocks.

    Where blocks do not tell their sizes, or another function may have handed out a block that one
    of them frees, all frees are recorded.
    """
    if selection.sizes is None:
        return plan
    untold = {hook.allocator for hook in plan.hooks if not hook.tells_size}
    hooks = [
        replace(hook, chooses_ends=not selection.functions and hook.allocator not in untold)
        for hook in plan.hooks
    ]
    return replace(plan, hooks=tuple(hooks), sizes=selection.sizes)


class _Planner:
    """The hooks of the allocators so far, and the caves that all of them can reach."""

    def __init__(
        self, memory: Readable, modules: ModuleMap, images: ImageCache, has_shadow_stack: bool
    ) -> None:
        self._memory = memory
        self._modules = modules
        self._images = images
        self._has_shadow_stack = has_shadow_stack
        self._places: dict[str, tuple[Module, ElfImage]] = {}
        self._own_code = (0, 0)
        self._caves: tuple[Cave, ...] = ()
        self._pad: Pad | None = None
        self.hooks: list[Hook] = []
        self.notes: list[str] = []

    def add(self, number: int, allocator: Allocator) -> None:
        """Plan the hooks of an allocator.

        Raises:
            InlineRefusedError: it cannot be recorded inline.
            AllocatorError: which function is called will be known only when the program runs.
            ForeignBreakpointError: its code in memory differs from its file.
            ElfError: a file is damaged, or takes too long to look through.

        """
        part = _plan_part(
            number, allocator, self._memory, self._modules, self._images, self._has_shadow_stack
        )
        if self.hooks and part.own_code.has_calls:
            raise InlineRefusedError(
                "its calls of its own functions could not be told from the program's: that is"
                " possible for one allocator"
            )
        hooks = [*self.hooks, *part.hooks]
        if not part.hooks:
            raise InlineRefusedError("it has no function that could be patched")
        places = {**self._places, allocator.module.path: (allocator.module, allocator.image)}
        if not self.hooks:
            places.update(self._find_places())
        caves = find_caves(places.values(), [hook.patch for hook in hooks], self._memory)
        if not caves:
            raise InlineRefusedError(
                f"no {LEAST_BYTES:,} unused bytes of executable memory lie near"
                f" {allocator.module.path}, where the recorder could go"
            )
        pad = None
        if any(hook.throws for hook in hooks):
            pad, caves = self._find_pad(places.values(), caves)
            if pad is None:
                raise InlineRefusedError(part.reason)
        if not self.hooks:
            bias, span = allocator.module.bias, part.own_code.span
            self._own_code = span.start + bias, span.stop + bias
        self.hooks, self._caves, self._places, self._pad = hooks, caves, places, pad
        self.notes += part.notes

    def _find_pad(
        self, places: Collection[tuple[Module, ElfImage]], caves: tuple[Cave, ...]
    ) -> tuple[Pad | None, tuple[Cave, ...]]:
        """Return where functions return to that throw, and the caves that are near it."""
        for module, image in places:
            if not any(is_near(module.start, cave) for cave in caves):
                continue
            for pad in find_pads(module, image, self._memory):
                near = tuple(cave for cave in caves if is_near(pad.address, cave))
                if near and not any(
                    cave.address <= pad.address < cave.address + len(cave.original)
                    for cave in caves
                ):
                    return pad, near
        return None, ()

    def _find_places(self) -> dict[str, tuple[Module, ElfImage]]:
        """Return the C library, the program and its dynamic linker, which are never unmapped."""
        found: dict[str, tuple[Module, ElfImage]] = {}
        effort = Effort()
        for module in self._modules:
            try:
                image = module.file and self._images.open(module.file, effort.share())
            except ElfError:
                continue
            if image and (_IS_KEPT.match(module.name) or image.is_program):
                found[module.path] = module, image
        return found

    def finish(self) -> InlinePlan:
        """Return the plan."""
        return InlinePlan(
            tuple(self.hooks), self._caves, self._own_code, tuple(self.notes), self._pad
        )


class _Part(NamedTuple):
    """What is planned of one allocator."""

    hooks: tuple[Hook, ...]
    own_code: OwnCode
    notes: tuple[str, ...]
    reason: str
    """Why it cannot be recorded if there is no pad."""


def _plan_part(
    number: int,
    allocator: Allocator,
    memory: Readable,
    modules: ModuleMap,
    images: ImageCache,
    has_shadow_stack: bool,
) -> _Part:
    module, image = allocator.module, allocator.image
    if image.machine != X86_64.elf_machine_number:
        raise InlineRefusedError(f"{module.path} is not a file of x86-64")
    if any(function.mapping for function in allocator.functions):
        raise InlineRefusedError(f"the calls of mmap in {module.path} are not recorded inline")
    image.charge(Effort())
    by_name = {function.name: function for function in allocator.functions}
    entries = find_entries(by_name, module, image)
    code = ModuleCode(image)
    choice = choose(entries, code, module, modules, images)
    if choice.throwing and has_shadow_stack:
        raise InlineRefusedError(
            f"{choice.reason}: the process has a shadow stack, which knows where they return to"
        )
    entries = choice.entries
    is_sized = allocator.is_glibc and is_of_glibc(image)
    hooks = tuple(
        replace(
            hook,
            sized=is_sized and hook.function in MALLOC_FAMILY,
            throws=hook.function in choice.throwing,
        )
        for hook in _iter_hooks(entries, code, number, module, memory, has_shadow_stack)
    )
    names = {prefix + name for prefix in _ALIASES for name in by_name}
    own_code = find_own_code(code, entries, names, allocator.is_glibc)
    return _Part(hooks, own_code, choice.notes, choice.reason)


def _iter_hooks(
    entries: Mapping[int, AllocatorFunction],
    code: ModuleCode,
    number: int,
    module: Module,
    memory: Readable,
    has_shadow_stack: bool,
) -> Iterator[Hook]:
    """Yield the hook of each function, when all of them have proved possible."""
    covered: dict[int, range] = {}
    found = []
    for entry, function in entries.items():
        try:
            patch, patched = _find_patch(entry, code, has_shadow_stack)
        except UnmovableError as error:
            raise InlineRefusedError(
                f"{function.name} of {module.path} has no place for a jump: {error}"
            ) from error
        extent = code.walk.find_extent(entry)
        covered.update(dict.fromkeys(range(patch + 1, patch + len(patched)), extent))
        bias = module.bias
        found.append(Hook(function, number, entry + bias, patch + bias, patched))
    for source, target in code.find_branches(covered):
        function = entries[max(entry for entry in entries if entry <= target)]
        raise InlineRefusedError(
            f"{function.name} of {module.path} has no place for a jump: the code at {source:#x}"
            f" leads to {target:#x} in it"
        )
    for hook in found:
        _compare(hook, code, module, memory)
    yield from found


def _find_patch(entry: int, code: ModuleCode, has_shadow_stack: bool) -> tuple[int, bytes]:
    """Return where a jump can go in a function, and the whole instructions that it covers.

    Raises:
        UnmovableError: nowhere.

    """
    patch = entry + len(ENDBR64) * (code.read(entry, len(ENDBR64)) == ENDBR64)
    extent = code.walk.find_known_extent(entry)
    if extent is None:
        raise UnmovableError("the file does not tell where it ends")
    if extent.start != entry:
        raise UnmovableError(f"it begins in the function at {extent.start:#x}")
    if extent.stop - patch < JUMP_BYTES:
        raise UnmovableError(f"it has {extent.stop - extent.start} bytes")
    if patch % PAGE_SIZE > PAGE_SIZE - JUMP_BYTES:
        raise UnmovableError("a page ends in its first bytes")
    whole = read_whole(code.decoder, patch)
    if has_shadow_stack and make_instruction(whole[-1]).flow is Flow.CALL:
        raise UnmovableError(
            "there is a call in its first bytes, and the process has a shadow stack"
        )
    patched = b"".join(bytes(found.bytes) for found in whole)
    if patch + len(patched) > extent.stop:
        raise UnmovableError("its last instruction does not end with it")
    for place in range(patch + 1, patch + len(patched)):
        inner = code.image.find_extent(place)
        if inner and inner.start == place:
            raise UnmovableError(f"another function begins at {place:#x} in it")
    return patch, patched


def _compare(hook: Hook, code: ModuleCode, module: Module, memory: Readable) -> None:
    """Prove that a function in memory begins as in its file.

    Raises:
        InlineRefusedError: it cannot be read.
        ForeignBreakpointError: it does not.

    """
    size = hook.patch + len(hook.code) - hook.entry
    expected = code.read(hook.entry - module.bias, size)
    found = memory.read(hook.entry, size)
    if len(found) < size:
        raise InlineRefusedError(f"the code of {module.path} cannot be read in the process")
    if found != expected:
        raise ForeignBreakpointError(
            f"the code of {hook.function.name} in memory differs from {module.path}",
            "a debugger or tracer has left a breakpoint there; end it, or restart the process",
        )
