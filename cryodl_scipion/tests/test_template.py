# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflow templates: found by Scipion, filled, and loaded into a project with their links."""
import os
import subprocess
import sys

from pwem import Domain
from pyworkflow.project import Manager
from pyworkflow.template import TemplateList

from . import synthetic
from .base import CryodlTest

# alias: (value, class, field, what the field then holds)
IMPORT = {'pattern': ('*.tif', 'ProtImportMicrographs', 'filesPattern', '*.tif'),
          'voltage': ('200', 'ProtImportMicrographs', 'voltage', 200), 'cs': ('2.0', 'ProtImportMicrographs',
                                                                             'sphericalAberration', 2.0),
          'contrast': ('0.07', 'ProtImportMicrographs', 'amplitudeContrast', 0.07),
          'pixel': ('1.5', 'ProtImportMicrographs', 'samplingRate', 1.5)}
EXTRACT = {'box': ('180', 'ProtRelionExtractParticles', 'boxSize', 180)}
MICROGRAPHS = {'inputMicrographs': 'ProtImportMicrographs.outputMicrographs'}
# name: (answers, {class: {pointer: class.output}})
TEMPLATES = {
    'cryodl-picking': (
        dict(IMPORT, model=('general', 'CryodlProtPick', 'shippedModel', 'general'),
             diameter=('160', 'CryodlProtPick', 'particleDiameter', 160),
             mask=('190', 'ProtRelionClassify2D', 'maskDiameterA', 190),
             classes=('7', 'ProtRelionClassify2D', 'numberOfClasses', 7), **EXTRACT),
        {'CistemProtCTFFind': MICROGRAPHS, 'CryodlProtPick': MICROGRAPHS,
         'ProtRelionExtractParticles': {'inputCoordinates': 'CryodlProtPick.outputCoordinates',
                                        'ctfRelations': 'CistemProtCTFFind.outputCTF'},
         'ProtRelionClassify2D': {'inputParticles': 'ProtRelionExtractParticles.outputParticles'}}),
    'cryodl-autopicking': (
        dict(IMPORT, model=('general', 'CryodlProtAutoPick', 'shippedModel', 'general'),
             diameter=('160', 'CryodlProtAutoPick', 'particleDiameter', 160),
             rounds=('2', 'CryodlProtAutoPick', 'rounds', 2), **EXTRACT),
        {'CistemProtCTFFind': MICROGRAPHS, 'CryodlProtAutoPick': MICROGRAPHS,
         'ProtRelionExtractParticles': {'inputCoordinates': 'CryodlProtAutoPick.outputCoordinates',
                                        'ctfRelations': 'CistemProtCTFFind.outputCTF'}})}


class TestCryodlTemplate(CryodlTest):
    def load(self, name):
        """{class name: protocol} of a template, filled and loaded."""
        templates, answers = TemplateList(), TEMPLATES[name][0]
        templates.addPluginTemplates(name)
        template, = templates.templates
        template.replaceEnvVariables()
        template.parseContent()
        template.setParamValue('mics', os.path.dirname(synthetic.writeMicrographs(self.data + '/mics', 1)[0]))
        for alias, (value, *_) in answers.items():
            self.assertEqual(template.setParamValue(alias, value), 1, alias)
        self.assertEqual(len(template.getParams()), len(answers) + 1)
        path = template.createTemplateFile()
        try:
            loaded = self.proj.loadProtocols(path)
        finally:
            os.remove(path)
        return {protocol.getClassName(): protocol for protocol in loaded.values()}

    def test_templates_become_linked_runs_with_the_answers(self):
        for template, (answers, links) in TEMPLATES.items():
            missing = [name for name in links if name not in Domain.getProtocols()]
            if missing:
                self.skipTest("The plugins of these protocols are not installed: %s" % ', '.join(missing))
            runs = self.load(template)
            self.assertEqual(set(runs), set(links) | {'ProtImportMicrographs'})
            for value, name, field, wanted in answers.values():
                self.assertEqual(runs[name].getAttributeValue(field), wanted, field)
            for name, pointers in links.items():
                for field, wanted in pointers.items():
                    pointer = getattr(runs[name], field)
                    self.assertEqual('%s.%s' % (pointer.getObjValue().getClassName(), pointer.getExtended()), wanted)

    def test_scipions_template_command_makes_the_project(self):
        mics = os.path.dirname(synthetic.writeMicrographs(self.data + '/mics', 1)[0])
        for template, (given, links) in TEMPLATES.items():
            answers = ['%s=%s' % (alias, value) for alias, (value, *_) in given.items()]
            project = template.replace('-', '_')
            run = subprocess.run([sys.executable, '-m', 'scipion', 'template', template, '--nogui', '--noschedule',
                                  'mics=' + mics, 'project_name=' + project] + answers,
                                 capture_output=True, text=True, timeout=120)
            manager = Manager()
            self.assertTrue(manager.hasProject(project), run.stdout + run.stderr)
            try:
                self.assertEqual(len(manager.loadProject(project, chdir=False).getRuns()), len(links) + 1)
            finally:
                manager.deleteProject(project)
