"""Rectangles whose areas are in proportion to numbers, and that are nearly squares.

Source: M. Bruls, K. Huizing, J. J. van Wijk, Squarified Treemaps, Proceedings of the Joint
Eurographics and IEEE TCVG Symposium on Visualization (2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


def lay_out(values: Sequence[float], room: Box) -> list[Box]:
    """Return a rectangle for each of the values, which are above 0, the largest first.

    >>> lay_out([3.0, 1.0], Box(0, 0, 4, 1))
    [Box(x=0, y=0, width=3.0, height=1.0), Box(x=3.0, y=0, width=1.0, height=1.0)]
    """
    total = sum(values)
    scale = room.width * room.height / total if total else 0.0
    areas = [value * scale for value in values]
    boxes: list[Box] = []
    while len(boxes) < len(areas):
        row = _next_row(areas[len(boxes) :], min(room.width, room.height))
        made, room = _place(row, room)
        boxes += made
    return boxes


def _next_row(areas: Sequence[float], side: float) -> Sequence[float]:
    """Return as many of the areas as make a row of rectangles that are as square as can be."""
    best = _worst_ratio(areas[:1], side)
    for count in range(2, len(areas) + 1):
        ratio = _worst_ratio(areas[:count], side)
        if ratio > best:
            return areas[: count - 1]
        best = ratio
    return areas


def _worst_ratio(row: Sequence[float], side: float) -> float:
    total = sum(row)
    if not total or not side:
        return float("inf")
    return max(side * side * max(row) / total**2, total**2 / (side * side * min(row)))


def _place(row: Sequence[float], room: Box) -> tuple[list[Box], Box]:
    """Return the rectangles of a row along the shorter side of the room, and what is left of it."""
    boxes, total = [], sum(row)
    x, y, width, height = room
    side = min(width, height)
    thickness = total / side if side else 0.0
    lengths = [area / thickness if thickness else 0.0 for area in row]
    if width >= height:
        for length in lengths:
            boxes.append(Box(x, y, thickness, length))
            y += length
        return boxes, Box(x + thickness, room.y, max(width - thickness, 0.0), height)
    for length in lengths:
        boxes.append(Box(x, y, length, thickness))
        x += length
    return boxes, Box(room.x, y + thickness, width, max(height - thickness, 0.0))
