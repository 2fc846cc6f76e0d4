# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoised micrographs, from the form to the set and its viewer, also while they arrive; mostly with a fake engine."""

import os
import shutil
import unittest
from unittest import mock

import mrcfile
import numpy as np
from matplotlib.figure import Figure
from pwem.objects import SetOfMicrographs
from pwem.protocols import EMProtocol
from pyworkflow.object import Set

from ...convert.arriving import halvesOf
from ...protocols import CryodlProtDenoiseMicrographs
from ...protocols.micrographs.protocol_denoise_micrographs import DENOISER, ONLY_FOR
from ...viewers.micrographs.viewer_denoise_micrographs import DenoisedMicrographs, drawPair, drawSpectra, radialPower
from ...viewers.plots import loadPreview
from .. import synthetic
from ..base import CryodlTest
from ..simulated import missingEngine
from ..streams import endImport, startImport, stopRun, waitFor


class TestCryodlDenoiseMicrographs(CryodlTest):
    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 4)
        cls.imported = cls.importMicrographs(cls.data + "/mics")

    def make(self, imported=None, model=None, **values):
        pointers = dict(inputMicrographs=(imported or self.imported, "outputMicrographs"))
        if model:
            pointers["inputModel"] = (model, "outputModel")
        return self.makeProtocol(
            CryodlProtDenoiseMicrographs,
            pointers,
            **dict(dict(useGpu=False, trainingMicrographs=2, streamingSleepOnWait=1), **values),
        )

    def start(self, protocol, wait=True):
        self.assertEqual(protocol.validate(), [])
        self.proj.launchProtocol(protocol, wait=wait)
        return protocol

    def log(self, protocol):
        """What the engine did, in its order."""
        with open(protocol._getExtraPath("denoised", "denoised.log")) as file:
            return file.read().splitlines()

    def check(self, protocol, numbers, model="model"):
        """Names, ids, pixel size and size are those of the input, so that coordinates fit; the files are others."""
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        output, source = protocol.outputMicrographs, protocol.inputMicrographs.get()
        originals = {m.getObjId(): m.clone() for m in source}
        self.assertEqual(sorted(m.getMicName() for m in output), [f"mic_{n:03d}.mrc" for n in numbers])
        self.assertFalse(output.isStreamOpen())
        self.assertEqual((output.getSamplingRate(), output.getDim()[:2]), (synthetic.PIXEL_SIZE, source.getDim()[:2]))
        for micrograph in output:
            original = originals[micrograph.getObjId()]
            self.assertEqual(micrograph.getMicName(), original.getMicName())
            self.assertNotEqual(micrograph.getFileName(), original.getFileName())
            self.assertEqual(getattr(micrograph, DENOISER).get(), model)
            self.assertEqual(micrograph.getDim()[:2], original.getDim()[:2])

    def test_micrographs_and_a_model_come_out_and_the_first_batch_trains(self):
        protocol = self.start(self.make(batchSize=1))
        self.check(protocol, (1, 2, 3, 4))
        log = self.log(protocol)
        self.assertEqual((log[:3], sorted(log[3:])), (["train 2", "mic_001", "mic_002"], ["mic_003", "mic_004"]))
        self.assertEqual(protocol.outputModel.getKind(), "micrograph_denoiser")
        summary = "\n".join(protocol.summary())
        self.assertIn("*4 micrographs denoised* by the model model (added-noise, to 8 Å)", summary)
        self.assertIn(ONLY_FOR, summary)
        self.assertEqual(protocol._methods(), ["denoise-micrographs was used."])
        self.assertEqual(set(protocol._citations()), {"cryodl", "Lehtinen2018", "Bepler2020", "Pang2021"})
        again = self.start(self.make(model=protocol))
        self.check(again, (1, 2, 3, 4))
        self.assertFalse(again.hasAttribute("outputModel"))
        self.assertNotIn("train 2", self.log(again))
        shutil.rmtree(protocol.getModelFolder())
        self.assertIn("*4 micrographs denoised*.", again.summary())
        self.assertEqual(again.methods()[:1], ["denoise-micrographs was used."])

    def test_what_came_before_the_input_s_run_failed_is_learnt_from(self):
        """Nothing was denoised where fewer had come than the network learns from."""
        for failure in (None, ValueError("the run 'import' failed")):
            protocol = self.make(trainingMicrographs=9)
            protocol._arriving = mock.Mock(closed=False, failure=failure)
            self.assertEqual(protocol._partsOf(["a", "b"], True), [["a", "b"]] if failure else [])

    def test_a_shipped_model_needs_no_training(self):
        protocol = self.start(self.make(shippedModel="general_denoiser", resolution=12, batchSize=2))
        self.check(protocol, (1, 2, 3, 4), model="general_denoiser")
        self.assertFalse(protocol.hasAttribute("outputModel"))
        self.assertNotIn("train 2", self.log(protocol))
        self.assertIn("(trained on simulated micrographs, to 12 Å)", "\n".join(protocol.summary()))
        self.assertIn("Zhang2023SCUNet", protocol._citations())
        errors = self.make(shippedModel="nobody").validate()
        self.assertIn("Shipped model is 'nobody', which does not exist", " ".join(errors))

    def test_damaged_micrographs_are_left_out_and_named(self):
        folder = os.path.join(self.data, "damaged")
        synthetic.writeMicrographs(folder, 3)
        synthetic.writeDamaged(os.path.join(folder, "mic_002.mrc"))
        protocol = self.start(self.make(self.importMicrographs(folder), batchSize=1))
        self.check(protocol, (1, 3))
        self.assertRegex("\n".join(protocol.summary()), r"1 skipped:\*\n +mic_002: the file is shorter")

    def test_halves_that_motion_correction_made_are_found_and_used(self):
        corrected = self.makeCorrected()
        protocol = self.make(corrected)
        self.assertEqual([half.getSize() for half in halvesOf(protocol.inputMicrographs)], [4, 4])
        self.start(protocol)
        self.check(protocol, (1, 2, 3, 4))
        self.assertIn("(even-odd, to 8 Å)", "\n".join(protocol.summary()))
        # the halves are constant images of 1 and 3, so what was made of them is 2 everywhere
        with mrcfile.open(protocol.outputMicrographs.getFirstItem().getFileName()) as mrc:
            self.assertEqual(np.unique(mrc.data).tolist(), [2.0])

    def makeCorrected(self):
        """A finished protocol with the outputs of a motion correction; its even averages are 1, its odd ones 3."""
        protocol = self.newProtocol(EMProtocol)
        self.proj.saveProtocol(protocol)
        protocol.makePathsAndClean()
        outputs = {}
        for name, value in (("outputMicrographs", None), ("outputMicrographsEven", 1), ("outputMicrographsOdd", 3)):
            micrographs = SetOfMicrographs.create(protocol._getPath(), prefix=name)
            micrographs.copyInfo(self.imported.outputMicrographs)
            for micrograph in [m.clone() for m in self.imported.outputMicrographs]:
                if value:
                    path = protocol._getExtraPath(f"{micrograph.getMicName()}_{value}.mrc")
                    with mrcfile.new(path, overwrite=True) as mrc:
                        mrc.set_data(np.full((synthetic.SIDE_Y, synthetic.SIDE_X), value, np.float32))
                    micrograph.setFileName(path)
                micrographs.append(micrograph)
            micrographs.setStreamState(Set.STREAM_CLOSED)
            micrographs.write()
            outputs[name] = micrographs
        protocol._defineOutputs(**outputs)
        protocol.setFinished()
        self.proj._storeProtocol(protocol)
        return protocol

    def test_what_does_not_fit_is_named(self):
        self.assertIn("Scipion threads is 2; at least 3", " ".join(self.make(numberOfThreads=2).validate()))
        self.assertIn("Batch size is 0", " ".join(self.make(batchSize=0).validate()))
        self.assertIn("even-odd learns from", " ".join(self.make(method=1).validate()))
        half = self.make()
        half.evenMicrographs.set(self.imported)
        half.evenMicrographs.setExtended("outputMicrographs")
        self.assertIn("belong together", " ".join(half.validate()))
        strange = os.path.join(self.data, "strange")
        synthetic.writeMicrographs(strange, 2)
        other = self.importMicrographs(strange)
        for field in (half.evenMicrographs, half.oddMicrographs):
            field.set(other)
            field.setExtended("outputMicrographs")
        self.assertIn("Micrographs without average of even frames (2): mic_003", " ".join(half.validate()))

    def test_arriving_micrographs_are_denoised_once_though_the_run_is_stopped(self):
        folder, waiting = os.path.join(self.data, "stream"), os.path.join(self.data, "waiting")
        paths = synthetic.writeMicrographs(waiting, 5)
        os.makedirs(folder)
        for path in paths[:2]:
            shutil.move(path, folder)
        imported = startImport(self, folder)
        protocol = self.start(self.make(imported, batchSize=1), wait=False)
        waitFor(self, protocol, lambda: protocol.hasAttribute("outputMicrographs"))
        self.assertTrue(protocol.outputMicrographs.isStreamOpen())
        stopRun(self.proj, protocol)
        before = self.log(protocol)
        for path in paths[2:]:
            os.utime(path)
            shutil.move(path, folder)
        endImport(self, imported, len(paths))
        self.start(protocol)
        self.check(protocol, (1, 2, 3, 4, 5))
        self.assertEqual(before, ["train 2", "mic_001", "mic_002"])
        self.assertEqual(sorted(self.log(protocol)[3:]), [f"mic_{n:03d}" for n in (3, 4, 5)])

    # ----- viewer
    def test_pairs_are_matched_by_name_and_drawn_with_their_spectra(self):
        protocol = self.start(self.make())
        data = DenoisedMicrographs(self.imported.outputMicrographs, protocol.outputMicrographs)
        self.assertEqual([os.path.basename(p) for p in data.paths], list(data.after))
        figure, paths = Figure(figsize=(8, 6)), data.pair(0)
        *_, below = drawPair(figure, *map(loadPreview, paths))
        drawSpectra(below, paths, data.pixelSize)
        before, after = (line.get_ydata() for line in below.lines)
        self.assertGreater(before[-1], 5 * after[-1])  # smoothing takes the fine noise away
        self.assertAlmostEqual(below.lines[0].get_xdata()[-1], 0.5 / data.pixelSize, delta=0.01)

    def test_the_power_of_white_noise_is_its_variance_at_every_frequency(self):
        noise = 3 * np.random.default_rng(0).standard_normal((600, 900), np.float32)
        power = radialPower(noise, 2.0)[1]
        self.assertAlmostEqual(power[50:].mean(), 9, delta=0.3)
        self.assertLess(np.abs(power[50:] / 9 - 1).max(), 0.4)


