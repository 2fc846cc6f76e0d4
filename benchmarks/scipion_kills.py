# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole protocols killed (Scipion's process and the engine, SIGKILL) and continued. PYTHON is Scipion's."""

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
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
from cryodl_scipion.protocols.batches import SETTINGS
from cryodl_scipion.protocols.model_field import SHIPPED
from cryodl_scipion.tests import arrivals, base, particle_sets, processes, streams, synthetic, tomogram_sets
from cryodl_scipion.tests.particles.test_particle_streams import growingParticles

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
        cls.subtomograms = tomogram_sets.makeSubtomograms(cls, count=16)
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
    while processes.isThere(run.getPid()):
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
        while processes.isThere(run.getPid()) and time.monotonic() < end:
            time.sleep(0.05)
        if not processes.isThere(run.getPid()):
            row["seconds"] *= 0.7  # of a machine that was busier then
            break
        processes.killTree(run.getPid())
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
    """{file or set: what it says} of a run, whatever its number. Not its settings, which name the set that grew beside
    this run, and how many items had arrived when they were written."""
    own = (run._getPath(), f"_{run.getObjId()}")  # models are named by the number of the run
    folder, extra = Path(run._getPath()), Path(run._getExtraPath())
    paths = [*folder.glob("*.sqlite"), *extra.rglob("*.sqlite")]
    sets = {str(path.relative_to(folder)): _rowsOf(path, own) for path in paths}
    files = output_files(extra, own)
    return {**{name: digest for name, digest in files.items() if not name.endswith((".sqlite", SETTINGS))}, **sets}


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


# ----- the race of a run's end with a window's refresh
_TESTS = (
    *("assess", "estimate_ctf", "extract_particles", "pick_filaments", "pick_sets", "pick_templates", "protocol_pick"),
    *("protocol_train", "simulate", "compare", "auto_pick", "denoise_micrographs", "threshold_picks"),
    *("particle_protocols", "classes2d", "class_streams", "heterogeneity", "denoising", "map_protocols"),
    *("denoise_tomograms", "detection_protocols", "segmentation_protocols", "subtomogram_protocols"),
    *("tomogram_protocols", "report", "pick_by_hand", "annotate"),
)


def races_table(rows):
    counts = Counter()
    for row in rows:
        counts.update(row["races"])
    return [
        ["protocols", "races, the outputs there each time", "tests that failed"],
        [str(len(counts)), str(sum(counts.values())), str(sum(row["failed"] for row in rows))],
    ]


