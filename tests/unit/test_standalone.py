"""The one file that records by hand: whole, in ASCII, and made for the libraries it was given."""

from __future__ import annotations

import ast
import sys

import pytest

from gdbleak.errors import AllocatorError, FileError
from gdbleak.plan.standalone import make_standalone


def test_it_needs_nothing_beside_it():
    text = make_standalone(None)
    tree = ast.parse(text)
    modules = {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }

    assert text.isascii()
    assert modules - {"gdb"} <= sys.stdlib_module_names
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))
    assert "GDBLEAK_DURATION" in (ast.get_docstring(tree) or "")


def test_it_runs_once_and_defines_what_it_calls():
    tree = ast.parse(make_standalone(None))
    calls = [node for node in tree.body if isinstance(node, ast.Expr)]
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}

    assert [ast.unparse(node) for node in calls[1:]] == ["main()"]
    assert {"Recorder", "Probe", "Watchman"} <= classes


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(FileError, match="is not a folder"):
        make_standalone(str(tmp_path / "none"))


def test_a_folder_without_an_allocator(tmp_path):
    (tmp_path / "text").write_text("no ELF file")
    with pytest.raises(AllocatorError, match="no malloc found") as caught:
        make_standalone(str(tmp_path))

    assert "copy the files of the process" in caught.value.help_text
