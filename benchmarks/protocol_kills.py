# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole protocols killed (Scipion's process and the engine, SIGKILL) and continued: the result must be that of an
undisturbed run.

    python benchmarks/protocol_kills.py --count 4 --output protocol_kills.json [--protocols auto-pick ...]

Each run is killed once to three times at random times and continued, as a user would do. Compared are all files of the
run (without times) and the rows of its output sets; no temporary file may be left. With --output, a protocol whose row
has fewer kills goes on with the missing ones. Needs Scipion's Python with this plugin and the plugin tomo, and the
engine. Exits 1 if a run differs.
"""

import argparse
import json
import os
import sqlite3
import sys
import threading
import time
from pathlib import Path

import numpy as np
from trials import leftovers, output_files, without, write_map, write_rows

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import pyworkflow as pw  # noqa: E402

import cryodl_scipion.tests.conftest  # noqa: E402,F401  a Scipion of its own, in a temporary folder

pw.Config.getDomain().getPlugins()

from pwem.objects import SetOfParticles  # noqa: E402

from cryodl_scipion.engine.cryodl import contract  # noqa: E402
from cryodl_scipion.protocols import (  # noqa: E402
    CryodlProtAutoPick,
    CryodlProtClassify2D,
    CryodlProtDenoise,
    CryodlProtDenoiseMicrographs,
    CryodlProtPick,
    CryodlProtTrainClassifier,
)
from cryodl_scipion.protocols.model_field import SHIPPED  # noqa: E402
from cryodl_scipion.tests import arrivals, particle_sets  # noqa: E402
from cryodl_scipion.tests.particles.test_particle_streams import growingParticles  # noqa: E402
from cryodl_scipion.tests.processes import isThere, killTree  # noqa: E402
from cryodl_scipion.tests.tomogram_sets import makeSubtomograms  # noqa: E402

EARLIEST = 0.1  # of the undisturbed time
MOST_AT_ONCE = 3  # kills of one run
_MICROGRAPHS, _PARTICLES, _FIRST = 5, 40, 20
_MAP_PIXEL_SIZE = 2.5  # Å/px


class Runs(particle_sets.ParticlesTest):
    """A project with inputs for the protocols."""

    _REAL_ENGINE = True

    @classmethod
    def prepare(cls):
        arrivals.writeMicrographs(cls.data + "/mics", _MICROGRAPHS)
        cls.micrographs = cls.importMicrographs(cls.data + "/mics", pixelSize=arrivals.PIXEL_SIZE)
        cls.particles = particle_sets.finishedWith(cls, cls._particles)
        cls.arriving = particle_sets.finishedWith(cls, cls._particles)
        cls.subtomograms = makeSubtomograms(cls, count=16)
        cls.volume = cls.makeMap("map", _MAP_PIXEL_SIZE)
        write_map(cls.volume.outputVolume.getFileName(), 0, _MAP_PIXEL_SIZE)  # one with a molecule in it

    @classmethod
    def _particles(cls, protocol):
        stack = particle_sets.writeStack(protocol._getExtraPath("raw.mrcs"), _PARTICLES)
        return dict(outputParticles=particle_sets.fill(SetOfParticles.create(protocol._getPath()), stack, _PARTICLES))

    @classmethod
    def ofMicrographs(cls, protocolClass, **values):
        return cls.makeProtocol(
            protocolClass, dict(inputMicrographs=(cls.micrographs, "outputMicrographs")), useGpu=False, **values
        )

    @classmethod
    def ofParticles(cls, protocolClass, source, **values):
        return cls.makeProtocol(protocolClass, dict(inputParticles=(source, "outputParticles")), useGpu=False, **values)

    @classmethod
    def classes(cls):
        """2-D classes of particles of which half arrive when the first half is being classified."""
        source, more, close = growingParticles(cls, "", _FIRST, cls.arriving)
        run = cls.ofParticles(
            CryodlProtClassify2D, source, classes=2, firstParticles=_FIRST, smallestBatch=_FIRST, streamingSleepOnWait=1
        )

        def arrive():
            while not os.path.exists(run._firstFile()):
                time.sleep(0.2)
            more()
            close()

        threading.Thread(target=arrive, daemon=True).start()
        return run


MAKE = {
    "auto-pick": lambda: Runs.ofMicrographs(
        CryodlProtAutoPick, rounds=1, steps=4, trainingMicrographs=3, particleDiameter=arrivals.DIAMETER
    ),
    "pick": lambda: Runs.ofMicrographs(
        CryodlProtPick, modelFrom=SHIPPED, particleDiameter=arrivals.DIAMETER, streamingBatchSize=2
    ),
    "denoise-micrographs": lambda: Runs.ofMicrographs(
        CryodlProtDenoiseMicrographs, steps=4, trainingMicrographs=2, batchSize=2
    ),
    "train-classifier": lambda: Runs.makeProtocol(
        CryodlProtTrainClassifier,
        dict(inputSubtomograms=(Runs.subtomograms, "outputSubtomograms")),
        useGpu=False,
        network=contract.CLASSIFIER_NETWORKS.index("dsrf3d"),
        steps=4,
        batchSize=2,
    ),
    "denoise-general": lambda: Runs.ofParticles(CryodlProtDenoise, Runs.particles, shippedModel="general_denoiser"),
    "classify-2d-arriving": lambda: Runs.classes(),
    "train-denoiser": lambda: Runs.training([Runs.particles], [Runs.volume], steps=4, batchSize=2),
}


def main() -> None:
    """Run the trials, print a line for each protocol, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocols", nargs="+", choices=list(MAKE), default=list(MAKE))
    parser.add_argument("--count", type=int, default=4, help="Kills of each protocol.")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    output = options.output and options.output.resolve()
    Runs.setUpClass()
    rows = {r["name"]: r for r in json.loads(output.read_text())["rows"]} if output and output.exists() else {}
    for name in options.protocols:
        row = rows.setdefault(name, dict(name=name, trials=0, killed=0, equal=0, clean=0, failures=[]))
        if row["killed"] >= options.count:
            continue
        began = time.monotonic()
        wanted = endOf(name, launched(name))
        row["seconds"] = round(time.monotonic() - began, 1)
        while row["killed"] < options.count:
            killAndContinue(name, row, wanted, options.seed)
            if output:
                write_rows(output, list(rows.values()))
        print("{name:20s} {killed} kills: {equal} equal, {clean} clean".format(**row), *row["failures"], flush=True)
    Runs.tearDownClass()
    sys.stdout.flush()
    os._exit(any(row["failures"] for row in rows.values()))  # pyworkflow leaves threads behind


