# SPDX-License-Identifier: GPL-3.0-or-later
"""Every workflow template through Scipion's own scheduler, while its project is refreshed; with the fake engine.

All but one in forks of this process. One of them with the real engine, too, and the others with it where slow tests
run, always in processes of their own.

Skipped with a sentence where RELION or a plugin of the templates is missing. The variable CRYODL_TEMPLATES chooses some
templates, separated by blanks. CRYODL_KILLED chooses those whose runs die once each and are continued, and when:
"cryodl-maps=after cryodl-picking=before".
"""

import os
import shutil
import signal
import time
import unittest
from pathlib import Path
from unittest import mock

import mrcfile
import numpy as np
from pwem import Domain
from pwem.protocols import ProtParticlePickingAuto
from pyworkflow.protocol.protocol import getUpdatedProtocol
from pyworkflow.viewer import DESKTOP_TKINTER

from .. import Plugin
from ..engine.cryodl import contract
from ..protocols import CryodlProtAssignOrientations, CryodlProtBackProject, CryodlProtInitialMap, CryodlProtReport
from ..protocols.protocol_base import skippedItems
from ..starting.environment import CRYODL_PYTHON
from ..viewers.panels_viewer import PanelsViewer
from . import launching, simulated, synthetic
from .base import CryodlTest, fakePython, usePython
from .map_sets import writeModelOf
from .maps.test_maps_chain import writeBundle
from .particle_sets import makeParticles, writeMap
from .processes import killTree
from .programs import writeProgram
from .scheduling import CLOCK, FASTER, ScheduledTemplate, runAll, schedulerHook
from .simulated import missing

_MINUTES = 10  # of a loaded machine; a free one needs a third
_MICROGRAPHS = dict(
    pattern="*.mrc",
    voltage=300,
    cs=2.7,
    contrast=0.1,
    pixel=synthetic.PIXEL_SIZE,
    model="general",
    diameter=synthetic.DIAMETER,
    box=32,
)
_LOOKS_FOR_INPUT = ("resumableStepGeneratorStep", "arrivingStep", "reportStep")  # pwem's, that of 2-D classes
_CTFFIND = "CistemProtCTFFind"
_PROCESSES = "cryodl-maps"  # all of its runs are processes from the beginning on
_KILLED = "cryodl-maps=after cryodl-autopicking=after"
ANSWERS = {
    "cryodl-unattended": dict(
        _MICROGRAPHS,
        map="none",
        ctf="ctffind",
        timeout=20,
        settled=1,
        mappixel=4,
        classes=3,
        symmetry="C1",
        mapsymmetry="C1",
        scaledbox=0,
        initial="cryodl",
        refine="no",  # RELION's program finds nothing in the fake engine's particles
        gpu="false",
    ),
    "cryodl-picking": dict(_MICROGRAPHS, ctf="auto", mask=80, classes=2, gpu="false"),
    "cryodl-autopicking": dict(_MICROGRAPHS, ctf="cryodl", rounds=1),
    "cryodl-denoising": dict(mappixel=4, pixel=4, box=32, count=40, snr=0.1, mask=100, gpu="false"),
    "cryodl-maps": dict(resolution=5, pixel=2, model="improver"),
    "cryodl-motion": dict(pixel=4, box=32, count=200, snr=0.1, domain="A:1-5", range=45, maps=2),
    "cryodl-tomograms": dict(
        mappixel=8, otherpixel=8, copies=5, pixel=16, size=64, box=16, subpixel=16, subbox=16, count=20, snr=0.5
    ),
}


