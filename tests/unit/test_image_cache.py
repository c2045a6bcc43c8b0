"""The images of one trace: each file is opened once, and closed at the end."""

from __future__ import annotations

import gc
import os
import re
import shutil
from pathlib import Path

import pytest

from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError


@pytest.fixture(autouse=True)
def no_garbage_of_other_tests():
    """Close what they have left open now, not between two counts of open files."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def program(build_target, tmp_path):
    return Path(shutil.copy(build_target("puppet.c"), tmp_path / "puppet"))


@pytest.fixture
def images():
    with ImageCache() as images:
        yield images


def count_open():
    return len([*Path("/proc/self/fd").iterdir()])


def test_a_file_is_opened_once_by_whatever_path(images, program, tmp_path):
    (tmp_path / "link").symlink_to(program)
    os.link(program, tmp_path / "name")
    first = images.open(str(program), Effort())
    before = count_open()
    paths = (program, tmp_path / "link", tmp_path / "name", f"/proc/self/fd/{first.descriptor}")
    assert all(images.open(str(path), Effort()) is first for path in paths)
    assert images.open(str(program), Effort(), os.open(program, os.O_RDONLY)) is first
    assert count_open() == before


def test_a_file_that_was_changed_is_another(images, program):
    first = images.open(str(program), Effort())
    with program.open("ab") as file:
        file.write(bytes(8))
    second = images.open(str(program), Effort())
    assert second is not first

    replacement = Path(shutil.copy(program, program.with_suffix(".new")))
    replacement.rename(program)
    assert images.open(str(program), Effort()) not in (first, second)
    assert first.find_function("main"), "who has the first one can read it all the same"


def test_end_closes_the_files(program):
    before = count_open()
    with ImageCache() as images:
        image = images.open(str(program), Effort())
        assert image.find_function("main")
        assert count_open() == before + 1
    assert count_open() == before
    with pytest.raises(ElfError, match="Bad file descriptor"):
        image.search(re.compile(b"(anything)"))


def test_debug_file_is_closed_too(build_target, tmp_path, monkeypatch):
    stripped = Path(shutil.copy(build_target("puppet.c", "-Wl,--build-id"), tmp_path / "stripped"))
    build_id = ElfImage(str(stripped)).build_id
    folder = tmp_path / build_id[:2]
    folder.mkdir()
    shutil.copy(stripped, folder / f"{build_id[2:]}.debug")
    monkeypatch.setattr("gdbleak.elf.image.DEBUG_FILES", tmp_path)
    before = count_open()
    with ImageCache() as images:
        assert images.open(str(stripped), Effort()).debug_image.build_id == build_id
        assert count_open() == before + 2
    assert count_open() == before


def test_each_reader_spends_its_own_effort(images, program):
    little = Effort(steps=100)
    image = images.open(str(program), little)
    with pytest.raises(ElfError, match="too long"):
        image.spend(1000)
    assert images.open(str(program), Effort()) is image
    image.spend(1000)
    assert image.find_function("main")


def test_no_more_than_some_are_kept(images, build_target, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_most", 2)
    program = build_target("puppet.c")
    paths = [str(shutil.copy(program, tmp_path / f"copy-{number}")) for number in range(4)]
    before = count_open()
    for _ in range(3):
        for path in paths:
            assert images.open(path, Effort()).find_section(".text").address
    assert count_open() == before + 2
    later = images.open(paths[3], Effort())
    images.close()
    assert later.find_function("main"), "who has it keeps it open"


def test_files_that_may_be_open_at_all_are_not_used_up(monkeypatch):
    monkeypatch.setattr("gdbleak.elf.cache.resource.getrlimit", lambda _: (64, 64))
    assert ImageCache()._most == 16


@pytest.mark.parametrize("path", ["/", "/proc/self/status", "/nowhere", "a\0b"])
def test_what_is_not_an_elf_file(images, path):
    before = count_open()
    with pytest.raises(ElfError):
        images.open(path, Effort())
    assert count_open() == before
