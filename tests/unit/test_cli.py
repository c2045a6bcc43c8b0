"""The command line without a process: what is accepted, what is refused, and how."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from resource import RLIM_INFINITY
from unittest.mock import Mock

import pytest
from reports import LEFT_AS_FOUND, SAMPLES

from gdbleak import __version__, cli
from gdbleak.analysis.options import ReportOptions
from gdbleak.capture.limits import Limits
from gdbleak.capture.probe import ProbeKind
from gdbleak.commands.output import check_writable
from gdbleak.commands.trace import _explain_full
from gdbleak.errors import AttachError, RecordingError, WriteError
from gdbleak.plan.selection import Selection
from gdbleak.recording.end import EndedBy
from gdbleak.text.quantities import parse_bytes

REPORT = SAMPLES["one-site"]
GDBLEAK = [sys.executable, "-m", "gdbleak"]


@pytest.fixture(autouse=True)
def trace(monkeypatch):
    """Return what stands in for `gdbleak.tracing.record.record`."""
    trace = Mock(return_value=REPORT)
    monkeypatch.setattr("gdbleak.commands.trace.record", trace)
    return trace


@pytest.fixture(autouse=True)
def load(monkeypatch):
    """Return what stands in for `gdbleak.load`."""
    load = Mock(return_value=REPORT)
    monkeypatch.setattr("gdbleak.commands.report.load", load)
    return load


@pytest.fixture
def refuse(capsys, trace, load):
    """Return a function that asserts a refusal, before anything is done."""

    def refuse(exit_code, *arguments):
        assert cli.main([str(argument) for argument in arguments]) == exit_code
        stdout, stderr = capsys.readouterr()
        cause, cure = stderr.splitlines()
        assert (stdout, cause[:9], cure[:7]) == ("", "gdbleak: ", "  try: ")
        assert len(cure) > 7
        trace.assert_not_called()
        load.assert_not_called()
        return cause

    return refuse


@pytest.mark.parametrize("arguments", [["trace", "123"], ["123"]])
def test_a_pid_alone_means_trace(trace, arguments, capsys):
    assert cli.main(arguments) == 0
    assert trace.call_args.args[:-1] == (
        123,
        ProbeKind.AUTO,
        Limits(),
        Selection(),
        ReportOptions(),
        None,
    )
    assert "fibonacci" in capsys.readouterr().out


def test_options_of_trace(trace, tmp_path):
    save, output = tmp_path / "recording", tmp_path / "report.json"
    options = "--duration 2.5 --max-events 7 --stack-bytes 8k --min-size 4k --max-size 2M"
    options += f" --older 20 --sort count --max-frames 5 --save {save} -o {output}"
    assert cli.main(["trace", "123", *options.split()]) == 0
    limits = Limits(2.5, max_events=7, stack_bytes=8192)
    about = ReportOptions(4096, 2 << 20, 20.0, "count", 5)
    assert trace.call_args.args[:-1] == (
        123,
        ProbeKind.AUTO,
        limits,
        Selection(),
        about,
        str(save),
    )
    assert output.read_text().startswith("{")


def test_functions_to_skip_come_from_options_and_files(load, tmp_path):
    listed = tmp_path / "ours"
    listed.write_text("# of the pool\n  pool_*\n\nArena::grow(int)  \n\t# the end\nlambda#1")
    arguments = ["--skip", "my_alloc*", "--skip-file", str(listed), "--skip", "operator new"]
    assert cli.main(["report", "leak.gdbleak", *arguments]) == 0
    skip = ("my_alloc*", "operator new", "pool_*", "Arena::grow(int)", "lambda#1")
    assert load.call_args.kwargs == {"options": ReportOptions(skip=skip), "sysroot": None}


def test_modules_to_skip(load):
    assert cli.main(["report", "leak.gdbleak", "--skip-module", "libfoo*"]) == 0
    assert load.call_args.kwargs["options"] == ReportOptions(skip_modules=("libfoo*",))


def test_options_of_report(load, capsys):
    assert cli.main(["report", "leak.gdbleak", "--format", "csv", "--older", "0"]) == 0
    assert load.call_args.args == ("leak.gdbleak",)
    assert load.call_args.kwargs == {"options": ReportOptions(older_ms=0.0), "sysroot": None}
    assert capsys.readouterr().out.startswith("rank,")


@pytest.mark.parametrize(
    ("suffix", "begin"), [("txt", ""), ("md", "#"), ("csv", "rank,"), ("json", "{"), ("JSON", "{")]
)
def test_format_follows_the_suffix(tmp_path, suffix, begin):
    path = tmp_path / f"report.{suffix}"
    assert cli.main(["123", "-o", str(path)]) == 0
    assert path.read_text().startswith(begin)
    assert "fibonacci" in path.read_text()


def test_format_beats_the_suffix(tmp_path):
    path = tmp_path / "report.txt"
    assert cli.main(["123", "-o", str(path), "--format", "json"]) == 0
    assert path.read_text().startswith("{")


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("17", 17), ("4k", 4096), ("4K", 4096), ("2M", 2 << 20), ("1g", 1 << 30)],
)
def test_size(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "trace",
        "trace 0",
        "trace -1",
        "trace 123 --nonsense",
        "trace 123 456 --live",
        "trace 123 --all",
        "report",
        "123 --duration 0",
        "123 --duration -1",
        "123 --duration nan",
        "123 --duration inf",
        "123 --duration 1e999",
        "123 --duration ten",
        "123 --older nan",
        "123 --older -1",
        "123 --max-events 0",
        "123 --top 0",
        "123 --max-frames 0",
        "123 --skip=",
        "123 --stack-bytes 63",
        "123 --stack-bytes 8T",
        "123 --min-size -1",
        "123 --min-size k",
        "123 --min-size 1.5",
        "123 --max-size nan",
        "123 --min-size 10 --max-size 9",
        "123 --sort size",
        "123 --format yaml",
        "123 -o report.yaml",
        "123 -o report",
        "report x --min-size 2 --max-size 1",
        "report x -o report.yaml",
    ],
)
def test_refused_command_line(refuse, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuse(2, *line.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("123 --durations 5", ("`gdbleak trace` does not know --durations 5", "--duration is one")),
        ("report x --frmat=json", ("`gdbleak report` does not know --frmat=json", "--format is")),
        ("heap 1 2 3", ("`gdbleak heap` does not know 2 3", "run `gdbleak heap --help`")),
        ("trace 1 --xyzzy", ("does not know --xyzzy", "run `gdbleak trace --help`")),
    ],
)
def test_what_a_command_does_not_know(capsys, line, said):
    assert cli.main(line.split()) == 2
    error = capsys.readouterr().err
    assert all(words in error for words in said), error


@pytest.mark.parametrize("option", ["-o", "--save"])
def test_refused_path(refuse, tmp_path, option):
    missing = tmp_path / "none" / "file.json"
    assert "No such file or directory" in refuse(5, "123", option, missing)
    assert "Is a directory" in refuse(5, "123", option, tmp_path)


def test_report_and_recording_are_not_one_file(refuse, tmp_path):
    path = tmp_path / "file.json"
    refuse(2, "123", "-o", path, "--save", path)
    (tmp_path / "link.json").symlink_to(path)
    refuse(2, "123", "-o", tmp_path / "link.json", "--save", path)


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize(
    "arguments",
    [["report", "FILE"], ["report", "x", "--suppress", "FILE"], ["123", "--skip-file", "FILE"]],
)
def test_report_does_not_overwrite_what_it_is_made_of(refuse, tmp_path, arguments, link):
    file, other = tmp_path / "file.json", tmp_path / "other.json"
    file.write_text("leak:f")
    link(file, other)
    command = [word.replace("FILE", str(file)) for word in arguments]
    for output in (file, other):
        assert f"would overwrite {file}" in refuse(2, *command, "-o", output)
    assert file.read_text() == "leak:f"


@pytest.mark.parametrize("option", ["-o", "--save"])
def test_name_of_a_file_that_is_empty(refuse, option):
    assert "the name of the file is empty" in refuse(2, "123", option, "")


@pytest.mark.parametrize("option", ["-o", "--save"])
def test_fifo_that_nobody_reads(refuse, tmp_path, option):
    fifo = tmp_path / "fifo.json"
    os.mkfifo(fifo)
    assert f"cannot write {fifo}" in refuse(5, "123", option, fifo)


def test_error_is_two_lines_whatever_it_holds(trace, capsys):
    trace.side_effect = AttachError("bad\nname \x1b[2J", "do\nthis")
    assert cli.main(["123"]) == AttachError.exit_code
    assert capsys.readouterr().err == "gdbleak: bad\\nname \\x1b[2J\n  try: do\\nthis\n"


def test_no_recording(load, capsys):
    load.side_effect = RecordingError("x is not a recording of gdbleak")
    assert cli.main(["report", "x"]) == 5
    assert "--save" in capsys.readouterr().err


WINDOW = REPORT.window


@pytest.mark.parametrize(
    ("report", "exit_code"),
    [
        (REPORT, 0),
        (SAMPLES["nothing-outstanding"], 0),
        (replace(REPORT, verification=replace(LEFT_AS_FOUND, text_intact=False, ok=False)), 1),
        (replace(REPORT, window=replace(WINDOW, ended_by=EndedBy.DEBUGGER_DIED)), 1),
        (replace(REPORT, window=replace(WINDOW, ended_by=EndedBy.TARGET_EXIT)), 0),
        (replace(REPORT, window=replace(WINDOW, ended_by=EndedBy.WRITE_FAILED)), 5),
    ],
)
def test_exit_code(trace, capsys, report, exit_code):
    trace.return_value = report
    assert cli.main(["123"]) == exit_code
    assert capsys.readouterr().out, "there is a report all the same"


def test_link_to_where_there_is_no_file_yet(tmp_path):
    """Nothing is left there, and the link stays."""
    link = tmp_path / "report.json"
    link.symlink_to(tmp_path / "later.json")
    check_writable(str(link))
    assert [*tmp_path.iterdir()] == [link]
    link.unlink()
    link.symlink_to(tmp_path / "none" / "later.json")
    with pytest.raises(WriteError, match="No such file"):
        check_writable(str(link))
    assert link.is_symlink()


def test_too_many_open_files(capsys, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("gdbleak.commands.doctor.examine_host", refuse)
    assert cli.main(["doctor"]) == 5
    assert "as many files open as it may" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("limit", "words"), [(RLIM_INFINITY, "its disk is full"), (1 << 20, "1.0")]
)
def test_recording_that_could_not_be_written_on(monkeypatch, limit, words):
    monkeypatch.setattr("resource.getrlimit", lambda _: (limit, limit))
    assert words in str(_explain_full())


def test_output_that_cannot_be_written_any_more(trace, tmp_path, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    trace.side_effect = lambda *_, **__: (folder.rmdir(), REPORT)[1]
    assert cli.main(["123", "-o", str(folder / "x.json")]) == 5
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["trace", "--help"], ["--version"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert (
        __version__ in text
        if "--version" in arguments
        else "exit status" in text or "--save" in text
    )


# With the buffer a user has, so that some of the output is only written at the very end.
BUFFERED = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
UNBUFFERED = {**BUFFERED, "PYTHONUNBUFFERED": "1"}


@pytest.mark.parametrize("env", [BUFFERED, UNBUFFERED], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("arguments", [["doctor"], ["--help"]], ids=" ".join)
def test_reader_of_the_output_has_gone(arguments, env):
    with subprocess.Popen(
        [*GDBLEAK, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        process.stdout.close()
        stderr = process.stderr.read()
    assert (stderr, process.returncode) in [("", 0), ("", 1)]


@pytest.mark.parametrize("env", [BUFFERED, UNBUFFERED], ids=["buffered", "unbuffered"])
def test_no_room_for_the_output(env):
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*GDBLEAK, "doctor"], stdout=full, stderr=subprocess.PIPE, text=True, env=env
        )
    assert "Traceback" not in result.stderr
    cause, cure = result.stderr.splitlines()
    assert (result.returncode, cause[:9], cure[:7]) == (5, "gdbleak: ", "  try: ")


def test_no_room_for_a_report(monkeypatch, capsys):
    def write(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stdout.write", write)
    assert cli.main(["123"]) == 5
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["trace"], ["report"], ["doctor"], ["rescue"]], ids=str)
def test_help_fits_a_terminal(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main([*command, "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
