# SPDX-License-Identifier: GPL-3.0-or-later
"""Workflows that were saved by version 0.1.0 still load.

data/workflow_0_1_0.json is what Scipion exported then: one run of each protocol, every choice set to its last word, and
the words of each choice. data/project_0_1_0.sql is the database of a project of then: an imported model, and two saved
runs.
"""

import json
import os
import shutil
import sqlite3
from unittest import mock

from pyworkflow.project import Manager
from pyworkflow.tests import BaseTest, setupTestProject

from .. import protocols
from ..convert.form import formName
from ..engine.cryodl import contract

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
SAVED = os.path.join(DATA, "workflow_0_1_0.json")
PROJECT = os.path.join(DATA, "project_0_1_0.sql")
OBJECT = "object."
PROTOCOLS = contract.version_0_1_0.PROTOCOLS
# {protocol: fields of its form that are gone, beside those of options in REMOVED}
FIELDS_REMOVED = {"CryodlProtEvaluateMap": ("testImprover", "modelFrom", "shippedModel", "useGpu", "gpuList")}


class TestOldVersions(BaseTest):
    @classmethod
    def setUpClass(cls):
        setupTestProject(cls)
        with open(SAVED, encoding="utf-8") as file:
            cls.saved = json.load(file)

    def test_a_workflow_of_0_1_0_loads_with_every_value(self):
        loaded = self.proj.loadProtocols(jsonStr=json.dumps([self._exported(run) for run in self.saved]))
        self.assertEqual(len(self.saved), 53)
        for run in self.saved:
            protocol = loaded[run["object.id"]]
            now, given = PROTOCOLS.get(run["object.className"], (run["object.className"], {}))
            self.assertEqual(protocol.getClassName(), now)
            self.assertEqual({name: getattr(protocol, name).get() for name in given}, given)
            for name, value in self._exported(run).items():
                if not name.startswith(OBJECT) and name not in self._removed(protocol):
                    field, name = f"{run['object.className']}.{name}", protocol._presentNames.get(name, name)
                    self.assertTrue(protocol.hasAttribute(name), field + " is gone: name it in version_0_1_0.py")
                    self.assertEqual(getattr(protocol, name).get(), value, field)

    def test_a_renamed_field_takes_the_value_of_its_former_name(self):
        saved = next(run for run in self.saved if run["object.className"] == "CryodlProtAssess")
        renamed = mock.patch.dict(
            contract.version_0_1_0.RENAMED, {"assess-micrographs": {"most_carbon": "maximum_carbon"}}
        )
        renamed.start()
        self.addCleanup(renamed.stop)
        loaded = self.proj.loadProtocols(jsonStr=json.dumps([dict(self._exported(saved), mostCarbon=33.0)]))
        protocol = loaded[saved["object.id"]]
        self.assertEqual(protocol.maximumCarbon.get(), 33.0)
        self.assertNotIn("mostCarbon", protocol.getDefinitionDict())
        self.assertEqual(self.newProtocol(protocols.CryodlProtAssess, mostCarbon=12).maximumCarbon.get(), 12)
        stored = self.proj.getProtocol(protocol.getObjId())
        self.assertEqual(stored.maximumCarbon.get(), 33.0)

    def test_a_project_of_0_1_0_opens_with_its_runs_and_their_values(self):
        with open(PROJECT, encoding="utf-8") as file:
            dump = file.read()
        project = Manager().createProject("OldProject")
        self.addCleanup(shutil.rmtree, project.getPath(), True)
        path = os.path.join(project.getPath(), "project.sqlite")
        os.remove(path)
        with sqlite3.connect(path) as connection:
            connection.executescript(dump)
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        old = Manager().loadProject("OldProject")
        runs = {run.getClassName()[len("CryodlProt") :]: run for run in old.getRuns()}
        self.assertEqual(set(runs), {"Models", "Assess", "Pick"})
        model = runs["Models"].outputModel
        self.assertEqual(runs["Models"].getEnumText("what"), "import")
        self.assertTrue(runs["Models"].isFinished() and runs["Models"].modelFolder.get())
        self.assertIn(runs["Models"].modelFolder.get(), runs["Models"].summary()[1])
        self.assertEqual((model.getKind(), model.getNetwork()), ("picker", "unet"))
        self.assertEqual((runs["Assess"].maximumCarbon.get(), runs["Assess"].minimumParticles.get()), (33.0, 5))
        self.assertIs(runs["Pick"].inputModel.get().__class__, model.__class__)

    def test_positions_of_choices_mean_what_they_meant(self):
        for run in self.saved:
            protocol = getattr(protocols, run["object.className"])()
            gone = self._removed(protocol)
            for name, words in ((n, w) for n, w in run["choices"].items() if n not in gone):
                now = [str(word) for word in protocol.getParam(protocol._presentNames.get(name, name)).choices]
                self.assertEqual(len(now[: len(words)]), len(words), f"{run['object.className']}.{name}")
                if run["object.className"] == "CryodlProtPickTemplates" and name == "contrast":
                    continue  # pick's list begins with auto: a run by templates on bright protein says dark (CHANGES)
                if name in ("network", "labels", "contrast", "shippedModel"):
                    # the form may say more than the word: "projection of the template (posterior)"
                    for word, shown in zip(words, now):
                        self.assertIn(word, shown, f"{run['object.className']}.{name}")

    def _removed(self, protocol):
        config = getattr(protocol, "_CONFIG", None)
        table, now = contract.version_0_1_0, contract.command_name(config) if config else ""
        commands = [now, *(then for then, one in table.COMMANDS.items() if one == now)]
        removed = [formName(name) for command in commands for name in table.REMOVED.get(command, ())]
        return [*removed, *FIELDS_REMOVED.get(protocol.getClassName(), ())]

    def _exported(self, run):
        return {name: value for name, value in run.items() if name != "choices"}
