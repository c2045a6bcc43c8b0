"""A program that has several names is called by the one that it was started by."""

from __future__ import annotations

import os

import pytest

from gdbleak.elf.cache import ImageCache
from gdbleak.target.live import LiveProcess
from gdbleak.target.own_name import find_own_name


@pytest.fixture
def start(build_target, start_target, tmp_path):
    """Return a function that starts a program by a link to it; it returns its module."""
    program = build_target("puppet.c")

    def start(link):
        path = tmp_path / "other-name"
        link(program, path)
        target = start_target(path)
        with ImageCache() as images, LiveProcess(target.pid, images) as process:
            return next(m for m in process.read_modules() if m.path.endswith(("puppet", "-name")))

    return start


def test_symbolic_link(start):
    module = start(os.symlink)
    assert (module.name, module.shown_name) == ("puppet", "other-name")


def test_hard_link(start):
    """The kernel knows of these."""
    module = start(os.link)
    assert (module.name, module.known_as) == ("other-name", None)


def test_report_shows_it(cli, build_target, start_target, tmp_path):
    link = tmp_path / "other-name"
    link.symlink_to(build_target("puppet.c"))
    puppet = start_target(link)
    saved = tmp_path / "saved"
    result = cli.record(puppet.pid, saved, lambda: puppet.ask("leak 3"), "--older", 0)
    assert result.exit_code == 0
    [site] = cli.run("report", saved, "--older", 0, "--format", "json").report["sites"]
    names = {frame["module"].rpartition("/")[2] for frame in site["frames"]}
    assert ("other-name" in names, "puppet" in names) == (True, False)
    rows = cli.run("report", saved, "--older", 0, "--by", "module", "--format", "csv").stdout
    assert "other-name" in rows


class Memory:
    """Memory that holds one path at every address."""

    def __init__(self, path):
        self._data = os.fsencode(path) + b"\0rest"

    def read(self, _address, size):
        return self._data[:size]


def find(started, program, trusted=True):
    return find_own_name(os.getpid(), Memory(started), program, trusted, str)


def test_interpreter_of_a_script_keeps_its_name(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env python3\n")
    assert find(str(script), os.path.realpath("/proc/self/exe")) is None


@pytest.mark.parametrize("started", ["", "/", "/bin/\x01", "x" * 5000, "/no/such/program"])
def test_path_that_makes_no_sense(started):
    assert find(started, os.path.realpath("/proc/self/exe")) is None


def test_paths_of_other_users_are_not_looked_at(tmp_path):
    """To look at one can take for ever, where a user serves the file system."""
    own = os.path.realpath("/proc/self/exe")
    link = tmp_path / "link"
    link.symlink_to(own)
    assert find(str(link), own) == str(link)
    assert find(str(link), own, trusted=False) is None
