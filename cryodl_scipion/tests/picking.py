# SPDX-License-Identifier: GPL-3.0-or-later
"""Picked micrographs for tests: their names are special, their picks known, the engine a fake."""

import os

from ..protocols import CryodlProtImportModel, CryodlProtPick
from . import synthetic
from .base import CryodlTest
from .fake_model import writeModel

ABOVE_04 = [(40, 50), (121, 60), (200, 70), (280, 200)]
EVERYTHING = sorted((int(round(x)), int(round(y))) for x, y, _ in synthetic.PARTICLES)


class PickTest(CryodlTest):
    """A project with four micrographs and a model."""

    @classmethod
    def prepare(cls):
        cls.micFolder = os.path.join(cls.data, 'it\'s 100% "mics"')
        synthetic.writeMicrographs(cls.micFolder, 4)
        writeModel(os.path.join(cls.data, "model"), {})
        cls.imported = cls.importMicrographs(cls.micFolder)
        cls.model = cls.runProtocol(CryodlProtImportModel, modelFolder=os.path.join(cls.data, "model"))
        cls.inputs = dict(inputMicrographs=(cls.imported, "outputMicrographs"), inputModel=(cls.model, "outputModel"))

    def pick(self, **values):
        return self.runProtocol(CryodlProtPick, self.inputs, useGpu=False, **values)
