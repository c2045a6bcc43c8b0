"""Values that a file brings along, checked before they are believed: JSON, and dataclasses of it.

Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from math import isfinite
from typing import Any, TypeVar

T = TypeVar("T")

_LARGEST = 1 << 100
"""No count, size or time comes near; and what is multiplied with it stays a number."""
_DIGITS = 40
_SIGNED = ("_bytes", "bias")
"""Fields with these in their names may be negative."""


class UnfitError(TypeError, ValueError):
    """A value is not what it should be; the message says which, in words for a person."""


def describe_damage(error: Exception) -> str:
    """Return in plain words why what a file says cannot be used.

    >>> describe_damage(KeyError("probes")), describe_damage(UnfitError("stops cannot be 'many'"))
    ('it lacks probes', "stops cannot be 'many'")
    >>> describe_damage(AttributeError("'int' object has no attribute 'items'"))
    'what it says makes no sense'
    """
    if isinstance(error, UnfitError):
        return str(error)
    if isinstance(error, KeyError):
        return f"it lacks {', '.join(map(str, error.args))}"
    if isinstance(error, UnicodeDecodeError):
        return "a text in it is not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return "its JSON is broken"
    return "what it says makes no sense"


def read_json(text: str | bytes) -> Any:
    """Return what JSON says.

    Raises:
        ValueError: it is not JSON, or nests or holds what no file of ours does.

    """
    try:
        return json.loads(
            text, parse_int=_read_int, parse_float=_read_float, parse_constant=_refuse
        )
    except RecursionError:
        raise UnfitError("its JSON is nested too deeply") from None


def read_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        ValueError: it is another value, or not sound.

    """
    values = read_json(text)
    if not isinstance(values, dict):
        raise UnfitError("a JSON object should stand there")
    return values


def _read_int(text: str) -> int:
    if len(text) > _DIGITS:
        raise UnfitError(f"it holds a number of {len(text)} digits")
    return int(text)


def _read_float(text: str) -> float:
    value = float(text)
    if not abs(value) < _LARGEST:
        raise UnfitError(f"it holds a number that is too large, {text[:_DIGITS]}")
    return value


def _refuse(text: str) -> float:
    raise UnfitError(f"{text} is not a number")


def check(values: Mapping[str, Any], shape: Mapping[str, str]) -> None:
    """Check those of the values that are there.

    Args:
        values: By name.
        shape: The annotation that a field of a dataclass would have, by name.

    Raises:
        UnfitError: one is of another type.

    """
    for name, annotation in shape.items():
        if name in values and not fits(values[name], annotation, name):
            raise UnfitError(f"{name} cannot be {str(values[name])[:100]!r}")


def fill(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return a value of a dataclass; what it does not know is passed over, lists become tuples.

    Raises:
        KeyError: a field is missing that has no default.
        TypeError: a value is not of the type of its field, or they are not named at all.

    """
    if not isinstance(values, Mapping):
        raise UnfitError("a JSON object should stand there")
    shape = {each.name: str(each.type) for each in fields(kind)}  # type: ignore[arg-type]
    check(values, shape)
    known = {
        name: tuple(values[name]) if annotation.startswith("tuple[") else values[name]
        for name, annotation in shape.items()
        if name in values
    }
    missing = [
        each.name
        for each in fields(kind)  # type: ignore[arg-type]
        if each.name not in known and each.default is each.default_factory is MISSING
    ]
    if missing:
        raise KeyError(*missing)
    return kind(**known)


def fits(value: object, annotation: str, name: str = "") -> bool:
    """Whether a value may be one of a field, by the field's annotation.

    Numbers are finite, and whole ones are seldom negative. Of annotations that
    name a class every value may be one.

    >>> fits(3, "int | None"), fits(None, "int | None"), fits(-3, "int"), fits("x", "int")
    (True, True, False, False)
    >>> fits([1, None], "tuple[int | None, ...]"), fits(float("nan"), "float")
    (True, False)
    """
    if annotation.endswith(" | None"):
        return value is None or fits(value, annotation[: -len(" | None")], name)
    if annotation.startswith("tuple["):
        inner = annotation[len("tuple[") :].rpartition(", ...]")[0]
        return isinstance(value, (list, tuple)) and all(fits(v, inner, _SIGNED[0]) for v in value)
    if annotation == "dict[str, int]":
        return isinstance(value, dict) and all(fits(v, "int") for v in value.values())
    if annotation == "int":
        lowest = -_LARGEST if any(part in name for part in _SIGNED) else 0
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and lowest <= value < _LARGEST  # type: ignore[operator]
    if annotation == "float":
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and isfinite(value) and abs(value) < _LARGEST  # type: ignore[arg-type]
    kind = {"str": str, "bool": bool, "list": list}.get(annotation)
    return kind is None or isinstance(value, kind)
