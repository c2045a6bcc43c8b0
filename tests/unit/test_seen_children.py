"""Children of a process, as they are seen by whoever does not trace it."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest
from support.processes import wait_until

from gdbleak.capture.children import SeenChildren
from gdbleak.target.proc import list_children

CHILD = ["cat"]


@pytest.fixture
def older():
    """Return a child that is there before anybody looks."""
    with subprocess.Popen(CHILD, stdin=subprocess.PIPE) as child:
        yield child


def has_seen(children, count):
    children.look()
    return len(children) == count


def test_children_since_it_was_made(older):
    children = SeenChildren(os.getpid())
    with subprocess.Popen(CHILD, stdin=subprocess.PIPE):
        wait_until(lambda: has_seen(children, 1), "it was seen")
    children.look_at_all()
    assert (len(children), older.poll()) == (1, None)


def test_one_that_was_not_waited_for():
    children = SeenChildren(os.getpid())
    with subprocess.Popen(["true"]):
        wait_until(lambda: has_seen(children, 1), "it was seen")


def test_children_of_every_thread():
    children, done = SeenChildren(os.getpid()), threading.Event()

    def start():
        with subprocess.Popen(CHILD, stdin=subprocess.PIPE):
            done.wait()

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: has_seen(children, 3), "all were seen")
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_each_counts_once(older):
    children = SeenChildren(older.pid)
    children.add([7, 8])
    children.add([8])
    assert len(children) == 2


def test_a_process_that_has_ended(older):
    older.kill()
    older.wait()
    children = SeenChildren(older.pid)
    children.look()
    children.look_at_all()
    assert (len(children), list_children(older.pid, older.pid)) == (0, set())
