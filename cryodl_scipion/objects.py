# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of cryodl that protocols give to each other."""
from pyworkflow.object import Float, String
from pwem.objects import EMObject

from .default_viewers import preferWorkingViewers
from .engine.cryodl import contract

# Here, because the objects of every plugin are loaded before the first viewer is looked for.
preferWorkingViewers()


class CryodlModel(EMObject):
    """A trained network: a folder with card.json and weights.safetensors, and what the card says of it."""

    def __init__(self, **kwargs):
        EMObject.__init__(self, **kwargs)
        self._folder = String()
        self._modelName = String()
        self._kind = String()
        self._network = String()
        self._particleDiameter = Float()
        self._threshold = Float()
        self._pixelSizes = String()

    @classmethod
    def fromFolder(cls, folder):
        """The model of a folder. Raises ValueError if the folder holds none."""
        card = contract.read_card(folder)
        model = cls()
        model._folder.set(folder)
        model._modelName.set(card['name'])
        model._kind.set(card['kind'])
        model._network.set(card['network'])
        model._particleDiameter.set(card.get('particle_diameter'))
        model._threshold.set(card.get('threshold'))
        sizes = card.get('pixel_sizes') or ([card['pixel_size']] if card.get('pixel_size') else [])
        model._pixelSizes.set(' '.join('%g' % size for size in sizes))
        return model

    def getFolder(self):
        return self._folder.get()

    # Scipion asks objects for their file under this name.
    getFileName = getFolder

    def getModelName(self):
        # Not getName(): pyworkflow keeps the attribute's name under that.
        return self._modelName.get()

    def getKind(self):
        """'picker' or 'denoiser'."""
        return self._kind.get()

    def getNetwork(self):
        return self._network.get()

    def getParticleDiameter(self):
        """Å."""
        return self._particleDiameter.get()

    def getThreshold(self):
        """Score in [0, 1] that picks should have; None of a denoiser."""
        return self._threshold.get()

    def getPixelSizes(self):
        """List of Å/px, of the micrographs or particles that it learned from."""
        return [float(size) for size in (self._pixelSizes.get() or '').split()]

    def getFiles(self):
        return {self.getFolder()}

    def __str__(self):
        parts = [self.getNetwork() or 'no network']
        if self.getParticleDiameter():
            parts.append('%g Å' % self.getParticleDiameter())
        if self.getThreshold() is not None:
            parts.append('threshold %.2f' % self.getThreshold())
        kind = '%s ' % self.getKind() if self.getKind() not in (None, 'picker') else ''
        return 'CryodlModel %s%s (%s)' % (kind, self.getModelName() or 'without name', ', '.join(parts))
