"""A JSON report of a heap, read again. Pure."""

from __future__ import annotations

from typing import Any, TypeVar

from gdbleak.errors import RecordingError
from gdbleak.recording.outside_values import UnfitError, check, describe_damage, fill, read_json
from gdbleak.report.heap import (
    SCHEMA,
    AllocatorUse,
    Amount,
    Arena,
    Free,
    Growth,
    HeapReport,
    Lost,
    LostTree,
    MappingKind,
    MappingUse,
    Pin,
    SizeClass,
    Taking,
)
from gdbleak.report.trend import Trend
from gdbleak.text.choices import Choice
from gdbleak.text.lines import cut

_ADVICE = "give a file written by `gdbleak heap PID --save FILE`, or with -o FILE.json"

C = TypeVar("C", bound=Choice)


def is_heap_report(text: str) -> bool:
    """Whether JSON is a report of a heap, of whatever version."""
    name = SCHEMA.rpartition("/")[0] + "/"
    if f'"{name}' not in text:  # which is sooner known than read
        return False
    try:
        values = read_json(text)
    except ValueError:
        return False
    schema = values.get("schema") if isinstance(values, dict) else None
    return isinstance(schema, str) and schema.startswith(name)


def read_heap_report(text: str, path: str) -> HeapReport:
    """Return the report of a heap that was written as JSON.

    Args:
        text: What was written.
        path: To name in errors.

    Raises:
        RecordingError: it is no report of a heap, is damaged, or of another version.

    """
    try:
        values = read_json(text)
    except ValueError as error:
        raise RecordingError(
            f"{path} is not a report of a heap: {describe_damage(error)}", _ADVICE
        ) from error
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema != SCHEMA:
        said = f"its schema is {cut(repr(schema), 100)}" if schema else "it has no schema"
        raise RecordingError(
            f"{path} is not a report of a heap that this gdbleak can read: {said}", _ADVICE
        )
    try:
        return _read(values)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RecordingError(
            f"{path} is damaged: {cut(describe_damage(error), 500)}",
            "copy it here again, or take another census with `gdbleak heap PID --save FILE`",
        ) from error


def _read(values: dict[str, Any]) -> HeapReport:
    lost = values.get("lost")
    read = {
        "taking": _read_taking(values["taking"]),
        "in_use": fill(Amount, values["in_use"]),
        "mmapped": fill(Amount, values["mmapped"]),
        "sizes": tuple(map(_read_size, _list(values, "sizes"))),
        "arenas": tuple(map(_read_arena, _list(values, "arenas"))),
        "mappings": tuple(map(_read_mapping, _list(values, "mappings"))),
        "allocators": tuple(map(_read_allocator, _list(values, "allocators"))),
        "lost": None if lost is None else _read_lost(lost),
    }
    return fill(HeapReport, {**values, **read})


def _read_taking(values: dict[str, Any]) -> Taking:
    read = {"unsettled": fill(Amount, values["unsettled"])} if "unsettled" in values else {}
    return fill(Taking, {**values, **read})


def _read_size(values: dict[str, Any]) -> SizeClass:
    read = {
        "in_use": fill(Amount, values["in_use"]),
        "free": fill(Amount, values["free"]),
        "growth": _read_growth(values.get("growth")),
    }
    return fill(SizeClass, {**values, **read})


def _read_growth(values: dict[str, Any] | None) -> Growth | None:
    if values is None:
        return None
    numbers = ("count_per_s", "count_steadiness", "bytes_per_s", "bytes_steadiness")
    check(values, {**dict.fromkeys(numbers, "float"), "history": "tuple[int, ...]"})
    count, count_steadiness, size, size_steadiness = (float(values[name]) for name in numbers)
    return Growth(
        Trend(count, count_steadiness), Trend(size, size_steadiness), tuple(values["history"])
    )


def _read_arena(values: dict[str, Any]) -> Arena:
    pin = values.get("pin")
    read = {
        "address": _address(values, "address"),
        "heaps": tuple((_address(v, "start"), _address(v, "end")) for v in _list(values, "heaps")),
        "in_use": fill(Amount, values["in_use"]),
        "free": {_choice(Free, v["where"]): fill(Amount, v) for v in _list(values, "free")},
        "pin": None if pin is None else fill(Pin, {**pin, "address": _address(pin, "address")}),
    }
    return fill(Arena, {**values, **read})


def _read_mapping(values: dict[str, Any]) -> MappingUse:
    start, end = _address(values, "start"), _address(values, "end")
    if end < start:
        raise UnfitError("a mapping ends before it starts")
    kind = _choice(MappingKind, values["kind"])
    return fill(MappingUse, {**values, "start": start, "end": end, "kind": kind})


def _read_allocator(values: dict[str, Any]) -> AllocatorUse:
    in_use = values.get("in_use")
    read = {
        "mapped": fill(Amount, values["mapped"]),
        "in_use": None if in_use is None else fill(Amount, in_use),
        "sizes": tuple(map(_read_size, _list(values, "sizes"))),
    }
    return fill(AllocatorUse, {**values, **read})


def _read_lost(values: dict[str, Any]) -> Lost:
    read = {
        "total": fill(Amount, values["total"]),
        "trees": tuple(map(_read_tree, _list(values, "trees"))),
        "mappings": tuple(map(_read_mapping, _list(values, "mappings"))),
    }
    return fill(Lost, {**values, **read})


def _read_tree(values: dict[str, Any]) -> LostTree:
    return fill(LostTree, {**values, "address": _address(values, "address")})


def _list(values: dict[str, Any], name: str) -> list[Any]:
    found = values[name]
    if not isinstance(found, list):
        raise UnfitError(f"{name} has to be a list")
    return found


def _address(values: dict[str, Any], name: str) -> int:
    text = values[name]
    if not isinstance(text, str) or len(text) > 2 + 16:
        raise UnfitError(f"{name} cannot be {str(text)[:100]!r}")
    return int(text, 16)


def _choice(kind: type[C], word: object) -> C:
    try:
        return kind(word)
    except ValueError:
        said = cut(repr(word), 50)
        raise UnfitError(f"only a later gdbleak can know {said}") from None
