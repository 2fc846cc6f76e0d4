# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks share: the real sets, and running commands with their CPU seconds and peak memory."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# name: folder, pixel size (Å/px), particle diameter (px), border (px), training micrographs
SETS = {
    "empiar10017": ("empiar10017_betagal", 3.54, 54, 66, 4),
    "empiar10028": ("empiar10028_ribosome", 5.36, 56, 35, 3),
    "empiar10947": ("empiar10947", 3.8, 58, 36, 3),
}


def data_folder():
    """Where the real data lie. Ends the program with a sentence if they are not there."""
    data = Path(os.environ.get("CRYODL_DATA", ROOT.parent / "shared" / "data"))
    if not data.is_dir():
        sys.exit(
            f"Skipped: no data in {data}; set CRYODL_DATA to the folder that holds empiar10017_betagal and others."
        )
    return data


def measure(command, environment=None):
    """Run a command. Returns standard output, CPU seconds, wall seconds and peak memory in MB of the process.

    Raises RuntimeError with the end of its messages if it fails.
    """
    import time

    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.monotonic()
        process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        if process.returncode:
            raise RuntimeError(f"{command} failed:\n{err.read()[-2000:]}")
        return out.read(), usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024


def cryodl(*arguments):
    """`measure` for one command of the engine, in this Python."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "cryodl_scipion" / "engine"))
    return measure([sys.executable, "-m", "cryodl", *arguments], environment)


def evaluate(picks, ground_truth, pixel_size, diameter, border, micrographs, threshold=0):
    """The figures of `cryodl evaluate-picks`."""
    return json.loads(
        cryodl(
            "evaluate-picks",
            "--coordinates",
            picks,
            "--reference",
            ground_truth,
            "--pixel-size",
            pixel_size,
            "--particle-diameter",
            diameter,
            "--border",
            border,
            "--micrographs",
            *micrographs,
            "--threshold",
            threshold,
            "--json",
        )[0]
    )
