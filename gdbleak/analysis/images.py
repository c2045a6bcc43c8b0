"""The ELF files of a process's modules, and a note for each that cannot be read. Pure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.elf.file import PAGE_SIZE
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.recording.modules import Module, ModuleMap


class Images:
    """Opens the ELF files of modules, with a bound on what reading all of them may take."""

    def __init__(self, cache: ImageCache) -> None:
        self._cache = cache
        self.notes: list[str] = []
        """A sentence for each module that cannot be unwound through."""
        self._effort = Effort()

    def open(self, module: Module) -> ElfImage | None:
        """Return the file of a module; None, with a note, where it cannot be read."""
        try:
            if module.file is not None:
                return self._cache.open(module.file, self._effort.share())
            self.notes.append(f"no unwinding through {module.path}: {module.unreadable}")
        except ElfError as error:
            self.notes.append(f"no unwinding through {module.path}: {error}")
        return None


def with_zeros(modules: ModuleMap, cache: ImageCache) -> ModuleMap:
    """Return the modules with the zeros (.bss) that the kernel maps behind what is in the file.

    Args:
        modules: As they were mapped: mappings of a file alone tell of these.
        cache: Keeps their files; one that cannot be read stays as it is.

    """
    every = [*modules]
    effort = Effort()
    spread = []
    for module, after in zip(every, [*every[1:], None]):
        end = module.end
        if module.file is not None:
            with suppress(ElfError):
                segments = cache.open(module.file, effort.share()).segments
                last = max((s.address + s.memory_size for s in segments), default=0)
                end = max(end, module.bias + -(-last // PAGE_SIZE) * PAGE_SIZE)
        spread.append(replace(module, end=min(end, after.start) if after else end))
    return ModuleMap(spread)
