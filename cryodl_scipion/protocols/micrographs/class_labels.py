# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels from 2-D classes, for the protocols that learn from picks: form, checks, the engine's run, words."""

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from pwem.objects import Micrograph, SetOfClasses2D, SetOfMicrographs, SetOfParticles

from ...convert import arriving, form, reading
from ...convert.micrographs.picks import writePositionsOfParticles
from ...convert.names import emptyFolder
from ...engine.cryodl import contract
from .. import checks, inputs, kinds, protocol_base

_FOLDER = "class_labels"
_UNPLACED = "without_coordinates.json"  # numbers of particles of each set
_LABELS = dict(kept="Particles kept in 2-D classes", classified="Particles that were classified")


def classParts(micrographs: str, *fields: str, when: str = "True") -> Tuple[kinds.FormPart, ...]:
    """Parts of a form. micrographs: on which the particles must lie, in words. fields: of the engine's command."""
    return (
        kinds.Pointing(
            "keptParticles",
            "Particles of the 2-D classes that you kept, for instance of *cryodl - select 2d classes* or a subset made "
            f"in Scipion's viewer. They must have coordinates on {micrographs}. They are learnt as particles.",
            label=_LABELS["kept"],
            empty="nothing is learnt from 2-D classes",
            when=when,
            pointerClass="SetOfParticles",
        ),
        kinds.Pointing(
            "classifiedParticles",
            "The 2-D classes from which you chose, or all particles that were classified. Those that are not among the "
            "kept ones are learnt as background.",
            label=_LABELS["classified"],
            empty="no particle counts as rejected",
            when=when,
            pointerClass="SetOfClasses2D, SetOfParticles",
        ),
        kinds.OptionsOf(
            contract.LabelsFromClassesConfig, *fields, "scale", when=f"({when}) and keptParticles is not None"
        ),
    )


class LearnsFromClasses(inputs.ProtocolMixin):
    """Mixin: it stands before CryodlProtBase in the list of bases. The form has classParts."""

    def _learnsFromClasses(self) -> bool:
        return self.keptParticles.get() is not None

    def _classLabelsFolder(self) -> str:
        return self._getExtraPath(_FOLDER, "labels")

    def _classSets(self) -> List[Any]:
        chosen = self.classifiedParticles.get()
        classified = chosen.getImages() if isinstance(chosen, SetOfClasses2D) else chosen
        sets = [("kept", self.keptParticles.get()), ("classified", classified)]
        return [(name, particles) for name, particles in sets if particles is not None]

    def _classSettings(self) -> Dict[str, Any]:
        """What decides the labels: settings of a run that learns from them. The sets' files tell them apart."""
        if not self._learnsFromClasses():
            return {}
        score = getattr(self, "minimumScore", None)
        return dict(
            class_sets=[particles.getFileName() for _, particles in self._classSets()],
            class_sizes=[particles.getSize() for _, particles in self._classSets()],
            scale=self.scale.get(),
            minimum_score=None if score is None else score.get(),
        )

    def _makeClassLabels(
        self,
        micrographs: Sequence[Micrograph],
        files: Sequence[str],
        names: Sequence[str],
        pixelSize: float,
        diameter: float,
        picks: Optional[str] = None,
    ) -> None:
        """Run the engine. micrographs: of the picks. files, names: of the same, for the engine. picks: their folder."""
        folder, stars, unplaced = emptyFolder(self._getExtraPath(_FOLDER)), {}, {}
        for name, particles in self._classSets():
            stars[name] = os.path.join(folder, name + ".star")
            unplaced[name] = writePositionsOfParticles(stars[name], particles, micrographs)
        contract.write_json(os.path.join(folder, _UNPLACED), unplaced)
        config = self._classConfig(
            kept=stars["kept"],
            classified=stars.get("classified"),
            micrographs=tuple(files),
            pixel_size=pixelSize,
            particle_diameter=diameter,
            coordinates=picks,
        )
        self._runEngine(config, folder, names)

    def _classConfig(self, **values: Any) -> contract.LabelsFromClassesConfig:
        return form.readConfig(self, contract.LabelsFromClassesConfig, output=self._classLabelsFolder(), **values)

    def _engineResultFiles(self) -> List[str]:
        """Without that of the labels, which is not of the protocol's own command."""
        return [path for path in super()._engineResultFiles() if path != self._classResultFile()]

    def _classResultFile(self) -> str:
        return self._getExtraPath(_FOLDER, protocol_base.RESULT_FILE)

    def _checkClasses(self, micrographs: SetOfMicrographs) -> List[str]:
        if not self._learnsFromClasses():
            return checks.sayIf(
                self.classifiedParticles.get() is not None,
                "Particles that were classified is given, but Particles kept in 2-D classes is not. Choose the kept "
                "particles, or leave both empty.",
            )
        known = {m.getMicName() for m in micrographs} | {m.getObjId() for m in micrographs}
        errors = [e for name, particles in self._classSets() for e in _problems(_LABELS[name], particles, known)]
        # what the form gives; the rest is checked elsewhere
        others = dict(kept="kept", classified=None, micrographs=("micrographs",), coordinates="picks")
        return errors or contract.check(self._classConfig(**others, pixel_size=1.0, particle_diameter=100.0))

    def _classLines(self) -> List[str]:
        if not os.path.exists(self._classResultFile()):
            return []
        result: contract.Result[contract.LabelsFromClassesOutputs] = contract.Result.read(self._classResultFile())
        certain, removed = (sum(c.values()) for c in (result.outputs.certain, result.outputs.removed))
        lines = [
            f"From 2-D classes: {contract.counted(certain, 'kept particle')} and {removed} rejected ones on "
            f"{contract.counted(len(result.outputs.certain), 'micrograph')}."
        ]
        for name, number in reading.readJson(self._getExtraPath(_FOLDER, _UNPLACED), {}).items():
            unplaced = f"{contract.counted(number, 'particle')} of {_LABELS[name]} without coordinates: not used."
            lines += checks.sayIf(number, f"Warning: {unplaced}")
        return lines + [f"Warning: {warning}" for warning in result.warnings]

    def _classMethods(self) -> List[str]:
        if not os.path.exists(self._classResultFile()):
            return []
        outputs: contract.LabelsFromClassesOutputs = contract.Result.read(self._classResultFile()).outputs
        return [
            f"The labels were {contract.counted(sum(outputs.certain.values()), 'particle')} of kept 2-D classes and "
            f"{sum(outputs.removed.values())} of rejected ones."
        ]


def _problems(label: str, particles: SetOfParticles, known: Any) -> List[str]:
    first = arriving.firstOf(particles)
    coordinate = first and first.getCoordinate()
    if coordinate is None:
        return checks.sayIf(
            not particles.getSize(), f"{label} is empty. Choose another set, or leave the field empty."
        ) or [
            f"{label}: these particles have no coordinates, so their positions on the micrographs are not known. "
            "Choose particles that were extracted in Scipion, or imported with their coordinates."
        ]
    where = coordinate.getMicName() or coordinate.getMicId()
    return checks.sayIf(
        where not in known,
        f"{label}: the first particle lies on the micrograph {where}, which is not among those of the picks: "
        f"{checks.listed(sorted(name for name in known if isinstance(name, str)))}. Choose particles that were "
        "extracted from these micrographs.",
    )
