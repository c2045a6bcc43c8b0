"""Classes of objects, by the tables of their virtual functions."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from gdbleak.census.lost.objects import Classes
from gdbleak.elf.cache import ImageCache
from gdbleak.recording.modules import Module, ModuleMap

START, SIZE = 0x400000, 0x1000
TABLE, INFORMATION, NAME, KIND = START + 0x110, START + 0x200, START + 0x300, START + 0x400
MODULE = Module("/bin/x", START, START + SIZE, START, None, None)


class Memory:
    """The image of a program."""

    def __init__(self):
        self.data = bytearray(SIZE)
        self.put(TABLE - 8, INFORMATION)
        self.put(INFORMATION, KIND)
        self.put(INFORMATION + 8, NAME)
        self.write(NAME, b"N3app6WidgetIiEE\0")

    def put(self, address, word):
        self.write(address, (word % (1 << 64)).to_bytes(8, "little"))

    def write(self, address, data):
        self.data[address - START : address - START + len(data)] = data

    def read(self, address, size):
        at = address - START
        return bytes(self.data[at : at + size]) if 0 <= at < SIZE else b""


@contextmanager
def classes(memory):
    with ImageCache() as images:
        yield Classes(memory, ModuleMap([MODULE]), images)


def find(memory, word=TABLE):
    with classes(memory) as found:
        return found.find([word]).get(word)


def test_a_class():
    assert find(Memory()) == "app::Widget<int>"


def test_a_part_of_a_larger_object():
    memory = Memory()
    memory.put(TABLE - 16, -64)
    assert find(memory) == "app::Widget<int>"


def test_what_was_made_together_with_its_counter():
    memory = Memory()
    memory.write(
        NAME, b"St23_Sp_counted_ptr_inplaceI4PairIicESaIvELN9__gnu_cxx12_Lock_policyE2EE\0"
    )
    assert find(memory) == "std::make_shared<Pair<int, char>>"


@pytest.mark.parametrize("name", [b"4Node", b"*4Node"], ids=["any", "compared by its address"])
def test_names(name):
    memory = Memory()
    memory.write(NAME, name + b"\0")
    assert find(memory) == "Node"


@pytest.mark.parametrize("word", [0, TABLE + 1, START - 8, TABLE + 8, START, START + SIZE])
def test_what_leads_to_no_table(word):
    assert find(Memory(), word) is None


@pytest.mark.parametrize(
    ("place", "word"),
    [
        (TABLE - 16, 5),
        (TABLE - 8, 0),
        (TABLE - 8, START + SIZE - 8),
        (INFORMATION, 0),
        (INFORMATION + 8, 0),
        (INFORMATION + 8, START + SIZE - 1),
        (NAME, 0x41414141FF4E3441),
    ],
)
def test_what_only_looks_like_a_table(place, word):
    memory = Memory()
    memory.put(place, word)
    assert find(memory) is None
