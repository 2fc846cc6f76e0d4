# SPDX-License-Identifier: GPL-3.0-or-later
"""Which molecule particles show."""

import dataclasses
import glob
import os
from typing import Any, Dict, List

from pyworkflow import BETA
from pyworkflow.protocol import params

from ...engine.cryodl.contract import IdentifyConfig, IdentifyOutputs
from .. import engine_protocol, kinds
from ..inputs import WRITTEN, contentOf
from .particle_kinds import ParticlesBase, ParticlesOrAverages


class CryodlProtIdentify(engine_protocol.OneRun[IdentifyConfig, IdentifyOutputs], ParticlesBase):
    """Find which of several structures the particles show, how surely and what share of each, or that it is none.

    In: some hundreds of raw particles with CTF, or some dozens of 2-D class averages, and structures: a folder of
    files, maps and atomic models of this project, or both. Out: a ranking, in the summary and under *Analyze results*.
    Each competes with decoys of its mass and power spectrum: q is the probability that it is only a look-alike."""

    _label = "identify molecule"
    _devStatus = BETA
    OUTPUT, NOTHING_YET, CITES = "identity", "No ranking yet.", ("Scheres2012",)
    FORM = (
        ParticlesOrAverages(
            "inputParticles",
            "Raw particles with CTF (angles are not used), or 2-D classes or averages: the good ones of a mask wider "
            "than the particle.",
            need=("raw", "ctf"),
        ),
        kinds.Own(
            "structureFolder",
            params.FolderParam,
            "Folder of structures",
            "Folder with maps and atomic models (.mrc, .map, .pdb, .cif, also .gz): the molecules that it may be, "
            "and what often comes with them. The more, the better is known what a chance fit looks like.\n\nEmpty: "
            "only the structures of this project.",
            default="",
        ),
        kinds.MapsOrModels(
            "inputStructures",
            "Maps (protein positive) and atomic models of this project, beside those of the folder.",
            named=True,
            empty="only the files of the folder",
        ),
    )

    def _folder(self) -> List[str]:
        return list(filter(None, [(self.structureFolder.get() or "").strip()]))

    def _completed(self, config: IdentifyConfig) -> IdentifyConfig:
        return dataclasses.replace(config, structures=(*self._folder(), *config.structures))

    def _checkTogether(self) -> List[str]:
        folder = self._folder()
        return kinds.sayIf(
            not all(map(os.path.isdir, folder)),
            f"Folder of structures is {', '.join(folder)}, which is no folder. Choose the folder with the structures.",
        ) or kinds.sayIf(
            not folder and not self._pointed("inputStructures"),
            "There are no structures. Choose a folder of structures, or structures of this project.",
        )

    def _settings(self) -> Dict[str, Any]:
        settings, inside = super()._settings(), [os.path.join(glob.escape(folder), "*") for folder in self._folder()]
        files = [[os.path.basename(file), *contentOf(file)] for some in inside for file in sorted(glob.glob(some))]
        return dict(settings, **{WRITTEN: settings[WRITTEN] + files})

    def getRanking(self) -> str:
        made = self._made()
        return "" if made is None else made.table
