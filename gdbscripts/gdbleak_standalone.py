"""Record by hand what a process allocates and frees, where gdbleak cannot be installed.

    GDBLEAK_DURATION=10 GDBLEAK_OUT=/tmp/leak.gdbleak gdb -nx -batch --readnever \
        -iex "set auto-load off" -iex "set auto-solib-add off" -p PID -x gdbleak_record.py

`gdbleak agent --standalone` has written this file: the recorder, the places of the breakpoints for
the allocators it was given, by build-id, and this driver. Python 2.7 and 3.x, standard library
only. `gdbleak report FILE --sysroot DIR` reads the recording on another machine.

    GDBLEAK_DURATION     length of the window in seconds (default: 10)
    GDBLEAK_OUT          the recording (default: PID.gdbleak in the current folder)
    GDBLEAK_MAX_EVENTS   end the window after so many calls and returns
    GDBLEAK_STACK_BYTES  how much raw stack to keep of each allocation (default: 4096)
"""

import errno
import json
import os
import signal
import time

import gdb
from gdbleak_box import RUN_ON_S, SETTLE_S, Process, Watchman, find_changed
from gdbleak_plans import ALLOCATORS, BREAKPOINT, VERSION
from gdbleak_recorder import ALL, FRAME, Code, Probe, Recorder, now_ns

MAGIC = b"gdbleak1"
HEAD, END = 1, 4

SETTINGS = (
    "set pagination off",
    "set confirm off",
    "set detach-on-fork on",
    "set follow-fork-mode parent",
    "handle all nostop noprint pass",
    # The watchman's, by which the window ends.
    "handle SIGSTOP stop print nopass",
    # By it GDB halts the process when it gets a Ctrl-C itself.
    "handle SIGINT stop print nopass",
)


def fail(what, cure):
    raise gdb.GdbError("gdbleak: %s\n  try: %s" % (what, cure))


def number(name, default):
    text = os.environ.get(name, str(default))
    try:
        value = type(default)(text)
    except ValueError:
        value = 0
    if value <= 0:
        fail("%s is not a positive number: %s" % (name, text), "unset it, or give another")
    return value


def make_probes(modules):
    """The allocators that are mapped, and their probes at run-time addresses."""
    found, probes = [], []
    for allocator in ALLOCATORS:
        for module in modules:
            if module["build_id"] == allocator["build_id"]:
                for link_time in allocator["probes"]:
                    probe = dict(link_time, id=len(probes), allocator=len(found))
                    probe["address"] += module["bias"]
                    probes.append(probe)
                found.append(allocator)
    return found, probes


def originals(probes):
    """Address and bytes of the file where breakpoints go."""
    return [(p["address"], bytes(bytearray.fromhex(p["original"]))) for p in probes]


class BoundedProbe(Probe):
    """A breakpoint that ends the window when it holds enough, or no more can be written."""

    def stop(self):
        Probe.stop(self)
        recorder = self.recorder
        return recorder.stops >= recorder.max_events or recorder.write_error is not None


def run_window(process, recorder, watchman, probes):
    """Let the process run until something ends the window; return what, and a signal to resend."""
    breakpoints = []
    stops = []
    note = stops.append  # the very same object disconnects
    resend = None
    ended_by = "unknown"
    gdb.events.stop.connect(note)
    try:
        breakpoints += [BoundedProbe(recorder, probe) for probe in probes]
        gdb.execute("catch exec", to_string=True)
        recorder.attach_pause_ns = now_ns() - recorder.began_ns
        recorder.mark(ALL)
        gdb.execute("continue", to_string=True)
        reason = getattr(stops[-1], "stop_signal", None) if stops else None
        if not gdb.selected_inferior().pid:
            ended_by = "target-exit"
        elif recorder.write_error is not None:
            ended_by = "write-failed"
        elif recorder.stops >= recorder.max_events:
            ended_by = "max-events"
        elif runs_another_program(process, probes):
            ended_by = "target-exec"
        elif reason == "SIGINT":
            ended_by = "interrupt"
            resend = foreign_interrupt()
        elif reason == "SIGSTOP":
            ended_by = "duration"
    except KeyboardInterrupt:
        ended_by = "interrupt"
    except gdb.error as error:  # it trips over the breakpoints of a program that is no more
        recorder.last_error = str(error)
        ended_by = "target-exec" if runs_another_program(process, probes) else "debugger-stopped"
    finally:
        recorder.end_ns = now_ns()
        gdb.events.stop.disconnect(note)
        fired = watchman.dismiss()
        release(breakpoints)
        if fired and ended_by != "duration" and process.status("State") == "T":
            os.kill(process.pid, signal.SIGCONT)  # its SIGSTOP came when another thing had ended it
    if resend:
        os.kill(process.pid, resend)
    return ended_by


