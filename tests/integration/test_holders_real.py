"""Who a report says holds blocks: real processes, real GDBs."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("needs_ptrace")


def test_a_tree_of_older_blocks_leads_to_its_variable(cli, build_target, start_target):
    """Its nodes know their parents, and most of them are older than the window."""
    target = start_target(build_target("tree_of_jobs.cpp"))
    options = ("--duration", 2, "--holders", "--format", "json")
    report = cli.run("trace", target.pid, *options).report
    held = [site for site in report["sites"] if site["reach"] and site["reach"]["holders"]]
    assert held
    for site in held:
        [holder, *others] = site["reach"]["holders"]
        assert holder["root"].startswith("jobs"), (holder, others)
        assert "tree_of_jobs.cpp" in holder["place"]
        assert holder["blocks"] >= 0.9 * holder["of"], (holder, others)
    target.assert_as_found()
