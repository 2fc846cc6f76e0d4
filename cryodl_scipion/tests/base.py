# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of protocols share: a project, synthetic micrographs, and the fake engine as the plugin's Python."""

import os
import shutil
import stat
import sys
import tempfile

from pwem.objects import Coordinate, SetOfCoordinates
from pwem.protocols import EMProtocol, ProtImportMicrographs
from pyworkflow.object import Pointer
from pyworkflow.tests import BaseTest, setupTestProject

from .. import Plugin
from ..protocols.model_field import FROM_PROJECT
from ..starting.environment import CRYODL_PYTHON
from . import synthetic
from .last_second import forceLosses

FAKE_PYTHON = "fake_python"


class CryodlTest(BaseTest):
    """A project for each class, and the fake engine unless _REAL_ENGINE. _SLOW: pytest's mark, which Scipion's own
    command for tests does not need."""

    _REAL_ENGINE = _SLOW = False

    @classmethod
    def setUpClass(cls):
        cls._before = Plugin.getVar(CRYODL_PYTHON)
        setupTestProject(cls)
        forceLosses(cls(), cls.proj)
        cls.data = tempfile.mkdtemp(prefix="cryodl-data-")
        if not cls._REAL_ENGINE:
            usePython(fakePython(cls.data))
        cls.prepare()

    @classmethod
    def tearDownClass(cls):
        usePython(cls._before)
        shutil.rmtree(cls.data, ignore_errors=True)

    @classmethod
    def prepare(cls):
        """Data and runs that the tests of a class share."""

    @classmethod
    def importMicrographs(cls, folder, pattern="*.mrc", pixelSize=synthetic.PIXEL_SIZE, **values):
        protocol = cls.newProtocol(
            ProtImportMicrographs,
            filesPath=folder,
            filesPattern=pattern,
            samplingRate=pixelSize,
            voltage=300,
            sphericalAberration=2.7,
            amplitudeContrast=0.1,
            magnification=50000,
            **values,
        )
        cls.launchProtocol(protocol)
        return protocol

    @classmethod
    def runProtocol(cls, protocolClass, pointers=None, **values):
        """Run a protocol to its end, also a bad one. pointers: {field: (protocol, output name)}."""
        protocol = cls.makeProtocol(protocolClass, pointers, **values)
        cls.proj.launchProtocol(protocol, wait=True)
        return protocol

    @classmethod
    def makeProtocol(cls, protocolClass, pointers=None, **values):
        protocol = cls.newProtocol(protocolClass, **values)
        if "inputModel" in (pointers or {}) and protocol.hasAttribute("modelFrom") and "modelFrom" not in values:
            protocol.modelFrom.set(FROM_PROJECT)  # a model of the project is shown where this is chosen
        for field, (source, output) in (pointers or {}).items():
            pointer = getattr(protocol, field)
            pointer.set(source)
            pointer.setExtended(output)
        return protocol

    @classmethod
    def makeCoordinates(cls, imported, positions, boxSize=40):
        """A finished protocol with `outputCoordinates`: {micrograph id: [(x, y), ...]}, as from a manual picker."""
        protocol = cls.newProtocol(EMProtocol)
        cls.proj.saveProtocol(protocol)
        protocol.makePathsAndClean()
        coordinates = SetOfCoordinates.create(protocol._getPath())
        coordinates.setMicrographs(Pointer(imported, extended="outputMicrographs"))
        coordinates.setBoxSize(boxSize)
        for micrograph in [m.clone() for m in imported.outputMicrographs]:
            for x, y in positions.get(micrograph.getObjId(), []):
                item = Coordinate(x=int(x), y=int(y))
                item.setMicrograph(micrograph)
                coordinates.append(item)
        coordinates.write()
        protocol._defineOutputs(outputCoordinates=coordinates)
        protocol.setFinished()
        cls.proj._storeProtocol(protocol)
        return protocol


def fakePython(folder):
    """A program that takes the place of the engine's Python."""
    path = os.path.join(folder, FAKE_PYTHON)
    with open(path, "w") as file:
        file.write(
            '#!/bin/sh\n[ "$1" != -c ] || { echo \'cryodl:[[3, 11], {}, ""]\'; exit; }\nexec '
            f'"{sys.executable}" '
            f'"{os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake_engine.py")}" "$@"\n'
        )
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path


def usePython(path):
    """Let this process, and those it starts, run the engine with another Python."""
    os.environ[CRYODL_PYTHON] = path or ""
    Plugin._vars[CRYODL_PYTHON] = path or ""


def picksOf(coordinates):
    """{micName: sorted [(x, y)]} of a set."""
    picks = {}
    for item in coordinates.iterItems():
        picks.setdefault(item.getMicName(), []).append(item.getPosition())
    return {name: sorted(positions) for name, positions in picks.items()}
