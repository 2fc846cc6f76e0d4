# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting particles out, from the form to the set, also while micrographs arrive, with a fake engine."""

import contextlib
import math
import os
import shutil
import sqlite3
from collections import Counter
from unittest import mock

import mrcfile
import numpy as np
from pwem.objects import Coordinate, CTFModel, Micrograph, SetOfCoordinates, SetOfMicrographs, SetOfParticles
from pwem.protocols import ProtSubSet
from pyworkflow.object import Integer, Pointer, Set, String
from pyworkflow.protocol import STATUS_SAVED, STATUS_SCHEDULED

from ...convert.arriving import coordinatesOn
from ...convert.micrographs.picks import positionsByMicrograph, scaledPicks
from ...engine.cryodl import contract
from ...protocols import CryodlProtEstimateCTF, CryodlProtExtractParticles, CryodlProtPick
from ...protocols.checks import checkJoined, lackedBy
from ...protocols.micrographs.protocol_compare import ctfsByName
from ...protocols.simulating import OwnMicrographs
from ...wizards import single_particles
from .. import synthetic
from ..base import CryodlTest
from ..particle_sets import finishedWith
from ..streams import endImport, startImport, stopRun, waitFor

BOX = 32
WHOLE = 5  # of a micrograph's six particles are picked: one has too low a score; their boxes lie inside


