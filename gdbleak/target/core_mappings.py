"""The mappings of a process as a core file shows them: lines as /proc/PID/maps had them. Pure.

A core file has addresses, permissions and, in the note NT_FILE, names of files. What the kernel
calls `[heap]`, `[stack]` and `[vdso]` is told from addresses: AT_RANDOM lies on the stack of the
first thread, AT_SYSINFO_EHDR in the vDSO, and the heap of brk(2) comes next behind the program.
Sources: getauxval(3); `create_elf_tables` in fs/binfmt_elf.c and `arch_randomize_brk` of Linux.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from gdbleak.elf.core_file import PF_R, PF_W, PF_X, Part
from gdbleak.elf.core_notes import AT_ENTRY, AT_PHDR, AT_RANDOM, AT_SYSINFO_EHDR, MappedFile
from gdbleak.elf.file import PAGE_SIZE
from gdbleak.target.proc import Mapping

_SHARED = ("/memfd:", "/dev/shm/", "/dev/zero", "/SYSV")
_FURTHEST_HEAP = 1 << 30
"""How far behind the program the kernel lets the heap begin, at random."""
_LARGEST = 1 << 30
"""No program has more code and variables in its file."""
_PROGRAMS, _FURTHEST_PROGRAM = 0x555555554000, 1 << 41
"""From where on the kernel puts programs that may lie anywhere (ELF_ET_DYN_BASE), and how far."""
_VSYSCALL = 0xFFFFFFFFFF600000
_UNKNOWN_DEVICE = "00:00"


def make_mappings(
    parts: Sequence[Part],
    files: Sequence[MappedFile],
    vector: dict[int, int],
    program_end: int,
    may_run: Callable[[MappedFile], bool],
    seems_empty: Callable[[int, int], bool],
) -> list[Mapping]:
    """Return what was mapped, in order of address.

    Args:
        parts: The segments of the core file.
        files: What its notes say of mapped files.
        vector: The auxiliary vector of the process.
        program_end: The address behind the program and its zeros (.bss); 0 if unknown.
        may_run: Whether a part of a file holds code: GDB leaves out segments for those that it did
            not write, and with them their permissions.
        seems_empty: Whether a range consists of zeros: GDB says of all segments that they can be
            read, of reserved memory too.

    """
    numbers: dict[str, int] = {}
    lines = [
        _make_line(start, end, part.flags, file, numbers)
        for part in parts
        for start, end, file in _split(part, files)
    ]
    for file in files:
        for start, end in _find_gaps(file, parts):
            rest = file._replace(start=start, end=end, offset=file.offset + start - file.start)
            flags = PF_R | (PF_X if may_run(rest) else 0)
            lines.append(_make_line(start, end, flags, rest, numbers))
    lines.sort(key=lambda line: line.start)
    if all(part.flags & PF_R for part in parts):
        lines = [_guess_protection(line, seems_empty) for line in lines]
    return _name(lines, vector, program_end)


class MappingTable:
    """Mappings by address."""

    def __init__(self, lines: Sequence[Mapping]) -> None:
        """Take them, in order of address."""
        self.lines = lines
        self._starts = [line.start for line in lines]

    def find(self, address: int) -> Mapping | None:
        """Return the mapping that an address is in."""
        index = bisect_right(self._starts, address) - 1
        return self.lines[index] if index >= 0 and address < self.lines[index].end else None


def find_program(mappings: MappingTable, vector: dict[int, int]) -> str | None:
    """Return the path of the program, by where its headers or its first instruction are."""
    for address in (vector.get(AT_PHDR, 0), vector.get(AT_ENTRY, 0)):
        line = mappings.find(address)
        if line and line.inode:
            return line.path
    return None


def _split(part: Part, files: Sequence[MappedFile]) -> Iterator[tuple[int, int, MappedFile | None]]:
    """Yield the pieces of a segment, each with the file that it is of, or None."""
    at = part.start
    index = max(bisect_right(files, (at, 1 << 64)) - 1, 0)
    while at < part.end:
        while index < len(files) and files[index].end <= at:
            index += 1
        file = files[index] if index < len(files) else None
        if file is None or file.start >= part.end:
            yield at, part.end, None
            return
        if at < file.start:
            yield at, file.start, None
            at = file.start
        end = min(file.end, part.end)
        yield at, end, file._replace(start=at, end=end, offset=file.offset + at - file.start)
        at = end


def _find_gaps(file: MappedFile, parts: Sequence[Part]) -> Iterator[tuple[int, int]]:
    """Yield from where to where a part of a file was mapped that no segment covers."""
    at = file.start
    index = max(bisect_right(parts, (at, 1 << 64)) - 1, 0)
    while at < file.end and index < len(parts) and parts[index].start < file.end:
        if at < parts[index].start:
            yield at, parts[index].start
        at = max(at, parts[index].end)
        index += 1
    if at < file.end:
        yield at, file.end


def _make_line(
    start: int, end: int, flags: int, file: MappedFile | None, numbers: dict[str, int]
) -> Mapping:
    path = file.path if file else ""
    deleted = path.endswith(" (deleted)")
    path = path.removesuffix(" (deleted)")
    # A core does not tell an inode: each file gets a number of its own.
    inode = numbers.setdefault(path, len(numbers) + 1) if file else 0
    permissions = "".join(
        (
            "r" if flags & PF_R else "-",
            "w" if flags & PF_W else "-",
            "x" if flags & PF_X else "-",
            "s" if path.startswith(_SHARED) else "p",
        )
    )
    offset = file.offset if file else 0
    return Mapping(start, end, permissions, offset, _UNKNOWN_DEVICE, inode, path, deleted)


def _guess_protection(line: Mapping, seems_empty: Callable[[int, int], bool]) -> Mapping:
    """Return a mapping as one that nobody may access, if it seems to be one."""
    if line.inode or line.permissions != "r--p" or not seems_empty(line.start, line.end):
        return line
    return replace(line, permissions="---p")


def _name(lines: list[Mapping], vector: dict[int, int], program_end: int) -> list[Mapping]:
    """Return the lines with the names that the kernel gives to memory without a file."""
    names = _find_heap(lines, vector, program_end)
    vdso = vector.get(AT_SYSINFO_EHDR)
    for number, line in enumerate(lines):
        if line.inode or line.start in names:
            continue
        if vector.get(AT_RANDOM) and line.start <= vector[AT_RANDOM] < line.end:
            names[line.start] = "[stack]"
        elif line.start == vdso:
            names.update(_find_variables(lines[:number], line.start))
            names[line.start] = "[vdso]"
        elif line.start == _VSYSCALL:
            names[line.start] = "[vsyscall]"
    return [
        replace(line, path=names[line.start]) if line.start in names else line for line in lines
    ]


def _find_variables(lines: Sequence[Mapping], end: int) -> Iterator[tuple[int, str]]:
    """Yield where the variables of the vDSO begin, which touch it, with the name of these."""
    for line in reversed(lines):
        if line.end != end or line.inode or line.permissions != "r--p":
            return
        yield line.start, "[vvar]"
        end = line.start


def _find_heap(
    lines: Sequence[Mapping], vector: dict[int, int], program_end: int
) -> dict[int, str]:
    """Return where mappings of the heap of brk(2) begin, with that name."""
    program = find_program(MappingTable(lines), vector)
    if program is None:
        return {}
    own = _own_lines(lines, program, vector, program_end)
    end = own[-1].end
    behind = next((line for line in lines if line.start == end), None)
    if not program_end and behind and not behind.inode:
        program_end = behind.end
    places = [max(-(-program_end // PAGE_SIZE) * PAGE_SIZE, end)]
    if own[0].start - _PROGRAMS > _FURTHEST_PROGRAM:
        # Of a program that lies among the libraries, because it is static or a dynamic linker.
        places.insert(0, _PROGRAMS)
    return next(filter(None, (_find_heap_at(place, lines) for place in places)), {})


def _own_lines(
    lines: Sequence[Mapping], program: str, vector: dict[int, int], program_end: int
) -> list[Mapping]:
    """Return the mappings of a program as it runs: it may have mapped its file once more."""
    own = [line for line in lines if line.path == program]
    first = next((line for line in own if line.start <= vector.get(AT_PHDR, 0) < line.end), own[0])
    return [
        line
        for line in own
        if line is first or first.start < line.start < (program_end or first.start + _LARGEST)
    ]


def _find_heap_at(place: int, lines: Sequence[Mapping]) -> dict[int, str]:
    """Return the mappings of the heap if it begins at an address, or at random behind that."""
    found: dict[int, str] = {}
    end = None
    for line in lines:
        if line.end <= place:
            continue
        if line.inode or line.start - place > _FURTHEST_HEAP or end not in (None, line.start):
            break
        if end is not None or line.permissions[1] == "w":
            found[line.start] = "[heap]"
            end = line.end
    return found
