"""The report's counts and bytes are those the program itself knows."""

from __future__ import annotations

import pytest
from support.exactness import assert_exact

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]


def test_counts_and_bytes_of_every_site_are_exact_twenty_times(cli, build_target, start_target):
    exact = start_target(build_target("exact.cpp", "-fno-optimize-sibling-calls"))
    for _ in range(20):
        assert_exact(cli, exact, "glibc")