@unittest.skipIf(missingEngine(), missingEngine())
class TestCryodlDenoiseMicrographsReally(CryodlTest):
    """With the real engine."""

    _REAL_ENGINE = _SLOW = True

    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 2)
        cls.imported = cls.importMicrographs(cls.data + "/mics")

    def test_the_denoised_micrographs_lie_on_the_originals_and_protein_stays_dark(self):
        protocol = self.runProtocol(
            CryodlProtDenoiseMicrographs,
            dict(inputMicrographs=(self.imported, "outputMicrographs")),
            useGpu=False,
            steps=3,
            streamingSleepOnWait=1,
        )
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        originals = {m.getObjId(): m.getFileName() for m in self.imported.outputMicrographs}
        for micrograph in protocol.outputMicrographs:
            before, after = (mrcfile.read(p) for p in (originals[micrograph.getObjId()], micrograph.getFileName()))
            self.assertEqual(after.shape, (synthetic.SIDE_Y, synthetic.SIDE_X))
            self.assertAlmostEqual(after.mean(), before.mean(), delta=0.1)
            inside = [after[int(round(y)), int(round(x))] for x, y, _ in synthetic.PARTICLES]
            self.assertLess(max(inside), after.mean() - after.std())  # each disc, at its own position
            self.assertLess(after[100:120, 20:60].std(), 0.4 * before[100:120, 20:60].std())  # no particle is here
        self.assertIn("(added-noise, to 8 Å)", "\n".join(protocol.summary()))
        self.assertEqual(protocol.outputModel.getNetwork(), "unet")
