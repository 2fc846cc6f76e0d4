# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimating CTFs, from the form to the set and the viewer, also while micrographs arrive, with a fake engine."""

import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
from pwem.constants import RELATION_CTF
from pwem.objects import SetOfCTF

from ...convert.micrographs import ctfs
from ...convert.micrographs.ctfs import ctfRows
from ...protocols import CryodlProtEstimateCTF
from ...viewers.micrographs.ctf_window import CryodlCTFViewer, EstimatedCTFs, powerSpectrum
from .. import synthetic
from ..base import CryodlTest
from ..streams import endImport, startImport, stopRun, waitFor


class TestCryodlEstimateCTF(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.paths = synthetic.writeMicrographs(cls.data + "/mics", 3)
        shutil.move(cls.paths[2], cls.data + "/mics/mic_009.mrc")
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        cls.estimated = cls.runProtocol(
            CryodlProtEstimateCTF,
            dict(inputMicrographs=(cls.imported, "outputMicrographs")),
            batchSize=2,
            streamingSleepOnWait=1,
        )

    def make(self, imported=None, weighted=None, **values):
        others = dict(micrographsToPick=(weighted, "outputMicrographs")) if weighted else {}
        return self.makeProtocol(
            CryodlProtEstimateCTF,
            dict(others, inputMicrographs=(imported or self.imported, "outputMicrographs")),
            **dict(dict(streamingSleepOnWait=1), **values),
        )

    def ctfsOf(self, protocol):
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertFalse(protocol.outputCTF.isStreamOpen())
        return {row[0]: row for row in ctfRows(protocol.outputCTF)}

    def test_micrographs_of_two_voltages_are_refused(self):
        imported = self.importMicrographs(self.data + "/mics")
        micrographs = imported.outputMicrographs
        for item in [item.clone() for item in micrographs][1:]:
            item.getAcquisition().setVoltage(200.0)
            micrographs.update(item)
        micrographs.write()
        self.assertIn("have several voltages", " ".join(self.make(imported).validate()))
        self.assertEqual(self.make().validate(), [])

    def test_each_micrograph_with_rings_gets_a_ctf_and_the_others_are_named(self):
        rows = self.ctfsOf(self.estimated)
        self.assertEqual(sorted(rows), ["mic_001.mrc", "mic_002.mrc"])
        self.assertEqual(rows["mic_002.mrc"][1:], (12000, 11800, 20, 200, 4, 0.8, 30))
        output = self.estimated.outputCTF
        self.assertIsInstance(output, SetOfCTF)
        self.assertEqual(output.getMicrographs().getObjId(), self.imported.outputMicrographs.getObjId())
        ids = {m.getMicName(): m.getObjId() for m in self.imported.outputMicrographs}
        self.assertEqual(
            {c.getMicrograph().getMicName(): c.getObjId() for c in output.iterItems()},
            {name: ids[name] for name in rows},
        )
        self.assertTrue(all(os.path.exists(c.getPsdFile()) for c in output.iterItems()))
        handedOn = self.estimated.outputMicrographs
        self.assertEqual({m.getMicName(): m.getObjId() for m in handedOn}, {name: ids[name] for name in rows})
        self.assertEqual(handedOn.getSamplingRate(), synthetic.PIXEL_SIZE)
        self.assertEqual(handedOn.getAcquisition().getVoltage(), 300)
        self.assertFalse(handedOn.isStreamOpen())
        summary = "\n".join(self.estimated.summary())
        self.assertIn("*2* CTFs: mean defocus 10900 to 11900 Å", summary)
        self.assertRegex(summary, r"1 skipped:\*\n +mic_009: .*no significant Thon rings")
        self.assertEqual(self.estimated._methods(), ["estimate-ctf was used."])
        with mock.patch.object(ctfs, "ctfRows", lambda given: [("m", 11000.4, 10999.8, 0, 0.6, 5, 1, 9)] * 2):
            self.assertIn("mean defocus 11000 Å", ctfs.ctfLines(self.estimated.outputCTF)[0])

    def test_other_settings_are_not_mixed_into_a_run(self):
        self.estimated.maximumDefocus.set(30000)
        self.assertIn("another maximum defocus", " ".join(self.estimated.validate()))

    def test_forms_of_extraction_find_the_ctfs_of_what_is_picked(self):
        for micrographs in (self.imported.outputMicrographs, self.estimated.outputMicrographs):
            related = self.proj.getRelatedObjects(RELATION_CTF, micrographs, refresh=True)
            self.assertIn(self.estimated.outputCTF.getObjId(), [found.get().getObjId() for found in related])

    def test_other_averages_of_the_movies_are_handed_on(self):
        folder = os.path.join(self.data, "weighted")
        os.makedirs(folder)
        for name in ("mic_001.mrc", "mic_002.mrc", "mic_009.mrc"):
            synthetic.writeMicrograph(os.path.join(folder, name), 5)
        run = self.make(weighted=self.importMicrographs(folder))
        self.proj.launchProtocol(run, wait=True)
        self.assertEqual(sorted(self.ctfsOf(run)), ["mic_001.mrc", "mic_002.mrc"])
        folders = {m.getMicName(): Path(os.path.realpath(m.getFileName())).parent.name for m in run.outputMicrographs}
        self.assertEqual(folders, {"mic_001.mrc": "weighted", "mic_002.mrc": "weighted"})
        run = self.make(weighted=self.importMicrographs(folder, "mic_00[12].mrc"))
        self.assertIn(
            "Micrographs without counterpart in Micrographs to pick on (1): mic_009", " ".join(run.validate())
        )

    def test_what_does_not_fit_is_named(self):
        self.assertIn("not above the minimum defocus", " ".join(self.make(minimumDefocus=60000).validate()))
        self.assertIn("at least 1.5 times", " ".join(self.make(lowestResolution=8, highestResolution=8).validate()))
        self.assertIn("Scipion threads is 2; at least 3", " ".join(self.make(numberOfThreads=2).validate()))
        empty = self.make()
        empty.numberOfThreads.set(None)
        self.assertIn("Scipion threads is empty; at least 3", " ".join(empty.validate()))
        self.assertIn("Batch size is 0", " ".join(self.make(batchSize=0).validate()))

    def test_arriving_micrographs_are_fitted_once_though_the_run_is_stopped(self):
        folder, waiting = os.path.join(self.data, "stream"), os.path.join(self.data, "waiting")
        paths = synthetic.writeMicrographs(waiting, 3)
        os.makedirs(folder)
        shutil.move(paths[0], folder)
        imported = startImport(self, folder)
        protocol = self.make(imported)
        self.proj.launchProtocol(protocol, wait=False)
        waitFor(self, protocol, lambda: protocol.hasAttribute("outputCTF"))
        self.assertTrue(protocol.outputCTF.isStreamOpen())
        stopRun(self.proj, protocol)
        for path in paths[1:]:
            os.utime(path)
            shutil.move(path, folder)
        waitFor(self, imported, lambda: imported.outputMicrographs.getSize() == len(paths))
        self.proj.launchProtocol(protocol, wait=False)  # while the import can still write its set, see launching.py
        waitFor(self, protocol, lambda: protocol.outputCTF.getSize() == len(paths))
        endImport(self, imported, len(paths))
        waitFor(self, protocol, lambda: not protocol.isActive())
        names = [f"mic_00{n}.mrc" for n in (1, 2, 3)]
        self.assertEqual(sorted(self.ctfsOf(protocol)), names)
        self.assertEqual(sorted(m.getMicName() for m in protocol.outputMicrographs), names)
        with open(protocol._getExtraPath("batches", "estimated.log")) as file:
            self.assertEqual(sorted(file.read().split()), [f"mic_00{n}" for n in (1, 2, 3)])

    # ----- viewer
    def panels(self, protocol):
        viewer = CryodlCTFViewer(project=self.proj, protocol=protocol)
        viewer.setProtocol(protocol)
        return viewer._getVisualizeDict()

    def test_the_viewer_shows_spectra_and_figures(self):
        data = EstimatedCTFs(self.estimated.outputCTF)
        self.assertIn("Defocus 12000 and 11800 Å, U at 20° to x", data.inWords(data.names.index("mic_002.mrc")))
        self.assertEqual(len(data.profile(0)["frequency"]), 50)
        (plotter,) = self.panels(self.estimated)["showDefocus"]("showDefocus")
        counts = {a.get_xlabel(): sum(p.get_height() for p in a.patches) for a in plotter.getFigure().axes}
        self.assertEqual((counts["Mean defocus (µm)"], counts["Rings fitted to (Å)"]), (2, 2))
        path = os.path.join(self.data, "defocus.png")
        plotter.getFigure().savefig(path)
        self.assertGreater(os.path.getsize(path), 10000)

    def test_a_run_without_results_has_a_message(self):
        for panel, show in self.panels(self.newProtocol(CryodlProtEstimateCTF)).items():
            self.assertIn("yet", show(panel)[0].getMessage())

    def test_the_spectrum_of_the_wizard_has_a_wave_where_it_belongs(self):
        x = np.arange(600)
        noise = np.random.default_rng(1).standard_normal((600, 600))
        spectrum = powerSpectrum(noise + np.cos(2 * np.pi * x / 8))  # a wave of 8 px along x
        self.assertEqual(spectrum.shape, (512, 512))
        self.assertEqual(spectrum[256, 256 + 64], spectrum.max())
        self.assertEqual(spectrum[256, 256 - 64], spectrum.max())
        self.assertLess(spectrum[256 + 64, 256], spectrum.max())
