# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows and wizards of tomograms open on a display, by the calls that a click makes. Skipped without Xvfb or tk."""

import os
import unittest

from PIL import Image

from ...protocols import (
    CryodlProtClassifySubtomograms,
    CryodlProtDenoiseTomograms,
    CryodlProtDetectParticles,
    CryodlProtMeasureMembranes,
)
from ..particle_sets import finishedWith
from ..test_screens import FEW_COLOURS, missing, openAll
from ..tomogram_runs import TomogramsTest
from ..tomogram_screens import PANELS, WIZARDS
from ..tomogram_sets import makeClassifier, makeSubtomograms
from .test_denoise_tomograms import withHalves


@unittest.skipIf(missing(), missing())
class TestCryodlTomogramScreens(TomogramsTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        good = lambda protocol: cls.finished(cls.launch(protocol))
        segmented = good(cls.segmentation())
        good(cls.merging(segmented))
        good(cls.picking(cls.labels, "outputMasks", label=2, boxSize=12))
        good(cls.makeProtocol(CryodlProtMeasureMembranes, dict(inputMasks=(cls.labels, "outputMasks")), label=1))
        halved = finishedWith(cls, withHalves(["TS_01", "TS_02"]))
        good(
            cls.makeProtocol(CryodlProtDenoiseTomograms, dict(inputTomograms=(halved, "outputTomograms")), useGpu=False)
        )
        pointers = dict(
            inputTomograms=(cls.tomograms, "outputTomograms"),
            inputStructure=(cls.makeMap("ribosome", 4.0), "outputVolume"),
        )
        good(cls.makeProtocol(CryodlProtDetectParticles, pointers, useGpu=False))
        source, model = makeSubtomograms(cls), makeClassifier(cls, ["large", "small"])
        good(
            cls.makeProtocol(
                CryodlProtClassifySubtomograms,
                dict(inputSubtomograms=(source, "outputSubtomograms"), inputModel=(model, "outputModel")),
                useGpu=False,
            )
        )

    def test_windows_on_tomograms_open(self):
        folder = os.path.join(self.data, "screens")
        os.makedirs(folder)
        names = [f"{panel}_{name}" for name, panels in PANELS.items() for panel in panels] + list(WIZARDS)
        run = openAll(self, folder, names)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        for name in names:
            with Image.open(os.path.join(folder, name + ".png")) as picture:
                self.assertGreater(len(picture.convert("RGB").getcolors(1 << 24)), FEW_COLOURS, name)
