"""A GDB shows on a process of ours that it can put a recorder in and take it out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.bad_gdbs import BadGdb

from gdbleak.capture.inline_rehearsal import plan_for_stand_in, proved_visitor
from gdbleak.debugger.program import find_gdb
from gdbleak.errors import UnprovedError

pytestmark = pytest.mark.usefixtures("needs_ptrace")


def test_a_good_gdb_is_proved(tmp_path):
    with proved_visitor(find_gdb(), tmp_path, 5.0) as visitor:
        assert visitor.launches == 1