class ScheduledTemplates(CryodlTest):
    """Tests of templates that the template command starts. _ANSWERS: {name: answers} of the templates."""

    _ANSWERS = {}
    _TIME, _COUNT, _KILLS = _MINUTES, 3, ""  # for all; micrographs; how runs of the real engine die
    _server = None

    @classmethod
    def files(cls):
        """{question: file or folder}"""
        for path in synthetic.writeMicrographs(cls.data + "/mics", 3)[2:]:
            for file in (path, path + ".truth.json"):  # the fake engine and program find no CTF
                shutil.move(file, file.replace("003", "009"))
        model = cls.data + "/model.pdb"
        return {
            "mics": cls.data + "/mics",
            "map": writeMap(cls.data + "/body.mrc"),
            "othermap": writeMap(cls.data + "/rod.mrc"),
            "structure": writeBundle(model) if cls._REAL_ENGINE else writeModelOf(model, (0, 0, 0)),
        }

    @classmethod
    def prepare(cls):
        os.environ[CRYODL_PYTHON] = Plugin.getPython()
        files = cls.files()
        wanted = {
            "cryodl-picking": ["mics"],
            "cryodl-autopicking": ["mics"],
            "cryodl-unattended": ["mics"] + ["map"] * cls._REAL_ENGINE,  # few particles give no map without one
            "cryodl-movies": ["movies"],
            "cryodl-denoising": ["map"],
            "cryodl-maps": ["structure"],
            "cryodl-motion": ["structure"],
            "cryodl-tomograms": ["map", "othermap"],
        }
        chosen = os.environ.get("CRYODL_TEMPLATES", "").split() or list(ANSWERS)
        names = [name for name in cls._ANSWERS if name in chosen]
        cls.made = {}
        if not names:
            raise unittest.SkipTest("CRYODL_TEMPLATES chooses none of these templates.")
        killed = dict(word.split("=") for word in os.environ.get("CRYODL_KILLED", _KILLED).split())
        server = "" if cls._REAL_ENGINE else cls.data + "/server"
        if server:
            cls._server = launching.serveSchedulers(server, FASTER)
        cls.made = {
            name: ScheduledTemplate(
                name,
                "scheduled_" + name.replace("-", "_"),
                cls.data,
                dict(cls._ANSWERS[name], **{alias: files[alias] for alias in wanted[name]}),
                cls._KILLS if cls._REAL_ENGINE else killed.get(name, ""),
                server=server if name != _PROCESSES else "",
            )
            for name in names
        }
        runAll(list(cls.made.values()), 60 * cls._TIME)

    @classmethod
    def tearDownClass(cls):
        for template in cls.made.values():
            template.stop()
        if cls._server:
            os.kill(cls._server, signal.SIGTERM)
            os.waitpid(cls._server, 0)
        super().tearDownClass()

    def test_all_runs_finish(self):
        for name, template in self.made.items():
            unfinished = [run.getObjLabel() for run in template.runs if not run.isFinished()]
            self.assertTrue(template.runs, template.log.read_text())
            self.assertEqual(unfinished, [], f"{name}\n{template.told()}")

    def test_runs_that_died_were_continued(self):
        for name, template in self.made.items():
            os.chdir(template.project.path)
            died = [run.getObjId() for run in template.runs if os.path.exists(run._getPath("died"))]
            died = sorted(died + template.died)
            self.assertEqual(sorted(template.continued), died, name)
            self.assertEqual(bool(died), bool(template.kills), name)

    def ours(self):
        """Runs of this plugin in all projects, each in its project's folder."""
        for template in [template for template in self.made.values() if template.runs]:
            os.chdir(template.project.path)
            for run in template.runs:
                if run.getPlugin().getName() == "cryodl":
                    yield run

    def test_every_run_tells_what_it_made(self):
        for run in self.ours():
            said = " ".join(run.summary())
            self.assertNotRegex(said, r"\byet\b", run.getObjLabel())
            self.assertTrue(run.methods(), run.getObjLabel())

    def test_no_log_has_a_traceback(self):
        for run in self.ours():
            for path in run.getLogPaths()[:2]:
                with open(path, errors="replace") as file:
                    self.assertNotIn("Traceback", file.read(), f"{run.getObjLabel()}: {path}")

    def test_every_run_has_what_its_viewer_shows(self):
        for run in self.ours():
            for viewer in Domain.findViewers(run, DESKTOP_TKINTER)[:1]:
                if issubclass(viewer, PanelsViewer):
                    made = viewer(project=run.getProject(), protocol=run)
                    made.setProtocol(run)
                    self.assertIsNotNone(made._data(), run.getObjLabel())

    def test_no_run_would_do_a_finished_step_again_when_it_is_continued(self):
        for run in self.ours():
            done = [(step.funcName.get(), step.argsStr.get()) for step in run.loadSteps()]
            run._steps = []
            run._insertAllSteps()
            steps = [(step.funcName.get(), step.argsStr.get()) for step in run._steps]
            # a streaming run looks for new input whenever it is started; what that step is given is the time
            steps = [step for step in steps if step[0] not in _LOOKS_FOR_INPUT]
            done = [step for step in done if step[0] not in _LOOKS_FOR_INPUT]
            if isinstance(run, ProtParticlePickingAuto):  # pwem's loop knows finished micrographs, whatever the order
                steps, done = sorted(steps), sorted(done)
            self.assertEqual(steps, done[: len(steps)], run.getObjLabel())

    def test_ctffind_estimates_the_ctf_unless_another_is_asked_for(self):
        ours = "CryodlProtEstimateCTF"
        wanted = {"cryodl-picking": _CTFFIND, "cryodl-unattended": _CTFFIND}
        wanted.update({"cryodl-autopicking": ours, "cryodl-movies": ours})
        for name in set(wanted) & set(self.made):
            os.chdir(self.made[name].project.path)
            runs = [run for run in self.made[name].runs if hasattr(run, "outputCTF")]
            self.assertEqual([run.getClassName() for run in runs], [wanted[name]], name)
            defoci = {ctf.getMicrograph().getMicName(): ctf.getDefocusU() for ctf in runs[0].outputCTF.iterItems()}
            if wanted[name] == _CTFFIND:
                self.assertIn("CTF by CTFFIND", self.made[name].log.read_text())
                self.assertEqual(len(defoci), self._COUNT, name)
            else:  # pwem's extraction would wait for ever for a micrograph that was left out and has picks
                left = skippedItems(runs[0]._engineResults())
                self.assertEqual(len(defoci) + len(left), self._COUNT, name)
                self.assertEqual({m.getMicName() for m in runs[0].outputMicrographs}, set(defoci), name)
                picked = [run for run in self.made[name].runs if run.getClassName() == "CryodlProtPick"][0]
                self.assertLessEqual({c.getMicName() for c in picked.outputCoordinates.iterItems()}, set(defoci), name)
                self.assertTrue(left or self._REAL_ENGINE, name)
            particles = [run for run in self.made[name].runs if "Extract" in run.getClassName()][0].outputParticles
            for item in particles.iterItems():
                micrograph = item.getCoordinate().getMicName()
                self.assertAlmostEqual(item.getCTF().getDefocusU(), defoci[micrograph], 1, f"{name} {micrograph}")

    def test_tomograms_hold_the_structures_that_were_chosen(self):
        for run in self.ours():
            if run.getClassName() in ("CryodlProtSimulateTomograms", "CryodlProtSimulateSubtomograms"):
                request = contract.Request.read(run._getExtraPath("request.json")).config
                self.assertEqual(len(request.structures), len(run.inputStructures), run.getObjLabel())


