# SPDX-License-Identifier: GPL-3.0-or-later
"""Which particles are whole, and which lack a part."""

import dataclasses
import os
import re
from typing import Any, Dict, List

from pwem.objects import EMObject, SetOfParticles
from pyworkflow.protocol import params

from ...convert.maps import structureFileOf
from ...convert.particles.results import appendAssessed, appendLikely, classifyByComposition
from ...engine.cryodl.contract import AssessIntegrityConfig, AssessIntegrityOutputs
from .. import engine_protocol, kinds
from .particle_kinds import Particles, ParticlesBase, checkParticles, scaleWarnings


class Compositions(kinds.MapsOrModels):
    def check(self, protocol: Any, found: List[EMObject]) -> List[str]:
        return kinds.sayIf(
            len(found) < 2,
            f"{self.label} has {len(found)}; at least two are needed. Choose more with the magnifying glass.",
        ) or super().check(protocol, found)

    def warn(self, protocol: Any, found: List[EMObject]) -> List[str]:
        particles = protocol.inputParticles.get()
        named = zip(found, protocol.getNames()) if particles is not None else ()
        return [line for one, name in named for line in scaleWarnings(particles, one, f"composition {name}")]


class CryodlProtIntegrity(engine_protocol.OneRun[AssessIntegrityConfig, AssessIntegrityOutputs], ParticlesBase):
    """Assign each particle of a complex the probability that it is whole or lacks a part.

    In: raw particles with CTF, and the compositions to distinguish, with and without the partner, in one common
    frame. Out: all particles with the probability of each composition, the classes of the most probable one, and a
    subset for each composition of the particles that have it with at least the chosen probability. The images are
    the raw ones. Where single images cannot tell the compositions apart, there are neither classes nor subsets."""

    _label = "assess co-complex integrity"
    CITES = ("Scheres2012",)
    OUTPUT, NOTHING_YET = "integrity", "No probabilities yet."
    FORM = (
        Particles(
            "inputParticles", "Raw particles with CTF. Angles of a refinement improve the result.", need=("raw", "ctf")
        ),
        Compositions(
            "inputStructures",
            "Maps (protein positive) or atomic models to distinguish, for instance with and without the "
            "partner. They must share one coordinate frame (that of the particles' angles, if these are used), "
            "and have the right handedness.",
            label="Compositions",
            minNumObjects=2,
        ),
        kinds.Own(
            "compositionNames",
            params.StringParam,
            "Names of the compositions",
            "Names for classes and outputs, in the same order, separated by commas: *whole, without "
            "partner*.\n\nEmpty: the file names.",
            default="",
        ),
        kinds.Own(
            "minimumProbability",
            params.FloatParam,
            "Minimum probability",
            "The subset of a composition contains the particles with at least this probability of it; other "
            "particles are in no subset.\n\nFrom 0 to 1.",
            default=0.8,
        ),
    )
    NOT_ON_FORM = {"names": "from the form's list of names"}

    def _makeOutputs(self, made: AssessIntegrityOutputs) -> Dict[str, Any]:
        particles, output = self.inputParticles.get(), self._newSet("all")
        appendAssessed(output, particles, made.particles, len(self.getNames()))
        if not made.counts:
            return dict(outputParticles=output)
        classes = self._createSetOfClasses3D(self.inputParticles)
        structures = self._pointed("inputStructures")
        maps = structures if all(hasattr(one, "getSamplingRate") for one in structures) else None
        classifyByComposition(classes, made.particles, self.getNames(), maps)
        outputs = dict(outputParticles=output, outputClasses=classes)
        for number, name in enumerate(self.getNames(), 1):
            subset = self._newSet(f"composition_{number}")
            if appendLikely(subset, particles, made.particles, number, self.minimumProbability.get()):
                subset.setObjLabel(name)
                outputs[f"outputParticles_{outputWord(name, number)}"] = subset
        return outputs

    def _newSet(self, suffix: str) -> SetOfParticles:
        made = self._createSetOfParticles("_" + suffix)
        made.copyInfo(self.inputParticles.get())
        return made

    def getNames(self) -> List[str]:
        given = [name.strip() for name in (self.compositionNames.get() or "").split(",") if name.strip()]
        files = [os.path.basename(structureFileOf(structure)) for structure in self._pointed("inputStructures")]
        names = [re.sub(r"\.(gz|mrc|map|pdb|cif|ent|mmcif|ccp4|rec)\b", "", name) for name in files]
        alike = len(set(names)) < len(names)
        return given or [f"{name} {number}" if alike else name for number, name in enumerate(names, 1)]

    def _completed(self, config: AssessIntegrityConfig) -> AssessIntegrityConfig:
        return dataclasses.replace(config, names=tuple(self.getNames()))

    def _checkTogether(self) -> List[str]:
        structures, names, least = self._pointed("inputStructures"), self.getNames(), self.minimumProbability.get()
        errors = kinds.sayIf(
            len(names) != len(structures),
            f"{len(structures)} compositions need as many names, not {len(names)}. Give one for each, separated by "
            "commas, or none.",
        ) or kinds.sayIf(
            len({outputWord(name, 0).lower() for name in names}) < len(names),
            f"Two compositions have the same name ({', '.join(names)}). Give different names.",
        )
        if least is None or not 0 <= least <= 1:
            errors.append(f"Minimum probability is {least}; it must be between 0 and 1.")
        given = self._config().orientations == "given"
        return errors + (checkParticles(self.inputParticles.get(), ("angles",)) if given else [])


def outputWord(name: str, number: int) -> str:
    """A composition's name as it can stand in the name of an output; its number if nothing of it can."""
    return re.sub(r"\W+", "_", os.path.basename(name), flags=re.ASCII).strip("_") or f"composition{number}"
