"""What the doctor says of the inline probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gdbleak.elf.cache import ImageCache
from gdbleak.errors import GdbleakError
from gdbleak.injection.filters import needs_look
from gdbleak.injection.planning import choose_unit_bits, plan_implant
from gdbleak.plan.allocators import Allocator
from gdbleak.plan.selection import Selection
from gdbleak.preflight.cost import describe_inline
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.rate import Rate
from gdbleak.target.live import LiveProcess
from gdbleak.target.memory_limit import find_limit
from gdbleak.text.units import format_bytes


class Forecast(NamedTuple):
    """What the inline probe would do."""

    text: str
    refusal: str = ""
    """Why it cannot be used; "" where it can."""


def describe_plan(
    allocators: Sequence[Allocator],
    process: LiveProcess,
    modules: ModuleMap,
    rate: Rate,
    images: ImageCache,
    selection: Selection = Selection(),  # noqa: B008 - frozen
) -> Forecast:
    """Say whether the process could record its calls itself, and where the recorder would go."""
    try:
        bits = choose_unit_bits(find_limit(process.pid))
        plan, implant = plan_implant(process, allocators, modules, images, bits, selection)
        is_filtered = needs_look(process.pid)
    except GdbleakError as error:
        return Forecast(f"inline it cannot be recorded: {error}", str(error))
    names = ", ".join(dict.fromkeys(hook.function.name for hook in plan.hooks))
    cost = "" if rate.reason else f"; that would take {describe_inline(rate)}"
    condition = ""
    if is_filtered:
        condition = ", if its seccomp filters permit that, which GDB reads when it attaches"
    returning = ""
    if plan.pad:
        returning = f", some of which return by way of {plan.pad.address:#x} in {plan.pad.path}"
    return Forecast(
        f"inline it can be recorded{condition} (--probe inline):"
        f" {len(implant.image.code):,} bytes of code"
        f" would go to {implant.image.address:#x} in {implant.cave.path},"
        f" jumps there into {names}{returning},"
        f" and it would get {format_bytes(implant.ring.size)} of memory for a while{cost}"
    )
