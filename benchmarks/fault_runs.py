# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the command of a trial of faults, and comparing what it left."""

import time

from trials import arguments_of, fresh_folder, leftovers, output_files, start


class NotRun(Exception):
    """The machine does not allow this trial."""


def run(name, folder, expect=0, words=(), **options):
    """Run a trial's command to its end. Returns the last line that it printed; raises if that is not as expected."""
    log = folder.parent / f"{folder.name}.log"
    log.unlink(missing_ok=True)
    code = start([*arguments_of(name), *words], folder, log, **options).wait()
    text = log.read_text(encoding="utf-8", errors="replace")
    if code != expect or "Traceback" in text:
        raise AssertionError(f"exit code {code}: {text[-300:]}")
    return next((line for line in reversed(text.splitlines()) if line.startswith("cryodl: ")), text.splitlines()[-1])


def same_as_undisturbed(name, folder):
    """Run the command undisturbed elsewhere, and compare."""
    whole = fresh_folder(folder.parent, f"{folder.name}-whole")
    run(name, whole)
    wanted, found = output_files(whole), output_files(folder)
    if wanted != found or leftovers(folder):
        other = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
        raise AssertionError(f"the result differs from the undisturbed one: {other[:5]}")


def wait_for(ready, seconds):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise AssertionError("nothing happened")
        time.sleep(0.02)