class TestCryodlExtractParticles(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.paths = synthetic.writeMicrographs(cls.data + "/mics", 3)
        shutil.move(cls.paths[2], cls.data + "/mics/mic_009.mrc")  # the fake engine finds no rings in it
        shutil.move(cls.paths[2] + ".truth.json", cls.data + "/mics/mic_009.mrc.truth.json")
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        cls.ctf = cls.runProtocol(CryodlProtEstimateCTF, cls.micrographsOf(cls.imported), streamingSleepOnWait=1)
        cls.picked = cls.runProtocol(CryodlProtPick, cls.micrographsOf(cls.imported), **cls.pickValues())
        # one by one: nothing can be cut out of some batches
        cls.extracted = cls.extract(cls.picked, cls.ctf, batchSize=1)

    @staticmethod
    def micrographsOf(imported):
        return dict(inputMicrographs=(imported, "outputMicrographs"))

    @staticmethod
    def pickValues():
        return dict(modelFrom=1, particleDiameter=synthetic.DIAMETER, threshold=0.2, useGpu=False)

    @classmethod
    def extract(cls, picked, ctf, run=True, **values):
        pointers = dict(inputCoordinates=(picked, "outputCoordinates"))
        if ctf is not None:
            pointers["inputCTF"] = (ctf, "outputCTF")
        values = dict(dict(box=BOX, streamingSleepOnWait=1), **values)
        return (cls.runProtocol if run else cls.makeProtocol)(CryodlProtExtractParticles, pointers, **values)

    def perMicrograph(self, protocol):
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertFalse(protocol.outputParticles.isStreamOpen())
        return Counter(item.getCoordinate().getMicName() for item in protocol.outputParticles.iterItems())

    def test_each_particle_has_its_image_its_coordinate_and_its_ctf(self):
        self.assertEqual(self.perMicrograph(self.extracted), {"mic_001.mrc": WHOLE, "mic_002.mrc": WHOLE})
        output = self.extracted.outputParticles
        self.assertIsInstance(output, SetOfParticles)
        self.assertEqual((output.getXDim(), output.getSamplingRate(), output.hasCTF()), (BOX, 3.0, True))
        self.assertFalse(output.isPhaseFlipped())
        picks = {(c.getMicName(),) + c.getPosition() for c in self.picked.outputCoordinates.iterItems()}
        images = {}
        for item in output.iterItems():
            name, (x, y) = item.getCoordinate().getMicName(), item.getCoordinate().getPosition()
            self.assertIn((name, x, y), picks)
            self.assertGreater(item.getCoordinate()._cryodlScore.get(), 0.2)
            image = images.setdefault(name, mrcfile.read(os.path.join(self.data, "mics", name)))
            index, path = item.getLocation()
            box = image[y - BOX // 2 : y + BOX // 2, x - BOX // 2 : x + BOX // 2]
            self.assertTrue(np.array_equal(mrcfile.read(path)[index - 1], -box))
            self.assertEqual(item.getCTF().getDefocusU(), 10000 + 1000 * int(name[4:7]))
            self.assertEqual(item.getAcquisition().getVoltage(), 300)

    def test_the_form_asks_before_particles_are_cut_out_without_ctf(self):
        asked = [" ".join(self.extract(self.picked, ctf, run=False).warnings()) for ctf in (self.ctf, None)]
        self.assertEqual(["will have no CTF" in one for one in asked], [False, True])

    def test_what_was_left_out_is_said(self):
        summary = "\n".join(self.extracted.summary())
        self.assertIn(f"*{2 * WHOLE} particles* of {BOX} px, 3 Å/px", summary)
        self.assertRegex(summary, r"1 skipped:\*\n +mic_009: it has no CTF, or one that failed")
        self.assertEqual(self.extracted._methods(), ["extract-particles was used."])
        # a micrograph that lost all is worked on again when the run is continued; it was counted twice
        counts = dict(a=1), dict(b=2), dict(a=1)
        lost = [contract.Result("extract-particles", dict(at_edge={}, unusable=one)) for one in counts]
        told = "3 picks left out: the box has constant or non-finite values."
        self.assertIn(told, self.extracted._tell(lost))
        none = self.extract(self.picked, self.ctf, run=False)  # all were lost: there is no set
        self.assertEqual(none._tell(lost), ["No particles yet.", told])

    def test_without_ctfs_all_micrographs_are_used(self):
        bare = self.extract(self.picked, None, box=100)
        counts = self.perMicrograph(bare)
        self.assertEqual(sorted(counts), ["mic_001.mrc", "mic_002.mrc", "mic_009.mrc"])
        self.assertFalse(bare.outputParticles.hasCTF())
        self.assertRegex("\n".join(bare.summary()), "[0-9] picks left out: the box extends beyond the edge")

    def marked(self, name, value):
        """A run with copies of the imported micrographs, each of which has an attribute more: value(micrograph)."""

        def make(protocol):
            micrographs = protocol._createSetOfMicrographs()
            micrographs.copyInfo(self.imported.outputMicrographs)
            for micrograph in self.imported.outputMicrographs:
                copy = micrograph.clone()
                setattr(copy, name, value(copy))
                micrographs.append(copy)
            return dict(outputMicrographs=micrographs)

        return finishedWith(self, make)

    def test_particles_are_in_the_optics_group_of_their_micrograph(self):
        marked = self.marked("_rlnOpticsGroup", lambda micrograph: Integer(micrograph.getObjId() + 1))
        pointers = dict(inputCoordinates=(self.picked, "outputCoordinates"))
        pointers["inputMicrographs"] = (marked, "outputMicrographs")
        made = self.runProtocol(CryodlProtExtractParticles, pointers, box=BOX, streamingSleepOnWait=1)
        groups = {(p.getMicId(), p._rlnOpticsGroup.get()) for p in made.outputParticles.iterItems()}
        self.assertEqual(groups, {(1, 2), (2, 3), (3, 4)})

    def test_picks_on_micrographs_that_the_other_ones_lack_are_said(self):
        other = self.newProtocol(ProtSubSet, chooseAtRandom=True, nElements=1)
        other.inputFullSet.set(self.imported)
        other.inputFullSet.setExtended("outputMicrographs")
        self.launchProtocol(other)
        pointers = dict(inputCoordinates=(self.picked, "outputCoordinates"))
        pointers["inputMicrographs"] = (other, "outputMicrographs")
        run = self.makeProtocol(CryodlProtExtractParticles, pointers, box=BOX, streamingSleepOnWait=1)
        (there,) = (micrograph.getMicName() for micrograph in other.outputMicrographs)
        lost = {"mic_001.mrc", "mic_002.mrc", "mic_009.mrc"} - {there}
        said = f"Other micrographs has no {', '.join(sorted(lost))}, whose coordinates cannot be used."
        self.assertIn(said, " ".join(run.warnings()))
        self.proj.launchProtocol(run, wait=True)
        self.assertIn(said, " ".join(run.summary()))
        begun = SetOfCoordinates(filename=run._getExtraPath("begun.sqlite"))  # a stream without an item yet
        begun.write()
        self.assertEqual(lackedBy(other.outputMicrographs, begun), [])

    def test_denoised_micrographs_are_refused_for_particles_and_for_their_ctf(self):
        denoised = self.marked("_cryodlDenoiser", lambda _: String("the_model"))
        picked = self.makeCoordinates(denoised, {1: [(100, 100)]})
        said = "The micrographs are denoised (model the_model)"
        self.assertIn(said, " ".join(self.extract(picked, self.ctf, run=False).validate()))
        ctf = self.makeProtocol(CryodlProtEstimateCTF, self.micrographsOf(denoised))
        self.assertIn(said, " ".join(ctf.validate()))
        own = OwnMicrographs("ownMicrographs")  # that simulated ones are to resemble, in their noise
        self.assertIn(said, " ".join(own.check(None, denoised.outputMicrographs)))
        self.assertEqual(own.check(None, self.imported.outputMicrographs), [])
        ctf = self.makeProtocol(CryodlProtEstimateCTF, self.micrographsOf(self.imported))
        self.assertEqual(ctf.validate(), [])
        pointers = dict(
            inputCoordinates=(picked, "outputCoordinates"), inputMicrographs=(self.imported, "outputMicrographs")
        )
        self.assertEqual(
            self.makeProtocol(CryodlProtExtractParticles, pointers, box=BOX, particleDiameter=60).validate(), []
        )

    def test_ctfs_of_no_micrographs_are_refused(self):
        def make(protocol):
            ctfs = protocol._createSetOfCTF()
            for ctf in self.ctf.outputCTF:
                bare = CTFModel()
                bare.setStandardDefocus(*ctf.getDefocus())
                ctfs.append(bare)
            return dict(outputCTF=ctfs)

        bare = finishedWith(self, make)
        said = " ".join(self.extract(self.picked, bare, run=False).validate())  # once after *Execute*
        self.assertIn("CTF estimation has no CTF of these micrographs", said)
        bare.outputCTF.setStreamState(Set.STREAM_OPEN)  # theirs may come
        self.assertEqual(self.extract(self.picked, bare, run=False).validate(), [])
        self.assertEqual(set(ctfsByName(bare.outputCTF)), {None})

    def test_ctfs_that_all_failed_are_refused_as_such(self):
        """The form said that there were none of these micrographs."""

        def make(protocol):
            ctfs = protocol._createSetOfCTF()
            for ctf in self.ctf.outputCTF:
                ctf.setWrongDefocus()
                ctfs.append(ctf.clone())
            return dict(outputCTF=ctfs)

        said = " ".join(self.extract(self.picked, finishedWith(self, make), run=False).validate())
        self.assertIn("CTF estimation has only CTFs that failed or are unticked", said)

    def test_a_ctf_that_failed_or_was_taken_out_is_none(self):
        failed, out, good = CTFModel(), CTFModel(), CTFModel()
        failed.setWrongDefocus()
        out.setEnabled(False)
        for ctf, name in ((failed, "a"), (out, "b"), (good, "c")):
            ctf.setMicrograph(Micrograph())
            ctf.getMicrograph().setMicName(name)
        self.assertEqual(list(ctfsByName([failed, out, good])), ["c"])

    def test_picks_that_were_taken_out_in_a_table_are_not_worked_on(self):
        picked = self.makeCoordinates(self.imported, {1: [(90, 90), (120, 90)]})
        coordinates, found = picked.outputCoordinates, []
        for number in (1, 2):
            coordinates.close()
            with contextlib.closing(sqlite3.connect(coordinates.getFileName())) as file, file:
                file.execute(f"UPDATE Objects SET enabled = 0 WHERE id = {number}")
            cut = [item.getPosition() for item in coordinatesOn(coordinates, [1])[1]]
            (written,) = scaledPicks(coordinates, ["mic_001.mrc"], synthetic.PIXEL_SIZE).values()
            found.append((cut, [pick[:2] for pick in written], positionsByMicrograph(coordinates).get(1, [])))
        self.assertEqual(found, [([(120, 90)],) * 3, ([],) * 3])
        said = " ".join(self.extract(picked, None, run=False).validate())
        self.assertIn("coordinates.sqlite is unticked in Scipion's table. Tick some", said)
        coordinates.close()
        os.remove(coordinates.getFileName())
        said = " ".join(self.extract(picked, None, run=False).validate())
        self.assertIn("coordinates.sqlite is gone. Restore the folder of its run", said)

    def test_picks_joined_from_two_imports_are_not_cut_out_of_the_first_ones_micrographs(self):
        join = lambda other: finishedWith(self, lambda protocol: dict(outputCoordinates=self.joined(protocol, other)))
        other = self.importMicrographs(self.data + "/mics", "*_00[29].mrc")  # their numbers are 1 and 2 again
        for number, name in ((1, "mic_002"), (2, "mic_009")):
            run = self.extract(join(self.makeCoordinates(other, {number: [(90, 90)]})), None, run=False)
            self.assertIn(f"their numbers do not fit {name}. Work", " ".join(run.validate()))
            form = mock.MagicMock(protocol=run)
            with mock.patch.object(single_particles.CryodlThresholdWizard, "open") as opened:
                single_particles.CryodlThresholdWizard().show(form)
            self.assertIn(f"fit {name}. Work", form.showError.call_args.args[0])
            self.assertFalse(opened.called)
        again = join(self.makeCoordinates(self.imported, {1: [(90, 90)]}))
        self.assertEqual(self.extract(again, None, run=False).validate(), [])

    def test_picks_joined_from_other_imports_or_parts_of_one_lose_no_micrograph_without_a_word(self):
        other = self.importMicrographs(self.data + "/mics", "*_00[19].mrc")
        # no number is picked twice, but number 2 is mic_002 in the first set
        picked = [self.makeCoordinates(one, {number: [(90, 90)]}) for one, number in ((self.imported, 1), (other, 2))]
        join = lambda protocol: dict(outputCoordinates=self.joined(protocol, picked[1], picked[0]))
        self.assertIn("fit mic_009. Work", " ".join(checkJoined(finishedWith(self, join).outputCoordinates)))
        picked[1] = self.makeCoordinates(self.imported, {2: [(90, 90)]})
        joined = finishedWith(self, join).outputCoordinates
        for numbers, isOpen, said in (([1], False, "fit mic_002. Work"), ([1], True, ""), ([1, 2], False, "")):
            part = SetOfMicrographs(filename=":memory:")
            for number in numbers:
                part.append(self.imported.outputMicrographs[number].clone())
            part.setStreamState(Set.STREAM_OPEN if isOpen else Set.STREAM_CLOSED)
            with mock.patch.object(SetOfCoordinates, "getMicrographs", return_value=part):
                found = " ".join(checkJoined(joined))
            self.assertEqual((said in found, bool(found)), (True, bool(said)))

    def joined(self, protocol, other, picked=None):
        picked = picked or self.picked
        coordinates = protocol._createSetOfCoordinates(Pointer(self.imported, extended="outputMicrographs"))
        coordinates.copyInfo(picked.outputCoordinates)
        for one in (picked, other):
            for item in one.outputCoordinates:
                copy = Coordinate()
                copy.copyAttributes(item, "_x", "_y", "_micId", "_micName")
                coordinates.append(copy)
        return coordinates

    def test_picks_on_several_micrographs_of_one_name_are_refused(self):
        def make(protocol):
            micrographs = protocol._createSetOfMicrographs()  # as of two joined imports
            micrographs.copyInfo(self.imported.outputMicrographs)
            for number in (1, 2):
                copy = self.imported.outputMicrographs.getFirstItem().clone()
                copy.setObjId(number)
                micrographs.append(copy)
            return dict(outputMicrographs=micrographs)

        picked = self.makeCoordinates(finishedWith(self, make), {1: [(100, 100)], 2: [(150, 150)]})
        pointers = dict(inputCoordinates=(picked, "outputCoordinates"))
        pointers["inputMicrographs"] = (self.imported, "outputMicrographs")
        run = self.makeProtocol(CryodlProtExtractParticles, pointers, box=BOX, particleDiameter=60)
        self.assertIn("of the coordinates have the same name: mic_001.mrc", " ".join(run.validate()))

    def test_without_a_diameter_the_box_is_that_of_the_coordinates(self):
        imported = self.importMicrographs(self.data + "/mics", pixelSize=5.36)
        run = self.extract(self.makeCoordinates(imported, {1: [(60, 60)]}, boxSize=84), None, run=False)
        for box in range(16, 400, 2):
            run.inputCoordinates.get().setBoxSize(box)
            self.assertEqual(2 * math.ceil(1.5 * run._config().particle_diameter / 5.36 / 2), box)

    def test_a_run_that_began_with_a_diameter_rounded_to_the_nearest_goes_on_with_it(self):
        imported = self.importMicrographs(self.data + "/mics", pixelSize=5.36)
        run = self.extract(self.makeCoordinates(imported, {1: [(60, 60)]}, boxSize=84), None, run=False, box=None)
        self.proj.saveProtocol(run)
        run.makePathsAndClean()
        for begun, used in ((300.2, 300.2), (300.1, 300.1), (250, 300.1)):
            with mock.patch.object(CryodlProtExtractParticles, "_diameter", return_value=begun):
                run._storeSettings()
            self.assertEqual(run._config().particle_diameter, used)
            self.assertEqual("another particle diameter" in " ".join(run.validate()), begun == 250)
        run.particleDiameter.set(310)
        self.assertIn("another particle diameter", " ".join(run.validate()))

    def test_an_empty_set_of_picks_does_not_finish_without_particles(self):
        empty = self.makeCoordinates(self.imported, {})
        run = self.extract(empty, None)
        self.assertFalse(run.isFinished())
        self.assertIn("The set of coordinates is empty. Pick first.", run.getErrorMessage())

    def test_picks_that_all_lie_at_the_edge_do_not_finish_without_particles(self):
        run = self.extract(self.makeCoordinates(self.imported, {1: [(1, 1), (2, 2)]}), None)
        self.assertFalse(run.isFinished())
        self.assertIn("No particle was cut out. 2 picks left out: the box extends beyond", run.getErrorMessage())

    def test_what_does_not_fit_is_named(self):
        wrong = lambda **values: " ".join(self.extract(self.picked, self.ctf, run=False, **values).validate())
        self.assertIn("must be even", wrong(box=33))
        self.assertIn("wider than the particle", wrong(box=20))
        self.assertIn("Scipion threads is 2; at least 3", wrong(numberOfThreads=2))
        self.assertIn("Threads of each batch is -2; it must be at least 0", wrong(binThreads=-2))
        self.assertEqual(wrong(), "")

    def test_a_scheduled_run_that_is_wrong_for_good_is_started_so_that_it_fails_with_a_sentence(self):
        wrong = self.extract(self.picked, self.ctf, run=False, box=33)
        wrong.setStatus(STATUS_SCHEDULED)
        self.assertEqual(wrong.validate(), [])  # Scipion's scheduler starts what validates, and waits for what does not
        self.picked.outputCoordinates.setStreamState(Set.STREAM_OPEN)
        try:
            self.assertIn("must be even", " ".join(wrong.validate()))  # what is wrong now may come right
        finally:
            self.picked.outputCoordinates.setStreamState(Set.STREAM_CLOSED)
        wrong.setStatus(STATUS_SAVED)
        self.assertIn("must be even", " ".join(wrong.validate()))

    def test_other_settings_are_not_mixed_into_a_run(self):
        self.extracted.box.set(40)
        self.assertIn("another box", " ".join(self.extracted.validate()))
        self.extracted.box.set(BOX)

    def test_micrographs_that_have_picks_only_when_it_continues_are_cut_then(self):
        """Picking left one out that could not be read, was continued, and so was this run: its particles were lost."""
        picked = self.makeCoordinates(self.imported, {1: [(100, 100)]})
        protocol = self.extract(picked, None, particleDiameter=60)
        item, coordinates = Coordinate(x=150, y=150), picked.outputCoordinates
        item.setMicrograph(self.imported.outputMicrographs[2])
        coordinates.enableAppend()
        coordinates.append(item)
        coordinates.write()
        coordinates.close()
        self.proj.launchProtocol(protocol, wait=True)
        self.assertEqual(Counter(p.getMicId() for p in protocol.outputParticles), {1: 1, 2: 1})

    def test_arriving_micrographs_are_cut_once_though_the_run_is_stopped(self):
        folder, waiting = os.path.join(self.data, "stream"), os.path.join(self.data, "waiting")
        paths = synthetic.writeMicrographs(waiting, 3)
        os.makedirs(folder)
        moved = lambda path: [shutil.move(path + end, folder) for end in (".truth.json", "")]
        moved(paths[0])
        imported = startImport(self, folder)
        ctf = self.makeProtocol(CryodlProtEstimateCTF, self.micrographsOf(imported), streamingSleepOnWait=1)
        picked = self.makeProtocol(
            CryodlProtPick,
            self.micrographsOf(imported),
            streamingBatchSize=2,
            batchWait=1,
            streamingSleepOnWait=1,
            **self.pickValues(),
        )
        for run, output in ((ctf, "outputCTF"), (picked, "outputCoordinates")):
            self.proj.launchProtocol(run, wait=False)
            waitFor(self, run, lambda: run.hasAttribute(output))  # a batch of two does not wait for the second for ever
        extracted = self.extract(picked, ctf, run=False)
        self.proj.launchProtocol(extracted, wait=False)
        waitFor(self, extracted, lambda: extracted.hasAttribute("outputParticles"))
        self.assertTrue(extracted.outputParticles.isStreamOpen())
        stopRun(self.proj, extracted)
        for path in paths[1:]:
            os.utime(path)
            moved(path)
        endImport(self, imported, 3)
        self.proj.launchProtocol(extracted, wait=True)
        self.assertEqual(self.perMicrograph(extracted), {f"mic_00{n}.mrc": WHOLE for n in (1, 2, 3)})
        with open(extracted._getExtraPath("batches", "extracted.log")) as file:
            self.assertEqual(sorted(file.read().split()), [f"mic_00{n}" for n in (1, 2, 3)])
