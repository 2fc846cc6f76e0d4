# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotating tomograms through the protocol, with a fake engine in the place of the window."""

import os
import shutil
from pathlib import Path

import mrcfile
import numpy as np
from pyworkflow.protocol import MODE_RESTART, STATUS_INTERACTIVE

from ...convert.tomograms.tomograms import markLabels
from ...engine.cryodl import contract
from ...engine.cryodl.tomograms.annotations.store import AnnotationStore, read_annotations
from ...objects import CryodlAnnotations
from ...protocols import CryodlProtAnnotate, CryodlProtTrainSegmenter
from ...protocols.tomograms.protocol_annotate import DRAW, FOLDER, LABELS, STACK
from ...protocols.tomograms.tomogram_kinds import checkAnnotations
from ..base import CryodlTest
from ..tomogram_sets import PIXEL_SIZE, SHAPE, makeMasks, makeTomograms


class AnnotateTest(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.tomograms = makeTomograms(cls)
        labels = np.ones(SHAPE, np.int8)
        cls.labels = makeMasks(cls, cls.tomograms, dict(TS_01=labels), lambda masks: markLabels(masks, ["membrane"]))

    @classmethod
    def annotation(cls, source=DRAW, pointers=None, **values):
        given = {} if source == STACK else dict(inputTomograms=(cls.tomograms, "outputTomograms"))
        return cls.makeProtocol(
            CryodlProtAnnotate,
            dict(given, **(pointers or {})),
            **dict(dict(source=source, feature="membrane", annotator="anna", tile=16), **values),
        )

    @classmethod
    def launch(cls, protocol, **environment):
        os.environ.update(environment)
        try:
            cls.proj.launchProtocol(protocol, wait=True)
        finally:
            for name in environment:
                del os.environ[name]
        return protocol

    def folderOfAFriend(self):
        """Annotations of the tomogram TS_01 that lay elsewhere when they were made."""
        store = AnnotationStore(os.path.join(self.data, "friend"))
        store.set_path("TS_01", os.path.join(self.data, "gone", "TS_01.mrc"), SHAPE)
        store.add("TS_01", PIXEL_SIZE, (4, 8, 8), 16, "actin", "berta", np.ones((16, 16)))
        store.save()
        self.addCleanup(shutil.rmtree, store.folder)
        return store.folder


class TestCryodlAnnotate(AnnotateTest):
    def test_what_is_drawn_becomes_an_output_and_more_can_be_drawn(self):
        protocol = self.launch(self.annotation())
        self.assertEqual(protocol.getStatus(), STATUS_INTERACTIVE, protocol.getErrorMessage())
        self.assertEqual(protocol.outputAnnotations.getCounts(), {"membrane": {"positive": 2, "negative": 4}})
        config = contract.Request.read(protocol._getExtraPath("request.json")).config
        self.assertEqual((config.pixel_size, config.tile, config.annotator), (PIXEL_SIZE, 16, "anna"))
        self.assertEqual([os.path.basename(path) for path in config.tomograms], ["TS_01.mrc", "TS_02.mrc"])
        self.launch(protocol)
        self.assertEqual(protocol.outputAnnotations.getCounts(), {"membrane": {"positive": 4, "negative": 8}})
        self.assertEqual(str(protocol.outputAnnotations), "CryodlAnnotations (membrane: 4 with, 8 without)")
        store = read_annotations(protocol.outputAnnotations.getFolder())
        self.assertTrue(os.path.samefile(store.entries[0].path, self.tomograms._getExtraPath("TS_01.mrc")))
        text = "\n".join(protocol.summary())
        for words in ("annotate told this.", "Execute the run again (Continue)"):
            self.assertIn(words, text)
        self.assertEqual(protocol._methods(), ["annotate was used."])

    def test_drawings_outlive_a_window_that_fails_and_restart_asks_first(self):
        protocol = self.launch(self.annotation(), FAKE_ENGINE_NO_SCREEN="1")
        self.assertTrue(protocol.isFailed())
        self.assertIn("No annotations yet.", protocol.summary())
        self.assertEqual(protocol._warnings(), [])
        protocol.runMode.set(MODE_RESTART)
        self.assertEqual(
            protocol._warnings(),
            ["Restart deletes what was drawn in this run (membrane: 2 with, 4 without). Choose Continue to draw more."],
        )
        protocol.runMode.set(0)
        self.launch(protocol)
        self.assertEqual(protocol.outputAnnotations.getCounts()["membrane"]["positive"], 4)

    def test_a_window_that_is_closed_at_once_gives_an_empty_output(self):
        protocol = self.launch(self.annotation(), FAKE_ENGINE_CLOSES="1")
        self.assertEqual(protocol.outputAnnotations.getCounts(), {})

    def test_another_annotator_adds_to_a_copy(self):
        first = self.launch(self.annotation())
        second = self.launch(
            self.annotation(
                pointers=dict(inputAnnotations=(first, "outputAnnotations")), annotator="berta", feature="actin"
            )
        )
        self.assertEqual(
            second.outputAnnotations.getCounts(),
            {"membrane": {"positive": 2, "negative": 4}, "actin": {"positive": 2, "negative": 4}},
        )
        self.assertEqual(second.outputAnnotations.getAnnotators(), ["anna", "berta"])
        again = CryodlAnnotations.fromFolder(first.outputAnnotations.getFolder())
        self.assertEqual(list(again.getCounts()), ["membrane"])
        for tile in read_annotations(second.outputAnnotations.getFolder()).entries:
            self.assertTrue(os.path.isfile(tile.path), tile)

    def test_a_network_can_be_trained_on_them(self):
        drawn = self.launch(self.annotation())
        training = self.makeProtocol(
            CryodlProtTrainSegmenter, dict(inputAnnotations=(drawn, "outputAnnotations")), useGpu=False
        )
        self.assertEqual(training.validate(), [])
        before, tile = training._settings(), read_annotations(drawn.outputAnnotations.getFolder()).entries[0]
        self.assertEqual(training._settings(), before)
        path = os.path.realpath(tile.path)
        with open(path, "rb") as file:
            self.addCleanup(Path(path).write_bytes, file.read())
        with mrcfile.mmap(path, "r+") as tomogram:
            tomogram.data[:] = tomogram.data[::-1].copy()
        self.assertNotEqual(training._settings(), before)  # another tomogram under its name
        # a run whose steps were noted before annotations were looked at: what its killed training has made stays
        partial = training._getExtraPath("model.partial")
        training.makePathsAndClean()
        os.mkdir(partial)
        less = {name: value for name, value in before.items() if "annotations written" not in name}
        Path(training.getStepsFile()).touch()
        training._settingsBefore = lambda: dict(less, **{"inputs written": []})
        training._forgetOtherOutputs()
        self.assertTrue(os.path.isdir(partial))
        training._settingsBefore = lambda: before
        Path(training.getStepsFile()).touch()
        training._forgetOtherOutputs()
        self.assertFalse(os.path.isdir(partial))


class TestCryodlImportAnnotations(AnnotateTest):
    def test_label_volumes(self):
        protocol = self.launch(
            self.annotation(
                LABELS, dict(inputMasks=(self.labels, "outputMasks")), label=1, positiveTiles=3, negativeTiles=5
            )
        )
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        config = contract.Request.read(protocol._getExtraPath("request.json")).config
        self.assertEqual((config.label, config.pixel_size, config.tiles), (1, PIXEL_SIZE, None))
        self.assertEqual([os.path.basename(p) for p in config.tomograms + config.labels], ["TS_01.mrc", "TS_01.mrc"])
        self.assertEqual(protocol.outputAnnotations.getCounts(), {"membrane": {"positive": 3, "negative": 5}})
        self.launch(protocol)
        self.assertEqual(protocol.outputAnnotations.getCounts(), {"membrane": {"positive": 3, "negative": 5}})

    def test_a_stack_of_tiles(self):
        tiles = os.path.join(self.data, "tiles.mrcs")
        with mrcfile.new(tiles, overwrite=True) as mrc:
            mrc.set_data(np.zeros((3, 16, 16), np.float32))
        self.assertIn("needs its pixel size", " ".join(self.annotation(STACK, tiles=tiles).validate()))
        self.assertIn("Tiles is empty", " ".join(self.annotation(STACK).validate()))
        absent = self.annotation(STACK, tiles=tiles, drawings="no.mrcs")
        self.assertIn("no.mrcs does not exist", " ".join(absent.validate()))
        protocol = self.launch(self.annotation(STACK, tiles=tiles, drawings=tiles, pixelSize=7.0))
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        config = contract.Request.read(protocol._getExtraPath("request.json")).config
        self.assertEqual((config.tiles, config.drawings, config.pixel_size, config.tomograms), (tiles, tiles, 7.0, ()))

    def test_a_folder_of_somebody_else_finds_its_tomograms_by_their_names(self):
        protocol = self.launch(self.annotation(FOLDER, folder=self.folderOfAFriend()))
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        (tile,) = read_annotations(protocol.outputAnnotations.getFolder()).entries
        self.assertTrue(os.path.samefile(tile.path, self.tomograms._getExtraPath("TS_01.mrc")))
        self.assertEqual((tile.feature, tile.annotator), ("actin", "berta"))

    def test_a_folder_whose_tomograms_are_nowhere_is_refused(self):
        folder = self.folderOfAFriend()
        protocol = self.makeProtocol(CryodlProtAnnotate, None, source=FOLDER, folder=folder)
        self.assertRegex(" ".join(protocol.validate()), "tomogram TS_01 is not at .*gone.*Choose a set that contains")
        zarr = os.path.join(self.data, "gone", "TS_01.mrc")  # a tomogram may be an OME-Zarr, which is a folder
        os.makedirs(zarr)
        self.addCleanup(shutil.rmtree, os.path.dirname(zarr))
        self.assertEqual(checkAnnotations(folder, set()), [])
        self.assertIn("has no annotations.json", " ".join(self.annotation(FOLDER, folder=self.data).validate()))
        self.assertIn("Folder of annotations is empty", " ".join(self.annotation(FOLDER).validate()))

    def test_mistakes_on_the_form_are_named(self):
        masks = dict(inputMasks=(self.labels, "outputMasks"))
        for protocol, words in (
            (self.annotation(LABELS, masks), "Label is empty"),
            (self.annotation(LABELS, masks, label=1, tile=3), "Tile is 3 px"),
            (self.annotation(feature=""), "Feature is empty"),
            (self.annotation(feature="my membrane"), "'my membrane'"),
            (self.annotation(annotator="a/b"), "annotator is named 'a/b'"),
            (self.makeProtocol(CryodlProtAnnotate, None), "Input tomograms is missing"),
        ):
            self.assertIn(words, " ".join(protocol.validate()))
        queued = self.annotation()
        queued._useQueue.set(True)
        self.assertIn("job in a queue cannot open the annotation window", " ".join(queued.validate()))
