"""What the doctor says of the inline probe."""

from __future__ import annotations

from collections.abc import Sequence

from gdbleak.elf.cache import ImageCache
from gdbleak.errors import GdbleakError
from gdbleak.injection.planning import UNIT_BITS, plan_implant
from gdbleak.plan.allocators import Allocator
from gdbleak.preflight.cost import describe_inline
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.rate import Rate
from gdbleak.target.live import LiveProcess


def describe_plan(
    allocators: Sequence[Allocator],
    process: LiveProcess,
    modules: ModuleMap,
    rate: Rate,
    images: ImageCache,
) -> str:
    """Say whether the process could record its calls itself, and where the recorder would go."""
    try:
        plan, implant = plan_implant(process, allocators, modules, images, UNIT_BITS)
    except GdbleakError as error:
        return f"inline it cannot be recorded: {error}"
    names = ", ".join(dict.fromkeys(hook.function.name for hook in plan.hooks))
    cost = "" if rate.reason else f"; that would take {describe_inline(rate)}"
    returning = ""
    if plan.pad:
        returning = f", some of which return by way of {plan.pad.address:#x} in {plan.pad.path}"
    return (
        f"inline it can be recorded (--probe inline): {len(implant.image.code):,} bytes of code"
        f" would go to {implant.image.address:#x} in {implant.cave.path},"
        f" and jumps there into {names}{returning}{cost}"
    )
