# SPDX-License-Identifier: GPL-3.0-or-later
"""Arriving micrographs to a map with no click and two kills. PYTHON is Scipion's."""

import collections
import glob
import json
import os
import shutil
import subprocess
import sys
import time

import pyworkflow as pw
from bench import ROOT, benchmark

sys.path.insert(0, str(ROOT))
import cryodl_scipion.tests.conftest  # noqa: F401  a Scipion of its own, in a temporary folder

pw.Config.getDomain().getPlugins()
from bench import ENGINE

os.environ["SCIPION_EM_NEW_FILE_CHECK_SEC"] = "2"  # the import looks for files every 10 s otherwise
import types

from cryodl_scipion import Plugin
from cryodl_scipion.constants import CRYODL_PYTHON
from cryodl_scipion.tests.arrivals import Arrivals
from cryodl_scipion.tests.processes import isThere, killTree
from cryodl_scipion.tests.scheduling import ScheduledTemplate

os.environ["SCIPION_EM_NEW_FILE_CHECK_SEC"] = "2"  # the import looks for files every 10 s otherwise
PICK, CUT = "CryodlProtPick", "CryodlProtExtractParticles"
KILLS = {PICK: 1 / 3, CUT: 2 / 3}  # of the micrographs that are done by then
_HOURS = 24
_STATE = "state.json"  # of the trial: what was killed, and the time that earlier starts of it took


def engine(*words) -> None:
    """Run a command of the engine. Raises CalledProcessError."""
    environ = dict(os.environ, PYTHONPATH=str(ENGINE))
    for name in ("PYTHONHOME", "VIRTUAL_ENV"):
        environ.pop(name, None)
    subprocess.run([Plugin.getPython(), "-m", "cryodl", *map(str, words)], env=environ, check=True)


def simulate(options, folder) -> str:
    """The folder of simulated micrographs and their ground truth; none of them is there for the import yet."""
    target = os.path.join(folder, "simulated")
    values = dict(structure=options.structure, count=options.micrographs, size=options.size, snr=options.snr)
    values.update({"particles": options.particles, "output": target, "minimum-defocus": options.defocus_min})
    words = [word for name, value in values.items() for word in ("--" + name, value)]
    if not os.path.exists(target):  # it appears when it is whole
        engine("simulate-micrographs", *words, "--pixel-size", options.pixel_size)
    return target


