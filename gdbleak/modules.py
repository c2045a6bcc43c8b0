"""The program and libraries in a target's address space, and where their files can be read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Module:
    """A program or shared library as it was mapped."""

    path: str
    """As the target knows it (a path in its mount namespace), without "(deleted)"."""
    start: int
    """First run-time address of its mappings."""
    end: int
    """First run-time address behind them."""
    bias: int
    """Run-time address minus link-time address."""
    build_id: str | None
    file: str | None
    """Path at which this host can read the very file that was mapped, or None."""
    unreadable: str | None = None
    """Why `file` is None, as the end of a sentence."""


class ModuleMap:
    """Modules by run-time address."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self._modules = sorted(modules, key=lambda module: module.start)
        self._starts = [module.start for module in self._modules]

    def find(self, address: int) -> Module | None:
        """Return the module whose mappings span a run-time address, or None."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._modules[index].end:
            return self._modules[index]
        return None

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules)
