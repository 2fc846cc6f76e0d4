# SPDX-License-Identifier: GPL-3.0-or-later
"""What forms share that simulate micrographs of a structure: the user's own data that these should resemble."""

import dataclasses
from typing import Any, List, Optional

import numpy as np
from pwem.objects import SetOfCTF, SetOfMicrographs, Volume

from ..convert.arriving import ENABLED, failedCtf
from ..engine.cryodl.contract import SimulateMicrographsConfig
from . import checks, kinds
from .micrographs.micrograph_kinds import ACQUISITION, pixelsAndAcquisition

# Their mean spectrum changes no more with further ones.
NOISE_MICROGRAPHS = 10
SIMULATED_FOLDER = "simulated"
NO_CTF = "inputCTF is None"
DEFOCUS, MICROSCOPE = ("minimum_defocus", "maximum_defocus"), ACQUISITION
PIXEL_SIZE = "Pixel size of the simulated micrographs.\n\nEmpty: that of the map."
STRUCTURE = (
    "Atomic model or map (protein positive) of the particle. If a model defines biological assemblies, the first one "
    "is built. The pixel size of a map is that of Scipion's object."
)


class OwnMicrographs(kinds.Pointing):
    CLASSES, LABEL = "SetOfMicrographs", "Own micrographs"

    def __init__(self, name: str, **others: Any) -> None:
        super().__init__(
            name,
            "Micrographs that the simulated ones should resemble. Pixel size, microscope and noise spectrum are taken "
            f"from them (the noise from up to {NOISE_MICROGRAPHS}).",
            empty="the fields of this form are used",
            **others,
        )

    def check(self, protocol: Any, found: SetOfMicrographs) -> List[str]:
        return kinds.sayIf(
            not found.getSize() or not found.getSamplingRate(),
            "The own micrographs are "
            f"{'an empty set' if found.getSize() == 0 else 'without pixel size (sampling rate)'}. Choose others, or "
            "leave the field empty.",
        ) or checks.checkAsTaken(found)


class OwnCtfs(kinds.Pointing):
    CLASSES, LABEL = "SetOfCTF", "Own defocus range"

    def __init__(self, **others: Any) -> None:
        super().__init__(
            "inputCTF",
            "CTFs whose defocus range the simulated micrographs should have: from the 5th to the 95th percentile of "
            "the defocus, with astigmatism up to the 95th percentile.",
            empty="the defocus range of this form",
            **others,
        )

    def check(self, protocol: Any, found: SetOfCTF) -> List[str]:
        failed = [failedCtf(one) for one in found]  # all of them: a set that is read in part stays locked
        return kinds.sayIf(all(failed), "The set of CTFs is empty, or all have failed. Choose another.")


def likeOwn(
    config: SimulateMicrographsConfig, structure: Any, own: Optional[SetOfMicrographs], ctfs: Optional[SetOfCTF]
) -> SimulateMicrographsConfig:
    """The config with what own micrographs (noise of some, evenly spread), their CTFs and a map say; each or None."""
    if own is not None:
        files = [m.getFileName() for m in own.iterItems(where=ENABLED)]
        chosen = np.unique(np.linspace(0, len(files) - 1, NOISE_MICROGRAPHS).round().astype(int)) if files else []
        config = dataclasses.replace(config, noise_from=tuple(files[n] for n in chosen), **pixelsAndAcquisition(own))
    elif config.pixel_size is None and isinstance(structure, Volume):
        config = dataclasses.replace(config, pixel_size=structure.getSamplingRate())
    if ctfs is None:
        return config
    pairs = np.array([(c.getDefocusU(), c.getDefocusV()) for c in ctfs if not failedCtf(c)], float)
    low, high = np.percentile(pairs.mean(axis=1), [5, 95])  # without the outliers
    return dataclasses.replace(
        config,
        minimum_defocus=round(float(low), 1),
        maximum_defocus=round(float(high), 1),
        astigmatism=round(float(np.percentile(abs(pairs[:, 0] - pairs[:, 1]), 95)), 1),
    )
