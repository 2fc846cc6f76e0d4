# SPDX-License-Identifier: GPL-3.0-or-later
"""Assessment of micrographs, from the form to the two sets, also while micrographs arrive, with a fake engine.

In the fake's eyes mic_003 has 30 % carbon; the limit here is 25 %, so mic_001 and mic_002 are good.
"""

import dataclasses
import os
import shutil

from ...convert.micrographs.ctfs import METRICS, metricsOf
from ...protocols import CryodlProtAssess
from ...protocols.protocol_base import RESULT_FILE
from .. import synthetic
from ..base import CryodlTest
from ..streams import endImport, startImport, stopRun, waitFor

PICKS = [(40, 50), (120, 60)]


class TestCryodlAssess(CryodlTest):
    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 4)
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        cls.picked = cls.makeCoordinates(cls.imported, {1: PICKS, 2: PICKS[:1], 4: PICKS})

    def make(self, imported=None, picked=None, **values):
        pointers = dict(inputMicrographs=(imported or self.imported, "outputMicrographs"))
        if picked:
            pointers["inputCoordinates"] = (picked, "outputCoordinates")
        return self.makeProtocol(
            CryodlProtAssess,
            pointers,
            **dict(dict(particleDiameter=60, maximumCarbon=25, streamingSleepOnWait=1), **values),
        )

    def start(self, protocol, wait=True):
        self.assertEqual(protocol.validate(), [])
        self.proj.launchProtocol(protocol, wait=wait)
        return protocol

    def check(self, protocol, good, bad):
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        for output, numbers in ((protocol.goodMicrographs, good), (protocol.badMicrographs, bad)):
            self.assertEqual(sorted(m.getMicName() for m in output), [f"mic_{n:03d}.mrc" for n in numbers])
            self.assertFalse(output.isStreamOpen())
            self.assertEqual(output.getSamplingRate(), synthetic.PIXEL_SIZE)

    def assessed(self, protocol):
        """Names in the order in which the engine assessed them."""
        with open(protocol._getExtraPath("batches", "assessed.log")) as file:
            return file.read().split()

    def test_micrographs_are_split_and_carry_their_figures(self):
        protocol = self.start(self.make(picked=self.picked, batchSize=2))
        self.check(protocol, (1, 2), (3, 4))
        metrics = {
            m.getMicName(): metricsOf(m)
            for output in (protocol.goodMicrographs, protocol.badMicrographs)
            for m in output
        }
        self.assertEqual([metrics[f"mic_{n:03d}.mrc"]["_cryodlParticles"] for n in (1, 2, 3, 4)], [2, 1, 0, 2])
        self.assertEqual(metrics["mic_002.mrc"]["_cryodlCarbon"], 20)
        self.assertIsNone(metrics["mic_003.mrc"]["_cryodlMeanScore"])
        self.assertEqual({m._cryodlReason.get() for m in protocol.badMicrographs}, {"carbon 30 %", "carbon 40 %"})
        self.assertEqual(set(metrics["mic_001.mrc"]), set(METRICS))
        summary = "\n".join(protocol.summary())
        self.assertIn("*2 good*, 2 bad of 4 micrographs", summary)
        self.assertIn("Maximum carbon area: 25 %", summary)
        protocol.maximumCarbon.set(50)
        self.assertIn("another maximum carbon", " ".join(protocol.validate()))

    def test_without_picks_and_with_a_damaged_file(self):
        folder = os.path.join(self.data, "damaged")
        synthetic.writeMicrographs(folder, 3)
        synthetic.writeDamaged(os.path.join(folder, "mic_002.mrc"))
        protocol = self.start(self.make(self.importMicrographs(folder)))
        self.check(protocol, (1,), (3,))
        self.assertIsNone(metricsOf(protocol.goodMicrographs.getFirstItem())["_cryodlParticles"])
        self.assertRegex("\n".join(protocol.summary()), r"1 skipped:\*\n +mic_002: the file is shorter")

    def test_a_batch_of_which_a_part_is_assessed_again_is_still_told(self):
        """Killed between its two sets, a run assesses again what was to be in the second one, in a batch of its own."""
        protocol = self.start(self.make())
        [first] = protocol._engineResults()
        metrics = {name: values for name, values in first.outputs.metrics.items() if name in first.outputs.bad}
        os.makedirs(protocol._getExtraPath("batches", "000003_000004_2"))
        again = dataclasses.replace(first, outputs=dataclasses.replace(first.outputs, metrics=metrics))
        again.write(protocol._getExtraPath("batches", "000003_000004_2", RESULT_FILE))
        told = {name for result in protocol._engineResults() for name in result.outputs.metrics}
        self.assertEqual(told, {f"mic_{number:03d}" for number in range(1, 5)})

    def test_what_does_not_fit_is_named(self):
        self.assertIn("there are no Coordinates", " ".join(self.make(minimumParticles=3).validate()))
        self.assertIn("no coordinates that store it", " ".join(self.make(particleDiameter=None).validate()))
        self.assertIn("Scipion threads is 2; at least 3", " ".join(self.make(numberOfThreads=2).validate()))
        self.assertIn("Batch size is 0", " ".join(self.make(batchSize=0).validate()))
        synthetic.writeMicrograph(self.data + "/strange_1.mrc", 1)
        strange = self.makeCoordinates(self.importMicrographs(self.data, "strange_*.mrc"), {1: PICKS})
        self.assertIn("lie on other micrographs", " ".join(self.make(picked=strange).validate()))

    def test_arriving_micrographs_are_assessed_once_though_the_run_is_stopped(self):
        folder, waiting = os.path.join(self.data, "stream"), os.path.join(self.data, "waiting")
        paths = synthetic.writeMicrographs(waiting, 5)
        os.makedirs(folder)
        shutil.move(paths[0], folder)
        imported = startImport(self, folder)
        protocol = self.start(self.make(imported), wait=False)
        waitFor(self, protocol, lambda: protocol.hasAttribute("goodMicrographs"))
        self.assertTrue(protocol.goodMicrographs.isStreamOpen())
        stopRun(self.proj, protocol)
        before = self.assessed(protocol)
        for path in paths[1:]:
            os.utime(path)
            shutil.move(path, folder)
        endImport(self, imported, len(paths))
        self.start(protocol)
        self.check(protocol, (1, 2), (3, 4, 5))
        self.assertEqual(before, ["mic_001"])
        self.assertEqual(sorted(self.assessed(protocol)), [f"mic_{n:03d}" for n in range(1, 6)])
