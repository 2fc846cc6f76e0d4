# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflow template: found by Scipion, filled, and loaded into a project with its links."""
import os
import subprocess
import sys

from pwem import Domain
from pyworkflow.project import Manager
from pyworkflow.template import TemplateList

from . import synthetic
from .base import CryodlTest

# alias: (value, class, field, what the field then holds)
ANSWERS = {'pattern': ('*.tif', 'ProtImportMicrographs', 'filesPattern', '*.tif'),
           'voltage': ('200', 'ProtImportMicrographs', 'voltage', 200), 'cs': ('2.0', 'ProtImportMicrographs',
                                                                              'sphericalAberration', 2.0),
           'contrast': ('0.07', 'ProtImportMicrographs', 'amplitudeContrast', 0.07),
           'pixel': ('1.5', 'ProtImportMicrographs', 'samplingRate', 1.5),
           'model': ('general', 'CryodlProtPick', 'shippedModel', 'general'),
           'diameter': ('160', 'CryodlProtPick', 'particleDiameter', 160),
           'box': ('180', 'ProtRelionExtractParticles', 'boxSize', 180),
           'mask': ('190', 'ProtRelionClassify2D', 'maskDiameterA', 190),
           'classes': ('7', 'ProtRelionClassify2D', 'numberOfClasses', 7)}
LINKS = {'CistemProtCTFFind': {'inputMicrographs': 'ProtImportMicrographs.outputMicrographs'},
         'CryodlProtPick': {'inputMicrographs': 'ProtImportMicrographs.outputMicrographs'},
         'ProtRelionExtractParticles': {'inputCoordinates': 'CryodlProtPick.outputCoordinates',
                                        'ctfRelations': 'CistemProtCTFFind.outputCTF'},
         'ProtRelionClassify2D': {'inputParticles': 'ProtRelionExtractParticles.outputParticles'}}


class TestCryodlTemplate(CryodlTest):
    def load(self):
        """{class name: protocol} of the template, filled and loaded, and the classes that are not installed."""
        templates = TemplateList()
        templates.addPluginTemplates('cryodl-picking')
        template, = templates.templates
        template.replaceEnvVariables()
        template.parseContent()
        template.setParamValue('mics', os.path.dirname(synthetic.writeMicrographs(self.data + '/mics', 1)[0]))
        for alias, (value, *_) in ANSWERS.items():
            self.assertEqual(template.setParamValue(alias, value), 1, alias)
        self.assertEqual(len(template.getParams()), len(ANSWERS) + 1)
        path = template.createTemplateFile()
        try:
            loaded = self.proj.loadProtocols(path)
        finally:
            os.remove(path)
        return {protocol.getClassName(): protocol for protocol in loaded.values()}

    def test_the_template_becomes_linked_runs_with_the_answers(self):
        missing = [name for name in LINKS if name not in Domain.getProtocols()]
        if missing:
            self.skipTest("The plugins of these protocols are not installed: %s" % ', '.join(missing))
        runs = self.load()
        self.assertEqual(set(runs), set(LINKS) | {'ProtImportMicrographs'})
        for value, name, field, wanted in ANSWERS.values():
            self.assertEqual(runs[name].getAttributeValue(field), wanted, field)
        for name, links in LINKS.items():
            for field, wanted in links.items():
                pointer = getattr(runs[name], field)
                self.assertEqual('%s.%s' % (pointer.getObjValue().getClassName(), pointer.getExtended()), wanted)

    def test_scipions_template_command_makes_the_project(self):
        mics = os.path.dirname(synthetic.writeMicrographs(self.data + '/mics', 1)[0])
        answers = ['%s=%s' % (alias, value) for alias, (value, *_) in ANSWERS.items()]
        run = subprocess.run([sys.executable, '-m', 'scipion', 'template', 'cryodl-picking', '--nogui', '--noschedule',
                              'mics=' + mics, 'project_name=cryodl_template'] + answers,
                             capture_output=True, text=True, timeout=120)
        manager = Manager()
        self.assertTrue(manager.hasProject('cryodl_template'), run.stdout + run.stderr)
        try:
            self.assertEqual(len(manager.loadProject('cryodl_template', chdir=False).getRuns()), 5)
        finally:
            manager.deleteProject('cryodl_template')
