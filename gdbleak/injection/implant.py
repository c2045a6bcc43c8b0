"""What is put into a process: which bytes, where, and what stood there before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gdbleak.inline.model import Cave, Image, Jump
from gdbleak.inline.ring import WORD_BYTES, Ring


@dataclass(frozen=True)
class Implant:
    """An image in its cave, the jumps that lead there, and the ring that it writes into."""

    image: Image
    cave: Cave
    ring: Ring

    @property
    def original(self) -> bytes:
        """What stands where the image goes, without it."""
        start = self.image.address - self.cave.address
        return self.cave.original[start : start + len(self.image.code)]

    @property
    def kept_words(self) -> tuple[int, int]:
        """The range of offsets in the image that differ from time to time."""
        start = self.image.resume - self.image.address
        return start, start + 2 * WORD_BYTES

    def is_image(self, data: bytes) -> bool:
        """Whether what stands there is the image, or a part of it that was just written."""
        start, end = self.kept_words
        return len(data) == len(self.original) and all(
            is_one_of(data[part], self.image.code[part], self.original[part])
            for part in (slice(0, start), slice(end, None))
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, without what only a reader of the ring needs."""
        image = self.image
        return {
            "cave": {
                "address": self.cave.address,
                "original": self.cave.original.hex(),
                "path": self.cave.path,
            },
            "address": image.address,
            "code": image.code.hex(),
            "jumps": [
                {
                    "address": jump.address,
                    "original": jump.original.hex(),
                    "code": jump.code.hex(),
                    "twins": [*jump.twins],
                    "is_pad": jump.is_pad,
                }
                for jump in image.jumps
            ],
            "map_ring": image.map_ring,
            "unmap_ring": image.unmap_ring,
            "resume": image.resume,
            "ring": {"address": self.ring.address, "unit_bits": self.ring.unit_bits},
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Implant:
        """Return what `to_json` has made values of.

        Raises:
            KeyError, TypeError, ValueError: they are damaged.

        """
        cave = values["cave"]
        return cls(
            Image(
                address=values["address"],
                code=bytes.fromhex(values["code"]),
                sites=(),
                jumps=tuple(
                    Jump(
                        jump["address"],
                        bytes.fromhex(jump["original"]),
                        bytes.fromhex(jump["code"]),
                        tuple((place, twin) for place, twin in jump["twins"]),
                        jump["is_pad"],
                    )
                    for jump in values["jumps"]
                ),
                map_ring=values["map_ring"],
                unmap_ring=values["unmap_ring"],
                resume=values["resume"],
            ),
            Cave(cave["address"], bytes.fromhex(cave["original"]), cave["path"]),
            Ring(**values["ring"]),
        )


def is_one_of(data: bytes, *others: bytes) -> bool:
    """Whether every byte is the one that stands in its place in one of the others."""
    return all(byte in choice for byte, *choice in zip(data, *others))
