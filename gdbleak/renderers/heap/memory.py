"""What the formats for people show of an address space, other allocators, and what is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Optional

from gdbleak.renderers.columns import numbers, words
from gdbleak.renderers.heap.sections import (
    Layout,
    Section,
    exact_count,
    not_shown,
    optional_bytes,
    show,
    signed_bytes,
    size_section,
)
from gdbleak.report.heap import AllocatorUse, Amount, Lost, LostTree, MappingKind, MappingUse
from gdbleak.text.lines import printable
from gdbleak.text.units import count_of, format_bytes, format_seconds

_Measure = Callable[[MappingUse], Optional[int]]

_GROWN = "Grown"

_MEASURES: dict[str, _Measure] = {
    "Size": lambda mapping: mapping.size,
    "Resident": lambda mapping: mapping.resident_bytes,
    "Dirty": lambda mapping: mapping.dirty_bytes,
    "Swapped": lambda mapping: mapping.swapped_bytes,
    _GROWN: lambda mapping: mapping.grown_bytes,
}
"""What is said of mappings, by the header of its column."""


def _measures(mappings: Iterable[MappingUse]) -> dict[str, _Measure]:
    """Return what can be said of mappings: after one census, nothing has grown."""
    grown = any(mapping.grown_bytes is not None for mapping in mappings)
    return {name: measure for name, measure in _MEASURES.items() if grown or name != _GROWN}


def _add_up(mappings: Iterable[MappingUse], measure: _Measure) -> int | None:
    """Return a sum over the mappings of which it is known; None if of none it is."""
    known = [value for mapping in mappings if (value := measure(mapping)) is not None]
    return sum(known) if known else None


def _cells(mappings: Sequence[MappingUse], measures: dict[str, _Measure]) -> list[str]:
    cells = []
    for name, measure in measures.items():
        found = _add_up(mappings, measure)
        cells.append(signed_bytes(found) if name == _GROWN else optional_bytes(found))
    return cells


def _held(mapping: MappingUse) -> tuple[int, int]:
    """Return what to order mappings by: those that hold most memory come first."""
    return -(mapping.resident_bytes or 0) - (mapping.swapped_bytes or 0), -mapping.size


def by_kind(mappings: Iterable[MappingUse]) -> dict[MappingKind, list[MappingUse]]:
    """Return the mappings of each kind, the kind that holds most memory first."""
    kinds: dict[MappingKind, list[MappingUse]] = {}
    for mapping in mappings:
        kinds.setdefault(mapping.kind, []).append(mapping)
    held = {kind: tuple(map(sum, zip(*map(_held, of)))) for kind, of in kinds.items()}
    return {kind: kinds[kind] for kind in sorted(kinds, key=lambda kind: held[kind])}


def kind_section(mappings: Sequence[MappingUse]) -> Section:
    """Return what the address space is for, by kind."""
    measures = _measures(mappings)
    rows = [
        [str(kind), f"{len(of):,}", *_cells(of, measures)] for kind, of in by_kind(mappings).items()
    ]
    if len(rows) > 1:
        rows.append(["all", f"{len(mappings):,}", *_cells(mappings, measures)])
    columns = (*words("Kind"), *numbers("Count", *measures))
    return Section("Address space", columns, rows)


def mapping_section(
    mappings: Sequence[MappingUse], layout: Layout, title: str = "Largest mappings"
) -> Section:
    """Return the mappings that hold most memory."""
    measures = _measures(mappings)
    rows = [
        [hex(mapping.start), *_cells([mapping], measures), show(mapping.name)]
        for mapping in sorted(mappings, key=_held)[: layout.top]
    ]
    columns = (*numbers("Address", *measures), *words("Name"))
    below = not_shown(len(mappings), layout, "mapping")
    return Section(title, columns, rows, below, names=True)


def allocator_sections(allocators: Iterable[AllocatorUse], layout: Layout) -> Iterator[Section]:
    """Yield what can be told of other allocators."""
    for allocator in allocators:
        said = [_describe(allocator), *map(printable, allocator.notes)]
        title = f"Allocator {show(allocator.name)}"
        if allocator.sizes:
            in_use = allocator.in_use or Amount()
            section = size_section(allocator.sizes, in_use, layout, title)
            yield section._replace(below=(*section.below, *said))
        else:
            yield Section(title, below=tuple(said))


def _describe(allocator: AllocatorUse) -> str:
    mapped = f"{format_bytes(allocator.mapped.bytes)} of address space"
    text = f"{mapped} in {count_of(allocator.mapped.count, 'mapping')}"
    if allocator.resident_bytes is not None:
        text += f", {format_bytes(allocator.resident_bytes)} resident"
    if allocator.in_use is not None:
        blocks = count_of(allocator.in_use.count, "block")
        text += f"; {format_bytes(allocator.in_use.bytes)} in {blocks} in use by its own statistics"
    return f"{text} ({show(allocator.module)})"


def lost_sections(lost: Lost, layout: Layout) -> Iterator[Section]:
    """Yield what nothing refers to: blocks by their roots, and mappings."""
    shown = lost.trees[: layout.top]
    rows = [_tree_row(rank, tree) for rank, tree in enumerate(shown, start=1)]
    columns = (*numbers("#", "Bytes", "Blocks", "Trees", "Root", "First at"), *words("What"))
    rest = sum(tree.bytes for tree in lost.trees[layout.top :])
    below = [
        *not_shown(len(lost.trees), layout, "line", rest),
        *(
            f"#{rank} begins with: {show(tree.content)}"
            for rank, tree in enumerate(shown, start=1)
            if tree.content is not None
        ),
        _describe_search(lost),
        *map(printable, lost.notes),
    ]
    yield Section("Lost blocks", columns if rows else (), rows, tuple(below), names=True)
    if lost.mappings:
        yield mapping_section(lost.mappings, layout, "Mappings that nothing refers to")


def _tree_row(rank: int, tree: LostTree) -> list[str]:
    words = ["cycle"] if tree.is_cycle else []
    words += [show(tree.what)] if tree.what else []
    return [
        str(rank),
        format_bytes(tree.bytes),
        exact_count(tree.blocks),
        exact_count(tree.trees),
        str(tree.size),
        hex(tree.address),
        ", ".join(words),
    ]


def _describe_search(lost: Lost) -> str:
    blocks = count_of(lost.searched_blocks, "block")
    looked = "once" if lost.looks == 1 else f"{lost.looks:,} times"
    took = format_seconds(lost.took_s)
    return (
        f"{lost.total.count:,} of {blocks} are lost, with {format_bytes(lost.total.bytes)}; memory"
        f" was looked at {looked}, in {took}."
    )
