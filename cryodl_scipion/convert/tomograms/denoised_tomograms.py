# SPDX-License-Identifier: GPL-3.0-or-later
"""Half tomograms of Scipion's sets, and denoised tomograms in the place of others."""

from typing import Any, List

from pyworkflow.object import String

# Attribute of denoised tomograms and their sets: the model that made them.
DENOISER = "_cryodlDenoiser"


def halfTomogramsOf(tomogram: Any) -> List[str]:
    """[even, odd] files of a tomogram; [] if it has none."""
    files = [path for path in tomogram.getHalfMaps(asList=True) if path] if tomogram.hasHalfMaps() else []
    return [path.split(":")[0] for path in files] if len(files) == 2 else []


def denoisedOf(tomogram: Any, path: str, halves: Any, model: str) -> Any:
    """A clone of a Tomogram with another file. halves: files of its denoised halves, or []. model: name."""
    denoised = tomogram.clone()
    denoised.setFileName(path)
    denoised.setHalfMaps(list(halves))
    setattr(denoised, DENOISER, String(model))
    return denoised
