# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs that arrive while the real engine picks, the run killed and continued: nothing is lost or doubled.

The benchmark `week` has thousands.
"""

import os
import unittest

from pwem import Domain

from ... import Plugin
from ...protocols import CryodlProtPick
from ...protocols.model_field import SHIPPED
from .. import arrivals
from ..base import CryodlTest
from ..launching import realProcesses
from ..streams import startImport

COUNT, BATCH, KILL_AT = 40, 8, (10, 27)
# Scipion's own objects of 40 micrographs are some MB; a leak of whole sets or images would be hundreds.
MOST_GROWTH = 80  # MB


def missing():
    """Why the engine cannot run here, '' if it can."""
    Domain.getPlugins()  # only now do plugins know their homes
    return " ".join(Plugin.validateInstallation())


@unittest.skipIf(missing(), missing())
class TestCryodlFacility(CryodlTest):
    _REAL_ENGINE = _SLOW = True

    def test_forty_arriving_micrographs_survive_two_kills(self):
        waiting = arrivals.writeMicrographs(os.path.join(self.data, "waiting"), COUNT)
        names = [os.path.basename(path)[:-4] for path in waiting]
        stream = arrivals.Arrivals(waiting, os.path.join(self.data, "arriving"), rate=2)
        stream.update()
        imported = startImport(self, os.path.join(self.data, "arriving"), arrivals.PIXEL_SIZE)
        stream.stopFile = imported._getStopStreamingFilename()
        protocol = self.makeProtocol(
            CryodlProtPick,
            dict(inputMicrographs=(imported, "outputMicrographs")),
            modelFrom=SHIPPED,
            shippedModel="ribosome",
            particleDiameter=arrivals.DIAMETER,
            useGpu=False,
            streamingBatchSize=BATCH,
        )
        self.assertEqual(protocol.validate(), [])
        run = arrivals.KilledRun(self.proj, protocol, stream, KILL_AT, pause=0.5)
        with realProcesses():
            run.run(seconds=600)
        self.assertEqual(run.problems(names), [])
        self.assertEqual(run.kills, len(KILL_AT))
        self.assertGreater(protocol.outputCoordinates.getSize(), COUNT)
        last = [s.scipion for s in run.samples if s.scipion and s.picked > KILL_AT[-1]]
        self.assertGreater(len(last), 2, "no memory was measured after the last kill")
        self.assertLess(last[-1] - last[len(last) // 2], MOST_GROWTH, run.samples)
