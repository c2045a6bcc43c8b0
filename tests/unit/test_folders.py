"""The folder of temporary files: what is said where none can be made."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gdbleak.errors import WriteError
from gdbleak.host.folders import private_folder

ROOM = "free some space there, or set TMPDIR to a folder with room"
OTHER = "set TMPDIR to a folder that exists and that you may write in"


def test_it_goes_in_the_end(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with private_folder() as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [("file", "Not a directory"), ("missing", "No such file or directory")],
)
def test_a_place_that_cannot_hold_it(monkeypatch, tmp_path, name, reason):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / name))
    with pytest.raises(WriteError) as raised, private_folder():
        pass
    assert str(raised.value) == f"cannot write in {tmp_path / name}: {reason}"
    assert raised.value.help_text == OTHER


@pytest.mark.parametrize(
    ("number", "help_text"),
    [(errno.ENOSPC, ROOM), (errno.EDQUOT, ROOM), (errno.EROFS, OTHER), (errno.EACCES, OTHER)],
)
def test_what_to_do_depends_on_the_reason(monkeypatch, tmp_path, number, help_text):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(WriteError, match=os.strerror(number)) as raised, private_folder():
        pass
    assert raised.value.help_text == help_text