@unittest.skipIf(missing(), missing())
class TestCryodlScheduler(ScheduledTemplates):
    _ANSWERS = ANSWERS


@unittest.skipIf(missing(), missing())
class TestCryodlRealTemplate(ScheduledTemplates):
    _REAL_ENGINE = True
    _ANSWERS = {"cryodl-maps": dict(ANSWERS["cryodl-maps"], pixel=1.5)}


def writeHinge(path):
    """A PDB file of a ball of 300 atoms, 60 Å wide, with a rod of 40 Å on it, residues 301 to 380."""
    places = np.random.default_rng(0)
    ball = places.normal(size=(300, 3))
    ball *= 30 * (places.random((300, 1)) ** (1 / 3)) / np.linalg.norm(ball, axis=1, keepdims=True)
    rod = np.column_stack([25 + 40 * places.random(80), 10 * places.random((80, 2)) - 5])
    lines = [
        f"ATOM  {n:5d}  CA  LEU A{n:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00           C\n"
        for n, (x, y, z) in enumerate([*ball, *rod], 1)
    ]
    Path(path).write_text("".join(lines) + "END\n")
    return path


class TestCryodlNoMap(CryodlTest):
    """Runs that follow a first map which is not found, by Scipion's scheduler; the report is the real engine's."""

    _REAL_ENGINE = True

    @classmethod
    def prepare(cls):
        if Plugin.validateInstallation():
            raise unittest.SkipTest(Plugin.validateInstallation()[0])
        both = Path(cls.data, "both")
        real, fake = Plugin.getPython(), fakePython(cls.data)
        writeProgram(both, f'#!/bin/sh\n[ "$3" != report ] || exec "{real}" "$@"\nexec "{fake}" "$@"\n')
        hook = schedulerHook(cls.data, CLOCK.format(faster=FASTER))
        cls.variables = mock.patch.dict(
            os.environ, FAKE_ENGINE_MAP="none", PYTHONPATH=os.pathsep.join([hook, os.environ.get("PYTHONPATH", "")])
        )
        usePython(str(both))

    def follow(self, kind, label, **inputs):
        return self.makeProtocol(kind, inputs, objLabel=label, useGpu=False)

    def reported(self, *runs, all=False):
        """([status of each run and of a report], what the report says), once the report has ended, or all have."""
        report = self.makeProtocol(CryodlProtReport, every=5)
        runs = (*runs, report)
        with self.variables:
            for run in runs:
                self.proj.saveProtocol(run)
            for run in runs:
                self.proj.scheduleProtocol(run)
            try:
                end = time.time() + 60 * _MINUTES
                while any(run.isActive() for run in (runs if all else [report])) and time.time() < end:
                    time.sleep(1)
                    runs = [getUpdatedProtocol(run) for run in runs]
                    report = runs[-1]
            finally:
                ended = [getUpdatedProtocol(run) for run in runs]
                for run in ended:
                    if run.isActive():
                        killTree(run.getPid())
        return [run.getStatus() for run in ended], "\n".join(report.summary())

    def test_a_refinement_of_relion_that_fails_is_named_and_stops_what_follows(self):
        kinds = [Domain.getProtocols().get(name) for name in ("ProtRelionRefine3D", "ProtRelionPostprocess")]
        if None in kinds:
            self.skipTest("scipion-em-relion is not installed.")
        home = Path(self.data, "relion-3.1.3")
        writeProgram(home / "bin" / "relion_image_handler", '#!/bin/sh\ncp "$2" "$4"\n')
        writeProgram(home / "bin" / "relion_refine_mpi", "#!/bin/sh\necho 'ERROR: no memory' >&2\nexit 1\n")
        oriented = (makeParticles(self, "oriented"), "outputParticles")
        made = self.follow(CryodlProtBackProject, "map", inputParticles=oriented)
        pointers = dict(inputParticles=oriented, referenceVolume=(made, "outputVolume"))
        refined = self.makeProtocol(kinds[0], pointers, doGpu=False, numberOfMpi=3)
        masked = dict(protRefine=(refined, ""), solventMask=(made, "outputMask"))
        post = self.makeProtocol(kinds[1], masked)
        with mock.patch.dict(os.environ, RELION_HOME=str(home), PARALLEL_COMMAND_RELION="%(COMMAND)s"):
            statuses, said = self.reported(made, refined, post)
        self.assertEqual(statuses, ["finished", "failed", "scheduled", "finished"])
        what = "Alarm: relion - post-processing: not determined, because relion - 3D auto-refine failed: "
        self.assertIn(what, said)  # protocols of others lose their labels in pyworkflow
        self.assertIn("relion_refine_mpi", said)

    def test_the_report_ends_with_the_first_reason_when_nothing_more_can_start(self):
        raw, orient = (makeParticles(self, "raw"), "outputParticles"), CryodlProtAssignOrientations
        first = self.follow(CryodlProtInitialMap, "first map", inputParticles=raw)
        oriented = self.follow(orient, "orient", inputParticles=raw, inputStructure=(first, "outputVolume"))
        made = self.follow(CryodlProtBackProject, "map", inputParticles=(oriented, "outputParticles"))
        again = self.follow(orient, "again", inputParticles=raw, inputStructure=(made, "outputVolume"))
        statuses, said = self.reported(first, oriented, made, again, all=True)
        self.assertEqual(statuses, ["finished", "failed", "failed", "failed", "finished"])  # none is left waiting
        self.assertIn("Alarm: map, again: not determined, because orient failed:", said)
        self.assertIn("'first map' has no output outputVolume, though it has finished. initial-map told this", said)