def runs_another_program(process, probes):
    """Whether the memory that was opened is that of a program which is no more."""
    return not process.read(probes[0]["address"], 1) and bool(process.resident_set())


def foreign_interrupt():
    """The signal that stopped the process if somebody else than GDB has sent it."""
    try:
        sender = int(gdb.parse_and_eval("$_siginfo._sifields._kill.si_pid"))
    except gdb.error:
        return None
    return None if sender in (0, os.getpid()) else signal.SIGINT


def release(breakpoints):
    for probe in breakpoints:
        attempt(probe.delete)
    if gdb.selected_inferior().pid:
        attempt(lambda: gdb.execute("detach", to_string=True))


def attempt(action):
    """Do what may not be possible any more."""
    try:
        action()
    except (gdb.error, OSError, RuntimeError) as error:
        gdb.write("gdbleak: %s\n" % error)


def verify(process, code, has_exited):
    """Look at the process for a while after the detach, as a recording's END tells it.

    What a detach may leave behind kills a process when it allocates next.
    """
    began = time.time()
    while process.lives() and time.time() < began + RUN_ON_S:
        time.sleep(0.02)
    while process.status("State") in ("t", "T") and time.time() < began + SETTLE_S:
        time.sleep(0.005)
    tracer, state = process.status("TracerPid"), process.status("State")
    ended = not process.lives()
    gone = ended or not process.read(code[0][0], 1)
    intact = None if gone else not find_changed(process, code)
    ok = tracer == "0" and state not in ("t", "T") and intact is not False
    died = ended and not has_exited
    return {
        "tracer_pid": None if ended else int(tracer),
        "state_before": None,
        "state_after": None if ended else state,
        "text_intact": intact,
        "ok": (False if died else None) if ended else ok,
        "ran_on_s": None if has_exited else round(time.time() - began, 3),
        "death": "unknown" if died else None,
    }


def frame(kind, values):
    payload = json.dumps(values, separators=(",", ":")).encode("ascii")
    return FRAME.pack(kind, 0, 0, len(payload)) + payload


def describe(process):
    threads = process.status("Threads")
    try:
        exe = os.readlink("/proc/%d/exe" % process.pid)
    except OSError:
        exe = None
    return {
        "pid": process.pid,
        "namespace_pid": None,
        "command": " ".join(process.text("cmdline").split("\0")).strip() or str(exe),
        "exe": exe,
        "started": None,
        "threads": int(threads or 0),
    }


def head(process, allocators, probes, modules, stack_bytes, duration_s):
    zone = time.strftime("%z")
    functions = {}
    for allocator in allocators:
        for function in allocator["functions"]:
            functions.setdefault(function["name"], function)
    return {
        "version": VERSION,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S") + zone[:3] + ":" + zone[3:],
        "target": describe(process),
        "allocators": [allocator["name"] for allocator in allocators],
        "functions": list(functions.values()),
        "notes": ["recorded by hand: processes that the target started are not counted"],
        "rss_before": process.resident_set(),
        "memory": process.memory_status(),
        "limit": None,
        "stack_bytes": stack_bytes,
        "duration_s": duration_s,
        "tail_s": 0.0,
        "rate": {
            "allocations_per_s": 0,
            "frees_per_s": 0,
            "at_least": False,
            "reason": "recorded by hand",
        },
        "modules": modules,
        "probes": probes,
        "sizes": [],
        "chosen": None,
    }


