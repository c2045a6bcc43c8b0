"""Which mappings an allocator made for its own use, rather than the program. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from gdbleak.elf.image import ElfImage
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.recording.reader import Recording
from gdbleak.unwinding.known_stacks import CallStack


class AllocatorMappings:
    """Tells the mappings of allocators from those of the program, by who called."""

    def __init__(
        self,
        recording: Recording,
        modules: ModuleMap,
        open_image: Callable[[Module], ElfImage | None],
    ) -> None:
        self._recording = recording
        self._modules = modules
        self._open_image = open_image

    def include(self, stack: CallStack) -> bool:
        """Whether an allocator made a mapping for its own use, outside every recorded call."""
        module = self._modules.find(stack.addresses[0] - 1) if stack.addresses else None
        if module is not None and module.path in self._allocators:
            return True
        return any(address - 1 in free for address in stack.addresses for free in self._frees)

    @cached_property
    def _frees(self) -> list[range]:
        """Where the code of the functions that free is.

        Their returns are not recorded, so a mapping they make lies in no call. One there is: when
        the first call of a thread is a `free`, glibc makes an arena of 64 MiB in it.
        """
        functions = {function.name: function for function in self._recording.head.functions}
        found = []
        for probe in self._recording.head.probes:
            function = functions[probe.function]
            module = self._modules.find(probe.address)
            if function.allocates or function.mapping or module is None:
                continue
            image = self._open_image(module)
            extent = image and image.find_extent(probe.address - module.bias)
            if extent:
                found.append(range(extent.start + module.bias, extent.stop + module.bias))
        return found

    @cached_property
    def _allocators(self) -> set[str]:
        """Paths of libraries that hold an allocator, but for the program and the C library."""
        head = self._recording.head
        functions = {function.name: function for function in head.functions}
        allocators: set[str] = set()
        others = {head.target.exe}
        for probe in head.probes:
            module = self._modules.find(probe.address)
            if module is not None:
                is_heap = functions[probe.function].mapping is None
                (allocators if is_heap else others).add(module.path)
        return allocators - others
