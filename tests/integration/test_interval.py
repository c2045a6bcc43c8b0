"""Tables at intervals while a window is open, for readers of every kind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.cli import GDBLEAK
from support.crew import tracer_of
from support.processes import Lines, wait_until

import gdbleak

pytestmark = pytest.mark.usefixtures("needs_ptrace")

STAMP = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] ")


def read_documents(text):
    """Return the JSON documents that stand one after the other."""
    decoder, documents, at = json.JSONDecoder(), [], 0
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        at += 1  # its line feed
        documents.append(document)
    return documents


def test_as_many_tables_as_were_asked_for_and_the_report(cli, puppet):
    trace = cli.start("trace", puppet.pid, "--interval", 0.5, "--count", 3, "--older", 0, "-v")
    trace.wait_for_window()
    puppet.ask("leak 10")
    result = trace.finish()

    assert result.exit_code == 0
    *tables, last = STAMP.split(result.stdout)[1:]
    table, report = last.split("\n\n", 2)[:2], last.split("\n\n", 2)[2]
    assert len(tables) <= 2  # a host may be too busy for all of them
    for text in (*tables, "\n\n".join(table)):
        assert " call stack" in text
        assert text.count("Caller") == ("leak puppet.c" in text)
        assert "Stack 1" not in text
    assert "1,000 B in 1 call stack; 20 events" in table[0]
    assert "leak puppet.c" in table[1]
    assert "Stack 1: 1,000 B in 10 blocks" in report
    assert "window:               1.5 s, ended by its duration" in report


def test_json_documents_grow(cli, puppet):
    options = ["--interval", "0.5", "--duration", "600", "--older", "0", "--format", "json"]
    trace = cli.start("trace", puppet.pid, *options)
    trace.wait_for_window()
    puppet.ask("leak 10")
    trace.send(signal.SIGINT)
    *interim, last = read_documents(trace.finish().stdout)

    assert last["window"]["ended_by"] == "interrupt"
    assert last["verification"]["ok"] is True
    assert [site["outstanding_count"] for site in last["sites"]] == [10]
    for document in interim:
        assert (document["window"]["ended_by"], document["window"]["complete"]) == ("running", True)
        assert document["verification"]["ok"] is None


def test_each_is_there_as_soon_as_it_is_made(puppet):
    command = [*GDBLEAK, "trace", str(puppet.pid), "--interval", "0.2", "--duration", "600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as trace:
        lines = Lines(trace.stdout)
        assert STAMP.match(lines.next())
        puppet.ask("leak 5")
        while "leak puppet.c" not in lines.next():
            pass
        trace.send_signal(signal.SIGINT)
        assert "; left as found." in " ".join(lines.rest().split())
    assert trace.returncode == 0


def test_a_reader_that_has_gone_ends_the_window(puppet):
    command = [*GDBLEAK, "trace", str(puppet.pid), "--interval", "0.1", "--duration", "600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as trace:
        Lines(trace.stdout).next()
        trace.stdout.close()
        assert trace.wait(60) == 0
    puppet.assert_as_found()


def test_a_reader_that_does_not_read_delays_no_window(puppet, tmp_path):
    """Nobody reads the tables; the window ends all the same, and so does what waits after it."""
    command = [*GDBLEAK, "trace", str(puppet.pid), "--interval", "0.1", "--format", "json"]
    recording = tmp_path / "recording"
    with subprocess.Popen(
        [*command, "--duration", "2", "--save", str(recording)], stdout=subprocess.PIPE, bufsize=0
    ) as trace:
        wait_until(lambda: b'"ended_by"' in read_or_nothing(recording), "the window had ended")
        puppet.assert_as_found()
        assert trace.poll() is None  # what it wrote is not read yet
        documents = read_documents(trace.stdout.read().decode())
    assert trace.returncode == 0
    assert documents[-1]["window"]["ended_by"] == "duration"


def read_or_nothing(path):
    return path.read_bytes() if path.exists() else b""


def test_reports_from_python(puppet):
    reports, threads = [], set()
    main = threading.main_thread()

    def take(report):
        if not reports:
            puppet.ask("leak 10")
        reports.append(report)
        threads.add(threading.current_thread())
        if [site.outstanding_count for site in report.leaking] == [10]:
            signal.pthread_kill(main.ident or 0, signal.SIGINT)

    options = gdbleak.ReportOptions(older_ms=0)
    last = gdbleak.trace(
        puppet.pid, 60, options=options, on_report=take, interval_s=0.4, max_memory=1 << 40
    )

    assert len(reports) >= 2
    assert main not in threads
    assert {report.window.ended_by for report in reports[:2]} == {"running"}
    assert last.window.ended_by == "interrupt"


def test_reports_in_a_thread(puppet):
    """Signals are the main thread's alone; the window must do without."""
    reports = []
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(
            lambda: gdbleak.trace(
                puppet.pid, 1.0, on_report=reports.append, interval_s=0.2, max_memory=1 << 40
            )
        ).result(60)
    assert last.window.ended_by == "duration"
    assert reports


