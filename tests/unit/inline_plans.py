"""Plans of the inline probe for files, as if a process had mapped them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from gdbleak.elf.cache import ImageCache
from gdbleak.elf.file import PAGE_SIZE
from gdbleak.elf.image import ElfImage
from gdbleak.inline.hooks import plan_inline
from gdbleak.inline.model import InlinePlan
from gdbleak.plan.allocators import find_allocators
from gdbleak.plan.selection import Selection
from gdbleak.recording.modules import Module, ModuleMap

NOWHERE: Mapping[str, int] = {}
EVERYTHING = Selection()
BIAS = 0x7F00_0000_0000
DISTANCE = 0x1000_0000
"""From one module to the next."""


class MappedFiles:
    """Memory in which files are mapped, page by page, as the kernel does it."""

    def __init__(self) -> None:
        self.pages: list[tuple[int, bytearray]] = []

    def add(self, path: str | Path, bias: int, name: str = "") -> Module:
        """Map a file; its segments have to be at their place in a page."""
        image = ElfImage(str(path))
        data = Path(path).read_bytes()
        for segment in image.segments:
            skipped = segment.address % PAGE_SIZE
            begin, end = segment.offset - skipped, segment.offset + segment.file_size
            content = bytearray(data[begin : end + -end % PAGE_SIZE])
            content += bytes(-len(content) % PAGE_SIZE)
            # What is mapped later lies on top.
            self.pages.insert(0, (segment.address - skipped + bias, content))
        ends = [segment.address + segment.memory_size for segment in image.segments]
        start, end = image.segments[0].address & -PAGE_SIZE, max(ends)
        end += -end % PAGE_SIZE
        shown = name or str(path)
        return Module(shown, start + bias, end + bias, bias, image.build_id, str(path))

    def read(self, address: int, size: int) -> bytes:
        for start, content in self.pages:
            if start <= address < start + len(content):
                return bytes(content[address - start :][:size])
        return b""

    def write(self, address: int, data: bytes) -> None:
        for start, content in self.pages:
            if start <= address < start + len(content):
                content[address - start : address - start + len(data)] = data
                return


def map_files(
    paths: Iterable[str | Path], places: Mapping[str, int] = NOWHERE
) -> tuple[MappedFiles, ModuleMap]:
    """Map files one behind the other, or with another bias by file name."""
    memory = MappedFiles()
    modules = []
    for number, path in enumerate(paths):
        bias = places.get(Path(path).name, BIAS + number * DISTANCE)
        modules.append(memory.add(path, bias))
    return memory, ModuleMap(modules)


def plan(
    memory: MappedFiles,
    modules: ModuleMap,
    selection: Selection = EVERYTHING,
    has_shadow_stack: bool = False,
) -> InlinePlan:
    """Plan for what is mapped."""
    with ImageCache() as images:
        allocators = find_allocators(modules, selection=selection, images=images)
        return plan_inline(allocators, memory, modules, images, has_shadow_stack)


def plan_of(
    *paths: str | Path, selection: Selection = EVERYTHING, places: Mapping[str, int] = NOWHERE
) -> InlinePlan:
    """Plan for a process that has some files mapped, some of them with a bias of their own."""
    return plan(*map_files(paths, places), selection)


def names_of(plan: InlinePlan) -> set[str]:
    """Return the names of the functions that are hooked."""
    return {hook.function.name for hook in plan.hooks}
