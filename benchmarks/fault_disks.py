# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials of full and read-only disks."""

import contextlib
import subprocess
import sys

from fault_runs import NotRun, run, same_as_undisturbed
from trials import environment


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of its own in a folder."""
    folder.mkdir(exist_ok=True)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    ).returncode:
        raise NotRun("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def disk_full(folder):
    """The disk becomes full while simulate-micrographs writes; with room again the same command continues, and the
    result is that of an undisturbed run."""
    with small_disk(folder / "disk", "1500k") as disk:
        (disk / "data").symlink_to(folder.parent / "data")
        said = run("simulate-micrographs", disk, 2)
        if "No space left" not in said:
            raise AssertionError(said)
        remount(disk, "size=50m")
        run("simulate-micrographs", disk)
        same_as_undisturbed("simulate-micrographs", disk)
    return said


def disk_full_before(folder):
    """The disk is full before train-picker begins: that is said before any work."""
    with small_disk(folder / "disk", "300k") as disk:
        (disk / "data").symlink_to(folder.parent / "data")
        with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        said = run("train-picker", disk, 2)
    if "Cannot write to" not in said:
        raise AssertionError(said)
    return said


def disk_full_drawing(folder):
    """The disk becomes full while an annotation is saved: an error, not the end of the window by a signal."""
    code = (
        "import sys, numpy as np; from cryodl.tomograms.annotations.files import write_tile_stack\n"
        "try: write_tile_stack('.', 'drawings.mrc', {}, 64, 64, np.int16, -1)\n"
        "except OSError as error: print(error)\n"
    )
    with small_disk(folder / "disk", "300k") as disk:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=disk, env=environment(), capture_output=True, text=True, check=False
        )
        if done.returncode or "No space left" not in done.stdout or list(disk.iterdir()):
            raise AssertionError(f"exit code {done.returncode}: {done.stdout} {done.stderr[-200:]}")
    return done.stdout.strip()


def read_only(folder):
    """The output folder is read-only: that is said before any work."""
    with small_disk(folder / "disk", "1m") as disk:
        (disk / "data").symlink_to(folder.parent / "data")
        remount(disk, "ro")
        said = run("train-picker", disk, 2)
    if "Read-only" not in said:
        raise AssertionError(said)
    return said


def no_temporary_space(folder):
    """TMPDIR is full: nothing needs it."""
    with small_disk(folder / "full", "4k") as full:
        (full / "filler").write_bytes(b"x")
        run("train-picker", folder, env=environment(TMPDIR=str(full)))
    same_as_undisturbed("train-picker", folder)
    return "trained as ever"
