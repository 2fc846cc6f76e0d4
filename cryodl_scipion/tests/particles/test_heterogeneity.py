# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of the latent space, its outputs and its windows, with a fake engine."""

import os
from unittest import mock

import numpy as np
from pwem.objects import VolumeMask
from pyworkflow.protocol import MODE_RESTART

from ...convert.particles.results import latentOf
from ...protocols import CryodlProtFitHeterogeneity, CryodlProtLatentVolumes, protocol_fit_heterogeneity
from ..particle_sets import BOX, PIXEL_SIZE, ParticlesTest, makeParticles
from ..streams import waitFor

MANY = 110  # one latent dimension needs 100 particles


class TestCryodlFitHeterogeneity(ParticlesTest):
    @classmethod
    def prepare(cls):
        cls.volume = cls.makeMap("map", PIXEL_SIZE)
        cls.raw = makeParticles(cls, "raw", count=MANY)
        cls.fitted = cls.killedOnce(cls.fit)

    @classmethod
    def pointers(cls, particles=None):
        return dict(inputParticles=(particles or cls.raw, "outputParticles"), inputVolume=(cls.volume, "outputVolume"))

    @classmethod
    def fit(cls, **values):
        return cls.runProtocol(CryodlProtFitHeterogeneity, cls.pointers(), latent=1, maps=3, **values)

    def errors(self, particles=None, **values):
        values = dict(dict(latent=1), **values)
        return " ".join(self.makeProtocol(CryodlProtFitHeterogeneity, self.pointers(particles), **values).validate())

    def test_particles_carry_their_latent_coordinates_and_clusters(self):
        made = [p.clone() for p in self.fitted.outputParticles]
        self.assertEqual([p.getObjId() for p in made], [p.getObjId() for p in self.raw.outputParticles])
        self.assertEqual([p._cryodlLatent1.get() for p in made], [float(i) for i in range(MANY)])
        self.assertEqual([p._cryodlCluster.get() for p in made[:5]], [1, 2, 3, 4, 1])

    def test_the_flexibility_set_holds_the_same_particles_and_coordinates(self):
        flex = self.fitted.outputFlexParticles
        self.assertEqual((flex.getSize(), flex.getFlexInfo().getProgName()), (MANY, "cryodl"))
        item = flex[self.raw.outputParticles.getFirstItem().getObjId() + 6]
        self.assertEqual(item.getZFlex().tolist(), [3.0])
        self.assertTrue(flex.hasAlignmentProj() and item.hasCTF())

    def test_maps_along_the_axis_have_half_maps(self):
        volumes = [v.clone() for v in self.fitted.outputVolumes]
        self.assertEqual([v.getObjComment() for v in volumes], [f"axis 1, map {n}" for n in (1, 2, 3)])
        for volume in volumes:
            self.assertEqual((volume.getDim(), volume.getSamplingRate()), ((BOX,) * 3, PIXEL_SIZE))
            self.assertTrue(all(os.path.exists(path) for path in volume.getHalfMaps().split(",")))

    def test_particles_that_are_something_else_are_a_set_of_their_own(self):
        with mock.patch.dict(os.environ, FAKE_ENGINE_APART="7"):
            made = self.fit()
        ids = [p.getObjId() for p in self.raw.outputParticles]
        self.assertEqual([p.getObjId() for p in made.outputApart], ids[-7:])
        self.assertEqual([p.getObjId() for p in made.outputParticles], ids[:-7])
        self.assertEqual(made.outputFlexParticles.getSize(), MANY - 7)
        self.assertTrue(made.outputApart.hasAlignmentProj())
        self.assertFalse(hasattr(self.fitted, "outputApart"))

    def test_discrete_classes_hold_their_particles_and_half_maps(self):
        classes = self.fit(classes=3).outputClasses
        made = [(c.getObjId(), c.getSize(), c.getRepresentative().clone()) for c in classes.iterItems()]
        self.assertEqual([(number, size) for number, size, _ in made], [(1, 37), (2, 37), (3, 36)])
        for number, _, volume in made:
            self.assertTrue(volume.getFileName().endswith(f"class_{number:02d}.mrc"))
            self.assertFalse(volume.getIndex())  # with one, Scipion's window of a volume shows that slice alone
            self.assertTrue(all(os.path.exists(path) for path in volume.getHalfMaps().split(",")))
        self.assertEqual(self.errors(classes=3, method=1), "")  # with which the form does not show them

    def test_the_summary_is_the_engines_and_cites_what_was_used(self):
        self.assertEqual(self.fitted.summary()[0], "fit-heterogeneity told this.")
        # the form says `auto`; what was used is cited
        self.assertNotIn("Chen2021", self.fitted._citations())

    def test_coordinates_of_umap_are_in_the_sets_and_in_the_window(self):
        from ...viewers.maps.viewer_heterogeneity import LatentWindow

        many = makeParticles(self, "many", count=3 * MANY)
        made = self.runProtocol(CryodlProtFitHeterogeneity, self.pointers(many), latent=3, maps=3, umap=True)
        item = made.outputParticles.getFirstItem()
        self.assertTrue(item.hasAttribute("_cryodlUmap1") and item.hasAttribute("_cryodlUmap2"))
        second = made.outputFlexParticles[many.outputParticles.getFirstItem().getObjId() + 2]
        self.assertEqual(second.getZRed().tolist(), [0.5, -0.5])
        self.assertEqual(len(second.getZFlex()), 3)
        window = LatentWindow(None, made, *latentOf(made.outputParticles))
        for box, name in zip(window._axes, ("UMAP 1", "UMAP 2")):
            box.set(name)
        window.draw()
        self.assertEqual(window.points()[4].tolist(), [2.0, -2.0])
        self.assertEqual(window._figure.axes[0].get_xlabel(), "UMAP 1")
        window.root.destroy()
        self.assertIn("UMAP draws latent spaces of 3 dimensions", self.errors(latent=1, umap=True))

    def test_mistakes_are_named_before_the_run(self):
        self.assertEqual(self.errors(), "")
        self.assertIn("must be at least 200", self.errors(latent=2))
        self.assertIn("no alignment", self.errors(makeParticles(self, "bare", count=MANY, aligned=False)))
        self.assertIn("no CTF", self.errors(makeParticles(self, "no ctf", count=MANY, ctf=False)))

    def test_a_mask_of_another_pixel_size_and_box_is_said_before_the_run(self):
        for pixel, said in ((PIXEL_SIZE, ()), (0.3 * PIXEL_SIZE, ("The mask has", "it is padded"))):
            mask = (self.makeMap("mask", pixel, kind=VolumeMask), "outputVolume")
            warnings = self.makeProtocol(
                CryodlProtFitHeterogeneity, dict(self.pointers(), inputMask=mask), latent=1
            ).warnings()
            self.assertEqual("mask" in " ".join(warnings), bool(said), warnings)
            for words in said:
                self.assertIn(words, " ".join(warnings))

    def test_a_domain_gives_particles_and_a_map_of_its_own(self):
        mask = self.makeMap("mask", PIXEL_SIZE, kind=VolumeMask)
        pointers = dict(inputParticles=(self.fitted, "outputParticles"), domainMask=(mask, "outputVolume"))
        made = self.runProtocol(CryodlProtLatentVolumes, pointers, axes="1", maps=3)
        self.assertEqual((made.outputParticles.getSize(), made.outputParticles.hasAlignmentProj()), (MANY, True))
        self.assertEqual(made.outputDomain.getDim(), (BOX,) * 3)

    def test_maps_along_the_latent_space_carry_their_coordinates(self):
        made = self.runProtocol(
            CryodlProtLatentVolumes, dict(inputParticles=(self.fitted, "outputParticles")), axes="1", maps=3
        )
        self.assertEqual([v.getZFlex().tolist() for v in made.outputFlexVolumes], [[0.0], [1.0], [2.0]])
        volumes = [v.clone() for v in made.outputVolumes]
        self.assertEqual([v.getDim() for v in volumes], [(BOX,) * 3] * 3)
        self.assertFalse(hasattr(made, "outputDomain"))
        self.assertTrue(all(os.path.exists(path) for path in volumes[1].getHalfMaps().split(",")))
        said = ["No motion found (p = 1).", "Noise explains it."]
        with mock.patch.object(protocol_fit_heterogeneity.Fit, "tell", lambda *given: said):
            self.assertEqual(made.summary()[:2], ["No motion found (p = 1).", "latent-volumes told this."])
        none = self.makeProtocol(CryodlProtLatentVolumes, dict(inputParticles=(self.raw, "outputParticles")), maps=3)
        self.assertIn("no latent coordinates", " ".join(none.validate()))

    def test_the_lasso_chooses_by_the_coordinates_on_show_and_makes_a_set(self):
        from ...viewers.maps.viewer_heterogeneity import LatentWindow, PathWindow

        ids, *others = latentOf(self.fitted.outputParticles)
        said = [
            "12.0% of the particles are something else.",
            "Two or more states found (p = 3e-4; variability 1%). About",
        ]
        with mock.patch.object(self.fitted, "summary", return_value=said):
            window = LatentWindow(None, self.fitted, ids, *others)
        self.assertEqual(window._figure.axes[0].get_title(), "Two or more states found (p = 3e-4; variability 1%)")
        window.choose([(9.5, 9.5), (9.5, 20.5), (20.5, 20.5), (20.5, 9.5)])
        self.assertEqual(np.nonzero(window.chosen)[0].tolist(), list(range(10, 21)))
        subset = window.createSubset()
        (bar,) = [row.pack_slaves() for row in window.root.winfo_children() if row.winfo_class() == "TFrame"]
        button = next(number for number, one in enumerate(bar) if one.winfo_class() == "TButton")
        self.assertLess(button, len(bar) - 1)  # the long words, packed last, are cut off, and not the button
        window.root.destroy()
        waitFor(self, subset, lambda: not subset.isActive())
        self.assertEqual([item.getObjId() for item in subset.outputParticles], ids[10:21])
        subset.runMode.set(MODE_RESTART)
        self.proj.launchProtocol(subset, wait=True)  # it once failed for want of the selection
        self.assertEqual([item.getObjId() for item in subset.outputParticles], ids[10:21])
        record = [dict(map="path_1_02.mrc", coordinate=-1.308, particles=52.8, resolution=19.4)]
        paths = PathWindow(None, self.fitted._made().paths, "x", record)
        self.assertEqual(paths._figure.get_suptitle(), "")
        paths.slider.set(2)
        paths.draw()
        self.assertTrue(paths.current().endswith("path_1_02.mrc"))
        self.assertEqual(paths._figure.get_suptitle(), "Latent coordinate -1.31: about 53 particles, 19.4 Å")
        paths.root.destroy()

    def test_an_axis_is_asked_for_where_there_are_several(self):
        from ...viewers.maps.viewer_heterogeneity import PathWindow

        for count in (1, 2):
            window = PathWindow(None, self.fitted._made().paths[:1] * count, "x")
            lists = [one for row in window.root.winfo_children() for one in row.winfo_children()]
            self.assertEqual(sum(one.winfo_class() == "TCombobox" for one in lists), count - 1)
            window.root.destroy()
