# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocols on particles share: pointers, files for the engine, the one run of it."""
import os
import re

import pyworkflow.utils as pwutils
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import params

from ..convert.particles import writeParticles
from ..convert.structures import structureFileOf, structureForEngine, structureProblem
from ..engine.cryodl import contract
from .checks import checkModelFolder
from .protocol_base import RESULT_FILE, CryodlProtBase

# Point groups that the engine knows (symmetry.py).
_SYMMETRY = re.compile(r'[CD]([1-9]\d?|100)|T|O|I[1-4]?', re.IGNORECASE)
# What every form of the denoiser says.
WHAT_FOR = ("A denoised particle is the network's guess, and the network knows one structure: it may be used for "
            "looking, for sorting and for first orientations. It must not be used for a final map, for resolution, nor "
            "as evidence of a detail: what the data lack, the guess takes from the structure. Every output stays "
            "linked to the raw images.")


class ParticlesBase(CryodlProtBase, EMProtocol):
    """Base of the protocols on particles. A child gives _checkInputs and _engineValues as CryodlProtBase has them."""
    _devStatus = BETA

    # ----- form
    def _addParticlesParam(self, form, help, name='inputParticles', **arguments):
        form.addParam(name, params.PointerParam, pointerClass='SetOfParticles',
                      **dict(dict(important=True, label="Particles", help=help), **arguments))

    def _addStructureParam(self, form, help, name='inputStructure', **arguments):
        form.addParam(name, params.PointerParam, pointerClass='Volume,AtomStruct', **dict(dict(
            important=True, label="Structure", help=help + " Map (protein positive) or atomic model, of the right "
            "hand: a mirrored one cannot be noticed here. The pixel size of a map is that of Scipion's object."),
            **arguments))

    def _addDenoiserParam(self, form, help, **arguments):
        form.addParam('inputModel', params.PointerParam, pointerClass='CryodlModel',
                      **dict(dict(label="Denoiser", help=help), **arguments))

    # ----- files for the engine
    def _inputFolder(self):
        return self._getExtraPath('input')

    def _particlesFile(self, particles):
        """STAR file of an input set, named by it, so that another input is another file."""
        return os.path.join(self._inputFolder(), 'particles_%s_%d.star' % (particles.getObjId(), particles.getSize()))

    def _writeInputs(self, *sets):
        pwutils.makePath(self._inputFolder())
        for particles in sets:
            writeParticles(self._particlesFile(particles), particles)

    def _structureFor(self, structure):
        """The structure's file for the engine, which exists from the first step on."""
        pwutils.makePath(self._inputFolder())
        return structureForEngine(structure, self._inputFolder())

    def _runOnce(self, config, *outputs):
        """Run the engine, unless it has made `outputs` with the same settings. Returns the contract's Result."""
        folder = self._getExtraPath()
        self._forgetOther(config, folder, *outputs)
        path = os.path.join(folder, RESULT_FILE)
        if os.path.exists(path) and all(os.path.exists(output) for output in outputs):
            return contract.Result.read(path)
        # without its result an output tells too little: the run was killed between the two
        pwutils.cleanPath(*outputs)
        return self._runEngine(config, folder)

    def _result(self):
        """The contract's Result of the run, None before it is there."""
        path = self._getExtraPath(RESULT_FILE)
        return contract.Result.read(path) if os.path.exists(path) else None

    # ----- checks
    def _missingPointers(self):
        # A list of pointers is never None; _checkInputs counts it.
        return [name for name in CryodlProtBase._missingPointers(self)
                if not isinstance(self.getParam(name), params.MultiPointerParam)]

    def _checkStructure(self, structure):
        problem = structureProblem(structure)
        return [problem] if problem else []

    def _checkSymmetry(self):
        if _SYMMETRY.fullmatch((self.symmetry.get() or '').strip()):
            return []
        return ["Symmetry is %r; it must be C1 to C100, D1 to D100, T, O, I, or I1 to I4, in RELION's axes. Helical "
                "symmetry is not known here." % (self.symmetry.get() or '')]

    def _checkDenoiser(self):
        model = self.inputModel.get()
        return [] if model is None else checkModelFolder(model.getFolder(), 'denoiser')

    def _modelCard(self):
        """The denoiser's card; None without one, or if it is gone, which must not hide what was made with it."""
        model = self.inputModel.get()
        try:
            return None if model is None else contract.read_card(model.getFolder())
        except ValueError:
            return None

    def _pixelWarnings(self, particles):
        """A sentence if the denoiser learned at another pixel size than the particles have."""
        card = self._modelCard()
        if particles is None or not (card or {}).get('pixel_size') or not particles.getSamplingRate():
            return []
        theirs, own = card['pixel_size'], particles.getSamplingRate()
        if abs(theirs / own - 1) <= 0.01:
            return []
        finer = " Their detail finer than %.3g Å is not denoised." % (2 * theirs) if own < theirs else ""
        return ["The particles have %.4g Å/px, the model learned at %.4g Å/px: the images are resampled for it and "
                "back.%s" % (own, theirs, finer)]

    def _structureName(self, structure):
        return os.path.basename(structureFileOf(structure))

    def _denoiserFolder(self):
        model = self.inputModel.get()
        return None if model is None else model.getFolder()

    def _citations(self):
        return ['cryodl']
