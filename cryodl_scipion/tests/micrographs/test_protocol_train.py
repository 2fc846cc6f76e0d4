# SPDX-License-Identifier: GPL-3.0-or-later
"""Training, from the form to the model object, with a fake engine."""

import json
import os
from unittest import mock

from pwem.objects import SetOfCoordinates, SetOfMicrographs

from ...convert.relion_star import readColumns
from ...engine.cryodl import contract
from ...protocols import CryodlProtTrainPicker
from .. import synthetic
from ..base import CryodlTest

TEN = [(30 + 25 * i, 60 + 10 * i) for i in range(10)]


class TestCryodlTrain(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.imported = cls.importMicrographs(os.path.dirname(synthetic.writeMicrographs(cls.data + "/mics", 4)[0]))
        cls.picked = cls.makeCoordinates(cls.imported, {1: TEN, 3: TEN[:5]})
        cls.inputs = dict(inputCoordinates=(cls.picked, "outputCoordinates"))

    def train(self, pointers=None, **values):
        return self.runProtocol(
            CryodlProtTrainPicker,
            dict(self.inputs, **(pointers or {})),
            **dict(dict(useGpu=False, particleDiameter=90), **values),
        )

    def errors(self, pointers=None, **values):
        protocol = self.makeProtocol(
            CryodlProtTrainPicker,
            dict(self.inputs, **(pointers or {})),
            **dict(dict(useGpu=False, particleDiameter=90), **values),
        )
        return " ".join(protocol.validate())

    def test_the_labelled_micrographs_become_a_model(self):
        protocol = self.train(steps=7, seed=3)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        model = protocol.outputModel
        self.assertEqual((model.getKind(), model.getNetwork(), model.getParticleDiameter()), ("picker", "unet", 90))
        self.assertEqual(float(model._pixelSizes.get()), synthetic.PIXEL_SIZE)
        self.assertIn("90 Å", str(model))
        with open(os.path.join(model.getFolder(), "card.json")) as file:
            training = json.load(file)["training"]
        self.assertEqual((training["micrographs"], training["particles"]), (["mic_001", "mic_003"], 15))
        request = contract.Request.read(protocol._getExtraPath("request.json"))
        config = request.config
        self.assertEqual((config.steps, request.seed, config.network, config.background), (7, 3, "unet", None))
        self.assertEqual([os.path.basename(m) for m in config.micrographs], ["mic_001.mrc", "mic_003.mrc"])

    def test_a_continued_run_learns_the_labels_of_the_form(self):
        protocol = self.train()
        shifted = self.makeCoordinates(self.imported, {1: [(x + 5, y) for x, y in TEN], 3: TEN[5:]})
        background = self.makeCoordinates(self.imported, {1: [(20, 200)]})
        for name, source, count in (("input", shifted, 15), ("background", background, 15)):
            mark = os.path.join(protocol.outputModel.getFolder(), "mark")
            open(mark, "w").close()
            getattr(protocol, name + "Coordinates").set(source)
            getattr(protocol, name + "Coordinates").setExtended("outputCoordinates")
            self.proj.launchProtocol(protocol, wait=True)
            self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
            self.assertTrue(os.path.exists(protocol.outputModel.getFolder()) and not os.path.exists(mark), name)

    def test_summary_says_what_was_learned_where(self):
        protocol = self.train()
        self.assertEqual(protocol._methods(), ["train-picker was used."])
        text = "\n".join(protocol.summary())
        for words in ("train-picker told this", "CPU (fake)"):
            self.assertIn(words, text)

    def test_background_boxes_and_their_micrographs_are_used(self):
        background = self.makeCoordinates(self.imported, {2: [(20, 30)], 3: [(50, 200), (60, 220)]})
        protocol = self.train(dict(backgroundCoordinates=(background, "outputCoordinates")))
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        with open(os.path.join(protocol.outputModel.getFolder(), "card.json")) as file:
            training = json.load(file)["training"]
        self.assertEqual(
            (training["micrographs"], training["background_boxes"]), (["mic_001", "mic_002", "mic_003"], 3)
        )

    def test_contamination_and_uncertain_places_reach_the_engine(self):
        contamination = self.makeCoordinates(self.imported, {4: [(50, 60), (90, 100)]})
        uncertain = self.makeCoordinates(self.imported, {1: [(200, 200)], 2: [(20, 20)]})
        protocol = self.train(
            dict(
                contaminationCoordinates=(contamination, "outputCoordinates"),
                uncertainCoordinates=(uncertain, "outputCoordinates"),
            ),
            network=5,
        )
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        request = contract.Request.read(protocol._getExtraPath("request.json"))
        config = request.config
        # a micrograph with nothing but an uncertain place teaches nothing
        self.assertEqual((config.network, request.names), ("eman2", ("mic_001", "mic_003", "mic_004")))
        self.assertEqual(positions(os.path.join(config.contamination, "mic_004.star")), [[50, 60], [90, 100]])
        self.assertEqual(positions(os.path.join(config.uncertain, "mic_001.star")), [[200, 200]])
        self.assertEqual((config.background, os.path.basename(config.coordinates)), (None, "coordinates"))

    def test_what_is_for_sparse_labels_is_shown_with_them_alone(self):
        protocol = self.makeProtocol(CryodlProtTrainPicker, self.inputs)
        for network, labels, shown in (
            ("unet", "auto", False),
            ("topaz", "auto", True),
            ("topaz", "complete", False),
            ("unet", "sparse", True),
        ):
            protocol.network.set(contract.PICKER_NETWORKS.index(network))
            protocol.labels.set(contract.LABEL_KINDS.index(labels))
            for field in ("expectedParticles", "puCriterion"):
                self.assertEqual(protocol.evalParamCondition(field), shown, (network, labels, field))

    def test_fewer_expected_than_labelled_particles_are_a_mistake(self):
        self.assertIn(
            "Expected particles per micrograph is 5, but 7.5 are labelled on average",
            self.errors(network=4, expectedParticles=5),
        )
        self.assertEqual(self.errors(network=4, expectedParticles=20), "")
        self.assertEqual(self.errors(expectedParticles=5), "")  # it does not apply, and is not shown

    def test_each_network_is_named_and_cited(self):
        for index, network in enumerate(contract.PICKER_NETWORKS):
            protocol = self.makeProtocol(CryodlProtTrainPicker, self.inputs, network=index)
            self.assertEqual(protocol._citations(), ["cryodl"] + list(contract.network_citations("picker", network)))
        with mock.patch.object(SetOfCoordinates, "getMicrographs", return_value=None):  # their run was deleted
            self.assertEqual(protocol._citations(), ["cryodl"] + list(contract.network_citations("picker", network)))
        protocol = self.train(
            network=contract.PICKER_NETWORKS.index("topaz"), labels=contract.LABEL_KINDS.index("sparse")
        )
        config = contract.Request.read(protocol._getExtraPath("request.json")).config
        self.assertEqual((config.network, config.labels), ("topaz", "sparse"))

    def test_a_killed_training_continues(self):
        os.environ["FAKE_ENGINE_DIE_AFTER"] = "3"
        try:
            protocol = self.train()
            self.assertTrue(protocol.isFailed())
            self.assertTrue(os.path.exists(os.path.join(protocol.getModelFolder() + ".partial", "metrics.csv")))
            self.proj.launchProtocol(protocol, wait=True)
        finally:
            del os.environ["FAKE_ENGINE_DIE_AFTER"]
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        with open(os.path.join(protocol.outputModel.getFolder(), "metrics.csv")) as file:
            self.assertEqual([line.split(",")[0] for line in file][1:], ["1", "2", "3", "4", "5"])

    def test_a_changed_setting_trains_anew_when_continued(self):
        protocol = self.train()
        protocol.particleDiameter.set(100)
        self.proj.launchProtocol(protocol, wait=True)
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        self.assertEqual(protocol.outputModel.getParticleDiameter(), 100)

    def test_a_model_to_start_from_and_other_micrographs_reach_the_engine(self):
        first = self.train()
        other = self.importMicrographs(os.path.dirname(synthetic.writeMicrographs(self.data + "/other", 4)[0]))
        protocol = self.train(dict(startModel=(first, "outputModel"), inputMicrographs=(other, "outputMicrographs")))
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        config = contract.Request.read(protocol._getExtraPath("request.json")).config
        self.assertEqual(config.start_from, first.outputModel.getFolder())
        self.assertEqual(os.path.realpath(config.micrographs[0]), os.path.realpath(self.data + "/other/mic_001.mrc"))
        with open(os.path.join(first.outputModel.getFolder(), "weights.safetensors"), "ab") as file:
            file.write(b"!")
        self.assertIn("damaged: its checksum", self.errors(dict(startModel=(first, "outputModel"))))

    def test_mistakes_are_named_before_the_run(self):
        self.assertEqual(self.errors(), "")
        self.assertIn("Particle diameter is missing", self.errors(particleDiameter=None))
        self.assertIn("The particle diameter of 5 Å is only", self.errors(particleDiameter=5))
        self.assertIn("2000 Å is more than half of the micrograph", self.errors(particleDiameter=2000))
        self.assertIn("Training steps is 0; it must be between", self.errors(steps=0))
        self.assertIn("EMPTY", self.errors(dict(inputCoordinates=(None, ""))))

    def test_mistakes_in_the_coordinates_are_named(self):
        def withLabels(positions, field="inputCoordinates", imported=self.imported):
            made = self.makeCoordinates(imported, positions)
            return self.errors({field: (made, "outputCoordinates")})

        self.assertIn("set of particle coordinates is empty", withLabels({}))
        self.assertIn("The set has 4 particle coordinates; training needs at least 5", withLabels({1: TEN[:4]}))
        for word in ("background", "contamination", "uncertain"):
            self.assertIn(f"set of {word} coordinates is empty", withLabels({}, word + "Coordinates"))
        with mock.patch.object(SetOfMicrographs, "getSamplingRate", return_value=None):
            self.assertIn("micrographs of the coordinates have no pixel size", withLabels({1: TEN}))
        self.assertIn("mic_001.mrc (1; such as x=400, y=20 on 320 x 256 px)", withLabels({1: [(400, 20), (30, 30)]}))
        other = self.importMicrographs(os.path.dirname(writeOther(self.data + "/strange")))
        self.assertIn(
            "lie on other micrographs than the particles: elsewhere.mrc",
            withLabels({1: [(10, 10)]}, "backgroundCoordinates", other),
        )

    def test_few_particles_are_a_warning(self):
        few = self.makeCoordinates(self.imported, {1: TEN[:6]})
        protocol = self.makeProtocol(
            CryodlProtTrainPicker, dict(inputCoordinates=(few, "outputCoordinates")), useGpu=False, particleDiameter=90
        )
        self.assertEqual(protocol.validate(), [])
        self.assertIn("only 6 training particles", " ".join(protocol.warnings()))

    def test_a_large_network_on_a_cpu_is_a_warning(self):
        cryolo = contract.PICKER_NETWORKS.index("cryolo")
        for useGpu in (False, True):
            protocol = self.makeProtocol(CryodlProtTrainPicker, self.inputs, network=cryolo, useGpu=useGpu)
            self.assertEqual(
                "without a GPU its training takes minutes to hours" in " ".join(protocol.warnings()), not useGpu
            )

    def test_other_micrographs_must_fit_the_coordinates(self):
        folder = os.path.dirname(writeOther(self.data + "/unlike"))
        unlike = self.importMicrographs(folder)
        self.assertIn(
            "Other micrographs has no mic_001.mrc, mic_003.mrc, whose coordinates cannot be used",
            self.errors(dict(inputMicrographs=(unlike, "outputMicrographs"))),
        )
        synthetic.writeMicrographs(self.data + "/coarse", 4)
        coarse = self.importMicrographs(self.data + "/coarse", pixelSize=6.0)
        self.assertIn(
            "6 Å/px and those of the coordinates 3 Å/px",
            self.errors(dict(inputMicrographs=(coarse, "outputMicrographs"))),
        )


def positions(path):
    return [list(row) for row in readColumns(path, ("rlnCoordinateX", "rlnCoordinateY"), (float, float))]


def writeOther(folder):
    os.makedirs(folder)
    return synthetic.writeMicrograph(os.path.join(folder, "elsewhere.mrc"), 1)
