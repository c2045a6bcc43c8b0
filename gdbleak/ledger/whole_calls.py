"""From the events of calls that were seen whole to a ledger's books. Pure.

This runs for every event of a recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gdbleak.heap.chunk import is_size, usable_size
from gdbleak.ledger.whole import WholeLedger
from gdbleak.recording.choice import Hash, draw_lot
from gdbleak.recording.events import Folded, Hit
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.probes import Probe, Role


class WholeCalls:
    """Feeds hits, one at a time, to a ledger."""

    def __init__(
        self,
        probes: Iterable[tuple[Probe, AllocatorFunction]],
        ledger: WholeLedger,
        zeros: int,
        lot: Hash = draw_lot,
    ) -> None:
        """Begin.

        Args:
            probes: Those of the recording, by number.
            ledger: Is fed.
            zeros: Only blocks count whose lot ends in so many.
            lot: Returns the lot of an address.

        """
        probes = [*probes]
        self._ledger = ledger
        self._zeros, self._left_out = zeros, (1 << zeros) - 1
        self._lot = lot
        self._functions = [function for _, function in probes]
        self._pointers = [
            1 + f.arguments.index(f.pointer) if f.pointer is not None else 0 for _, f in probes
        ]
        """Where among the registers of an entry the block is."""
        self._factors = [range(4, 3 + len(f.sizes)) for _, f in probes]
        """Where among the registers of a call is what its size is multiplied by."""
        self._takers = [self._find_taker(probe, function) for probe, function in probes]

    def feed(self, hit: Hit) -> int:
        """Record one hit; return 1 if it counts, 0 if not."""
        return self._takers[hit.probe](hit)

    def fold(self, folded: Folded) -> int:
        """Record blocks that were handed out and freed; return how many calls these were."""
        blocks, _ = folded.kept(self._zeros)
        self._ledger.count_folded(blocks)
        return 2 * blocks

    def _find_taker(self, probe: Probe, function: AllocatorFunction) -> Callable[[Hit], int]:
        if probe.role is Role.CALL:
            return self._allocate
        if probe.role is Role.ENTRY:
            return self._begin_resize if function.allocates else self._free
        return self._end_resize

    def _size(self, number: int, registers: tuple[int, ...]) -> int:
        size = registers[3]
        for factor in self._factors[number]:
            size *= registers[factor]
        return size

    def _allocate(self, hit: Hit) -> int:
        position, number, time_ns, thread, registers, _, _ = hit
        address = registers[1]
        if self._left_out and self._lot(address) & self._left_out:
            return 0
        self._ledger.allocate(time_ns, thread, address, self._size(number, registers), position)
        return 1

    def _free(self, hit: Hit) -> int:
        _, number, time_ns, thread, registers, stored, _ = hit
        address = registers[self._pointers[number]]
        if self._left_out and self._lot(address) & self._left_out:
            return 0
        self._ledger.release(time_ns, thread, address, _usable(stored))
        return 1

    def _begin_resize(self, hit: Hit) -> int:
        _, number, time_ns, thread, registers, stored, _ = hit
        address = registers[self._pointers[number]]
        if self._left_out and self._lot(address) & self._left_out:
            self._ledger.lose_resize(thread, time_ns)
            return 0
        function = self._functions[number]
        self._ledger.begin_resize(function, time_ns, thread, address, _usable(stored))
        return 1

    def _end_resize(self, hit: Hit) -> int:
        position, number, time_ns, thread, registers, _, _ = hit
        address = registers[1]
        if address and self._left_out and self._lot(address) & self._left_out:
            self._ledger.lose_resize(thread, time_ns)
            return 0
        size = self._size(number, registers)
        self._ledger.end_resize(time_ns, thread, address, size, position)
        return 1


def _usable(stored: int) -> int:
    """Return the size of a block by the word before it; 0 if that is not one."""
    return usable_size(stored) if stored and is_size(stored) else 0
