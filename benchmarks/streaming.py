# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs that arrive while `cryodl - pick particles` runs in a Scipion project; the run is killed and continued.

    python benchmarks/streaming.py [--micrographs 2000] [--kills 2] [--rate 4] [--batch 16] [--threads 2]
                                   [--output FILE]

Needs Scipion's Python with this plugin, and the engine (CRYODL_PYTHON, or its environment installed). Everything
happens in a temporary folder. Prints memory over time, and whether a micrograph was lost, doubled or picked twice; exit
code 1 if so. docs/streaming.md has the figures.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import pyworkflow as pw  # noqa: E402

import cryodl_scipion.tests.conftest  # noqa: E402,F401  a Scipion of its own, in a temporary folder

pw.Config.getDomain().getPlugins()
os.environ["SCIPION_EM_NEW_FILE_CHECK_SEC"] = "2"  # the import looks for files every 10 s otherwise

from pwem.protocols import ProtImportMicrographs  # noqa: E402
from pyworkflow.project import Manager  # noqa: E402

from cryodl_scipion import Plugin  # noqa: E402
from cryodl_scipion.protocols import CryodlProtPick  # noqa: E402
from cryodl_scipion.protocols.model_field import SHIPPED  # noqa: E402
from cryodl_scipion.tests import arrivals  # noqa: E402

_ROWS = 16  # of the table


def main():
    options = parseArguments()
    problems = Plugin.validateInstallation()
    if problems:
        sys.exit(" ".join(problems))
    folder = tempfile.mkdtemp(prefix="cryodl-streaming-", dir=options.scratch)
    try:
        lines, found = measure(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(lines))
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    os._exit(1 if found else 0)  # pyworkflow leaves threads behind


def parseArguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--micrographs", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--rate", type=float, default=4, help="micrographs that arrive per second")
    parser.add_argument("--batch", type=int, default=16, help="micrographs of one start of the engine")
    parser.add_argument("--threads", type=int, default=2, help="Scipion's threads: one watches, the others pick")
    parser.add_argument("--model", default="ribosome", help="name of a shipped model")
    parser.add_argument("--scratch", default=None, help="where the temporary folder is made")
    parser.add_argument("--output", default=None, help="file for the table as well")
    return parser.parse_args()


def measure(options, folder):
    """(lines to print, what went wrong)."""
    waiting = arrivals.writeMicrographs(os.path.join(folder, "waiting"), options.micrographs)
    names = [os.path.basename(path)[:-4] for path in waiting]
    os.makedirs(os.path.join(pw.Config.SCIPION_USER_DATA, "projects"), exist_ok=True)
    project = Manager().createProject("streaming", location=folder)
    os.chdir(project.path)
    stream = arrivals.Arrivals(waiting, os.path.join(folder, "arriving"), options.rate)
    stream.update()
    imported = startImport(project, os.path.join(folder, "arriving"))
    stream.stopFile = os.path.abspath(imported._getStopStreamingFilename())
    protocol = project.newProtocol(
        CryodlProtPick,
        modelFrom=SHIPPED,
        shippedModel=options.model,
        particleDiameter=arrivals.DIAMETER,
        useGpu=False,
        streamingBatchSize=options.batch,
        numberOfThreads=options.threads,
    )
    protocol.inputMicrographs.set(imported)
    protocol.inputMicrographs.setExtended("outputMicrographs")
    errors = protocol.validate()
    if errors:
        sys.exit(" ".join(errors))
    killAt = [options.micrographs * k // (options.kills + 1) for k in range(1, options.kills + 1)]
    run = arrivals.KilledRun(project, protocol, stream, killAt, pause=2)
    run.run(seconds=4 * 3600)
    found = run.problems(names)
    return report(options, run, found, protocol.outputCoordinates.getSize()), found


def startImport(project, folder):
    imported = project.newProtocol(
        ProtImportMicrographs,
        filesPath=folder,
        filesPattern="*.mrc",
        dataStreaming=True,
        timeout="14400",
        fileTimeout="1",
        samplingRate=arrivals.PIXEL_SIZE,
        voltage=300,
        sphericalAberration=2.7,
        amplitudeContrast=0.1,
        magnification=50000,
    )
    project.launchProtocol(imported, wait=False)
    arrivals.waitForOutput(project, imported, "outputMicrographs", seconds=300)
    return imported


def report(options, run, found, coordinates):
    """Lines of Markdown."""
    lines = [
        f"{options.micrographs} micrographs of {arrivals.SIDE} x {arrivals.SIDE} px, {options.rate:g} per "
        f"second; batches of {options.batch}, {options.threads} Scipion threads; {platform.machine()}, "
        f"{os.cpu_count()} cores, CPU only.",
        "",
        "| s | arrived | picked | Scipion's process (MB) | engine's peak, of the batch at work (MB) |",
        "|---|---|---|---|---|",
    ]
    samples = [s for s in run.samples if s.scipion]
    step = max(1, len(samples) // _ROWS)
    lines += [
        f"| {s[0]:.0f} | {s[1]} | {s[2]} | {s[3]:.0f} | {f'{s.engine:.0f}' if s.engine else ''} |"
        for s in samples[::step] + samples[-1:]
    ]
    lines += [
        "",
        f"{run.kills} kills; {coordinates} coordinates; {run.seconds():.0f} s in all; engine's largest peak "
        f"{max(s.engine for s in run.samples):.0f} MB.",
    ]
    return lines + (
        ["WRONG: " + sentence for sentence in found[:20]]
        or ["Every micrograph was picked once; none is missing or twice in the set of coordinates."]
    )


if __name__ == "__main__":
    main()
