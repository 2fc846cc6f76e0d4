# SPDX-License-Identifier: GPL-3.0-or-later
"""The database in which pyworkflow keeps the state of a run, as far as the state goes."""

import os
import sqlite3
import subprocess
import sys


def writeRunState(path: str, number: int, status: str, pid: int = 0, error: str = "", label: str = "") -> None:
    """Write a run's status, process number, error and label; what the database says of other runs stays."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS Objects (id INTEGER PRIMARY KEY, name TEXT, value TEXT, label TEXT)"
        )
        database.execute("DELETE FROM Objects WHERE name LIKE ? OR id=?", (f"{number}.%", number))
        rows = [(f"{number}.status", status), (f"{number}._pid", str(pid)), (f"{number}._error", error)]
        database.execute("INSERT INTO Objects VALUES (?, '', '', ?)", (number, label))
        database.executemany(
            "INSERT INTO Objects (id, name, value) VALUES ((SELECT max(id) + 1000 FROM Objects), ?, ?)", rows
        )
    database.close()


def deadProcess() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid
