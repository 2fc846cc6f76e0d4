# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of the latent space of subtomograms, its outputs and its windows, with a fake engine."""

import contextlib
import os
import sqlite3

import numpy as np
from pwem.objects import VolumeMask

from ...convert.particles.results import latentOf
from ...protocols import CryodlProtFitHeterogeneity
from ...wizards import tomograms as wizards_tomograms
from ..particle_sets import makeParticles
from ..tomogram_panels import ViewersTest
from ..tomogram_sets import BOX, PIXEL_SIZE, makeSubtomograms

COUNT = 26  # one latent dimension needs 25


class TestCryodlFitSubtomogramHeterogeneity(ViewersTest):
    @classmethod
    def prepare(cls):
        cls.items = makeSubtomograms(cls, count=COUNT)
        cls.mask = cls.makeMap("mask", PIXEL_SIZE, kind=VolumeMask)
        cls.fitted = cls.killedOnce(lambda: cls.launch(cls.make(maps=3)))

    @classmethod
    def make(cls, source=None, **values):
        pointers = dict(
            inputParticles=(source or cls.items, "outputSubtomograms"), inputMask=(cls.mask, "outputVolume")
        )
        return cls.makeProtocol(CryodlProtFitHeterogeneity, pointers, **dict(dict(latent=1), **values))

    def test_subtomograms_keep_ids_and_transforms_and_carry_their_coordinates(self):
        made = [item.clone() for item in self.fitted.outputSubtomograms]
        given = [item.clone() for item in self.items.outputSubtomograms]
        self.assertEqual([item.getObjId() for item in made], [item.getObjId() for item in given])
        self.assertEqual([item._cryodlLatent1.get() for item in made], [float(i) for i in range(COUNT)])
        self.assertEqual([item._cryodlCluster.get() for item in made[:5]], [1, 2, 3, 4, 1])
        matrices = [np.array([item.getTransform().getMatrix() for item in items]) for items in (made, given)]
        self.assertTrue(np.allclose(*matrices))
        self.assertTrue(self.request(self.fitted).mask)

    def test_the_diameter_is_measured_on_what_was_chosen(self):
        on = lambda source, output: wizards_tomograms.toMeasure(
            self.makeProtocol(CryodlProtFitHeterogeneity, dict(inputParticles=(source, output)))
        )
        self.assertEqual(on(self.items, "outputSubtomograms").listed, "Subtomograms")
        with self.assertRaisesRegex(ValueError, "Particles need no diameter"):
            on(makeParticles(self, "raw"), "outputParticles")
        with self.assertRaisesRegex(ValueError, "Choose the subtomograms first"):
            wizards_tomograms.toMeasure(self.newProtocol(CryodlProtFitHeterogeneity))

    def test_averages_along_the_axis_have_half_maps(self):
        averages = [item.clone() for item in self.fitted.outputAverages]
        self.assertEqual([item.getObjComment() for item in averages], [f"axis 1, map {n}" for n in (1, 2, 3)])
        for item in averages:
            self.assertEqual((item.getDim(), item.getSamplingRate()), ((BOX,) * 3, PIXEL_SIZE))
            self.assertTrue(all(os.path.exists(path) for path in item.getHalfMaps().split(",")))
        self.assertEqual(self.fitted.outputMean.getDim(), (BOX,) * 3)

    def test_the_summary_is_the_engines(self):
        self.assertEqual(self.fitted.summary()[0], "fit-heterogeneity told this.")
        self.assertEqual(self.fitted._citations(), ["cryodl", "Tagare2015", "Tipping1999"])

    def test_mistakes_are_named_before_the_run(self):
        def errors(source=None, **values):
            return " ".join(self.make(source, **values).validate())

        self.assertEqual(errors(), "")
        self.assertIn("26 subtomograms; 2 latent dimensions and 4 clusters need at least 50", errors(latent=2))
        few = makeSubtomograms(self, count=COUNT)
        few.outputSubtomograms.close()
        with contextlib.closing(sqlite3.connect(few.outputSubtomograms.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id IN (10, 12)")  # the engine gets the others
        self.assertIn("There are 24 subtomograms; 1 latent dimensions and 4 clusters need at least 25", errors(few))
        self.assertIn("no alignment", errors(makeSubtomograms(self, count=COUNT, aligned=False)))
        self.assertIn("Axes with maps is 2, but the latent space has 1", errors(axes=2))

    def test_the_lasso_chooses_subtomograms_and_the_slider_their_averages(self):
        from ...viewers.maps.viewer_heterogeneity import LatentWindow, PathWindow

        latent, path = self.panel(self.fitted, "showLatent"), self.panel(self.fitted, "showPath")
        wanted = [*latentOf(self.fitted.outputSubtomograms), "outputSubtomograms", "subtomogram"]
        self.assertEqual(list(latent._arguments[2:]), wanted)
        window = LatentWindow(None, self.fitted, *wanted)
        self.assertEqual(window.words.get(), "Draw around subtomograms with the mouse.")
        window.choose([(9.5, 9.5), (9.5, 20.5), (20.5, 20.5), (20.5, 9.5)])
        self.assertEqual(window.words.get(), "11 subtomograms selected")
        subset = window.createSubset()
        window.root.destroy()
        self.assertIn("region of", subset.getObjLabel())
        paths = PathWindow(None, path._arguments[1], "x")
        paths.slider.set(2)
        self.assertTrue(paths.current().endswith("path_1_02.mrc"))
        paths.root.destroy()
