# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols on maps with a fake engine."""

import contextlib
import csv
import os
import shutil
import sqlite3
from unittest import mock

import mrcfile
import numpy as np
from pyworkflow.protocol.executor import StepExecutor

from ...convert.maps import headerOrigin, scipionOrigin
from ...engine.cryodl import contract
from ...protocols import (
    CryodlProtCompareModels,
    CryodlProtEvaluateMap,
    CryodlProtExportModel,
    CryodlProtIdentify,
    CryodlProtImportModel,
    CryodlProtImproveMap,
    CryodlProtSimulateHalfMaps,
    CryodlProtTrainMapImprover,
)
from ...protocols.model_field import FROM_PROJECT
from ...viewers.maps.viewer_evaluate_map import tableOf
from ...viewers.maps.viewer_improve_map import CryodlImproveMapViewer
from ..fake_model import improverCard, writeModel
from ..map_sets import PIXEL_SIZE, SHAPE, MapsTest, makeVolume, writeMap
from ..particle_sets import addTo

OURS = dict(modelFrom=FROM_PROJECT, useGpu=False)


class TestCryodlImproveMap(MapsTest):
    def improve(self, source, output="outputVolume", pointers=(), **values):
        return self.runProtocol(
            CryodlProtImproveMap,
            dict(dict(inputVolume=(source, output), inputModel=(self.model, "outputModel")), **dict(pointers)),
            **dict(OURS, **values),
        )

    def test_a_map_is_improved_with_its_half_maps_and_keeps_its_place(self):
        run = self.finished(self.improve(self.volume))
        volume = run.outputVolume
        self.assertEqual((volume.getSamplingRate(), volume.getDim()), (PIXEL_SIZE, SHAPE[::-1]))
        np.testing.assert_array_equal(mrcfile.read(volume.getFileName()), 2 * mrcfile.read(self.data + "/map.mrc"))
        self.assertEqual(volume.getHalfMaps().split(","), [self.data + "/half1.mrc", self.data + "/half2.mrc"])
        self.assertIn("not for FSC", volume.getObjComment())
        self.assertEqual(volume._cryodlImprover.get(), "better")
        self.assertEqual(run.outputDoubt.getDim(), SHAPE[::-1])
        summary = " ".join(run.summary())
        self.assertIn("improve-map told this.", summary)
        self.assertEqual(run.methods()[0], "improve-map was used.")
        self.assertIn("He2023EMReady", run._citations())

    def test_scipions_origin_goes_to_the_outputs(self):
        run = self.finished(self.improve(self.bare))
        self.assertEqual(scipionOrigin(run.outputVolume), (-10.0, -20.0, -30.0))
        self.assertIsNone(getattr(run, "outputDoubt", None))
        self.assertFalse(run.outputVolume.hasHalfMaps())
        self.assertIn("no half-map test", " ".join(run._warnings()))

    def test_inventions_are_a_warning_in_the_summary(self):
        with mock.patch.dict(os.environ, FAKE_ENGINE_TEST="invented"):
            run = self.finished(self.improve(self.volume))
        self.assertEqual(" ".join(run.summary()).count("it was added, and this test"), 1)
        self.assertIn("it was added, and this test cannot tell whether it is correct", " ".join(run.summary()))

    def test_a_header_that_contradicts_scipion_is_kept_with_the_result(self):
        path = self.data + "/wrong.mrc"
        mrcfile.write(path, mrcfile.read(self.data + "/map.mrc"), voxel_size=2 * PIXEL_SIZE)
        run = self.finished(self.improve(self.outputs(outputVolume=makeVolume(path))))
        os.remove(path)
        self.assertEqual(" ".join(run.summary()).count("according to its header"), 1)

    def test_each_map_of_a_set_is_improved(self):
        source = self.setOf(self.data + "/map.mrc", self.data + "/bare.mrc")
        run = self.finished(self.improve(source, "outputVolumes"))
        volumes = [v.clone() for v in run.outputVolumes]
        self.assertEqual((len(volumes), run.outputDoubts.getSize()), (2, 1))
        self.assertEqual([bool(v.getHalfMaps()) for v in volumes], [True, False])
        self.assertEqual(len({v.getFileName() for v in volumes}), 2)
        self.assertEqual(volumes[0].getSamplingRate(), PIXEL_SIZE)
        with contextlib.closing(sqlite3.connect(source.outputVolumes.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id = 1")  # it was improved all the same
        self.proj.launchProtocol(run, wait=True)
        (volume,) = (v.clone() for v in self.finished(run).outputVolumes)
        self.assertEqual(volume.getHalfMaps(), volumes[1].getHalfMaps())
        self.assertEqual(volume.getFileName(), volumes[1].getFileName())  # it was improved again, under another name

    def test_a_bad_map_of_a_set_does_not_end_the_others(self):
        bad = writeMap(self.data + "/bad.mrc")
        with mrcfile.open(bad, "r+") as mrc:
            mrc.data[0, 0, 0] = np.nan
        run = self.finished(self.improve(self.setOf(bad, self.data + "/bare.mrc"), "outputVolumes"))
        self.assertEqual([volume.getObjLabel() for volume in run.outputVolumes], ["bare_2 (improved)"])
        self.assertRegex("\n".join(run.summary()), r"1 skipped:\*\n  bad_1: .*/bad.mrc holds values that are no")
        made = CryodlImproveMapViewer(project=self.proj, protocol=run)
        made.setProtocol(run)
        self.assertEqual(list(made._data()), ["bare_2"])
        none = self.improve(self.setOf(bad, bad), "outputVolumes")
        self.assertIn("No map could be improved. *2 skipped:*   bad_1: ", none.getErrorMessage())

    def test_two_half_maps_are_enough(self):
        halves = [self.outputs(outputVolume=makeVolume(self.data + f"/half{n}.mrc")) for n in (1, 2)]
        run = self.finished(
            self.runProtocol(
                CryodlProtImproveMap,
                dict(
                    inputHalf1=(halves[0], "outputVolume"),
                    inputHalf2=(halves[1], "outputVolume"),
                    inputModel=(self.model, "outputModel"),
                ),
                inputFrom=1,
                **OURS,
            )
        )
        request = contract.Request.read(run._engineResultFiles()[0].replace("result", "request")).config
        self.assertIsNone(request.map)
        self.assertEqual(len(request.half_maps), 2)
        self.assertIsNotNone(run.outputDoubt)
        self.assertTrue(run.outputVolume.hasHalfMaps())

    def test_a_model_masks_in_the_frame_of_the_map(self):
        run = self.finished(self.improve(self.bare, pointers=dict(inputMask=(self.structure, "outputPdb"))))
        request = contract.Request.read(run._engineResultFiles()[0].replace("result", "request")).config
        self.assertEqual(request.mask_structure, self.structure.outputPdb.getFileName())
        self.assertEqual(
            headerOrigin(request.map, PIXEL_SIZE), (0, 0, 0)
        )  # by the header the map is dense at the atoms
        self.assertIn("higher density at the atoms", " ".join(run.summary()))
        self.assertEqual(scipionOrigin(run.outputVolume), (-10.0, -20.0, -30.0))

    def test_a_stopped_set_continues_with_the_map_that_is_missing(self):
        source = self.setOf(self.data + "/map.mrc", self.data + "/bare.mrc")
        run = self.finished(self.improve(source, "outputVolumes"))
        first, second = sorted(run._engineResultFiles())
        os.remove(second)
        before = os.path.getmtime(first)
        self.assertEqual(len(run._resultsByName()), 1)
        run.setStepsExecutor(StepExecutor(run.getHostConfig()))
        for name in run._namedVolumes():
            run.improveStep(name, run._settings())
        self.assertTrue(os.path.exists(second))
        self.assertEqual(os.path.getmtime(first), before)

    def test_numbers_of_maps_that_the_form_had_before_stand_beside_no_other_map(self):
        run = self.finished(self.improve(self.setOf(self.data + "/map.mrc", self.data + "/bare.mrc"), "outputVolumes"))
        run.setStepsExecutor(StepExecutor(run.getHostConfig()))
        shutil.copytree(self.data, self.data + "/again", dirs_exist_ok=True)  # maps of the same names
        others = self.setOf(self.data + "/again/map.mrc", self.data + "/again/bare.mrc")
        one = self.outputs(outputVolume=makeVolume(writeMap(self.data + "/one.mrc")))
        for source, output, count in ((one, "outputVolume", 0), (others, "outputVolumes", 0), (others, "", 1)):
            run.inputVolume.set(source)
            run.inputVolume.setExtended(output or "outputVolumes")
            if not output:
                run.improveStep("map_1", run._settings())
            made = CryodlImproveMapViewer(project=self.proj, protocol=run)
            made.setProtocol(run)
            self.assertEqual([list(run._resultsByName()), list(made._data() or ())], [["map_1"][:count]] * 2)
            self.assertEqual((len(run._methods()), "told this" in " ".join(run.summary())), (count, bool(count)))

    def test_outputs_of_an_input_that_was_changed_do_not_stay(self):
        run = self.finished(self.improve(self.volume))
        self.assertTrue(run.hasAttribute("outputDoubt"))
        run.inputVolume.set(self.bare)  # it has no half-maps
        run.inputVolume.setExtended("outputVolume")
        self.proj.launchProtocol(run, wait=True)
        self.assertEqual([name for name, _ in self.finished(run).iterOutputAttributes()], ["outputVolume"])
        self.assertIn("bare_1 (improved)", run.outputVolume.getObjLabel())

    def test_the_frames_of_several_maps_name_their_map(self):
        source = self.setOf(self.data + "/map.mrc", self.data + "/bare.mrc")
        run = self.finished(
            self.improve(source, "outputVolumes", pointers=dict(inputMask=(self.structure, "outputPdb")))
        )
        frames = [line for line in run.summary() if "fit by" in line]
        self.assertEqual([line.split(": ")[0] for line in frames], ["map_1", "bare_2"])

    def test_a_run_tells_the_same_after_its_input_got_a_new_object_id(self):
        run = self.finished(self.improve(self.volume))
        before, settings, volume = run.summary(), run._settings(), self.volume.outputVolume
        try:
            volume.setObjId(volume.getObjId() + 1000)  # as when a project window refreshes
            self.assertEqual((run.summary(), run._settings()), (before, settings))
        finally:
            volume.setObjId(volume.getObjId() - 1000)
        (name,) = run._namedVolumes()
        os.rename(run._getExtraPath(name), run._getExtraPath("map_208"))  # the name of version 0.1.0
        self.assertEqual(run.summary(), before)

    def test_wrong_inputs_are_named(self):
        errors = lambda **values: " ".join(
            self.makeProtocol(
                CryodlProtImproveMap,
                **dict(
                    dict(
                        pointers=dict(inputVolume=(self.volume, "outputVolume"), inputModel=(self.model, "outputModel"))
                    ),
                    **values,
                ),
            ).validate()
        )
        mask = self.outputs(outputVolume=makeVolume(writeMap(self.data + "/mask.mrc"), pixelSize=3.0))
        inputs = dict(inputVolume=(self.volume, "outputVolume"), inputModel=(self.model, "outputModel"))
        self.assertIn(
            "The mask has 3 Å/px, the map 2 Å/px",
            errors(pointers=dict(inputs, inputMask=(mask, "outputVolume")), **OURS),
        )
        self.assertIn("Shipped model is 'nobody'", errors(modelFrom=1, shippedModel="nobody", useGpu=False))
        wrong = self.outputs(outputModel=self.classOf("picker"))
        self.assertIn(
            "a map improver is needed", errors(pointers=dict(inputs, inputModel=(wrong, "outputModel")), **OURS)
        )

    def classOf(self, kind):
        from ...objects import CryodlModel

        return CryodlModel.fromFolder(writeModel(os.path.join(self.data, kind), {}))


class TestCryodlMapProtocols(MapsTest):
    def evaluated(self, pointers=(), **values):
        return self.runProtocol(
            CryodlProtEvaluateMap,
            dict(
                dict(inputVolume=(self.volume, "outputVolume"), inputStructure=(self.structure, "outputPdb")),
                **dict(pointers),
            ),
            **values,
        )

    def test_a_map_is_measured_with_its_half_maps(self):
        run = self.finished(self.evaluated())
        names = [fsc.getObjLabel() for fsc in run.outputFSCs]
        self.assertEqual(names, ["map and model", "map and model, whole box", "half-maps"])
        self.assertEqual(run.outputLocalResolution.getSamplingRate(), PIXEL_SIZE)
        summary = " ".join(run.summary())
        for words in ("evaluate-map told this.", "fit by"):
            self.assertIn(words, summary)
        self.assertEqual(run.methods()[0], "evaluate-map was used.")
        self.assertLessEqual({"Pintilie2020", "Cardone2013", "Rosenthal2003"}, set(run._citations()))

    def test_the_map_before_lies_in_the_same_frame(self):
        run = self.finished(
            self.evaluated(
                dict(
                    inputVolume=(self.bare, "outputVolume"),
                    inputBefore=(self.volume, "outputVolume"),
                    inputProcessed1=(self.bare, "outputVolume"),
                    inputProcessed2=(self.volume, "outputVolume"),
                )
            )
        )
        request = contract.Request.read(run._engineResultFiles()[0].replace("result", "request")).config
        self.assertEqual(headerOrigin(request.map, PIXEL_SIZE), headerOrigin(request.before, PIXEL_SIZE))
        self.assertEqual(len(request.half_maps), 2)  # of the map before, as the improved one has none
        self.assertEqual(len(set(request.processed)), 2)
        self.assertEqual(run.outputDoubt.getSamplingRate(), PIXEL_SIZE)

    def test_maps_of_one_set_are_several_maps(self):
        items = self.setOf(*(writeMap(f"{self.data}/item{n}.mrc", scale=n) for n in (1, 2, 3, 4)))
        item = lambda n: (items, f"outputVolumes.{n}")
        pointers = dict(inputVolume=item(1), inputBefore=item(2), inputHalf1=item(3), inputHalf2=item(4))
        run = self.finished(self.evaluated(pointers))
        config = contract.Request.read(run._engineResultFiles()[0].replace("result", "request")).config
        made = [os.path.basename(path)[:9] for path in (config.map, config.before, *config.half_maps)]
        self.assertEqual([name.replace("map_", "")[:5] for name in made], ["item1", "item2", "item3", "item4"])
        protocol = self.makeProtocol(CryodlProtIdentify)
        addTo(protocol.inputStructures, [items, items], "")
        for number, pointer in enumerate(protocol.inputStructures, 3):
            pointer.setExtended(f"outputVolumes.{number}")
        named = [os.path.basename(path) for path in protocol._config().structures]
        self.assertEqual(named, ["item3.mrc", "item4.mrc"])

    def test_processed_half_maps_need_no_model(self):
        processed = {f"inputProcessed{n}": (one, "outputVolume") for n, one in ((1, self.bare), (2, self.volume))}
        given = dict(processed, inputVolume=(self.volume, "outputVolume"))
        run = self.finished(self.runProtocol(CryodlProtEvaluateMap, given))
        self.assertEqual([fsc.getObjLabel() for fsc in run.outputFSCs], ["half-maps"])
        self.assertEqual(run.outputDoubt.getSamplingRate(), PIXEL_SIZE)
        self.assertNotIn("fit by", " ".join(run.summary()))
        _, rows = tableOf(run.getEvaluation())
        self.assertEqual([row[0] for row in rows], ["Half-maps, FSC 0.143", "Local resolution, median (10 % to 90 %)"])
        alone = self.makeProtocol(CryodlProtEvaluateMap, dict(inputVolume=(self.volume, "outputVolume")))
        self.assertIn(
            "An atomic structure is missing. Without it, give *Processed half-maps*", " ".join(alone.validate())
        )
        compared = self.makeProtocol(CryodlProtCompareModels, dict(inputReference=(self.structure, "outputPdb")))
        self.assertIn("Built model is missing.", " ".join(compared.validate()))

    def test_the_half_map_test_needs_half_maps(self):
        run = self.makeProtocol(
            CryodlProtEvaluateMap,
            dict(
                inputVolume=(self.bare, "outputVolume"),
                inputStructure=(self.structure, "outputPdb"),
                inputProcessed1=(self.bare, "outputVolume"),
                inputProcessed2=(self.volume, "outputVolume"),
            ),
        )
        self.assertIn("needs half-maps", " ".join(run.validate()))
        run.inputProcessed2.set(None)
        self.assertIn("Processed half-map 1 and Processed half-map 2 belong together", " ".join(run.validate()))

    def test_models_are_compared(self):
        run = self.finished(
            self.runProtocol(
                CryodlProtCompareModels,
                dict(inputStructure=(self.structure, "outputPdb"), inputReference=(self.structure, "outputPdb")),
            )
        )
        self.assertTrue(os.path.exists(run._output()))
        self.assertEqual(run.summary()[0], "compare-models told this.")
        self.assertEqual(run.methods()[0], "compare-models was used.")

    def test_simulated_maps_model_and_scipion_agree_on_the_place(self):
        run = self.finished(
            self.runProtocol(
                CryodlProtSimulateHalfMaps,
                dict(inputStructure=(self.structure, "outputPdb")),
                resolution=4.0,
                pixelSize=1.5,
            )
        )
        for volume in (run.outputVolume, run.outputTruth):
            self.assertEqual(scipionOrigin(volume), headerOrigin(volume.getFileName(), 1.5))
            self.assertEqual(volume.getSamplingRate(), 1.5)
        self.assertEqual(len(run.outputVolume.getHalfMaps().split(",")), 2)
        self.assertTrue(os.path.exists(run.outputStructure.getFileName()))
        self.assertIn("simulate-half-maps told this.", run.summary())

    def test_a_missing_resolution_is_named(self):
        run = self.makeProtocol(CryodlProtSimulateHalfMaps, dict(inputStructure=(self.structure, "outputPdb")))
        self.assertIn("Resolution is missing", " ".join(run.validate()))

    def test_an_improver_goes_in_and_out_of_a_project(self):
        source = writeModel(self.data + "/source", improverCard(name="mine"))
        imported = self.finished(self.runProtocol(CryodlProtImportModel, modelFolder=source))
        self.assertEqual((imported.outputModel.getKind(), imported.outputModel.getNetwork()), ("map_improver", "fast"))
        target = self.data + "/exported"
        self.finished(
            self.runProtocol(CryodlProtExportModel, dict(inputModel=(imported, "outputModel")), targetFolder=target)
        )
        self.assertEqual(contract.check_model(target, "map_improver")["name"], "mine")


class TestCryodlTrainMapImprover(MapsTest):
    def train(self, volumes, models, simulate=(), run=True, **values):
        protocol = self.makeProtocol(CryodlProtTrainMapImprover, **dict(dict(useGpu=False), **values))
        for field, sources, output in (
            ("inputVolumes", volumes, "outputVolume"),
            ("inputModels", models, "outputPdb"),
            ("simulateFrom", simulate, "outputPdb"),
        ):
            addTo(getattr(protocol, field), sources, output)
        if run:
            self.proj.launchProtocol(protocol, wait=True)
        return protocol

    def test_pairs_of_the_project_go_into_a_table_with_the_right_frames(self):
        run = self.finished(
            self.train([self.volume, self.bare], [self.structure, self.structure], resolutions="4, 3.5")
        )
        with open(run._pairsTable()) as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([float(row["resolution"]) for row in rows], [4.0, 3.5])
        for row in rows:
            path = os.path.join(os.path.dirname(run._pairsTable()), row["map"])
            self.assertEqual(headerOrigin(path, PIXEL_SIZE), (0, 0, 0))
        self.assertEqual(run.outputModel.getKind(), "map_improver")
        self.assertIn("train-map-improver told this.", run.summary())
        self.assertEqual(run.methods()[0], "train-map-improver was used.")
        self.assertIn("He2023EMReady", run._citations())

    def test_structures_alone_are_enough(self):
        pattern = self.data + "/mod*.pdb"
        run = self.finished(self.train([], [], [self.structure], pairsFrom=2, structureFiles=pattern, network=1))
        request = contract.Request.read(run._engineResultFiles()[0].replace("result", "request")).config
        self.assertIsNone(request.pairs)
        self.assertEqual(request.structures, (self.structure.outputPdb.getFileName(), pattern))
        self.assertEqual(run._card()["network"], "swinconv")

    def test_what_does_not_belong_together_is_named(self):
        errors = lambda *inputs, **values: " ".join(self.train(*inputs, run=False, **values).validate())
        pair = [self.volume], [self.structure]
        self.assertIn("2 maps and 1 atomic models", errors([self.volume, self.bare], [self.structure], resolutions="4"))
        self.assertIn("1 maps (ticked ones) and 0 resolutions", errors(*pair))
        self.assertIn("separated by commas", errors(*pair, resolutions="about 4"))
        self.assertIn("No training data are given", errors([], []))
        self.assertIn("nowhere.csv, does not exist", errors([], [], pairsFrom=1, pairs="nowhere.csv"))
        self.assertIn("No file matches", errors([], [], structureFiles=self.data + "/none*.pdb"))
        start = self.train(*pair, run=False, resolutions="4", modelFrom=FROM_PROJECT, network=1)
        start.inputModel.set(self.model)
        start.inputModel.setExtended("outputModel")
        self.assertIn("has the network fast", " ".join(start.validate()))

    def test_several_gpus_may_train_together_but_improve_takes_one(self):
        train = self.train([self.volume], [self.structure], run=False, resolutions="4", useGpu=True, gpuList="0,1")
        self.assertEqual(train._checkGpus(), [])
        improve = self.makeProtocol(CryodlProtImproveMap, useGpu=True, gpuList="0,1")
        self.assertIn("uses one", improve._checkGpus()[0])


def test_the_verdict_of_the_half_map_test():
    names = ("raw", "control", "improved", "crossed", "gain", "unexplained")
    verdict = lambda *values: contract.half_map_verdict(dict(zip(names, values)))
    good, lines = verdict(5.0, 4.8, 4.0, 4.4, 0.05, 0.01)
    assert (
        good and "part of the improvement is supported by the data" in lines[1] and lines[2].startswith("1.0 % of what")
    )
    good, lines = verdict(5.0, 4.8, 4.0, 4.4, 0.05, 0.2)
    assert not good and "part of the improvement is supported by the data" in lines[1] and "20.0 % of what" in lines[2]
    assert not verdict(5.0, 4.8, 4.0, 4.4, 0.05, 0.03)[0]
    values = dict(zip(names, (5.0, 4.8, 4.0, 4.4, 0.05, 0.03)))
    good, lines = contract.half_map_verdict(values, contract.BY_NETWORK)
    assert good and lines[2].startswith("3.0 % of what") and "no more than the shipped network adds" in lines[2]
    good, lines = verdict(5.0, 4.8, 4.0, 5.5, -0.1, 0.01)
    assert not good and "more errors were added than removed" in lines[1]
    good, lines = verdict(5.0, 4.8, 4.0, None, -0.5, 0.01)
    assert not good and "agrees less" in lines[1]
    good, lines = verdict(5.0, 4.8, 4.8, 4.8, 0.0, 0.0)
    assert good and "the data show no gain" in lines[1]
    good, lines = verdict(None, None, 3.0, None, 0.0, 1.0)
    assert not good and "not in the data" in lines[1]
    good, lines = verdict(None, None, None, None, 0.0, 0.0)
    assert good and "belong together" in lines[1]
    said, warned = contract.split_verdict(verdict(5.0, 4.8, 4.0, 4.4, 0.05, 0.2)[1])
    assert len(said) == 2 and warned[0].startswith("20.0 % of what")
