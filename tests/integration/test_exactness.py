"""The report's counts and bytes are those the program itself knows."""

from __future__ import annotations

import pytest
from support.crew import TORTURE
from support.exactness import assert_exact

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]

ROUNDS = 5 * TORTURE


def test_counts_and_bytes_of_every_site_are_exact_again_and_again(cli, build_target, start_target):
    exact = start_target(build_target("exact.cpp", "-fno-optimize-sibling-calls"))
    for _ in range(ROUNDS):
        assert_exact(cli, exact, "glibc")
