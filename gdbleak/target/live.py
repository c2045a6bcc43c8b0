"""A process of this machine, as a source of bytes."""

from __future__ import annotations

from gdbleak.elf.cache import ImageCache
from gdbleak.recording.modules import ModuleMap
from gdbleak.target.link_map import read_search_order
from gdbleak.target.modules import ModuleReader, looking_at
from gdbleak.target.proc import Mapping, Memory, read_mappings
from gdbleak.target.source import Source


class LiveProcess(Source):
    """A running process. A context, in which its files stay open."""

    def __init__(self, pid: int, images: ImageCache) -> None:
        """Open its memory, for which the kernel asks for the same permission as for an attach.

        Args:
            pid: Of the process.
            images: Keeps its ELF files for those who read them later.

        Raises:
            NoSuchProcessError: the process has ended.
            NotPermittedError: it has hidden itself.

        """
        self.pid = pid
        with looking_at(pid):
            self._memory = Memory(pid)
        try:
            self._modules = ModuleReader(pid, self._memory, images)
        except BaseException:
            self._memory.close()
            raise

    def __enter__(self) -> LiveProcess:
        return self

    def __exit__(self, *_: object) -> None:
        """Close its files; `Module.file` of a deleted file can then no longer be opened."""
        self._modules.close()
        self._memory.close()

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer where unmapped memory begins, none when it is gone."""
        return self._memory.read(address, size)

    def read_mappings(self) -> list[Mapping]:
        """Return what is mapped now; nothing when the process has ended."""
        return read_mappings(self.pid)

    def read_modules(self) -> ModuleMap:
        """Return the program and libraries that are mapped now.

        Raises:
            NoSuchProcessError: the process has ended.
            NotPermittedError: it has hidden itself.

        """
        with looking_at(self.pid):
            return self._modules.read(self.read_mappings())

    def read_modules_again(self) -> ModuleMap:
        """Return them once more, in no more than a moment; none if they may not be read now."""
        return self._modules.read_again()

    def read_search_order(self) -> dict[int, int]:
        """Return in which order its dynamic linker searches them: see `link_map`."""
        return read_search_order(self.pid, self._memory)