def create(path, data):
    """Begin a recording that only its owner can read."""
    try:
        try:
            os.unlink(path)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(file, data)
        finally:
            os.close(file)
    except OSError as error:
        fail("cannot write %s: %s" % (path, error.strerror), "set GDBLEAK_OUT to another file")


def record():
    began_ns = now_ns()
    pid = gdb.selected_inferior().pid
    if not pid:
        fail("gdb holds no process", "gdb -nx -batch -p PID -x gdbleak_record.py")
    duration_s, stack_bytes = number("GDBLEAK_DURATION", 10.0), number("GDBLEAK_STACK_BYTES", 4096)
    max_events = number("GDBLEAK_MAX_EVENTS", 1 << 62)
    path = os.path.abspath(os.environ.get("GDBLEAK_OUT", "%d.gdbleak" % pid))
    for setting in SETTINGS:
        gdb.execute(setting, to_string=True)
    process = Process(pid)
    modules = process.modules()
    allocators, probes = make_probes(modules)
    held = {thread.ptid[1] for thread in gdb.selected_inferior().threads()}
    missing = len(set(process.threads()) - held)
    if missing:
        fail(
            "this gdb does not hold %d threads of the process, and a breakpoint would kill it"
            % missing,
            "use gdb 7.9 or later",
        )
    if not allocators:
        names = ["%s (build-id %s)" % (m["path"], m["build_id"]) for m in modules]
        fail(
            "this file knows no allocator among %s" % ", ".join(names),
            "copy these files, and make it anew: gdbleak agent --standalone --sysroot DIR",
        )
    if find_changed(process, originals(probes)):
        fail("the code of the allocator is not as in its file", "end the tracer that changed it")
    create(
        path,
        MAGIC + frame(HEAD, head(process, allocators, probes, modules, stack_bytes, duration_s)),
    )
    code = Code({"probes": probes, "breakpoint": BREAKPOINT, "sentinel": None})
    recorder = Recorder(path, stack_bytes, code)
    recorder.code.memory = process.memory
    recorder.inferior = gdb.selected_inferior()
    recorder.max_events = max_events
    recorder.began_ns = began_ns
    places = originals(probes) + process.code_gdb_writes_to(modules)
    watchman = Watchman(process, places, duration_s)
    ended_by = run_window(process, recorder, watchman, probes)
    proof = verify(process, places, ended_by == "target-exit")
    pauses_ns = recorder.attach_pause_ns or 0, recorder.longest_stop_ns
    end = {
        "ended_by": ended_by,
        "end_ns": recorder.end_ns,
        "stops": recorder.stops,
        "lost_events": recorder.lost,
        "children": 0,
        "stop_signal": None,
        "stopped_s": None,
        "longest_pause_ms": max(pauses_ns) / 1e6,
        "longest_pause_is_least": True,  # nobody looks at the threads
        "max_pause_ms": None,
        "rss_after": process.resident_set(),
        "memory": process.memory_status(),
        "verification": proof,
        "modules": process.modules() if ended_by != "target-exec" else [],
        "inline": None,
        "searched_ns": None,
        "references": None,
        "heap": None,
    }
    if recorder.write_error is None:
        os.write(recorder.file, frame(END, end))
    gdb.write("gdbleak: %s holds %d events; ended by %s\n" % (path, recorder.stops, ended_by))
    if recorder.write_error is not None:
        fail("could not write on: %s" % recorder.write_error, "set GDBLEAK_OUT to another disk")
    if proof["ok"] is False:
        fail("could not prove that the process is as before: %s" % proof, "look at /proc/%d" % pid)


def main():
    try:
        record()
    except BaseException as error:
        # An exit of GDB would do the same; here it is known to happen.
        if gdb.selected_inferior().pid:
            attempt(lambda: gdb.execute("detach", to_string=True))
        if not isinstance(error, gdb.GdbError):
            raise
        gdb.write("%s\n" % error)
        gdb.execute("quit 1")  # the status of a script is not that of GDB


main()
