# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms against the contract: nothing is typed twice, nothing is on a form that is never sent."""
import ast
import dataclasses
import glob
import os
import subprocess
import sys
import typing
import unittest

from pyworkflow.protocol import params
from pyworkflow.tests import BaseTest, setupTestProject

from .. import Plugin, protocols
from ..engine.cryodl import contract
from ..form import addConfigParams, formName, problems, readConfig
from ..protocols import (CryodlProtAssess, CryodlProtAssignOrientations, CryodlProtAutoPick, CryodlProtBackProject,
                         CryodlProtCompare, CryodlProtConsensus, CryodlProtDenoise, CryodlProtDenoiseMicrographs,
                         CryodlProtEvaluateDenoiser, CryodlProtIntegrity, CryodlProtPick, CryodlProtSimulate,
                         CryodlProtSimulateParticles, CryodlProtTrainDenoiser, CryodlProtTrainFromStructure,
                         CryodlProtTrainPicker)
from ..protocols.methods import NETWORKS

# Protocols, each with every config that its form fills.
ENGINE_PROTOCOLS = [(CryodlProtTrainPicker, contract.TrainPickerConfig), (CryodlProtPick, contract.PickConfig),
                    (CryodlProtAutoPick, contract.AutoPickConfig), (CryodlProtSimulate, contract.SimulateMicrographsConfig),
                    (CryodlProtTrainFromStructure, contract.SimulateMicrographsConfig),
                    (CryodlProtTrainFromStructure, contract.TrainPickerConfig),
                    (CryodlProtCompare, contract.ComparePicksConfig),
                    (CryodlProtConsensus, contract.ConsensusPicksConfig),
                    (CryodlProtAssess, contract.AssessMicrographsConfig),
                    (CryodlProtSimulateParticles, contract.SimulateParticlesConfig),
                    (CryodlProtTrainDenoiser, contract.TrainDenoiserConfig), (CryodlProtDenoise, contract.DenoiseConfig),
                    (CryodlProtDenoiseMicrographs, contract.DenoiseMicrographsConfig),
                    (CryodlProtAssignOrientations, contract.AssignOrientationsConfig),
                    (CryodlProtBackProject, contract.ReconstructConfig),
                    (CryodlProtEvaluateDenoiser, contract.EvaluateDenoiserConfig),
                    (CryodlProtIntegrity, contract.AssessIntegrityConfig)]


@dataclasses.dataclass(frozen=True)
class AllKinds:
    """One field of each kind."""
    folder: str = contract.param("A folder.", label="Folder", path="folder")
    count: int = contract.param("A number.", default=3, label="Count", minimum=1, maximum=9)
    some_size: typing.Optional[float] = contract.param("A size.", default=None, label="Size", unit="Å",
                                                       none_means="the usual")
    word: str = contract.param("A word.", default="two", label="Word", choices=("one", "two"), expert=True)
    flag: bool = contract.param("A flag.", default=True, label="Flag")


class Form:
    """Takes what addConfigParams gives to a form."""
    def __init__(self):
        self.params = {}

    def addParam(self, name, paramClass, **arguments):
        self.params[name] = paramClass(**arguments)


class TestCryodlFormBuilder(unittest.TestCase):
    def setUp(self):
        self.form = Form()
        addConfigParams(self.form, AllKinds, ['count', 'some_size', 'word', 'flag', 'folder'],
                        count=dict(condition='flag'))
        self.params = self.form.params

    def test_types_labels_units_and_levels(self):
        classes = {name: type(param) for name, param in self.params.items()}
        self.assertEqual(classes, dict(count=params.IntParam, someSize=params.FloatParam, word=params.EnumParam,
                                       flag=params.BooleanParam, folder=params.FolderParam))
        self.assertEqual(self.params['someSize'].getLabel(), 'Size (Å)')
        self.assertTrue(self.params['word'].isExpert())
        self.assertFalse(self.params['count'].isExpert())

    def test_choices_default_by_word(self):
        self.assertEqual((self.params['word'].choices, self.params['word'].getDefault()), (['one', 'two'], '1'))

    def test_help_says_range_and_what_empty_means(self):
        self.assertIn('From 1 to 9.', self.params['count'].getHelp())
        self.assertIn('Empty: the usual.', self.params['someSize'].getHelp())

    def test_overrides_go_to_the_param(self):
        self.assertEqual(self.params['count'].condition.get(), 'flag')

    def test_an_unknown_field_is_an_error(self):
        with self.assertRaises(KeyError):
            addConfigParams(self.form, AllKinds, ['colour'])

    def test_empty_numbers_get_our_sentence_not_pyworkflows(self):
        self.assertEqual(self.params['count'].validate(None), [])
        self.assertIn('Count is missing', ' '.join(problems(AllKinds(count=None, folder='x'))))