def launched(name):
    """A run that works."""
    run = MAKE[name]()
    errors = run.validate()
    if errors:
        sys.exit(f"{name}: {' '.join(errors)}")
    Runs.proj.launchProtocol(run, wait=False)
    return run


def endOf(name, run):
    """Wait for the end of a run. Returns what it left."""
    while isThere(run.getPid()):
        time.sleep(0.5)
    Runs.proj._updateProtocol(run)
    if not run.isFinished():
        raise RuntimeError(f"{name}: {run.getErrorMessage()}; see {os.path.abspath(run._getLogsPath())}")
    return contents(run)


def killAndContinue(name, row, wanted, seed):
    """Some kills of one run, until it ends before the next one, and the continued run compared with the undisturbed
    one."""
    rng = np.random.default_rng((seed, row["trials"]))
    run, times = launched(name), rng.uniform(EARLIEST, 1.0, rng.integers(1, MOST_AT_ONCE + 1)) * row["seconds"]
    for when in times:
        end = time.monotonic() + when
        while isThere(run.getPid()) and time.monotonic() < end:
            time.sleep(0.05)
        if not isThere(run.getPid()):
            row["seconds"] *= 0.7  # of a machine that was busier then
            break
        killTree(run.getPid())
        row["killed"] += 1
        Runs.proj._updateProtocol(run)  # as a project window does
        Runs.proj.launchProtocol(run, wait=False)
    row["trials"] += 1
    found, left = endOf(name, run), leftovers(Path(run._getExtraPath()))
    other = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
    row["equal"] += not other
    row["clean"] += not left
    if other or left:
        row["failures"].append(f"trial {row['trials'] - 1}: other {other[:4]}, left {left[:4]}")


def contents(run):
    """{file or set: what it says} of a run, whatever its number."""
    own = (run._getPath(), f"_{run.getObjId()}")  # models are named by the number of the run
    folder, extra = Path(run._getPath()), Path(run._getExtraPath())
    paths = [*folder.glob("*.sqlite"), *extra.rglob("*.sqlite")]
    sets = {str(path.relative_to(folder)): _rowsOf(path, own) for path in paths}
    files = output_files(extra, own)
    return {**{name: digest for name, digest in files.items() if not name.endswith(".sqlite")}, **sets}


def _rowsOf(path, own):
    """The items of a set's file, in a fixed order, without ids and times."""
    with sqlite3.connect(path) as database:
        cursor = database.execute("SELECT * FROM Objects")
        kept = [i for i, column in enumerate(cursor.description) if column[0] not in ("id", "creation")]
        return sorted(without(json.dumps([row[i] for i in kept]), own) for row in cursor)


if __name__ == "__main__":
    main()