@benchmark(cases=dict(tests=_TESTS), tables={"races": races_table}, quick=dict(tests="assess"))
def races(run, tests, each=5):
    """The plugin's own tests (fake engine) with the race forced in up to `each` runs of every protocol: a window's
    refresh in the last second of the run, which must have its outputs then. In a copy of its project the run then loses
    them twice more, as a window leaves a run without the plugin's care and as *Continue* left it then, and must have
    them again (cryodl_scipion/tests/last_second.py)."""
    found, (path,) = run.work(tests) / "races.json", (ROOT / "cryodl_scipion/tests").rglob(f"test_{tests}.py")
    environment = dict(os.environ, CRYODL_LOSSES=str(each), CRYODL_LOSSES_FILE=str(found), PYTHONPATH=str(ROOT))
    for name in ("SCIPION_HOME", "SCIPION_USER_DATA", "SCIPION_TESTS_OUTPUT"):
        environment.pop(name, None)  # of this process
    words = ["xvfb-run", "-a", sys.executable, *"-m pytest -q -p no:cacheprovider -m".split(), "not slow", str(path)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    failed = re.findall(r"(\d+) (?:failed|error)", done.stdout.splitlines()[-1])  # an error: before the test itself
    if not found.exists() or done.returncode not in (0, 1):
        raise RuntimeError(done.stdout[-600:])
    return dict(races=json.loads(found.read_text()), failed=sum(map(int, failed)))


# ----- a week's work in small
_ROOM = 2 << 20  # bytes that a disk has left when the run is continued: enough to start it; then they are taken, too
_FULL = ("disk is full", "No space left")


def fill(disk, room):
    """Leave so many bytes on a disk. Returns how many are free then."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with contextlib.suppress(OSError), open(disk / "filler", "ab", buffering=0) as filler:
        filler.write(bytes(max(0, free - room)))
    return os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize


class Watched(arrivals.KilledRun):
    """A run whose project is refreshed all the time, and that nobody continues after its last kill. As in a window, the
    object of the run is another one after each refresh."""

    def _sample(self):
        self.protocol = next(one for one in self.project.getRuns() if one.getObjId() == self.protocol.getObjId())

    def _killAndContinue(self):
        if self._killAt:
            super()._killAndContinue()
            return
        self._kill()
        self.kills += 1
        self._stamps.update(self.picked())

    def run(self, seconds):
        """Until the last kill; returns then."""
        self.project.launchProtocol(self.protocol, wait=False)
        wanted, end = self.kills + len(self._killAt), time.monotonic() + seconds
        while self.kills < wanted:
            if time.monotonic() > end or not self._alive():
                raise RuntimeError(f"{len(self.picked())} picked: {self.protocol.getErrorMessage()}")
            self.arrivals.update()
            self._sample()
            if len(self.picked()) >= self._killAt[0]:
                self._killAt.pop(0)
                self._killAndContinue()
                print(f"Killed {self.kills} times after {self.seconds():.0f} s.", flush=True)
            time.sleep(self._pause)

    def goOn(self, seconds, pause, each=lambda: None):
        """Continue; wait for the end with a window that refreshes, and each() between. Returns whether it finished."""
        with contextlib.suppress(sqlite3.OperationalError):  # of the window's own disk
            self._sample()
            self.project.launchProtocol(self.protocol, wait=False)
        end = time.monotonic() + seconds
        while self._alive() and time.monotonic() < end:
            with contextlib.suppress(sqlite3.OperationalError):
                self._sample()
            each()
            time.sleep(pause)
        with contextlib.suppress(sqlite3.OperationalError):
            self._sample()
        return self.protocol.isFinished()


def week_table(rows):
    heads = [key for key in rows[0]["said"] if key != "coordinates"]
    return [heads, *([str(row["said"][key]) for key in heads] for row in rows)]


@benchmark(tables={"week": week_table})
def week(run, count=3000, rate=8.0, batch=100, seconds=1500):
    """Micrographs that arrive one by one, picked (by the engine's stand-in) in a project that is refreshed all the
    time: the run is killed twice, its disk is full when it is continued, and has room again. Every micrograph must be
    in the set once. Needs root, for a small disk."""
    began, disk = time.monotonic(), Path(pw.Config.SCIPION_USER_DATA).absolute()  # where projects are
    os.environ["FAKE_ENGINE_SLEEP"] = "0.05"  # s a micrograph
    disk.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(disk)], check=True)
    try:
        Week = type("Week", (base.CryodlTest,), {})
        Week.setUpClass()
        waiting = arrivals.writeMicrographs(os.path.join(Week.data, "waiting"), count)
        names = [os.path.basename(path)[:-4] for path in waiting]
        stream = arrivals.Arrivals(waiting, os.path.join(Week.data, "arriving"), rate)
        for name in names:  # what the stand-in finds
            Path(Week.data, "arriving", f"{name}.mrc.truth.json").write_text(
                json.dumps(synthetic.PARTICLES), encoding="utf-8"
            )
        stream.update()
        imported = streams.startImport(Week, os.path.join(Week.data, "arriving"), arrivals.PIXEL_SIZE)
        stream.stopFile = imported._getStopStreamingFilename()
        picking = dict(modelFrom=SHIPPED, particleDiameter=arrivals.DIAMETER, streamingBatchSize=batch)
        protocol = Week.makeProtocol(
            CryodlProtPick, dict(inputMicrographs=(imported, "outputMicrographs")), useGpu=False, **picking
        )
        watched = Watched(Week.proj, protocol, stream, [count // 3, 2 * count // 3], pause=3.0)
        watched.run(seconds)
        before = len(watched.picked())
        while processes.isThere(imported.getPid()):  # the last ones arrive while nobody picks
            stream.update()
            Week.proj.getRuns()
            time.sleep(1)
        fill(disk, _ROOM)
        free = []
        full = watched.goOn(seconds, 0.1, lambda: len(watched.picked()) > before and free.append(fill(disk, 0)))
        on_full_disk = watched.protocol.getErrorMessage().replace(str(disk), ".")
        (disk / "filler").unlink()
        if full or not free or max(free) or not any(words in on_full_disk for words in _FULL):
            raise RuntimeError(f"the disk was not full, or the run did not say so: {free[-3:]} {on_full_disk}")
        watched._sample()
        during = len(watched.picked())
        finished = watched.goOn(seconds, 3.0)
        problems, made = watched.problems(names), getattr(watched.protocol, "outputCoordinates", ())
        said = {
            "micrographs that arrived": f"{count}, {rate:g} a second",
            "killed": f"twice, with {count // 3} and {before} micrographs picked",
            "on the full disk": f"{max(free)} bytes free, {during} picked: {on_full_disk}",
            "lost or double": "; ".join(problems[:5]) or "none",
            "coordinates": len(made),
            "time": f"{time.monotonic() - began:.0f} s",
        }
        return dict(count=count, finished=finished, problems=problems, said=said)
    finally:
        os.chdir("/")
        subprocess.run(["umount", "-l", str(disk)], check=True)
