# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutated files against every reader: none may hang, take memory, raise anything but a sentence, or kill the process.

    python benchmarks/fuzz.py --count 2000 --output fuzz.json          # the long run
    python benchmarks/fuzz.py --count 40 --kinds mrc star              # seconds

A kind's readers run in a process of their own. File number n of a kind is made from (kind, n), so that a failure is
seen again with --first n --count 1. Exits 1 if there is any failure.
"""

import argparse
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from pathlib import Path

ENGINE = Path(__file__).resolve().parents[1] / "cryodl_scipion" / "engine"
sys.path[:0] = [str(ENGINE), str(Path(__file__).resolve().parent)]
from trials import write_rows  # noqa: E402, beside this file

MAX_SECONDS = 10.0
MAX_MEMORY = 1e9  # bytes above what the process had, beside the size of the file
START = 60.0  # seconds that a new process may take for its imports
KINDS = (
    "mrc",
    "mrc_gz",
    "tiff",
    "tiff_gz",
    "tomogram",
    "map",
    "stack",
    "star",
    "particles",
    "subtomograms",
    "box",
    "topaz",
    "list",
    "pdb",
    "cif",
    "card",
    "safetensors",
    "request",
    "annotations",
)


def main() -> int:
    """Fuzz the kinds that were asked for; print and write what failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--count", type=int, default=200, help="Mutated files of each kind.")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--output", type=Path, help="JSON file of the results.")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options.worker, options.first, options.count)
    rows = []
    for kind in options.kinds:
        rows.append(fuzz(kind, options.first, options.count))
        if options.output:
            write_rows(options.output, rows)
    return 1 if any(row["failures"] for row in rows) else 0


def fuzz(kind: str, first: int, count: int) -> dict:
    """Results of one kind: files, read, refused, slowest (s), largest (MB), and failures [{file, what}]."""
    row = dict(name=kind, first=first, files=count, read=0, refused=0, slowest=0.0, largest=0.0, failures=[])
    number, end = first, first + count
    while number < end:
        process = subprocess.Popen(
            [sys.executable, __file__, "--worker", kind, "--first", str(number), "--count", str(end - number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        number = _follow(process, row, number, end)
        process.kill()
        process.wait()
    print(
        f"{kind:14s} {count} files: {row['read']} read, {row['refused']} refused with a sentence, slowest "
        f"{row['slowest']:.2f} s, largest {row['largest']:.0f} MB, {len(row['failures'])} failures",
        flush=True,
    )
    for failure in row["failures"][:5]:
        print(f"    --kinds {kind} --first {failure['file']} --count 1: {failure['what']}", flush=True)
    return row


def _follow(process, row, number, end):
    """Take up a worker's lines until it ends or hangs. end: after the last file. Returns the number to go on with."""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        limit = START
        while True:
            if not selector.select(limit):
                if number == end:  # all files are done; it only ends slowly
                    return number
                row["failures"].append(dict(file=number, what=f"hangs for more than {limit:.0f} s"))
                return number + 1
            line = process.stdout.readline()
            if not line:
                code = process.wait()
                if code:
                    row["failures"].append(dict(file=number, what=f"ended the process with {code}"))
                    return number + 1
                return number
            limit = MAX_SECONDS
            found = json.loads(line)
            if "file" in found:
                _count(row, found)
                number = found["file"] + 1


def _count(row, found):
    row["slowest"], row["largest"] = max(row["slowest"], found["seconds"]), max(row["largest"], found["memory"] / 1e6)
    too_large = found["memory"] > MAX_MEMORY + found["size"]
    if found["error"] or too_large or found["seconds"] > MAX_SECONDS:
        what = found["error"] or f"{found['seconds']:.1f} s, {found['memory'] / 1e6:.0f} MB"
        row["failures"].append(dict(file=found["file"], what=what))
    else:
        row["read" if found["read"] else "refused"] += 1


def work(kind: str, first: int, count: int) -> int:
    """The worker: one JSON line for each file. Everything that the readers print is swallowed."""
    from fuzz_files import valid_file
    from fuzz_mutations import mutated
    from fuzz_readers import readers_of

    out, sys.stdout = sys.stdout, open(os.devnull, "w", encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        path, neighbours = valid_file(kind, Path(folder))
        whole, readers = path.read_bytes(), readers_of(kind)
        for reader in readers:
            reader(path)  # the file itself is read
        print("{}", file=out, flush=True)
        for number in range(first, first + count):
            seed = zlib.crc32(f"{kind} {number}".encode())
            path.write_bytes(mutated(whole, kind, seed))
            neighbours(path)
            print(json.dumps(dict(_try(readers, path), file=number, size=path.stat().st_size)), file=out, flush=True)
    return 0


def _try(readers, path):
    from cryodl.io.memory import is_memory_error

    start, before, read, error = time.monotonic(), _begin_peak(), False, ""
    for reader in readers:
        try:
            reader(path)
            read = read or reader is readers[0]
        except (ValueError, FileNotFoundError) as sentence:
            if not str(sentence).strip() or "\n" in str(sentence).strip():
                error = f"no sentence: {sentence!r}"
        except Exception as other:  # what a command would end by
            error = "too little memory" if is_memory_error(other) else traceback.format_exc(limit=-3)
    return dict(read=read, error=error, seconds=time.monotonic() - start, memory=max(0.0, _peak() - before))


def _begin_peak():
    """Forget the highest memory so far; returns the present one, in bytes."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    return _peak()


def _peak():
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next(1024.0 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))


if __name__ == "__main__":
    sys.exit(main())