class Trial:
    """The template at work, with kills."""

    def __init__(self, options, folder, simulated):
        self.options, self._stateFile, self._began = options, os.path.join(folder, _STATE), time.monotonic()
        self._state = dict(killed={}, seconds=0)
        if os.path.exists(self._stateFile):
            with open(self._stateFile, encoding="utf-8") as file:
                self._state = json.load(file)
        self.names = sorted(os.path.basename(p)[:-4] for p in glob.glob(simulated + "/micrographs/*.mrc"))
        waiting, arriving = os.path.join(folder, "waiting"), os.path.join(folder, "arriving")
        if not os.path.exists(waiting):
            shutil.copytree(os.path.join(simulated, "micrographs"), waiting + ".part")
            os.rename(waiting + ".part", waiting)
        self._arrivals = Arrivals(sorted(glob.glob(waiting + "/*.mrc")), arriving, options.rate)
        self._arrivals.update()
        answers = dict(
            mics=os.path.join(folder, "arriving"),
            pattern="*.mrc",
            timeout=7200,
            settled=1,
            voltage=300,
            cs=2.7,
            contrast=0.1,
            ctf="cryodl",
            pixel=options.pixel_size,
            map=options.structure,
            mappixel=options.map_pixel_size,
            model="general",
            diameter=options.diameter,
            box=options.box,
            scaledbox=options.scaled_box,
            classes=options.classes,
            symmetry="C1",
            mapsymmetry="C1",
        )
        os.environ[CRYODL_PYTHON] = Plugin.getPython()
        # a run that fails is continued once
        self._template = ScheduledTemplate(
            "cryodl-unattended", os.path.basename(folder), folder, answers, kills="outside", faster=options.clock
        )

    @property
    def kills(self):
        """A sentence for each kill."""
        return list(self._state["killed"].values())

    def seconds(self):
        """Of this start and those before."""
        return self._state["seconds"] + time.monotonic() - self._began

    def _note(self):
        with open(self._stateFile + ".part", "w", encoding="utf-8") as file:
            json.dump(dict(self._state, seconds=round(self.seconds())), file)
        os.replace(self._stateFile + ".part", self._stateFile)

    def run(self):
        """Returns when all runs have ended."""
        template, end = self._template, time.monotonic() + 3600 * _HOURS
        template.start() if not os.path.exists(self._stateFile) else self._goOn()
        done = {PICK: self._picked, CUT: self._cut}
        while time.monotonic() < end:
            self._arrivals.update()
            try:
                template.refresh()
            except (IndexError, OSError) as error:  # the machine's hosts.conf is just being written; the runs go on
                print(f"Not refreshed: {error!r}", flush=True)
            self._nameStopFile()
            if template.runs:
                self._note()
            for name in [n for n in KILLS if n not in self._state["killed"]][:1]:
                if done[name]() >= KILLS[name] * len(self.names):
                    self._kill(name, done[name]())
                    self._note()
            if template.runs and not template.working():
                break
            time.sleep(self.options.look)
        self.path = os.path.abspath(template.project.path)

    def _goOn(self):
        """Where an earlier start of this trial was stopped: runs whose scheduler is gone wait again."""
        self._template.goOn()
        for run in self._template.runs:
            if run.isScheduled() and not isThere(run.getPid()):
                self._template.project.scheduleProtocol(run)

    def _nameStopFile(self):
        imported = self._named("ProtImportMicrographs")
        if imported is not None and self._arrivals.stopFile is None:
            self._arrivals.stopFile = os.path.abspath(imported._getStopStreamingFilename())

    def _named(self, name):
        return next((run for run in self._template.runs if run.getClassName() == name), None)

    def _kill(self, name, done):
        run = self._named(name)
        killTree(run.getPid())
        sentence = f"{run.getObjLabel()}, with {done} of {len(self.names)} micrographs done"
        self._state["killed"][name] = sentence
        print("Killed: " + sentence, flush=True)

    def _files(self, name, *pattern):
        run = self._named(name)
        return [] if run is None else glob.glob(os.path.join(glob.escape(run._getExtraPath()), *pattern))

    def _picked(self):
        return len(self._files(PICK, "picks", "candidates", "*.star"))

    def _cut(self):
        return len({os.path.basename(path) for path in self._files(CUT, "batches", "*", "particles", "*.mrcs")})

    # ----- checks
    def problems(self):
        """Sentences about what was lost or doubled."""
        unfinished = [run.getObjLabel() for run in self._template.runs if not run.isFinished()]
        if unfinished:
            return [f"These runs did not finish: {', '.join(unfinished)}. {self._template.told()}"]
        ctfs = collections.Counter(
            c.getMicrograph().getMicName()[:-4] for c in self._named("CryodlProtEstimateCTF").outputCTF.iterItems()
        )
        picks = collections.Counter(self._positionsOf(self._named(PICK).outputCoordinates.iterItems()))
        particles = collections.Counter(
            self._positionsOf(p.getCoordinate() for p in self._named(CUT).outputParticles.iterItems())
        )
        found = self._missing("CTF", "CryodlProtEstimateCTF", ctfs)
        found += self._missing("picks", PICK, {name for name, _, _ in picks})
        for what, counts in (("CTF", ctfs), ("pick", picks), ("particle", particles)):
            found += [f"{what} twice: {item}" for item, count in counts.items() if count > 1]
        found += [f"a particle that is no pick: {item}" for item in particles if item not in picks]
        edge = sum(sum(r.outputs["at_edge"].values()) for r in self._named(CUT)._engineResults())
        lost = [item for item in picks if item not in particles and item[0] in ctfs]
        if len(lost) > edge:
            found.append(f"{len(lost)} picks gave no particle, of which {edge} lie at the edge")
        return found

    def _positionsOf(self, coordinates):
        return [(c.getMicName()[:-4],) + c.getPosition() for c in coordinates]

    def _missing(self, what, run, there):
        skipped = {s.item for result in self._named(run)._engineResults() for s in result.skipped}
        empty = {n for r in self._named(run)._engineResults() for n, c in r.outputs.get("counts", {}).items() if not c}
        return [f"{what} of {n} are lost" for n in self.names if n not in there and n not in skipped | empty]

    def figures(self):
        """Numbers of particles at each step, and the map's resolution."""
        if any(not run.isFinished() for run in self._template.runs):
            return {}
        made = self._named("CryodlProtBackProject")._result().outputs
        return dict(
            picks=self._named(PICK).outputCoordinates.getSize(),
            cut_out=self._named(CUT).outputParticles.getSize(),
            chosen=self._named("CryodlProtSelectClasses").outputParticles.getSize(),
            resolution=made["resolution"],
            noise_resolution=made["noise_resolution"],
        )


