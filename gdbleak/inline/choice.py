"""Which functions of an allocator get a jump, and which of them exceptions may leave. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gdbleak.elf.cache import ImageCache
from gdbleak.errors import InlineRefusedError
from gdbleak.inline.code import ModuleCode
from gdbleak.inline.exceptions import (
    find_runtime,
    find_user_of_operators,
    is_throwing_operator,
    is_unknown,
)
from gdbleak.inline.own_code import is_allocator_library
from gdbleak.plan.breakpoints import PASSING
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.modules import Module, ModuleMap


class Choice(NamedTuple):
    """Which functions of an allocator are recorded, by address."""

    entries: dict[int, AllocatorFunction]
    throwing: frozenset[AllocatorFunction]
    """Those of them that exceptions may leave."""
    notes: tuple[str, ...] = ()
    reason: str = "`operator new` of another allocator would have nowhere near it to return to"


def choose(
    entries: Mapping[int, AllocatorFunction],
    code: ModuleCode,
    module: Module,
    modules: ModuleMap,
    images: ImageCache,
) -> Choice:
    """Return the functions to hook, and what has to be said of the others.

    Raises:
        InlineRefusedError: exceptions may leave one that cannot return to a pad.

    """
    is_library = is_allocator_library(code.image)
    runtime = find_runtime(modules, code.image)
    chosen: dict[int, AllocatorFunction] = {}
    thrown: dict[int, AllocatorFunction] = {}
    unknown = []
    for address, function in entries.items():
        # Of a library, its own calls are not recorded, only what is jumped to.
        by_calls = not is_library and function in PASSING
        passes = by_calls or not function.allocates
        if passes and code.walk.passes_on(address, entries, calls=by_calls):
            continue
        if is_throwing_operator(function):
            thrown[address] = function
            continue
        chosen[address] = function
        if runtime and function.allocates and is_unknown(function):
            unknown.append(function)
    reasons = [
        f"an exception of {runtime} may leave {function.name}, whose calls would be aborted"
        for function in unknown
    ]
    if any(function.result is not None for function in unknown):
        raise InlineRefusedError(reasons[0])
    throwing = frozenset(unknown)
    if not (thrown and runtime):
        return Choice(chosen, throwing, (), *reasons[:1])
    user = find_user_of_operators(modules, module, images) if is_library else module.path
    if user:
        reason = (
            f"`operator new` of {module.path}, which {user} calls, may throw an exception, which"
            " would be aborted"
        )
        return Choice({**chosen, **thrown}, throwing.union(thrown.values()), (), reason)
    note = f"`operator new` of {module.path}, which nothing there calls, is not recorded"
    return Choice(chosen, throwing, (note,), *reasons[:1])
