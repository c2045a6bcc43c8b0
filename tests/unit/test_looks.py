"""What is found in the heap is noted in the recording; here the heap lies in this process."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
import recordings

from gdbleak.capture.looks import Looks
from gdbleak.capture.notebook import Notebook
from gdbleak.errors import WriteError
from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.recording.events import Freed
from gdbleak.recording.reader import Recording

MARK = 0xFEED_FACE_CAFE_BEEF
BLOCK_BYTES = 64


class MarkedHeap:
    """Blocks in a buffer, of which those are free whose second word is the mark."""

    def __init__(self, count: int) -> None:
        self.marks = {MARK}
        self.main_arena = None
        self.hidden: set[int] = set()
        """Blocks that are free, which only an inspection sees."""
        self._buffer = ctypes.create_string_buffer(count * BLOCK_BYTES)
        start = ctypes.addressof(self._buffer)
        self.addresses = [start + number * BLOCK_BYTES for number in range(count)]

    def free(self, number: int) -> None:
        self._second(self.addresses[number]).value = MARK

    def _second(self, address: int) -> ctypes.c_uint64:
        return ctypes.c_uint64.from_address(address + 8)

    def find_quickly(self, blocks):
        return {block for block in blocks if self._second(block).value == MARK}

    def find_freed(self, blocks):
        return self.find_quickly(blocks) | self.hidden.intersection(blocks)


class Scene:
    """Looks at a heap, and what they have noted."""

    def __init__(self, path: Path, count: int = 50) -> None:
        self.path = path
        recordings.write(path, recordings.head(), recordings.opened(5))
        self.heap = MarkedHeap(count)
        self.blocks = {
            address: Block(address, 8, 8, 8, number, None, 1, 0, 0, HEAP, False, False, 0, 0)
            for number, address in enumerate(self.heap.addresses)
        }
        self.looks = Looks(os.getpid(), self.heap, Notebook(path))  # type: ignore[arg-type]

    def noted(self):
        """Return the numbers of the blocks that were noted, each by its time of birth."""
        events = Recording(str(self.path)).iter_events()
        found = [block for event in events if isinstance(event, Freed) for block in event.blocks]
        numbers = [born_ns for _, born_ns in found]
        assert [self.heap.addresses[number] for number in numbers] == [at for at, _ in found]
        return sorted(numbers)

    def look_until(self, found, kinds="look glance"):
        """Look until so many blocks were noted: each kind of look comes in its turn."""
        for _ in range(100_000):
            if "look" in kinds:
                self.looks.look(self.blocks, 99)
            if "glance" in kinds:
                self.looks.glance(99)
            if len(self.noted()) >= found:
                return
        pytest.fail("it was never found")


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path / "recording")


def test_the_mark_does_not_say_that_a_block_is_free_that_had_it_when_it_was_handed_out(scene):
    scene.blocks[scene.heap.addresses[5]].mark = MARK
    for number in (3, 5):
        scene.heap.free(number)
    scene.look_until(1)
    for _ in range(2000):
        scene.looks.look(scene.blocks, 99)
        scene.looks.glance(99)
    assert set(scene.noted()) == {3}


def test_nothing_is_noted_while_all_is_in_use(scene):
    for _ in range(1000):
        scene.looks.look(scene.blocks, 99)
        scene.looks.glance(99)
    assert scene.noted() == []


def test_glance_finds_what_was_freed_since(scene):
    scene.looks.look(scene.blocks, 99)
    scene.heap.free(7)
    scene.heap.free(9)
    scene.look_until(2, kinds="glance")
    assert set(scene.noted()) == {7, 9}


def test_glance_without_the_system_call_is_none(scene, monkeypatch):
    def refuse(_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("gdbleak.capture.words.Words.read", refuse)
    scene.looks.look(scene.blocks, 99)
    scene.heap.free(7)
    scene.looks.glance(99)
    assert scene.noted() == []
    scene.look_until(1)
    assert set(scene.noted()) == {7}


def test_glance_without_marks_is_none(scene):
    scene.heap.marks = set()
    scene.looks.look(scene.blocks, 99)
    scene.heap.free(7)
    scene.looks.glance(99)
    assert scene.noted() == []


def test_inspection_finds_what_has_no_mark(tmp_path):
    scene = Scene(tmp_path / "recording", count=2500)
    scene.heap.hidden = {scene.heap.addresses[n] for n in (3, 1500, 2499)}
    scene.look_until(3)
    assert set(scene.noted()) == {3, 1500, 2499}


def test_disk_that_is_full(scene):
    looks = Looks(os.getpid(), scene.heap, Notebook(Path("/dev/full")))
    scene.heap.free(1)
    with pytest.raises(WriteError, match="No space left"):
        looks.look(scene.blocks, 99)
