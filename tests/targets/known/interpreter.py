"""Work of an interpreter at a steady pace, which leaks in one of several ways or in none.

    python3 interpreter.py WAY leaks|sound

Beside it, 200 times a second, a document is written and read as JSON.
"""

import ctypes
import ctypes.util
import json
import sqlite3
import sys
import time
from collections import OrderedDict

WAY, LEAKS = sys.argv[1], sys.argv[2] == "leaks"
RATE = 200
KEPT = 2_000
"""So many records has a table that is full."""
DOCUMENT = {str(number): list(range(number)) for number in range(30)}


def load(name):
    return ctypes.CDLL(ctypes.util.find_library(name))


class Table:
    """A table by keys that never come again; the sound one drops its oldest record."""

    def __init__(self):
        self.records = OrderedDict()
        self.number = 0
        for _ in range(KEPT):
            self.step()

    def step(self):
        self.number += 1
        self.records[self.number] = bytes(2_000 + self.number % 100)
        if not LEAKS and len(self.records) > KEPT:
            self.records.popitem(last=False)


class Borrowed:
    """Copies of strings, by C functions."""

    def __init__(self):
        self.libc = load("c")
        self.libc.strdup.restype = ctypes.c_void_p
        self.libc.free.argtypes = [ctypes.c_void_p]

    def step(self):
        copy = self.libc.strdup(b"a name that is copied for a moment, and has to be freed")
        if not LEAKS:
            self.libc.free(copy)


class Statements:
    """Prepared statements of a database in memory."""

    def __init__(self):
        self.sqlite = load("sqlite3")
        self.database = ctypes.c_void_p()
        self.sqlite.sqlite3_open(b":memory:", ctypes.byref(self.database))

    def step(self):
        statement = ctypes.c_void_p()
        text = b"SELECT type, name FROM sqlite_master WHERE name = ?"
        self.sqlite.sqlite3_prepare_v2(self.database, text, -1, ctypes.byref(statement), None)
        self.sqlite.sqlite3_step(statement)
        if LEAKS:
            self.sqlite.sqlite3_reset(statement)
        else:
            self.sqlite.sqlite3_finalize(statement)


class Documents:
    """Trees that libxml2 makes of texts."""

    TEXT = b"<list>" + b"<item key='value'>text</item>" * 5 + b"</list>"

    def __init__(self):
        self.xml = load("xml2")
        self.xml.xmlReadMemory.restype = ctypes.c_void_p
        self.xml.xmlFreeDoc.argtypes = [ctypes.c_void_p]

    def step(self):
        tree = self.xml.xmlReadMemory(self.TEXT, len(self.TEXT), b"list.xml", None, 0)
        if not LEAKS:
            self.xml.xmlFreeDoc(tree)


class Rows:
    """Rows of a table in a database that is read and written; nothing leaks."""

    def __init__(self):
        self.database = sqlite3.connect(":memory:")
        self.database.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT)")
        self.number = 0

    def step(self):
        self.number = self.number % KEPT + 1
        self.database.execute(
            "INSERT OR REPLACE INTO rows VALUES (?, ?)", (self.number, "x" * 1_000)
        )
        self.database.execute("SELECT text FROM rows WHERE number = ?", (1,)).fetchall()


WAYS = {
    "table": Table,
    "borrowed": Borrowed,
    "statements": Statements,
    "documents": Documents,
    "rows": Rows,
}


def main():
    work = WAYS[WAY]()
    due = time.monotonic()
    for number in range(1 << 60):
        work.step()
        json.loads(json.dumps(DOCUMENT))
        if number == 2 * RATE:  # caches are filled by then
            print("ready", flush=True)
        due = max(due + 1 / RATE, time.monotonic() - 1)
        time.sleep(max(due - time.monotonic(), 0))


main()
