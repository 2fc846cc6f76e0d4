# SPDX-License-Identifier: GPL-3.0-or-later
"""The database in which pyworkflow keeps the state of a run, as far as the state goes."""

import os
import sqlite3
import subprocess
import sys


def writeRunState(path: str, number: int, status: str, pid: int = 0) -> None:
    """Write a run's status and process number; what the database says of other runs stays."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE IF NOT EXISTS Objects (id INTEGER PRIMARY KEY, name TEXT, value TEXT)")
        database.execute("DELETE FROM Objects WHERE name IN (?, ?)", (f"{number}.status", f"{number}._pid"))
        rows = [(f"{number}.status", status), (f"{number}._pid", str(pid))]
        database.executemany("INSERT INTO Objects (name, value) VALUES (?, ?)", rows)
    database.close()


def deadProcess() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid
