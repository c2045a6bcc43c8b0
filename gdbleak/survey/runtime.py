"""The language of a process, by its program and what it has mapped; nothing is attached to."""

from __future__ import annotations

import psutil

from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.report.runtimes import Runtime, recognise
from gdbleak.target.mounts import find_stallers
from gdbleak.target.proc import read_mappings

_GO_SECTION = ".note.go.buildid"


def find_runtime(pid: int) -> Runtime | None:
    """Return the runtime of a process; None for plain C, C++ or Rust, or if it cannot be told."""
    try:
        program = psutil.Process(pid).exe()
        mappings = read_mappings(pid)
    except (psutil.Error, PermissionError):
        return None
    mapped = {mapping.path for mapping in mappings if mapping.path}
    if not find_stallers(pid).keys().isdisjoint(mapping.device for mapping in mappings):
        return recognise(program, mapped)
    try:
        is_go = ElfImage(f"/proc/{pid}/exe").has_section(_GO_SECTION)
    except ElfError:
        is_go = False
    return recognise(program, mapped, is_go)
