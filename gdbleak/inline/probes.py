"""The probes of a recording that was written inside the target, one for each site. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gdbleak.architectures import X86_64
from gdbleak.heap.chunk import SIZE_OFFSET
from gdbleak.inline.model import Hook, Site
from gdbleak.plan.sizes import Sizes
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe, Role


def make_probes(
    hooks: Sequence[Hook], sites: Iterable[Site], sizes: Sizes | None = None
) -> tuple[Probe, ...]:
    """Return the probes of a recording's head, in the order of the sites.

    Args:
        hooks: Of the plan.
        sites: Of the image.
        sizes: Of which blocks calls are recorded; None for all.

    """
    return tuple(
        Probe(
            number,
            hooks[site.hook].patch,
            hooks[site.hook].function.name,
            site.role,
            _registers(hooks[site.hook].function, site.role),
            None,
            hooks[site.hook].code.hex(),
            hooks[site.hook].allocator,
            SIZE_OFFSET if site.role is Role.ENTRY and hooks[site.hook].sized else None,
            phases=(Phase.ALL,),
            kept_sizes=_find_kept(hooks[site.hook], site.role, sizes),
        )
        for number, site in enumerate(sites)
    )


def _find_kept(hook: Hook, role: Role, sizes: Sizes | None) -> tuple[int, ...] | None:
    if sizes is None or (role is Role.ENTRY and not hook.chooses_ends):
        return None
    return sizes.chunks if hook.tells_size else sizes.requests


def by_site(sites: Iterable[Site], probes: Iterable[Probe]) -> Mapping[int, Probe]:
    """Return the probe of each site, by the number that its events carry."""
    return {site.number: probe for site, probe in zip(sites, probes)}


def _registers(function: AllocatorFunction, role: Role) -> tuple[str, ...]:
    arguments = X86_64.argument_registers
    if role is Role.ENTRY:
        return "rsp", arguments[function.pointer or 0]
    return "rsp", "rax", "rbp", *(arguments[number] for number in function.sizes)
