# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows on maps open on a display, by the calls that a click makes. Skipped without Xvfb or tk."""

import os
import unittest

from PIL import Image

from ...protocols import (
    CryodlProtCompareModels,
    CryodlProtEvaluateMap,
    CryodlProtImproveMap,
    CryodlProtSimulateHalfMaps,
)
from ...protocols.model_field import FROM_PROJECT
from ..map_screens import PANELS
from ..map_sets import MapsTest
from ..test_screens import FEW_COLOURS, missing, openAll


@unittest.skipIf(missing(), missing())
class TestCryodlMapScreens(MapsTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        model, structure = (
            dict(inputModel=(cls.model, "outputModel")),
            dict(inputStructure=(cls.structure, "outputPdb")),
        )
        improved = cls.runProtocol(
            CryodlProtImproveMap,
            dict(model, inputVolume=(cls.volume, "outputVolume")),
            modelFrom=FROM_PROJECT,
            useGpu=False,
        )
        cls.runProtocol(
            CryodlProtEvaluateMap,
            dict(
                dict(structure, inputVolume=(improved, "outputVolume"), inputBefore=(cls.volume, "outputVolume")),
                **{f"inputProcessed{n}": (one, "outputVolume") for n, one in ((1, cls.volume), (2, improved))},
            ),
            useGpu=False,
        )
        cls.runProtocol(CryodlProtCompareModels, dict(structure, inputReference=(cls.structure, "outputPdb")))
        cls.runProtocol(CryodlProtSimulateHalfMaps, structure, resolution=4.0)

    def test_windows_on_maps_open(self):
        folder = os.path.join(self.data, "screens")
        os.makedirs(folder)
        names = [f"{panel}_{name}" for name, panels in PANELS.items() for panel in panels]
        run = openAll(self, folder, names)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        for name in names:
            with Image.open(os.path.join(folder, name + ".png")) as picture:
                self.assertGreater(len(picture.convert("RGB").getcolors(1 << 24)), FEW_COLOURS, name)
