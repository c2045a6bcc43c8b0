"""Who is named as the caller of a single call: as a report would, but without reading symbols."""

from __future__ import annotations

from collections.abc import Iterable

from gdbleak.analysis.callers import Wrappers, find_caller, is_nameless
from gdbleak.analysis.images import Images
from gdbleak.analysis.options import ReportOptions
from gdbleak.debugger.symbols import locate
from gdbleak.elf.cache import ImageCache
from gdbleak.recording.growing import Appended, GrowingRecording
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.unwinding.stacks import Unwinder

_FRAMES = 32
"""The caller is hardly ever farther out."""
_MOST = 1 << 14
"""Of so many call stacks the caller is kept; then all of that is forgotten."""


class EventCallers:
    """Finds the callers in a recording that grows."""

    def __init__(
        self, modules: Iterable[Module], options: ReportOptions, growing: GrowingRecording
    ) -> None:
        self._modules = ModuleMap(modules)
        self._growing = growing
        self._wrappers = Wrappers(options.skip, options.skip_modules)
        images = Images(ImageCache())
        frames = min(options.max_frames, _FRAMES)
        self._unwinder = Unwinder(self._modules, images.open, frames)
        self._known: dict[tuple[int, ...], int] = {}

    def find(self, appended: Appended) -> int:
        """Return the return address in the caller; 0 for an event that is no return.

        It has to be asked for every event, as others may have the same stack.
        """
        address = self._growing.find_caller(appended)
        if not address or not self._looks_through(address):
            return address
        recorded = self._growing.read_stack(appended)
        if recorded is None:
            return address
        stack, registers = recorded
        addresses = self._unwinder.unwind(stack, registers["rsp"], registers).addresses
        if addresses not in self._known:
            if len(self._known) == _MOST:
                self._known.clear()
            frames = [locate(each, self._modules) for each in addresses]
            caller = find_caller(frames, self._wrappers)
            self._known[addresses] = caller.address if caller else address
        return self._known[addresses]

    def _looks_through(self, address: int) -> bool:
        """Tell whether somebody else than the first frame may have to be named."""
        frame = locate(address, self._modules)
        return self._wrappers.hold(frame) or is_nameless(frame)
