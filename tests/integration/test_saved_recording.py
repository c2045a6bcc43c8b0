"""A saved recording gives the same report again, and what is left of a damaged one."""

from __future__ import annotations

import signal

import pytest

pytestmark = pytest.mark.usefixtures("needs_ptrace")


@pytest.fixture
def saved(cli, build_target, start_target, tmp_path):
    """Return a recording of fifty leaked blocks, with the report that was made of it."""
    puppet = start_target(build_target("puppet.c"))
    path = tmp_path / "saved"
    trace = cli.start_trace(puppet.pid, "--save", path)
    puppet.ask("leak 50")
    trace.send(signal.SIGINT)
    return path, trace.finish().report


def render_again(cli, path):
    return cli.run("report", path, "--older", 0, "--format", "json")


def test_same_report_again(cli, saved):
    path, report = saved

    assert render_again(cli, path).report == report


def test_nobody_else_may_read_it(saved):
    path, _ = saved

    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_cut_off_it_loads_up_to_the_cut(cli, saved, part):
    path, _ = saved
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])

    result = render_again(cli, path)
    assert result.exit_code == 0
    assert result.report["window"]["complete"] is False
    [site] = result.report["sites"]
    assert 0 < site["outstanding_count"] < 50