_SIMULATED = dict(pixel=simulated.PIXEL_SIZE, diameter=simulated.DIAMETER, box=64)


@unittest.skipIf(missing(), missing())
class TestCryodlRealTemplates(ScheduledTemplates):
    """The others, on micrographs and structures of the simulator; most runs are killed once and continued."""

    _REAL_ENGINE = _SLOW = True
    _TIME, _COUNT, _KILLS = 60, simulated.MICROGRAPHS, "random"
    _ANSWERS = {
        "cryodl-picking": dict(ANSWERS["cryodl-picking"], **_SIMULATED, mask=200),
        "cryodl-autopicking": dict(ANSWERS["cryodl-autopicking"], **_SIMULATED),
        "cryodl-movies": dict(
            ANSWERS["cryodl-picking"],
            **_SIMULATED,
            pattern="*.mrcs",
            dose=40 / simulated.FRAMES,
            gain="none",
            patchx=1,
            patchy=1,
            bfactor=round(150 / simulated.PIXEL_SIZE**2),  # with 150 at 4 Å/px it is lost in noise: 2 to 50 px are left
            ctf="cryodl",
            mask=200,
        ),
        "cryodl-unattended": dict(ANSWERS["cryodl-unattended"], **_SIMULATED),
        "cryodl-motion": dict(ANSWERS["cryodl-motion"], domain="A:301-380", box=40),
        "cryodl-denoising": dict(ANSWERS["cryodl-denoising"], count=200, mask=120),
        "cryodl-tomograms": dict(ANSWERS["cryodl-tomograms"], mappixel=4, otherpixel=4, size=96, copies=12),
    }

    @classmethod
    def files(cls):
        folder = os.path.join(cls.data, "truth")
        os.mkdir(folder)
        made = Path(simulated.simulate(folder))
        cls.truth, body, half = made / "coordinates", os.path.join(folder, "body.mrc"), os.path.join(folder, "half.mrc")
        shutil.copy(body, half)
        with mrcfile.open(half, mode="r+") as mrc:
            mrc.data[:, :, 36:] = 0  # without one of its arms
        model = writeHinge(os.path.join(folder, "hinge.pdb"))
        return dict(
            super().files(),
            mics=str(made / "micrographs"),
            movies=str(made / "movies"),
            map=body,
            othermap=half,
            structure=model,
        )

    def test_movies_are_corrected_before_anything_else_sees_them(self):
        if "cryodl-movies" not in self.made:
            self.skipTest("CRYODL_TEMPLATES does not choose the movies.")
        made = self.made["cryodl-movies"]
        os.chdir(made.project.path)
        (corrected,) = [run for run in made.runs if run.getClassName() == "ProtRelionMotioncor"]
        for movie in corrected.outputMovies.iterItems():
            name = Path(movie.getFileName()).stem
            drift = np.loadtxt(self.truth.parent / "movies" / f"{name}.csv", delimiter=",", skiprows=1)[:, 1:]
            left = np.transpose(movie.getAlignment().getShifts()) + drift
            self.assertLess(np.linalg.norm(left - left.mean(0), axis=1).max(), 1, name)

    def test_most_picks_are_particles_and_most_particles_are_picked(self):
        for run in self.ours():
            if run.getClassName() in ("CryodlProtPick", "CryodlProtAutoPick"):
                picks = {}
                for item in run.outputCoordinates.iterItems():
                    picks.setdefault(item.getMicName().rsplit(".", 1)[0], []).append(item.getPosition())
                right = asked = given = 0
                shown = {m.getMicName().rsplit(".", 1)[0] for m in run.inputMicrographs.get()}
                for path in [path for path in self.truth.glob("*.star") if path.stem in shown]:
                    truth, ours = simulated.readPositions(path), np.array(picks.get(path.stem, np.empty((0, 2))))
                    apart = np.linalg.norm(truth[:, None] - ours[None], axis=-1) * simulated.PIXEL_SIZE
                    right += int((apart.min(1, initial=np.inf) < simulated.DIAMETER / 3).sum())
                    asked, given = asked + len(truth), given + len(ours)
                self.assertGreater(2 * right / (asked + given), 0.6, f"{run.getObjLabel()}: {right} {asked} {given}")


del ScheduledTemplates  # what is left to the test runner has templates
