# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole protocols killed (Scipion's process and the engine, SIGKILL) and continued. PYTHON is Scipion's."""

import json
import os
import sqlite3
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyworkflow as pw
from bench import ROOT, benchmark, columns

sys.path.insert(0, str(ROOT))
import cryodl_scipion.tests.conftest  # noqa: F401  a Scipion of its own, in a temporary folder

pw.Config.getDomain().getPlugins()
from pwem.objects import SetOfParticles
from recipes.trials import leftovers, output_files, without, write_map

from cryodl_scipion.engine.cryodl import contract
from cryodl_scipion.protocols import (
    CryodlProtAutoPick,
    CryodlProtClassify2D,
    CryodlProtDenoise,
    CryodlProtDenoiseMicrographs,
    CryodlProtPick,
    CryodlProtTrainClassifier,
)
from cryodl_scipion.protocols.model_field import SHIPPED
from cryodl_scipion.tests import arrivals, particle_sets
from cryodl_scipion.tests.particles.test_particle_streams import growingParticles
from cryodl_scipion.tests.processes import isThere, killTree
from cryodl_scipion.tests.tomogram_sets import makeSubtomograms

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


def launched(name):
    """A run that works."""
    run = MAKE[name]()
    errors = run.validate()
    if errors:
        raise ValueError(f"{name}: {' '.join(errors)}")
    Runs.proj.launchProtocol(run, wait=False)
    return run


@benchmark(
    cases=dict(protocol=MAKE),
    tables={
        "protocol-kills": columns(
            {
                "protocol": "protocol",
                "kills": "killed",
                "runs": "trials",
                "equal to an undisturbed run": "equal",
                "nothing left behind": "clean",
            }
        )
    },
    quick=dict(count=1, protocol="denoise-general"),
)
def protocol_kills(run, protocol, count=4, seed=0):
    """Whole protocols killed once to three times at random times and continued, as a user would do. Compared with an
    undisturbed run are all files of the run (without times) and the rows of its output sets; no temporary file may be
    left. Needs Scipion's Python with this plugin and the plugin tomo, and the engine."""
    if not hasattr(Runs, "micrographs"):
        Runs.setUpClass()
    row, began = dict(trials=0, killed=0, equal=0, clean=0, failures=[]), time.monotonic()
    wanted = endOf(protocol, launched(protocol))
    row["seconds"] = round(time.monotonic() - began, 1)
    while row["killed"] < count:
        killAndContinue(protocol, row, wanted, seed)
    return row
