# SPDX-License-Identifier: GPL-3.0-or-later
"""2-D classes, their choice and their viewer, with a fake engine."""

import contextlib
import functools
import os
import sqlite3
from unittest import mock

import numpy as np
from matplotlib.figure import Figure
from metadataviewer.model import ObjectManager, Page
from pwem.constants import ALIGN_2D
from pwem.objects import Class2D, CTFModel, SetOfAverages, SetOfClasses2D
from pwem.protocols import ProtExtractCoords, ProtUnionSet
from pwem.viewers.mdviewer.sqlite_dao import ScipionSetsDAO
from pwem.viewers.mdviewer.viewer import MDView
from pyworkflow.object import Float, Pointer

from ...convert.particles.classes2d import (
    FIT,
    RESOLUTION,
    SCORE,
    SIGNAL,
    classRows,
    planeMatrix,
    signalCut,
    writeAverages,
)
from ...convert.relion_star import readColumns
from ...protocols import CryodlProtClassify2D, CryodlProtDenoise, CryodlProtIdentify, CryodlProtSelectClasses, inputs
from ...protocols.particles.particle_kinds import hasCtf
from ...viewers.model_window import cardLines
from ...viewers.panels_viewer import PanelsViewer, whyEnded
from ...viewers.particles.viewer_classes2d import SCORE as BY_SCORE
from ...viewers.particles.viewer_classes2d import (
    SIZE,
    Classes2D,
    Classes2DWindow,
    CryodlClasses2DViewer,
    drawSignal,
    galleryOf,
)
from ...wizards import single_particles
from ..particle_sets import BOX, COUNT, PIXEL_SIZE, ParticlesTest, makeParticles
from ..viewer_panels import PanelsTest


def classOf(row):
    """The fake engine's class of the particle in a row; 0 for the one that cannot be used."""
    return 0 if row == 5 else row % 3 + 1


