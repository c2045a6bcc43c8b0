"""The program and libraries in a target's address space, and where their files can be read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from gdbleak.effort import Effort, EffortError
from gdbleak.elf.build_id import parse_build_id
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import ElfError, NoSuchProcessError, NotPermittedError
from gdbleak.host.files import open_regular
from gdbleak.host.folders import find_temporary_folder
from gdbleak.readable import Readable
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.target.mounts import find_stallers
from gdbleak.target.own_name import find_own_name
from gdbleak.target.proc import Mapping, Memory, possible_names, read_mappings, read_status

VDSO = "[vdso]"
_MAX_VDSO_BYTES = 1 << 20
_MODULE_STEPS = 300
"""How many steps each module takes, whatever is in it."""

LATER_STEPS, LATER_S = 1_000_000, 0.7
"""What reading the modules may take once the window has ended."""


@contextmanager
def looking_at(pid: int) -> Iterator[None]:
    """Turn the errors of a process that ends, or hides itself, while it is looked at into ours."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NoSuchProcessError(f"process {pid} has ended meanwhile") from error
    except PermissionError as error:
        raise NotPermittedError(
            f"process {pid} cannot be looked at any more: it has hidden itself",
            f"run `sudo gdbleak trace {pid}`",
        ) from error


class ModuleReader:
    """Finds the modules of one process, and keeps the files open that cannot be found by name.

    Where the process is another user's, its paths are not trusted: that user may put other files
    there. Then the kernel's own links to what is mapped lead to a file, and it is kept open.
    """

    def __init__(self, pid: int, memory: Memory, images: ImageCache | None = None) -> None:
        """Prepare.

        Args:
            pid: The process.
            memory: Its memory.
            images: Keeps its files for those who read them later.

        Raises:
            NoSuchProcessError: the process has ended.
            NotPermittedError: it has hidden itself.

        """
        self._pid = pid
        self._memory = memory
        self._root = Path(f"/proc/{pid}/root")
        with looking_at(pid):
            self._same_mounts = Path(f"/proc/{pid}/ns/mnt").samefile("/proc/self/ns/mnt")
            users = read_status(pid)["Uid"].split()
        self._wary = {*map(int, users)} != {os.geteuid()}
        self._known: dict[tuple[str, int, int, str, int], Module] = {}
        self._open_files: list[int] = []
        self._images = images or ImageCache()
        self._program: tuple[str, str | None] | None = None
        """Path of its program, and the name that it was started by."""

    def read(self, mappings: list[Mapping], effort: Effort | None = None) -> ModuleMap:
        """Return the modules among `mappings`; those that were read before are not read again.

        Args:
            mappings: The mappings of the process.
            effort: What reading their files may take.

        """
        effort = effort or Effort()
        stallers = find_stallers(self._pid)
        modules = []
        named = [mapping for mapping in mappings if mapping.inode and mapping.path]
        for _, group in groupby(named, key=lambda m: (m.path, m.device, m.inode)):
            lines = list(group)
            if any(line.executable for line in lines):
                modules.append(self._find(lines, effort, stallers))
        vdso = [mapping for mapping in mappings if mapping.path == VDSO]
        modules += [make_vdso(each, self._memory, self._images, self._keep_copy) for each in vdso]
        return ModuleMap(map(self._name, modules))

    def read_again(self) -> ModuleMap:
        """Return the modules that are mapped now; none where the kernel hides them by now.

        It takes no longer than a moment, because right after a window Ctrl-C does not end it.
        """
        try:
            mappings = read_mappings(self._pid)
        except PermissionError:
            return ModuleMap(())
        return self.read(mappings, Effort(LATER_STEPS, seconds=LATER_S))

    def close(self) -> None:
        """Close the files; `Module.file` of a deleted file can then no longer be opened."""
        for file in self._open_files:
            os.close(file)
        self._open_files.clear()

    def _name(self, module: Module) -> Module:
        """Return the module with the name that the process knows it by, if it is the program."""
        if self._program is None:
            try:
                exe = str(Path(f"/proc/{self._pid}/exe").readlink()).removesuffix(" (deleted)")
            except OSError:  # it has ended
                return module
            trusted = not self._wary
            name = None
            if trusted or self._same_mounts:
                name = find_own_name(self._pid, self._memory, exe, trusted, self._lasting_path)
            self._program = exe, name
        path, known_as = self._program
        return replace(module, known_as=known_as) if module.path == path else module

    def _find(self, lines: list[Mapping], effort: Effort, stallers: dict[str, int]) -> Module:
        first, end = lines[0], lines[-1].end
        key = first.path, first.start, end, first.device, first.inode
        if key not in self._known:
            try:
                effort.spend(_MODULE_STEPS)
                if first.device in stallers:
                    reason = f"user {stallers[first.device]} serves the file system it is on"
                    module = self._make_unread(lines, None, reason)
                else:
                    module = self._make_module(lines, effort)
            except EffortError as error:
                module = self._make_unread(lines, None, f"of all modules, {error} to read them")
            self._known[key] = module
        return self._known[key]

    def _make_unread(self, lines: list[Mapping], build_id: str | None, reason: str) -> Module:
        first, end = lines[0], lines[-1].end
        return Module(first.path, first.start, end, first.start, build_id, None, unreadable=reason)

    def _make_module(self, lines: list[Mapping], effort: Effort) -> Module:
        first = lines[0]
        header = self._memory.read(first.start, min(first.end - first.start, 4096))
        build_id = parse_build_id(
            header, lambda offset, size: self._memory.read(first.start + offset, size)
        )
        reason = "its file was replaced or deleted, and the kernel does not let us read the old one"
        for candidate in self._candidates(first):
            try:
                file = self._open(candidate, first)
                image = self._images.open(candidate, effort.share(), file)
                same = image.build_id == build_id and image.header == header[: len(image.header)]
                bias = first.start - image.address_of(first.offset)
                if same:
                    kept = self._keep(candidate, image.descriptor)
                    return Module(first.path, first.start, lines[-1].end, bias, build_id, kept)
            except OSError as error:
                if not first.deleted:
                    reason = f"cannot read {candidate}: {error.strerror}"
            except ElfError as error:
                if not first.deleted:
                    reason = str(error)
        return self._make_unread(lines, build_id, reason)

    def _open(self, candidate: str, mapping: Mapping) -> int:
        """Open what may be the file of a mapping.

        Raises:
            OSError: it cannot be opened, or must not be trusted.

        """
        link = candidate.startswith(f"/proc/{self._pid}/") and "/root/" not in candidate
        file = open_regular(candidate, follow=link or not self._wary)
        if self._wary and not link and not _is_mapped(os.fstat(file), mapping):
            os.close(file)
            raise OSError(0, "another file is there now", candidate)
        return file

    def _candidates(self, mapping: Mapping) -> Iterator[str]:
        """Yield paths to the mapped file: lasting ones first, or those that nobody can change."""
        if self._wary:
            yield from self._links(mapping)
        if not mapping.deleted:
            yield from map(self._lasting_path, possible_names(mapping.path))
        if not self._wary:
            yield from self._links(mapping)

    def _links(self, mapping: Mapping) -> Iterator[str]:
        """Yield the links of the kernel, which lead to the file even if its name does not."""
        yield f"/proc/{self._pid}/map_files/{mapping.start:x}-{mapping.end:x}"
        exe = Path(f"/proc/{self._pid}/exe")
        try:
            program = str(exe.readlink()).removesuffix(" (deleted)")
        except OSError:  # it has ended
            return
        if program in possible_names(mapping.path):
            yield str(exe)

    def _lasting_path(self, path: str) -> str:
        """Return by which path we find what the process has mapped.

        The kernel writes paths from the top of the process's mount namespace, also after a chroot.
        """
        if self._same_mounts:
            return path
        try:
            top = str(self._root.readlink()).rstrip("/")
        except OSError:  # it has ended
            top = ""
        return f"{self._root}{path[len(top) :] if path.startswith(f'{top}/') else path}"

    def _keep(self, candidate: str, file: int) -> str:
        """Return a path by which the file can be read after the process has ended."""
        if not candidate.startswith("/proc/") and not self._wary:
            return candidate
        return self._keep_copy(file)

    def _keep_copy(self, file: int) -> str:
        """Return a path by which a file can be read that has none."""
        self._open_files.append(os.dup(file))
        return f"/proc/{os.getpid()}/fd/{self._open_files[-1]}"


