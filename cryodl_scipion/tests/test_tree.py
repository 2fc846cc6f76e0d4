# SPDX-License-Identifier: GPL-3.0-or-later
"""What Scipion discovers: protocols and their tree, viewers, wizards, objects, citations, icon."""

import collections
import inspect
import os
import re
import sys
import unittest

from pwem import Domain
from pyworkflow.protocol import Protocol, params
from pyworkflow.tests import BaseTest, setupTestProject
from pyworkflow.utils import parseBibTex
from pyworkflow.viewer import DESKTOP_TKINTER, Viewer
from pyworkflow.wizard import Wizard

import cryodl_scipion

from .. import bibtex, objects, protocols, viewers, wizards
from ..protocols import CryodlProtPick
from ..protocols.protocol_base import possibleOutputs
from .test_forms import ofWay, ourProtocols

FOLDER = os.path.dirname(os.path.abspath(cryodl_scipion.__file__))


def classesOf(module, base):
    return [
        v
        for v in vars(module).values()
        if isinstance(v, type) and issubclass(v, base) and v.__module__.startswith("cryodl_scipion")
    ]


class TestCryodlTree(unittest.TestCase):
    def test_each_tab_of_the_results_has_what_it_shows(self):
        from .. import viewers

        missing = [
            f"{name}: {panel.name}"
            for name, viewer in vars(viewers).items()
            for panel in getattr(viewer, "_PANELS", ())
            if not hasattr(viewer, panel.name)
        ]
        self.assertEqual(missing, [])

    def test_every_class_of_the_tree_exists_and_every_protocol_is_in_it(self):
        with open(os.path.join(FOLDER, "protocols.conf")) as file:
            inTree = set(re.findall(r'"value": "(\w+)"', file.read()))
        self.assertEqual(inTree, {c.__name__ for c in ourProtocols()})

    def test_scipion_finds_protocols_and_objects(self):
        found = Domain.getProtocols()
        for protocolClass in ourProtocols():
            self.assertIs(found[protocolClass.__name__], protocolClass)
            self.assertEqual(protocolClass.getClassPackage().__name__, "cryodl_scipion")
        self.assertIs(Domain.getObjects()["CryodlModel"], objects.CryodlModel)

    def test_labels_are_short_lower_case_verb_phrases_and_differ(self):
        labels = [c._label for c in ourProtocols()]
        self.assertEqual(len(set(labels)), len(labels))
        self.assertTrue(all(label.replace("CTF", "ctf") == label.lower() and len(label) < 30 for label in labels))

    def test_every_protocol_says_what_goes_in_and_out(self):
        for protocolClass in ourProtocols():
            self.assertRegex(protocolClass.__doc__, r"(?s)In:.*")
            self.assertLessEqual(len(protocolClass.__doc__.splitlines()), 15)

    def test_viewers_and_wizards_have_targets_that_exist(self):
        self.assertTrue(classesOf(viewers, Viewer) and classesOf(wizards, Wizard))
        for viewer in classesOf(viewers, Viewer):
            self.assertTrue(viewer._targets and all(isinstance(t, type) for t in viewer._targets), viewer)
            self.assertIn(DESKTOP_TKINTER, viewer._environments)
        for wizard in classesOf(wizards, Wizard):
            self.assertTrue(wizard._targets, wizard)
            for protocolClass, fields in wizard._targets:
                self.assertTrue(issubclass(protocolClass, Protocol))
                form = protocolClass().getDefinition()
                for field in fields:
                    self.assertTrue(form.hasParam(field), f"{protocolClass} has no field {field}")

    def test_a_wizard_stands_beside_every_field_of_a_diameter(self):
        measured = {
            (protocolClass, field)
            for wizard in classesOf(wizards, Wizard)
            for protocolClass, fields in wizard._targets
            for field in fields
        }
        seen = 0
        for protocolClass in ourProtocols():
            for name, param in protocolClass().getDefinition().iterParams():
                asked = isinstance(param, params.BooleanParam)  # keep it?: there is nothing to measure
                if "diameter" in param.getLabel().split(" (")[0].lower() and not asked:
                    seen += 1
                    self.assertIn((protocolClass, name), measured)
        self.assertGreater(seen, 8)

    def test_the_main_input_of_a_form_is_named_as_scipion_names_it(self):
        seen = 0
        for protocolClass in ourProtocols():
            for name, param in protocolClass().getDefinition().iterParams():
                if re.fullmatch(r"input(Micrographs|Particles|Tomograms|Subtomograms)", name) and param.isImportant():
                    seen += 1
                    self.assertEqual(param.getLabel(), f"Input {name[5:].lower()}", protocolClass)
        self.assertGreater(seen, 12)

    def test_corrections_of_picks_stand_on_a_tab_of_their_own(self):
        tabs = {s.getLabel(): dict(s.iterParams()) for s in CryodlProtPick().getDefinition().iterSections()}
        pointers = [n for n, p in tabs["Corrections"].items() if isinstance(p, params.PointerParam)]
        fields = ["answeredCoordinates", "correctedCoordinates", "keptParticles", "classifiedParticles"]
        self.assertEqual(pointers, fields)
        self.assertFalse(set(fields) & set(tabs["Input"]))

    def test_no_two_fields_of_a_form_have_one_label(self):
        for protocolClass, way in [(p, n) for p in ourProtocols() for n in range(len(getattr(p, "WAYS", "1")))]:
            shown = collections.Counter(
                param.getLabel().strip().lower()
                for _, param in protocolClass().getDefinition().iterParams()
                if param.condition.get() != "False" and ofWay(protocolClass, way, param)
            )
            self.assertEqual([label for label, count in shown.items() if label and count > 1], [], protocolClass)

    def test_outputs_follow_from_the_contract_and_each_is_made_by_its_protocol(self):
        """Backwards: each declared name stands in the source of the protocol or of its bases."""
        for protocolClass in ourProtocols():
            config = getattr(protocolClass, "_CONFIG", None)
            if config is None:
                continue
            declared = possibleOutputs(config)
            if not isinstance(inspect.getattr_static(protocolClass, "_possibleOutputs"), property):
                self.assertEqual(protocolClass._possibleOutputs, declared, protocolClass)
            sources = "".join(
                inspect.getsource(sys.modules[base.__module__])
                for base in protocolClass.__mro__
                if base.__module__.startswith("cryodl_scipion") or "particle_pick" in base.__module__
            )
            for name in declared:
                stem = name[:-1] if name in ("outputVolumes", "outputDoubts") else name.replace("*", "%s")
                self.assertIn(stem, sources, f"{name} of {protocolClass.__name__}")

    def test_references_open_and_are_written_with_their_accents(self):
        entries = parseBibTex(bibtex.__doc__)
        for key, entry in entries.items():
            self.assertTrue(entry.get("doi", "https://doi.org/").startswith("https://doi.org/"), key)
            if key != "cryodl":
                self.assertNotRegex(entry["author"], r"[\\{}]", key)
        text = protocols.CryodlProtPick()._getCiteText(entries["Cicek2016"])
        self.assertRegex(text, r"^\[\[https://\S+\]\[Çiçek et al\., ")
        ours = protocols.CryodlProtPick()._getCiteText(entries["cryodl"])
        self.assertTrue(ours.startswith("The cryodl developers et al."), ours)

    def test_every_citation_is_in_the_bibliography(self):
        keys = set(re.findall(r"@\w+\{(\w+),", bibtex.__doc__))
        for protocolClass in ourProtocols():
            citations = protocolClass()._citations()
            self.assertTrue(citations)
            self.assertLessEqual(set(citations), keys)

    def test_every_model_and_protocol_has_a_viewer_of_ours(self):
        for target in (
            objects.CryodlModel,
            protocols.CryodlProtTrainPicker,
            protocols.CryodlProtPick,
            protocols.CryodlProtThresholdPicks,
            protocols.CryodlProtCompare,
            protocols.CryodlProtCompareMapsOfPicks,
            protocols.CryodlProtConsensus,
            protocols.CryodlProtAssess,
            protocols.CryodlProtSimulate,
            protocols.CryodlProtTrainFromStructure,
            protocols.CryodlProtEstimateCTF,
            protocols.CryodlProtPickFilaments,
        ):
            found = Domain.findViewers(target(), DESKTOP_TKINTER)
            self.assertTrue(found and found[0].__module__.startswith("cryodl_scipion"), target)

    def test_help_names_the_page_of_each_protocol(self):
        """Where the site is built, every protocol has a page in it; its docstring is shown in any case."""
        pages = [cryodl_scipion.Plugin.getUrl(protocolClass) for protocolClass in ourProtocols()]
        self.assertIn(sum(page == "" for page in pages), (0, len(pages)))
        for page in filter(None, pages):
            self.assertTrue(os.path.exists(page[len("file://") :]), page)
        for protocolClass in ourProtocols():
            self.assertGreater(len(protocolClass().getHelpText()), 60, protocolClass)
        self.assertEqual(cryodl_scipion.Plugin.getUrl(), "")

    def test_the_icon_is_there(self):
        self.assertTrue(os.path.isfile(os.path.join(FOLDER, cryodl_scipion._logo)))


class TestCryodlNames(BaseTest):
    @classmethod
    def setUpClass(cls):
        setupTestProject(cls)

    def test_no_method_of_ours_is_hidden_by_an_attribute_of_pyworkflow(self):
        # Protocol sets _resultFiles, _error, _steps ... on each object; a method of that name cannot be called.
        for protocolClass in ourProtocols():
            protocol = self.newProtocol(protocolClass)
            ours = {
                name
                for c in protocolClass.__mro__
                if c.__module__.startswith("cryodl_scipion")
                for name, value in vars(c).items()
                if callable(value)
            }
            self.assertEqual(ours & set(vars(protocol)), set(), protocolClass.__name__)

    def test_an_output_that_the_contract_does_not_declare_is_an_error(self):
        protocol = self.newProtocol(protocols.CryodlProtBackProject)
        with self.assertRaisesRegex(KeyError, "outputOther, which the contract does not declare"):
            protocol._defineOutputs(outputOther=None)

    def test_no_form_field_hides_a_method(self):
        for protocolClass in ourProtocols():
            names = [name for name, _ in self.newProtocol(protocolClass).getDefinition().iterParams()]
            self.assertEqual([n for n in names if callable(getattr(protocolClass, n, None))], [])