def fromTruth(options, folder, simulated):
    """The same commands on the true positions, without classes: particles and resolution."""
    kept = os.path.join(folder, "truth")
    os.makedirs(kept, exist_ok=True)
    at = lambda name: os.path.join(kept, name)
    make = lambda output, *words: os.path.exists(at(output)) or engine(*words, "--output", at(output))
    micrographs = ["--micrographs", simulated + "/micrographs/*.mrc", "--pixel-size", options.pixel_size]
    make("ctf.star", "estimate-ctf", *micrographs, "--voltage", 300, "--spherical-aberration", 2.7)
    sizes = ["--particle-diameter", options.diameter, "--box", options.box, "--scaled-box", options.scaled_box]
    coordinates = ["--coordinates", simulated + "/coordinates", "--ctf", at("ctf.star")]
    make("particles.star", "extract-particles", *micrographs, *coordinates, *sizes)
    structure = ["--structure", options.structure]
    make("oriented.star", "assign-orientations", "--particles", at("particles.star"), *structure)
    result = at("result.json")
    if not os.path.exists(result):
        engine("reconstruct", "--particles", at("oriented.star"), "--output", at("map.mrc"), "--result", result)
    with open(result, encoding="utf-8") as file:
        made = json.load(file)["outputs"]
    return dict(particles=made["count"], resolution=made["resolution"])


DEFAULTS = dict(map_pixel_size=5.0, diameter=272.0, pixel_size=5.0, box=84)
DEFAULTS.update(look=2, clock=15)  # seconds between two looks; how much faster Scipion's scheduler waits


def outcome(name):
    """The table of the trial with as many micrographs: what was counted, line by line."""

    def rows_of(rows):
        r = next((r for r in rows if r["micrographs"] == name), None)
        if r is None:
            return [["", ""]]
        truth, noise = r["from_true_positions"], r["noise_resolution"]
        found = {
            "micrographs that arrived": f"{r['micrographs']}, {r['micrographs'] * r['particles']} particles",
            "killed": "; ".join(kill.replace("cryodl - ", "") for kill in r["kills"]),
            "lost or double: micrographs, CTFs, picks, particles": "; ".join(r["problems"]) or "none",
            "picks without labels": str(r["picks"]),
            "particles cut out": str(r["cut_out"]),
            "particles of the chosen classes": str(r["chosen"]),
            "FSC of the half-maps 0.143": f"{r['resolution']:.1f} Å",
            "the same of as many images of noise, oriented likewise": "nowhere" if noise is None else f"{noise:.1f} Å",
            "the same of the true positions": f"{truth['resolution']:.1f} Å ({truth['particles']} particles)",
            "time of the whole trial": f"{r['seconds']} s",
        }
        return [["", ""], *([name, value] for name, value in found.items())]

    return rows_of


TRIALS = (
    dict(micrographs=16, size=768, particles=25, snr=0.1, defocus_min=8000.0, scaled_box=64, classes=6, rate=0.2),
    dict(micrographs=500, size=512, particles=3, snr=0.05, defocus_min=15000.0, scaled_box=48, classes=8, rate=1.0),
)


@benchmark(
    cases=lambda: [dict(trial) for trial in TRIALS],
    tables={"unattended": outcome(16), "unattended-500": outcome(500)},
    quick=dict(micrographs=3, size=512, particles=12, rate=1.0),
)
def unattended(run, **settings):
    """Arriving micrographs to a map by the template cryodl-unattended and Scipion's scheduler: micrographs of a
    structure are simulated, and move one by one into the folder that the import watches. When a third of them is
    picked, the run that picks is killed with all its processes (SIGKILL); when two thirds are cut out, the run that
    extracts. Each is continued once, as a user would. Then every set is compared with the engine's files, and the map's
    resolution with that of the same commands on the true positions. The map of --tool structure=MAP is simulated."""
    values = {**DEFAULTS, **settings, "structure": os.path.abspath(run.tool("structure"))}
    options, folder = types.SimpleNamespace(**values), str(run.output / f"trial_{values['micrographs']}")
    os.makedirs(os.path.join(folder, "userdata", "projects"), exist_ok=True)
    pw.Config.SCIPION_USER_DATA = os.environ["SCIPION_USER_DATA"] = os.path.join(folder, "userdata")
    simulated = simulate(options, folder)
    trial = Trial(options, folder, simulated)
    trial.run()
    row = dict(values, seconds=round(trial.seconds()), kills=trial.kills, problems=trial.problems(), **trial.figures())
    truth = fromTruth(options, folder, simulated)
    engine("report", "--project", trial.path, "--output", os.path.join(folder, "report.html"))
    return dict(row, structure=os.path.basename(values["structure"]), from_true_positions=truth)
