"""The ELF files of a process's modules, and a note for each that cannot be read. Pure."""

from __future__ import annotations

from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.recording.modules import Module


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
