# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a particle denoiser."""

from typing import List

from ...engine.cryodl import contract
from ..kinds import MapsOrModels, Options, Section, StartModel, sayIf
from ..training import TrainRun
from .particle_kinds import WHAT_FOR, ParticlesBase, ParticleSets, scaleWarnings

# Below this a network learns the particles by heart; the engine itself needs fewer.
FEW_PARTICLES = 200
# What a choice is called on the form, where its name alone would mislead.
_LABELS = {"posterior": "projection of the template (posterior)"}
_LEARNS = f"network != {contract.DENOISER_NETWORKS.index('posterior')}"


class CryodlProtTrainDenoiser(TrainRun[contract.TrainDenoiserConfig, contract.TrainDenoiserOutputs], ParticlesBase):
    """Train a denoiser for particles of a known structure.

    In: raw particles with CTF and angles (3-D refined, or simulated), and the structure whose projections they are
    to become; several sets with one structure each are learnt together. Out: a model for *cryodl - denoise
    particles*. Its card says what it was trained on; particles of some micrographs, or of one half set, are held
    out for validation. A stopped run continues where it was."""

    _label = "train denoiser"
    _KIND = "denoiser"
    FORM = (
        ParticleSets(
            "inputSets",
            "Raw particles with CTF and angles of a 3-D refinement (projection alignment). Choose several sets "
            "to train on several molecules or data sets.\n\n" + WHAT_FOR,
            need=("raw", "angles", "ctf"),
            minimum=10,
        ),
        MapsOrModels(
            "inputStructures",
            "Maps (protein positive) or atomic models in the frame of the particles' angles: one for all sets, "
            "or one for each in the same order. The pixel size of a map is that of Scipion's object. Their "
            "handedness must be right; a mirrored map is not detected.",
            to=("structure",),
        ),
        Options("simulated_fraction", "resolution", "contrast"),
        Section("Training"),
        Options("network", choices=[_LABELS.get(name, name) for name in contract.DENOISER_NETWORKS]),
        Options("loss", "steps", when=_LEARNS),
        StartModel("A denoiser to continue from, of the same network.", "denoiser", when=_LEARNS),
        Options("batch_size", when=_LEARNS),
    )

    def _checkTogether(self) -> List[str]:
        sets, structures = self._pointed("inputSets"), self._pointed("inputStructures")
        return sayIf(
            len(structures) not in (1, len(sets)),
            f"There are {len(sets)} sets of particles and {len(structures)} structures. Give one structure "
            "for all, or one for each in the same order.",
        )

    def _warnings(self) -> List[str]:
        sets, structures, warnings = self._pointed("inputSets"), self._pointed("inputStructures"), []
        count = sum(particles.getSize() for particles in sets)
        warnings += sayIf(
            0 < count < FEW_PARTICLES,
            f"There are only {count} training particles; a useful denoiser needs about {FEW_PARTICLES} or more. "
            "Increase Simulated fraction.",
        ) + sayIf(
            self._config().network == "cgan" and not self.usesGpu(),
            "The network cgan is large; without a GPU its training takes hours. swinconv trains in minutes, and the "
            "projection of the template needs no training.",
        )
        pairs = zip(sets, structures * len(sets) if len(structures) == 1 else structures)
        scales = [said for pair in pairs for said in scaleWarnings(*pair)] if len(structures) in (1, len(sets)) else []
        return list(dict.fromkeys(warnings + scales))