class TestCryodlClasses2D(PanelsTest, ParticlesTest):
    _PANELS = {CryodlProtClassify2D: CryodlClasses2DViewer, CryodlProtSelectClasses: CryodlClasses2DViewer}

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.classified = cls.killedOnce(lambda: cls.classify(cls.raw), made=True)
        cls.selected = cls.finished(cls.select(cls.classified))

    @classmethod
    def classify(cls, particles, run=True, **values):
        make = cls.runProtocol if run else cls.makeProtocol
        return make(
            CryodlProtClassify2D,
            dict(inputParticles=(particles, "outputParticles")),
            **dict(dict(useGpu=False, classes=4), **values),
        )

    @classmethod
    def select(cls, classified, run=True, **values):
        make = cls.runProtocol if run else cls.makeProtocol
        return make(CryodlProtSelectClasses, dict(inputClasses=(classified, "outputClasses")), **values)

    # ----- classes
    def test_particles_stand_in_their_classes_with_their_ids_and_the_unusable_one_in_none(self):
        classes, raw = self.classified.outputClasses, [item.getObjId() for item in self.raw.outputParticles]
        self.assertIsInstance(classes, SetOfClasses2D)
        found = {made.getObjId(): [item.getObjId() for item in made] for made in classes.iterItems()}
        self.assertEqual(found, {k: [raw[n] for n in range(COUNT) if classOf(n) == k] for k in (1, 2, 3)})
        self.assertIs(classes.getImages().getSize(), COUNT)

    def test_particles_have_relions_alignment_in_the_plane(self):
        classes = self.classified.outputClasses
        item = next(item.clone() for item in classes[1].iterItems() if item.getObjId() == 16)  # row 3
        # as scipion-em-relion reads rlnAnglePsi 13, rlnOriginXAngst 4, rlnOriginYAngst -6
        c, s = np.cos(np.deg2rad(13)), np.sin(np.deg2rad(13))
        matrix = item.getTransform().getMatrix()
        self.assertTrue(np.allclose(matrix[:2, :2], [[c, -s], [s, c]]), matrix)
        self.assertTrue(np.allclose(matrix[:2, 3], [4 / PIXEL_SIZE, -6 / PIXEL_SIZE]))
        self.assertEqual(item.getAttributeValue(FIT), 10.0)
        self.assertTrue(classes[1].hasAlignment2D())
        # what Scipion's extract coordinates subtracts to centre them
        shifts = ProtExtractCoords.getShifts(ProtExtractCoords(), item.getTransform(), ALIGN_2D)
        self.assertTrue(np.allclose(shifts[:2], [4 / PIXEL_SIZE, -6 / PIXEL_SIZE]))
        self.assertTrue(np.allclose(planeMatrix(0, (1, 2))[:2, 3], (1, 2)))

    def test_averages_have_scores_numbers_and_places(self):
        averages = self.classified.outputAverages
        self.assertIsInstance(averages, SetOfAverages)
        self.assertEqual([a.getObjId() for a in averages], [1, 2, 3])  # the fourth class has no particles
        second = averages[2]
        self.assertEqual((second.getAttributeValue(SCORE), second.getAttributeValue(RESOLUTION)), (0.6, 12.5))
        self.assertEqual((second.getIndex(), os.path.basename(second.getFileName())), (2, "classes.mrcs"))
        self.assertEqual((averages.getDim()[:2], averages.getSamplingRate()), ((BOX, BOX), PIXEL_SIZE))
        representative = self.classified.outputClasses[2].getRepresentative()
        self.assertEqual((representative.getIndex(), representative.getFileName()), (2, second.getFileName()))

    def test_summary_and_methods_are_the_engines(self):
        self.assertEqual(self.classified.summary()[0], "classify-2d told this.")
        self.assertEqual(self.classified._methods(), ["classify-2d was used."])

    def test_mistakes_are_named_before_the_run(self):
        errors = lambda **values: " ".join(self.classify(self.raw, run=False, **values).validate())
        self.assertEqual(errors(), "")
        self.assertIn("12 particles for 7 classes", errors(classes=7))
        self.assertIn("Number of classes is missing", errors(classes=None))
        self.assertIn("Mask diameter is 900 Å, but the images are", errors(maskDiameter=900.0))
        denoised = self.makeProtocol(
            CryodlProtClassify2D, dict(inputParticles=(self.denoised, "outputParticles")), useGpu=False, classes=4
        )
        self.assertIn("denoised images", " ".join(denoised.validate()))
        bare = makeParticles(self, "bare2d", ctf=False)
        self.assertIn("have no CTF", " ".join(self.classify(bare, run=False)._warnings()))
        with mock.patch.object(CTFModel, "getDefocusU", lambda ctf: None):  # one that was never set
            self.assertFalse(hasCtf(self.raw.outputParticles))
        union = self.newProtocol(ProtUnionSet, inputType=0)  # of which Scipion drops the CTFs, but not the word of them
        for run in (self.raw, bare):
            union.inputSets.append(Pointer(run, extended="outputParticles"))
        self.launchProtocol(union)
        joined = dict(inputParticles=(union, "outputSet"))
        self.assertTrue(union.outputSet.hasCTF())
        for protocolClass in (CryodlProtClassify2D, CryodlProtDenoise):
            warnings = self.makeProtocol(protocolClass, joined, useGpu=False)._warnings()
            self.assertIn("The particles have no CTF", " ".join(warnings))

    def test_classes_and_averages_may_be_identified(self):
        for source in ("outputClasses", "outputAverages"):
            protocol = self.makeProtocol(
                CryodlProtIdentify,
                dict(inputParticles=(self.classified, source)),
                useGpu=False,
                structureFolder=self.data,
            )
            self.proj.launchProtocol(protocol, wait=True)
            given = self.request(self.finished(protocol)).particles
            rows = readColumns(given, ("rlnReferenceImage", "rlnClassDistribution"), (str, float), "classes")
            stack = os.path.abspath(self.classified.outputAverages[2].getFileName())
            self.assertEqual((rows[1][0], len(rows)), (f"000002@{os.path.relpath(stack)}", 3))
            sizes = [made.getSize() for made in self.classified.outputClasses.iterItems()]
            self.assertTrue(np.allclose([row[1] for row in rows], np.array(sizes) / sum(sizes), atol=1e-4), rows)
            self.assertEqual(readColumns(given, ("rlnPixelSize",), (float,), "general"), [(PIXEL_SIZE,)])

    # ----- choice
    def test_good_classes_and_their_particles_are_kept(self):
        classes, particles = self.selected.outputClasses, self.selected.outputParticles
        self.assertEqual([made.getObjId() for made in classes.iterItems()], [1, 2])
        kept = [n for n in range(COUNT) if classOf(n) in (1, 2) and n != 3]  # row 3 shows only noise
        raw = [item.getObjId() for item in self.raw.outputParticles]
        self.assertEqual(sorted(item.getObjId() for item in particles), [raw[n] for n in kept])
        self.assertEqual(sum(made.getSize() for made in classes.iterItems()), len(kept))
        others = [n for n in range(COUNT) if classOf(n) == 3 or n == 3]
        self.assertEqual(sorted(item.getObjId() for item in self.selected.outputRejected), [raw[n] for n in others])
        self.assertTrue(particles.hasAlignment2D() and particles.hasCTF())
        self.assertEqual([row[4] for row in classRows(classes)], [0.9, 0.6])
        self.assertEqual(self.selected.outputClasses[1].getRepresentative().getIndex(), 1)
        self.assertIn("and 1 particle of kept classes that may show only noise", "\n".join(self.selected.summary()))

    def test_one_class_is_refused_where_particles_may_be_arriving(self):
        for source, refused in (("outputClasses.2", True), ("outputAverages", False)):
            protocol = self.classify(self.raw, run=False, classes=1)
            protocol.inputParticles.set(self.classified)
            protocol.inputParticles.setExtended(source)
            self.assertEqual("are one class of a set of classes" in " ".join(protocol.validate()), refused, source)

    def test_rejected_particles_of_another_choice_do_not_stay(self):
        run = self.finished(self.select(self.classified))
        run.threshold.set(0.0)
        run.goodLost.set(0.0)
        self.proj.launchProtocol(run, wait=True)
        made = [name for name, _ in self.finished(run).iterOutputAttributes()]
        self.assertEqual((made, run.outputParticles.getSize()), (["outputParticles", "outputClasses"], COUNT - 1))

    def test_classes_of_another_run_with_as_many_particles_are_chosen_from(self):
        run, other = self.finished(self.select(self.classified)), self.finished(self.classify(self.raw))
        run.inputClasses.set(other)
        run.inputClasses.setExtended("outputClasses")
        self.proj.launchProtocol(run, wait=True)
        average = self.finished(run).outputClasses.getFirstItem().getRepresentative().getFileName()
        self.assertTrue(average.startswith(other._getPath()), average)

    def test_numbers_of_classes_that_were_made_anew_are_asked_about(self):
        run = self.select(self.classified, run=False, chosen="2")
        self.assertEqual(run.warnings(), [])
        self.proj.launchProtocol(run, wait=True)
        self.assertEqual(self.finished(run).warnings(), [])
        again = self.finished(self.classify(self.raw))
        run.inputClasses.set(again)
        run.inputClasses.setExtended("outputClasses")
        self.assertIn("may now be others", " ".join(run.warnings()))
        run.chosen.set("1")
        self.assertEqual(run.warnings(), [])
        self.proj.launchProtocol(run, wait=True)
        with contextlib.closing(sqlite3.connect(again.outputClasses.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id = 2")  # the numbers mean what they meant
        self.assertEqual(run.warnings(), [])

    def test_of_one_class_its_own_particles_are_unticked_not_the_classes(self):
        """Any class that was unticked made a run of one class begin anew."""
        classes = self.classified.outputClasses
        contents = lambda noted=None: inputs.writtenAt(classes[2], noted)
        before, tables = contents(), ("Objects", "Class002_Objects")
        for table in tables:
            for enabled in (0, 1):
                with contextlib.closing(sqlite3.connect(classes.getFileName())) as file, file:
                    file.execute(f"UPDATE {table} SET enabled = {enabled} WHERE id = (SELECT max(id) FROM {table})")
                self.assertEqual(contents(before) == before, enabled == 1 or table == "Objects")

    def test_a_choice_that_keeps_nothing_is_named_before_the_run(self):
        errors = lambda **values: " ".join(self.select(self.classified, run=False, **values).validate())
        self.assertEqual(errors(), "")
        self.assertIn("No class has a score of 0.95", errors(threshold=0.95))
        self.assertIn("Score threshold is 2", errors(threshold=2.0))
        self.assertIn("Minimum number of particles is 0", errors(minimumParticles=0))
        self.assertIn("Fraction of good particles lost is 0.7", errors(goodLost=0.7))
        self.assertIn("*Classes to keep* names 4, 9; the classes with particles are [1, 2, 3]", errors(chosen="3-4 9"))
        self.assertIn("*Classes to keep* is no list of numbers such as 1,4-8", errors(chosen="1.5"))
        self.assertIn("*Classes to keep* names no class", errors(chosen="3-1"))

    def test_classes_that_were_clicked_are_kept_whatever_their_scores(self):
        window = mock.Mock(_data=Classes2D.ofSet(self.classified.outputClasses), _turned=set(), _minimum=1)
        window.threshold.return_value = 0.6
        window.kept = lambda: Classes2DWindow.kept(window)
        self.assertEqual(Classes2DWindow.choice(window), (0.6, []))
        for position in (0, 2, 1, 1):  # the best out, the worst in, the second out and in again
            Classes2DWindow.open(window, position)
        self.assertEqual(Classes2DWindow.choice(window), (0.6, [2, 3]))
        none = mock.Mock(**dict(vars(window), _turned={0, 1}, kept=lambda: np.zeros(3, bool)))
        self.assertEqual(Classes2DWindow.choice(none), (window.threshold(), [0]))
        errors = self.select(self.classified, run=False, chosen="0").validate()
        self.assertIn("names 0; the classes with particles are [1, 2, 3]", " ".join(errors))
        self.assertEqual([Classes2DWindow._isPale(window, n) for n in range(3)], [True, False, False])
        self.assertIn("Kept: 2 classes", Classes2DWindow._words(window))
        window._subset = window._accept = None  # as while the classes form
        Classes2DWindow.open(window, 0)
        self.assertEqual((window._turned, Classes2DWindow._words(window)), ({0, 2}, "Class: particles"))
        with mock.patch.object(SetOfClasses2D, "isStreamOpen", lambda classes: True):
            errors = self.select(self.classified, run=False, chosen="1").validate()
        self.assertIn("may still get other numbers", " ".join(errors))
        viewer = mock.Mock(protocol=self.classified)
        with mock.patch.object(self.proj, "launchProtocol") as launched:
            told = CryodlClasses2DViewer._subset(viewer, *Classes2DWindow.choice(window))
        self.assertIn("The set of 2 chosen classes is made by", told)
        run = launched.call_args[0][0]
        run._objLabel = "by clicks"
        self.proj.launchProtocol(run, wait=True)
        run = self.finished(run)
        self.assertEqual([one.getObjId() for one in run.outputClasses.iterItems()], [2, 3])
        self.assertIn("in 2 classes chosen one by one", run.summary()[0])
        self.assertIn("of 2 2-D classes chosen one by one", run._methods()[0])
        every = run.outputParticles.getSize() + run.outputRejected.getSize()
        self.assertEqual(every, self.classified.outputClasses.getImages().getSize() - 1)  # one is in no class

    # ----- viewer and wizard
    def test_scipions_table_shows_the_scores_and_sorts_by_them(self):
        classes = self.classified.outputClasses
        manager, dao = ObjectManager(), ScipionSetsDAO(classes.getFileName())
        manager.setVisibleLabels(MDView(classes).getVisibleAndOrderLabels()[0].split())
        table = dao.getTables()["objects"]
        dao.fillTable(table, manager)
        self.assertIn(SCORE, [column.getName() for column in table.getColumns() if column.isVisible()])
        page = Page(table, 1, 10)
        dao.fillPage(page, SCORE, orderAsc=False)
        ids = [classRows(classes)[n][0] for n in np.argsort([-row[4] for row in classRows(classes)])]
        self.assertEqual([row.getId() for row in page.getRows()], ids)
        shown = MDView(self.selected.outputParticles).getVisibleAndOrderLabels()[0].split()
        self.assertLessEqual({FIT, "_cryodlMargin", SIGNAL}, {*shown})

    def test_classes_are_shown_the_best_or_the_largest_first(self):
        data = Classes2D.ofSet(self.classified.outputClasses)
        self.assertEqual([data.ids[i] for i in data.order(BY_SCORE)], [1, 2, 3])
        self.assertEqual(data.counts[data.order(SIZE)].tolist(), sorted(data.counts.tolist(), reverse=True))
        self.assertEqual(data.kept(0.6).tolist(), [True, True, False])
        self.assertEqual(data.caption(0), f"1: {data.counts[0]}, 0.90")
        self.assertEqual(data.picture(1).shape, (BOX, BOX))

    def test_the_panels_open(self):
        for protocol in (self.classified, self.selected):
            for name in ("showClasses", "showParticles", "showSignal"):
                self.assertTrue(self.panel(protocol, name))
        # one object for each of 100,000 particles took 6 s
        with mock.patch.object(Class2D, "iterItems", side_effect=AssertionError("particle by particle")):
            gallery = galleryOf(self.classified.outputClasses)
            signalCut(self.classified.outputClasses, {1, 2}, 0.02)
        self.assertEqual((len(gallery), gallery.groupNames), (11, ["class 1", "class 2", "class 3"]))
        self.assertEqual(len(gallery.order(None, 2)), 4)
        self.assertEqual([*gallery.metrics], ["Score", "Probability of more than noise", "Margin"])
        found = {i.getObjId(): i._cryodlProbability.get() for made in self.classified.outputClasses for i in made}
        worst = gallery.ids[gallery.order("Probability of more than noise")[-1]]
        self.assertEqual(found[worst], min(found.values()))
        with mock.patch.object(self.selected, "goodLost", Float(0.3)):
            with mock.patch("cryodl_scipion.viewers.particles.viewer_classes2d.classes2d.signalCut") as cut:
                cut.return_value = (0.0, [0.5], [])
                self.panel(self.selected, "showSignal")
        self.assertEqual(cut.call_args[0][2], 0.3)  # the cut that is drawn is the run's own

    def test_particles_that_are_left_out_lie_left_of_the_line(self):
        cut, kept, others = signalCut(self.classified.outputClasses, {1, 2}, 0.02)
        self.assertEqual((len(kept), len(others)), (8, 3))
        self.assertEqual(sum(value < cut for value in kept), 1)  # row 3 shows only noise
        figure = Figure()
        drawSignal(figure, cut, kept, others)
        heights = [patch.get_height() for patch in figure.axes[0].patches]
        self.assertEqual((sum(heights), figure.axes[0].lines[0].get_xdata()[0]), (11, cut))
        with self.assertRaisesRegex(ValueError, "Classify the particles again"):
            drawSignal(figure, 0.0, [], [])

    def test_the_wizard_takes_the_threshold_of_its_window(self):
        form = mock.Mock(protocol=self.selected)
        with mock.patch("cryodl_scipion.viewers.particles.viewer_classes2d.Classes2DWindow") as window:
            single_particles.CryodlClassThresholdWizard().show(form)
            window.call_args[1]["accept"](0.738, [])
            # 0.74 would lose a class of 0.738
            self.assertEqual(form.setVar.mock_calls, [mock.call("threshold", 0.73), mock.call("chosen", "")])
            window.call_args[1]["accept"](0.738, [3, 1, 2])
        form.setVar.assert_called_with("chosen", "1-3")
        empty = mock.Mock(protocol=self.makeProtocol(CryodlProtSelectClasses))
        single_particles.CryodlClassThresholdWizard().show(empty)
        self.assertIn("Choose the 2-D classes first", empty.showError.call_args[0][0])

    def test_the_window_keeps_the_class_at_the_threshold_that_its_slider_shows_rounded(self):
        window = mock.Mock(_value=0.938851)
        for shown, expected in ((0.94, 0.938851), (0.95, 0.95), (0.93, 0.93)):
            window.value.get.return_value = shown
            self.assertEqual(Classes2DWindow.threshold(window), expected)

    def test_without_results_it_is_said_whether_the_run_goes_on_failed_or_was_stopped(self):
        viewer, run = mock.Mock(_WAIT="There are no classes yet. Wait until the run has finished."), self.classified
        needed = functools.partial(PanelsViewer.needed, viewer, None)
        for status, words in (("Failed", "There are no classes. The run failed: no rings"), ("Aborted", "was stopped")):
            viewer.protocol = mock.Mock(**{"isFailed.return_value": status == "Failed"})
            viewer.protocol.getErrorMessage.return_value = "no rings"
            self.assertRaisesRegex(ValueError, words, needed)
            self.assertEqual(cardLines(self.data, viewer.protocol)[1], whyEnded(viewer.protocol))  # of a training
        viewer.protocol = run
        self.assertRaisesRegex(ValueError, "no classes. The run has finished, and what it made is gone", needed)
        ended = ("isFailed", "isAborted", "isFinished")
        viewer.protocol = mock.Mock(**{f"{name}.return_value": False for name in ended})
        viewer.infoMessage = lambda words, title: (words, title)  # no error: it is waited for
        self.assertEqual(PanelsViewer.shown(viewer, needed), [(viewer._WAIT, "Nothing to show")])


def test_a_class_that_is_unticked_or_has_no_average_is_not_identified(tmp_path):
    """A file called None ended the run."""
    classes, path = mock.MagicMock(spec=SetOfClasses2D), str(tmp_path / "averages.star")
    rows, place = (
        [(1, 2, "averages.mrcs", 3, None), (2, 0, None, 3, None), (3, 4, "averages.mrcs", 3, None)],
        "cryodl_scipion.convert.particles.classes2d",
    )
    with mock.patch(f"{place}.classRows", return_value=rows), mock.patch(f"{place}.arriving.firstOf") as first:
        first.return_value.getSamplingRate.return_value = 2.0
        made = [{"getObjId.return_value": number, "isEnabled.return_value": number < 3} for number in (1, 2, 3)]
        classes.iterItems.return_value = [mock.Mock(**given) for given in made]
        writeAverages(path, classes)
    assert readColumns(path, ("rlnReferenceImage", "rlnClassDistribution"), (str, float), "classes") == [
        ("000002@averages.mrcs", 1.0)
    ]
