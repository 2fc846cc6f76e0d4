# SPDX-License-Identifier: GPL-3.0-or-later
"""A form that was filled starts its run, in whatever order it was filled. filled_forms.py does the work."""

import os
import shutil
import sys
import unittest

import pyworkflow as pw

from ..convert.tomography import HAS_TOMO
from . import synthetic
from .fake_model import writeModel
from .map_sets import MapsTest
from .particle_sets import ParticlesTest, finishedWith, makeParticles, writeStack
from .processes import runToEnd
from .test_screens import missing

if HAS_TOMO:
    from .tomogram_runs import TomogramsTest
    from .tomogram_sets import makeAnnotations, makeClasses, makeSubtomograms
    from .tomograms.test_denoise_tomograms import withHalves


@unittest.skipIf(missing(), missing())
class TestCryodlFilledForms(*((TomogramsTest,) if HAS_TOMO else (ParticlesTest,)), MapsTest):
    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 3)
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        for positions in ([(40, 50), (120, 60), (200, 70)], [(42, 51), (121, 61), (280, 200)]):
            cls.makeCoordinates(cls.imported, {1: positions, 2: positions, 3: positions})
        ParticlesTest.prepare.__func__(cls)
        makeParticles(cls, "many", count=400)
        MapsTest.prepare.__func__(cls)
        for run in (cls.volume, cls.structure):
            run.setObjLabel("one molecule")
            cls.proj._storeProtocol(run)
        with open(cls.data + "/pairs.csv", "w") as file:
            file.write("map,structure,resolution\n")
        if HAS_TOMO:
            TomogramsTest.prepare.__func__(cls)
            drawn = makeAnnotations(cls, dict(membrane=(6, 6)))
            os.symlink(os.path.abspath(drawn.outputAnnotations.getFolder()), cls.data + "/folder")
            for name in ("tiles", "drawings"):
                writeStack(cls.data + f"/{name}.mrcs")
            makeClasses(cls, makeSubtomograms(cls))
            finishedWith(cls, withHalves(["TS_01", "TS_02"]))
        writeModel(cls.data + "/modelFolder", {})
        cls.picture = cls.data + "/pick.png"
        words = ["xvfb-run", "-a", "-s", "-screen 0 1600x1200x24", sys.executable, "-m", "scipion", "python", "-m"]
        words += ["cryodl_scipion.tests.filled_forms", cls.projName, cls.picture, cls.data]
        cls.filled = runToEnd(words, 600)
        cls.lines = cls.filled.stdout.splitlines()

    def test_execute_is_never_grey_and_says_what_is_missing_when_it_is_pressed(self):
        self.assertEqual(self.filled.returncode, 0, self.filled.stdout + self.filled.stderr)
        forms = [line for line in self.lines if " first: " in line]
        found = pw.Config.getDomain().getProtocols().items()
        # names of 0.1.0 have no label of their own, and Scipion's tree does not show them
        names = [n for n, c in found if n.startswith("CryodlProt") and "_label" in vars(c)]
        self.assertGreater(len(names), 30)
        self.assertEqual({line.split(",")[0] for line in forms}, set(names))
        for line in forms:
            self.assertNotIn("disabled", line)
            self.assertNotIn("pressed: nothing", line)

    def test_every_form_filled_with_real_inputs_runs(self):
        self.assertIn("not run with real inputs: []", self.lines)

    def test_picking_filled_from_the_top_runs(self):
        if os.environ.get("CRYODL_PICTURES"):
            shutil.copy(self.picture, os.environ["CRYODL_PICTURES"])
        self.assertIn("filled from the top: Execute normal", self.lines)
        self.assertIn("pressed: [] ['finished']", self.lines, self.filled.stderr[-3000:])