class TestCryodlForms(BaseTest):
    @classmethod
    def setUpClass(cls):
        setupTestProject(cls)

    def test_every_contract_field_is_on_the_form_or_excused(self):
        for protocolClass, config in ENGINE_PROTOCOLS:
            form = self.newProtocol(protocolClass).getDefinition()
            for info in contract.describe_all(config):
                places = [form.hasParam(formName(info.name)), info.name in protocolClass.NOT_ON_FORM]
                self.assertEqual(sum(places), 1, '%s of %s' % (info.name, protocolClass.__name__))

    def test_excuses_name_real_fields_and_give_reasons(self):
        for protocolClass in {p for p, _ in ENGINE_PROTOCOLS}:
            fields = {f.name for p, config in ENGINE_PROTOCOLS if p is protocolClass for f in dataclasses.fields(config)}
            self.assertLessEqual(set(protocolClass.NOT_ON_FORM), fields)
            self.assertTrue(all(protocolClass.NOT_ON_FORM.values()))

    def test_form_defaults_equal_contract_defaults_or_are_said_to_differ(self):
        for protocolClass, configClass in ENGINE_PROTOCOLS:
            values = {name: None for name in protocolClass.NOT_ON_FORM}
            config = readConfig(self.newProtocol(protocolClass), configClass,
                                **{n: v for n, v in values.items() if n in fieldsOf(configClass)})
            for info in contract.describe_all(configClass):
                if info.name not in values:
                    default = None if info.required else info.default
                    default = getattr(protocolClass, 'OTHER_DEFAULTS', {}).get(info.name, default)
                    self.assertEqual(getattr(config, info.name), default, info.name)

    def test_each_field_of_the_form_reaches_the_request(self):
        other = {'int': 7, 'float': 12.5, 'bool': True, 'str': 'C4'}
        for protocolClass, configClass in ENGINE_PROTOCOLS:
            protocol = self.newProtocol(protocolClass)
            values = {name: None for name in protocolClass.NOT_ON_FORM if name in fieldsOf(configClass)}
            for info in contract.describe_all(configClass):
                if info.name in values:
                    continue
                value = len(info.choices) - 1 if info.choices else other[info.kind]
                getattr(protocol, formName(info.name)).set(value)
                wanted = info.choices[-1] if info.choices else value
                self.assertEqual(getattr(readConfig(protocol, configClass, **values), info.name), wanted)

    def test_positions_of_choices_are_frozen(self):
        # Saved workflows hold positions: new choices go to the end.
        self.assertEqual(contract.PICKER_NETWORKS[:6], ('unet', 'deeppicker', 'deepem', 'cryolo', 'topaz', 'eman2'))
        self.assertEqual(contract.LABEL_KINDS[:4], ('auto', 'complete', 'boxes', 'sparse'))
        self.assertEqual(contract.CONTRASTS, ('auto', 'dark', 'bright'))
        self.assertEqual(contract.THRESHOLD_RULES[:3], ('model', 'f1', 'count'))

    def test_every_param_has_a_label_and_a_help(self):
        for protocolClass in ourProtocols():
            for name, param in self.newProtocol(protocolClass).getDefinition().iterParams():
                if isinstance(param, params.LabelParam) or param.condition.get() == 'False':
                    continue
                self.assertTrue(param.getLabel() and param.getHelp(), '%s.%s' % (protocolClass.__name__, name))

    def test_gpus_limit_steps_only_when_they_are_used(self):
        protocol = self.newProtocol(CryodlProtPick, useGpu=False, gpuList='0')
        self.assertEqual(protocol.getGpuList(), [])
        protocol.useGpu.set(True)
        self.assertEqual(protocol.getGpuList(), [0])
        self.assertFalse(protocol.requiresGpu())

    def test_a_required_field_that_nobody_gives_is_an_error(self):
        with self.assertRaises(KeyError):
            readConfig(self.newProtocol(CryodlProtPick), contract.PickConfig)


class TestCryodlTwoSides(unittest.TestCase):
    def test_the_contract_needs_nothing_but_the_standard_library(self):
        code = 'import sys; sys.path.insert(0, sys.argv[1]); from cryodl import contract; print(len(contract.COMMANDS))'
        answer = subprocess.run([sys.executable, '-S', '-I', '-c', code, Plugin.getEngineFolder()], env={},
                                capture_output=True, text=True)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertGreater(int(answer.stdout), 3)

    def test_networks_are_cited_as_the_engine_says(self):
        # The registry imports torch, which is not here: the sources are read.
        cited = {}
        for path in [path for kind in ('pickers', 'denoisers')
                     for path in glob.glob(os.path.join(Plugin.getEngineFolder(), 'cryodl', kind, '*.py'))]:
            with open(path, encoding='utf-8') as file:
                classes = [node for node in ast.parse(file.read()).body if isinstance(node, ast.ClassDef)]
            for node in classes:
                values = {target.id: line.value for line in node.body if isinstance(line, ast.Assign)
                          for target in line.targets}
                if {'name', 'citations'} <= set(values):
                    cited[ast.literal_eval(values['name'])] = ast.literal_eval(values['citations'])
        self.assertEqual({name: keys for name, (_, keys) in NETWORKS.items()}, cited)
        self.assertEqual(set(cited), set(contract.PICKER_NETWORKS + contract.DENOISER_NETWORKS))

    def test_the_scipion_side_does_not_import_torch(self):
        code = 'import sys; import %s.protocols, %s.wizards, %s.viewers; sys.exit("torch" in sys.modules)' % (
            ('cryodl_scipion',) * 3)
        answer = subprocess.run([sys.executable, '-c', code], env=dict(os.environ, MPLBACKEND='Agg'),
                                capture_output=True, text=True)
        self.assertEqual(answer.returncode, 0, answer.stderr)


def fieldsOf(configClass):
    return {field.name for field in dataclasses.fields(configClass)}


def ourProtocols():
    """All protocol classes of the plugin that stand in the tree."""
    return [value for name, value in sorted(vars(protocols).items()) if name.startswith('CryodlProt')]
