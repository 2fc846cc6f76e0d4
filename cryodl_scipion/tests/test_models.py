# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders: reading, checking, copying whole or not at all; import and export."""

import os
import shutil
import tempfile
import unittest
from unittest import mock

from .. import Plugin
from ..engine.cryodl import contract
from ..protocols import CryodlProtExportModel, CryodlProtImportModel, model_field
from .base import CryodlTest
from .fake_model import writeModel


class TestCryodlModelFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.model = writeModel(os.path.join(self.folder, "model"), {})

    def tearDown(self):
        shutil.rmtree(self.folder)

    def wrong(self, words):
        with self.assertRaises(ValueError) as caught:
            contract.check_model(self.model)
        self.assertIn(words, str(caught.exception))
        self.assertIn(self.model, str(caught.exception))

    def test_a_whole_model_gives_its_card(self):
        self.assertEqual(contract.check_model(self.model)["particle_diameter"], 120)

    def test_each_kind_of_damage_is_named(self):
        self.model += "_absent"
        self.wrong("There is no model folder")
        self.model = os.path.join(self.folder, "model")
        with open(os.path.join(self.model, "weights.safetensors"), "ab") as file:
            file.write(b".")
        self.wrong("its checksum is not the one")
        os.remove(os.path.join(self.model, "weights.safetensors"))
        self.wrong("has no weights.safetensors")
        writeModel(self.model, dict(format_version=99))
        self.wrong(f"has format version 99; this version of cryodl reads {contract.FORMAT_VERSION}")
        writeModel(self.model, dict(threshold="high"))
        self.wrong("threshold missing or of the wrong type")
        with open(os.path.join(self.model, "card.json"), "w") as file:
            file.write("{")
        self.wrong("not valid JSON")
        os.remove(os.path.join(self.model, "card.json"))
        self.wrong("is not a model of cryodl")

    def test_a_copy_is_whole_or_not_there(self):
        target = os.path.join(self.folder, "copy")
        with mock.patch.object(model_field.shutil, "copytree", side_effect=OSError(28, "No space left on device")):
            with self.assertRaises(OSError):
                model_field.copyModel(self.model, target)
        self.assertEqual(os.listdir(self.folder), ["model"])
        model_field.copyModel(self.model, target)
        self.assertEqual(sorted(os.listdir(target)), ["card.json", "weights.safetensors"])
        with self.assertRaises(FileExistsError):
            model_field.copyModel(self.model, target)

    def test_every_shipped_model_is_whole(self):
        for name, folder in model_field.shippedModels().items():
            self.assertTrue(contract.check_model(folder)["name"], name)

    def test_models_are_listed_by_their_folders(self):
        engine = os.path.join(self.folder, "engine")
        writeModel(os.path.join(engine, "cryodl", "models", "general"), {})
        os.makedirs(os.path.join(engine, "cryodl", "models", "no_model"))
        for folder, names in ((engine, ["general"]), (self.folder, [])):
            with mock.patch.object(Plugin, "getEngineFolder", classmethod(lambda cls, folder=folder: folder)):
                self.assertEqual(list(model_field.shippedModels()), names)


class TestCryodlModelProtocols(CryodlTest):
    def test_a_model_goes_in_and_out_unchanged(self):
        source = writeModel(os.path.join(self.data, "source"), dict(name="mine", threshold=0.25))
        imported = self.runProtocol(CryodlProtImportModel, modelFolder=source)
        self.assertTrue(imported.isFinished(), imported.getErrorMessage())
        self.assertEqual((imported.outputModel.getModelName(), imported.outputModel.getThreshold()), ("mine", 0.25))
        shutil.rmtree(source)  # the import is a copy
        target = os.path.join(self.data, "exported")
        exported = self.runProtocol(
            CryodlProtExportModel, dict(inputModel=(imported, "outputModel")), targetFolder=target
        )
        self.assertTrue(exported.isFinished(), exported.getErrorMessage())
        self.assertEqual(contract.check_model(target), contract.check_model(imported.outputModel.getFolder()))
        self.assertIn(target, " ".join(exported.summary()))
        self.assertIn("mine", " ".join(imported.summary()))

    def test_a_continued_import_takes_the_folder_of_the_form(self):
        one, other = (writeModel(os.path.join(self.data, name), dict(name=name)) for name in ("one", "other"))
        imported = self.runProtocol(CryodlProtImportModel, modelFolder=one)
        imported.modelFolder.set(other)
        self.proj.launchProtocol(imported, wait=True)
        self.assertEqual(imported.outputModel.getModelName(), "other")

    def test_wrong_folders_are_refused_before_the_run(self):
        damaged = writeModel(os.path.join(self.data, "damaged"), dict(weights_sha256="0"))
        good = writeModel(os.path.join(self.data, "good"), {})
        imported = self.runProtocol(CryodlProtImportModel, modelFolder=good)

        def importErrors(folder):
            return " ".join(self.newProtocol(CryodlProtImportModel, modelFolder=folder).validate())

        def exportErrors(folder):
            return " ".join(
                self.makeProtocol(
                    CryodlProtExportModel, dict(inputModel=(imported, "outputModel")), targetFolder=folder
                ).validate()
            )

        self.assertIn("is empty", importErrors(""))
        self.assertIn("checksum", importErrors(damaged))
        self.assertIn("no card.json", importErrors(self.data))
        self.assertIn("is empty", exportErrors(""))
        self.assertIn("exists already", exportErrors(good))
        self.assertIn("does not exist", exportErrors(os.path.join(self.data, "no", "where")))
        self.assertEqual(exportErrors(os.path.join(self.data, "new")), "")

    def test_import_and_export_need_no_engine(self):
        with mock.patch.object(Plugin, "validateInstallation", classmethod(lambda cls: ["no engine"])):
            self.assertEqual(CryodlProtImportModel.validateInstallation(), [])
            self.assertEqual(CryodlProtExportModel.validateInstallation(), [])
