"""A saved recording gives the same report again, and what is left of a damaged one."""

from __future__ import annotations

from contextlib import closing

import pytest
from support.cli import Cli
from support.processes import running

pytestmark = pytest.mark.usefixtures("needs_ptrace")


@pytest.fixture(scope="module")
def saved(build_target, tmp_path_factory):
    """Return a recording of fifty leaked blocks, with the report that was made of it."""
    path = tmp_path_factory.mktemp("recording") / "saved"
    tmpdir = tmp_path_factory.mktemp("tmpdir")
    with running(build_target("puppet.c")) as puppet, closing(Cli(tmpdir)) as cli:
        result = cli.record(puppet.pid, path, lambda: puppet.ask("leak 50"))
    return path, result.report


def render_again(cli, path):
    return cli.run("report", path, "--older", 0, "--format", "json")


def test_same_report_again(cli, saved):
    path, report = saved

    assert render_again(cli, path).report == report


def test_nobody_else_may_read_it(saved):
    path, _ = saved

    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_cut_off_it_loads_up_to_the_cut(cli, saved, part, tmp_path):
    whole = saved[0].read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(whole[: int(len(whole) * part)])

    result = render_again(cli, path)
    assert result.exit_code == 0
    assert result.report["window"]["complete"] is False
    [site] = result.report["sites"]
    assert 0 < site["outstanding_count"] < 50