def _is_mapped(found: os.stat_result, mapping: Mapping) -> bool:
    """Return whether a file is the one of a mapping, by device and inode.

    For a mapped file of overlayfs or btrfs, the kernel shows another device than stat does. Such
    devices have the major number 0; then the contents have to tell.
    """
    major, minor = os.major(found.st_dev), os.minor(found.st_dev)
    same_device = mapping.device == f"{major:02x}:{minor:02x}"
    return found.st_ino == mapping.inode if same_device else major == 0


def make_vdso(
    mapping: Mapping, memory: Readable, images: ImageCache, keep: Callable[[int], str]
) -> Module:
    """Copy the code that the kernel maps into each process: a library without a file.

    Args:
        mapping: Where it is.
        memory: The memory of the process.
        images: Keeps the copy for those who read it later.
        keep: Given a descriptor, returns a path by which its file can be read later.

    """
    start, end = mapping.start, mapping.end
    try:
        with tempfile.TemporaryFile(dir=find_temporary_folder()) as file:
            # The GDB that reads symbols may run as another user.
            os.fchmod(file.fileno(), 0o444)
            file.write(memory.read(start, min(end - start, _MAX_VDSO_BYTES)))
            file.flush()
            copy = keep(file.fileno())
        image = images.open(copy, Effort())
    except (OSError, ElfError) as error:
        return Module(VDSO, start, end, start, None, None, unreadable=str(error))
    return Module(VDSO, start, end, start - image.address_of(0), image.build_id, copy)


def find_again(
    module: Module,
    sysroot: str = "",
    effort: Effort | None = None,
    images: ImageCache | None = None,
) -> Module:
    """Return the module of a saved recording with the file that it has on this host now, if any.

    Args:
        module: As it was recorded.
        sysroot: A folder in which copies of the files lie at their paths; empty for this host.
        effort: What reading the files of all modules may take.
        images: Keeps the files for those who read them later.

    """
    if module.path == VDSO:
        return replace(module, file=None, unreadable="the kernel mapped it, and it has no file")
    if module.build_id is None:
        reason = "it has no build-id by which its file could be known again"
        return replace(module, file=None, unreadable=module.unreadable or reason)
    file = sysroot + module.path
    effort, images = effort or Effort(), images or ImageCache()
    try:
        same = images.open(file, effort.share()).build_id == module.build_id
    except ElfError as error:
        same, reason = False, str(error)
    else:
        reason = "the file there now is another one"
    if same:
        return replace(module, file=file, unreadable=None)
    if sysroot:
        reason += f"; wanted is the one with build-id {module.build_id}"
    return replace(module, file=None, unreadable=reason)
