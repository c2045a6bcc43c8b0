"""In which language a process is written."""

from __future__ import annotations

import pytest

from gdbleak.report.runtimes import RUNTIMES, describe_seen, recognise

LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"
CASES = [
    ("/usr/lib/jvm/java-17/bin/java", [LIBC], "Java"),
    ("/opt/service/launcher", [LIBC, "/opt/jre/lib/server/libjvm.so"], "Java"),
    ("/usr/bin/python3", [], "Python"),
    ("/usr/bin/python2.7", [], "Python"),
    ("/usr/sbin/uwsgi", ["/usr/lib/libpython3.11.so.1.0"], "Python"),
    ("/usr/bin/node", [], "Node.js"),
    ("/usr/bin/dotnet", [], ".NET"),
    ("/srv/app", ["/srv/libcoreclr.so"], ".NET"),
    ("/usr/bin/ruby3.1", [], "Ruby"),
    ("/usr/sbin/nginx", [LIBC], None),
    ("/srv/pythonic", [LIBC], None),
    ("", [], None),
]


@pytest.mark.parametrize(("program", "mapped", "name"), CASES)
def test_runtime(program, mapped, name):
    runtime = recognise(program, mapped)
    assert (runtime and runtime.name) == name


def test_go_is_told_by_its_linker():
    assert recognise("/srv/app", [LIBC], is_go=True).name == "Go"


def test_each_says_what_is_seen():
    assert all(runtime.seen for runtime in RUNTIMES)


def test_what_is_seen_is_a_sentence():
    (python,) = (runtime for runtime in RUNTIMES if runtime.name == "Python")
    assert describe_seen(python).startswith(
        "there is Python in this process, of which gdbleak sees C extensions and large objects; "
    )
