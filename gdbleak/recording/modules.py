"""The program and libraries that were mapped, as a recording holds them, and by address. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from gdbleak.recording.outside_values import fill


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
    known_as: str | None = None
    """Path by which the process was started, if that is a link to `path`, which is its program."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def shown_path(self) -> str:
        """The path that people know it by."""
        return self.known_as or self.path

    @property
    def shown_name(self) -> str:
        """The last part of that."""
        return self.shown_path.rsplit("/", 1)[-1]

    def to_json(self) -> dict[str, Any]:
        """Return the module as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Module:
        """Rebuild a module from `to_json`'s values."""
        return fill(cls, values)


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

    @property
    def end(self) -> int:
        """First address behind all of them."""
        return max((module.end for module in self._modules), default=0)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules)

    def merge(self, later: ModuleMap) -> ModuleMap:
        """Return these modules and those of `later` that lie where none of these does.

        Libraries that were loaded during the window are found so. Where another library took a
        module's place, neither can be told to be the right one: both are left out.
        """
        known = {(module.path, module.start) for module in self}
        added = ModuleMap(module for module in later if (module.path, module.start) not in known)
        clear = [new for new in added if not self._overlaps(new)]
        return ModuleMap([*(old for old in self if not added._overlaps(old)), *clear])

    def _overlaps(self, other: Module) -> bool:
        """Whether another module lies where one of these does."""
        index = bisect_left(self._starts, other.end)
        return index > 0 and self._highest_ends[index - 1] > other.start

    @cached_property
    def _highest_ends(self) -> list[int]:
        """Of each module and those below it, the highest end."""
        return [*accumulate((module.end for module in self._modules), max)]
