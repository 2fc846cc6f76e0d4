# SPDX-License-Identifier: GPL-3.0-or-later
"""What `cryodl simulate-tomograms` made, as Scipion's sets."""

from typing import Dict

from pwem.objects import SetOfMicrographs
from tomo.objects import SetOfTomograms, SetOfTomoMasks, TomoAcquisition, Tomogram

from .tomograms import maskOf


def appendTomograms(
    tomograms: SetOfTomograms, files: Dict[str, str], even: SetOfMicrographs, odd: SetOfMicrographs
) -> Dict[str, Tomogram]:
    """Append all to a SetOfTomograms, which has pixel size and acquisition.

    files: {name: path}; the name is the tsId. even, odd: the same of half tomograms, or empty.

    Returns {name: Tomogram with its id}.
    """
    made = {}
    for name, path in sorted(files.items()):
        tomogram = Tomogram()
        tomogram.setFileName(path)
        tomogram.setSamplingRate(tomograms.getSamplingRate())
        tomogram.setTsId(name)
        acquisition = TomoAcquisition()
        acquisition.copy(tomograms.getAcquisition())
        tomogram.setAcquisition(acquisition)
        tomogram.setOrigin()  # the middle, as tomo has it
        if name in even:
            tomogram.setHalfMaps([even[name], odd[name]])
        tomograms.append(tomogram)
        made[name] = tomogram.clone()
    return made


def appendLabels(masks: SetOfTomoMasks, tomograms: Dict[str, Tomogram], files: Dict[str, str]) -> None:
    """Append the label volumes to a SetOfTomoMasks. tomograms: of appendTomograms."""
    for name, path in sorted(files.items()):
        masks.append(maskOf(tomograms[name], path))
