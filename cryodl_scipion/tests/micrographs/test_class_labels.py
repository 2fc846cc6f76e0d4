# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles of kept and rejected 2-D classes as labels of train picker and auto-pick."""

import os

import numpy as np
from pwem.objects import Class2D, Coordinate, Particle, SetOfClasses2D, SetOfCoordinates, SetOfParticles, Transform
from pyworkflow.object import Pointer, String

from ...convert.micrographs.picks import CORRECTIONS, shiftOf, writePositionsOfParticles
from ...convert.particles.classes2d import planeMatrix
from ...convert.relion_star import readColumns
from ...engine.cryodl import contract
from ...protocols import CryodlProtAutoPick, CryodlProtTrainPicker
from ..particle_sets import finishedWith
from ..picking import ABOVE_04, PickTest

PIXEL_SIZE = 3.0  # of the particles


class TestCryodlClassLabels(PickTest):
    def particles(self, positions, where=True, shift=None):
        """A finished protocol with `outputParticles` at [(micrograph's number, x, y)], and classes of them."""
        names = {m.getObjId(): m.getMicName() for m in self.imported.outputMicrographs}

        def make(protocol):
            made = SetOfParticles.create(protocol._getPath())
            made.setSamplingRate(PIXEL_SIZE)
            if shift:
                made.setAlignment2D()
            for number, (micId, x, y) in enumerate(positions, 1):
                item = Particle()
                item.setLocation(number, "stack.mrcs")
                if where:
                    coordinate = Coordinate(x=x, y=y)
                    coordinate.setMicName(names.get(micId, "strange.mrc"))
                    coordinate.setMicId(micId)
                    item.setCoordinate(coordinate)
                if shift:
                    item.setTransform(Transform(planeMatrix(30, shift)))
                made.append(item)
            made.write()
            return dict(outputParticles=made)

        return finishedWith(self, make)

    def classes(self, particles):
        def make(protocol):
            made = SetOfClasses2D.create(protocol._getPath())
            made.setImages(Pointer(particles, extended="outputParticles"))
            made.append(Class2D(objId=1))
            made.write()
            return dict(outputClasses=made)

        return finishedWith(self, make)

    def pointers(self, picked, **more):
        return dict(inputCoordinates=(picked, "outputCoordinates"), **more)

    def listed(self, count):
        return [(micId, x, y) for micId in (1, 2) for x, y in ABOVE_04[:count]]

    def test_positions_names_and_shifts_reach_the_file(self):
        made = self.particles([(1, 40, 50), (3, 60, 70)], shift=(2.0, -1.0)).outputParticles
        path = os.path.join(self.data, "positions.star")
        writePositionsOfParticles(path, made, [m.clone() for m in self.imported.outputMicrographs])
        columns = ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnOriginXAngst", "rlnOriginYAngst")
        rows = readColumns(path, columns, (str,) + (float,) * 4, "particles")
        names = [m.getMicName().rsplit(".", 1)[0] for m in self.imported.outputMicrographs]
        self.assertEqual([row[1:] for row in rows], [(40, 50, 6, -3), (60, 70, 6, -3)])
        self.assertEqual([row[0] for row in rows], [names[0], names[2]])
        made.setAlignmentProj()
        item = made.getFirstItem()
        item.setTransform(Transform(np.linalg.inv(planeMatrix(0, (-2.0, 1.0)))))
        np.testing.assert_allclose(shiftOf(item, made), (6, -3), atol=1e-6)

    def test_train_picker_learns_from_kept_and_rejected_particles(self):
        picked, kept, every = self.pick(), self.particles(self.listed(3)), self.particles(self.listed(4))
        for classified in ((every, "outputParticles"), (self.classes(every), "outputClasses")):
            pointers = self.pointers(picked, keptParticles=(kept, "outputParticles"), classifiedParticles=classified)
            protocol = self.runProtocol(CryodlProtTrainPicker, pointers, particleDiameter=120, useGpu=False)
            self.assertEqual(protocol.getErrorMessage(), "")
            config = contract.Request.read(protocol._getExtraPath("request.json")).config
            self.assertEqual(config.coordinates, protocol._getExtraPath("class_labels", "labels"))
            request = contract.Request.read(protocol._getExtraPath("class_labels", "request.json")).config
            self.assertEqual((request.minimum_score, request.scale, len(request.micrographs)), (None, 1.0, 4))
            self.assertTrue(request.coordinates.endswith("candidates"), "weak candidates are not background")
            text = " ".join(protocol.summary() + protocol.methods())
            self.assertIn("From 2-D classes: 6 kept particles and 2 rejected ones", text)
            self.assertIn("The labels were 6 particles of kept 2-D classes and 2 of rejected ones.", text)
            self.assertIn("Labels of 2-D classes tell nothing of particles that were", " ".join(protocol.warnings()))
        self.assertIn("Minimum score of kept particles is empty", " ".join(protocol.warnings()))
        protocol.minimumScore.set(0.5)  # continued with other labels: they are made anew, and learnt anew
        before = os.path.getmtime(os.path.join(protocol.outputModel.getFolder(), "card.json"))
        self.proj.launchProtocol(protocol, wait=True)
        request = contract.Request.read(protocol._getExtraPath("class_labels", "request.json")).config
        self.assertEqual(request.minimum_score, 0.5)
        self.assertNotIn("Minimum score", " ".join(protocol.warnings()))
        self.assertGreater(os.path.getmtime(os.path.join(protocol.outputModel.getFolder(), "card.json")), before)

    def test_auto_pick_takes_them_as_corrections(self):
        kept, every = self.particles(self.listed(3)), self.particles(self.listed(4))
        pointers = dict(
            inputMicrographs=(self.imported, "outputMicrographs"),
            keptParticles=(kept, "outputParticles"),
            classifiedParticles=(every, "outputParticles"),
        )
        protocol = self.makeProtocol(CryodlProtAutoPick, pointers, useGpu=False)
        self.assertIn("Particle diameter is empty", " ".join(protocol.validate()))
        protocol = self.runProtocol(CryodlProtAutoPick, pointers, particleDiameter=120, useGpu=False, rounds=1)
        self.assertEqual(protocol.getErrorMessage(), "")
        config = contract.Request.read(protocol._getExtraPath("request.json")).config
        self.assertEqual(config.corrections, protocol._getExtraPath("class_labels", "labels"))
        self.assertEqual(len(os.listdir(os.path.join(config.corrections, "removed"))), 2)
        self.assertIn("From 2-D classes: 6 kept particles and 2 rejected ones", " ".join(protocol.summary()))

    def test_what_cannot_be_used_is_said_in_the_form(self):
        picked, kept = self.pick(), self.particles(self.listed(3))

        def errors(**more):
            pointers = self.pointers(picked, **{name: (run, "outputParticles") for name, run in more.items()})
            protocol = self.makeProtocol(CryodlProtTrainPicker, pointers, particleDiameter=120, useGpu=False)
            return " ".join(protocol.validate())

        self.assertEqual(errors(keptParticles=kept, classifiedParticles=kept), "")
        self.assertIn("Particles kept in 2-D classes is not", errors(classifiedParticles=kept))
        self.assertIn(
            "these particles have no coordinates", errors(keptParticles=self.particles([(1, 2, 3)], where=False))
        )
        strange = self.particles([(9, 2, 3)])
        self.assertIn("lies on the micrograph strange.mrc, which is not among", errors(keptParticles=strange))
        pointers = self.pointers(picked, keptParticles=(kept, "outputParticles"))
        protocol = self.makeProtocol(CryodlProtTrainPicker, pointers, particleDiameter=120, useGpu=False, scale=0)
        self.assertIn("Scale of the coordinates", " ".join(protocol.validate()))

    def test_corrected_picks_and_picks_without_scores_are_said_in_the_form(self):
        kept = self.particles(self.listed(3))

        def make(protocol, corrected):
            made = SetOfCoordinates.create(protocol._getPath())
            made.setMicrographs(Pointer(self.imported, extended="outputMicrographs"))
            made.setBoxSize(64)
            for micId, x, y in self.listed(4):
                coordinate = Coordinate(x=x, y=y)
                coordinate.setMicId(micId)
                made.append(coordinate)
            if corrected:
                setattr(made, CORRECTIONS, String(self.data))
            made.write()
            return dict(outputCoordinates=made)

        for corrected, said in ((True, "were corrected by hand"), (False, "have no scores of our pickers")):
            picked = finishedWith(self, lambda protocol: make(protocol, corrected))
            pointers = self.pointers(picked, keptParticles=(kept, "outputParticles"))
            values = dict(particleDiameter=120, useGpu=False, minimumScore=0.5)
            protocol = self.makeProtocol(CryodlProtTrainPicker, pointers, **values)
            self.assertIn(said, " ".join(protocol.validate()))

    def test_other_particles_are_other_settings_and_those_without_coordinates_are_counted(self):
        one, other = self.particles(self.listed(3)), self.particles(self.listed(3))
        made = []
        for kept in (one, other):
            pointers = dict(
                inputMicrographs=(self.imported, "outputMicrographs"), keptParticles=(kept, "outputParticles")
            )
            made.append(self.makeProtocol(CryodlProtAutoPick, pointers, particleDiameter=120)._classSettings())
        self.assertNotEqual(*made)
        empty = Particle()
        empty.setCoordinate(Coordinate())
        merged = SetOfParticles(filename=":memory:")
        merged.setSamplingRate(PIXEL_SIZE)
        items = [*(item.clone() for item in other.outputParticles.iterItems()), Particle(), empty]
        merged.iterItems, merged.getUniqueValues = lambda **_: iter(items), lambda *_: [*range(len(items))]
        path = os.path.join(self.data, "some.star")
        micrographs = [m.clone() for m in self.imported.outputMicrographs]
        self.assertEqual(writePositionsOfParticles(path, merged, micrographs), 2)
        self.assertEqual(len(readColumns(path, ("rlnCoordinateX",), (float,), "particles")), 6)
