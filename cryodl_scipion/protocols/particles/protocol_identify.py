# SPDX-License-Identifier: GPL-3.0-or-later
"""Which molecule particles show."""

import os
from typing import Any, Dict, List

from pyworkflow import BETA
from pyworkflow.protocol import Form, params

from ...engine.cryodl.contract import IdentifyConfig, IdentifyOutputs
from .. import engine_protocol, kinds
from .particle_kinds import Particles, ParticlesBase


class StructuresToCompare(kinds.MapsOrModels):
    """Maps and atomic models of the project, and a folder of files: inputStructures, structureFolder."""

    def __init__(self) -> None:
        super().__init__(
            "inputStructures",
            "Maps (protein positive) and atomic models of this project, beside those of the folder.",
            named=True,
            empty="only the files of the folder",
        )

    def addTo(self, form: Form, protocol: Any) -> None:
        form.addParam(
            "structureFolder",
            params.FolderParam,
            default="",
            label="Folder of structures",
            help="Folder with maps and atomic models (.mrc, .map, .pdb, .cif, also .gz): the molecules that it may be, "
            "and what often comes with them. The more, the better is known what a chance fit looks like.\n\nEmpty: "
            "only the structures of this project.",
        )
        super().addTo(form, protocol)

    def values(self, protocol: Any) -> Dict[str, Any]:
        return self._withFolder(protocol, super().values(protocol))

    def files(self, protocol: Any) -> Dict[str, Any]:
        found = super().files(protocol)
        return self._withFolder(protocol, found) if found else {}

    def problems(self, protocol: Any) -> List[str]:
        folder = (protocol.structureFolder.get() or "").strip()
        return (
            kinds.sayIf(
                folder and not os.path.isdir(folder),
                f"Folder of structures is {folder}, which is no folder. Choose the folder with the structures.",
            )
            or kinds.sayIf(
                not folder and not self.objects(protocol),
                "There are no structures. Choose a folder of structures, or structures of this project.",
            )
            or super().problems(protocol)
        )

    def _withFolder(self, protocol: Any, values: Dict[str, Any]) -> Dict[str, Any]:
        folder = (protocol.structureFolder.get() or "").strip()
        return {name: (*([folder] if folder else []), *found) for name, found in values.items()}


class CryodlProtIdentify(engine_protocol.OneRun[IdentifyConfig, IdentifyOutputs], ParticlesBase):
    """Find which of several structures the particles show, how surely and what share of each, or that it is none.

    In: some hundreds of raw particles with CTF, and structures: a folder of files, maps and atomic models of this
    project, or both. Out: a ranking, in the summary and under *Analyze results*. Every structure competes with decoys
    of the same mass and power spectrum: q is the probability that it is only a look-alike."""

    _label = "identify molecule"
    _devStatus = BETA
    OUTPUT, NOTHING_YET, CITES = "identity", "No ranking yet.", ("Scheres2012",)
    FORM = (
        Particles("inputParticles", "Raw particles with CTF. Angles are not used.", need=("raw", "ctf")),
        StructuresToCompare(),
    )

    def getRanking(self) -> str:
        made = self._made()
        return "" if made is None else made.table