def test_no_module_comes_from_the_current_folder(puppet, tmp_path):
    """Whoever may write there could have root run it."""
    for name in ("gdbleak", "json", "pickle"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('ran a file of somebody else')")
    program = Path(sys.executable).with_name("gdbleak")
    command = [str(program), "trace", str(puppet.pid), "--interval", "1", "--count", "3"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (result.returncode, STAMP.match(result.stdout) is not None) == (0, True), result


def test_what_a_callback_raises_ends_the_window(puppet):
    def fail(report):
        raise LookupError(report.target.pid)

    with pytest.raises(LookupError, match=str(puppet.pid)):
        gdbleak.trace(puppet.pid, 600, on_report=fail, interval_s=0.2, max_memory=1 << 40)
    puppet.assert_as_found()


def test_blocks_are_listed(cli, puppet):
    trace = cli.start_trace(puppet.pid, "--show-allocs")
    puppet.ask("leak 30")
    trace.send(signal.SIGINT)
    [site] = trace.finish().report["sites"]
    blocks = site["blocks"]
    assert len({block["address"] for block in blocks}) == 30
    assert {(block["size"], block["thread"]) for block in blocks} == {(100, puppet.pid)}
    ages = [block["age_s"] for block in blocks]
    assert ages == sorted(ages, reverse=True)


def test_every_call_as_it_comes(puppet):
    command = [*GDBLEAK, "trace", str(puppet.pid), "--events", "--duration", "600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as trace:
        lines = Lines(trace.stdout)
        assert lines.next().split()[:3] == ["time", "thread", "function"]
        puppet.ask("leak 3")
        events = [lines.next().split() for _ in range(3)]
        trace.send_signal(signal.SIGINT)
        assert "; left as found." in " ".join(lines.rest().split())
    assert trace.returncode == 0
    for _, thread, function, size, address, caller in events:
        assert (int(thread), function, size) == (puppet.pid, "malloc", "100")
        assert address.startswith("0x")
        assert caller.startswith("puppet+0x")


def test_every_call_is_told_though_its_reader_is_slow(build_target, start_target):
    worker = start_target(build_target("worker.c"))
    command = [*GDBLEAK, "trace", str(worker.pid), "--events", "--max-events", "3000"]
    with subprocess.Popen(
        [*command, "--budget", "100", "--older", "0", "-v"], stdout=subprocess.PIPE, bufsize=0
    ) as trace:
        wait_until(lambda: tracer_of(worker.pid), "the window was open")
        wait_until(lambda: not tracer_of(worker.pid), "it had ended, though nobody read")
        text = trace.stdout.read().decode()
    events, report = text.split("\n\n", 1)
    functions = [line.split()[2] for line in events.splitlines()[1:]]
    assert f"allocations:          {functions.count('malloc'):,}\n" in report
    assert f"frees:                {functions.count('free'):,} (" in report


def test_sudden_end_of_the_reader_of_events(build_target, start_target):
    worker = start_target(build_target("worker.c"))
    command = [*GDBLEAK, "trace", str(worker.pid), "--events", "--duration", "600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as trace:
        Lines(trace.stdout).next()
        trace.stdout.close()
        assert trace.wait(60) == 0
    worker.assert_as_found()
    assert worker.ask("end").endswith(" 0 damaged")
    assert worker.wait() == 0
