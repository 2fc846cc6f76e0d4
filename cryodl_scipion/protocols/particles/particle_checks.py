# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of particles before a run. Each gives sentences for the form; none changes anything."""

import os
import warnings
from typing import Any, List, Sequence, Tuple

import mrcfile
import numpy as np
from pwem.objects import AtomStruct, SetOfParticles

from ...convert.particles.denoised import denoiserOf

# MRC's modes of images: 1, 2, 4 bytes, and the half floats.
_MODES = (0, 1, 2, 6, 12)
# Images that are looked at before a run; the engine looks at all.
_LOOKED_AT = 8


def checkParticles(
    particles: SetOfParticles,
    need: Tuple[str, ...] = (),
    what: str = "particles",
    minimum: int = 1,
    finite: bool = True,
) -> List[str]:
    """What is wrong with a SetOfParticles.

    need: of 'angles' (projection alignment), 'ctf' and 'raw' (not denoised). what: its name in the sentences. minimum:
    particles below which nothing can be done. finite: False where images with NaN are left out by the engine.
    """
    if particles.getSize() == 0:
        return [f"The set of {what} is empty. Choose another."]
    if particles.getSize() < minimum:
        return [f"There are {particles.getSize()} {what}; at least {minimum} are needed."]
    if not particles.getSamplingRate() or particles.getSamplingRate() <= 0:
        return [f"The {what} have no pixel size (sampling rate). Import them again with their pixel size."]
    return (
        (_checkRaw(particles, what) if "raw" in need else [])
        or _checkNeeds(particles, need, what)
        or checkStacks(particles, what, finite)
    )


def _checkRaw(particles: SetOfParticles, what: str) -> List[str]:
    model = denoiserOf(particles)
    if model:
        return [
            f"The {what} are denoised images (model {model}), not raw data; results from them would show what the "
            "model learned. Use the raw particles: *cryodl - denoise particles* goes back to them."
        ]
    if particles.isAmplitudeCorrected():
        return [
            f"According to Scipion, the {what} are CTF-corrected in amplitude. Images without amplitude correction "
            "are needed (phase flipping is allowed). Extract them without CTF correction."
        ]
    return []


def _checkNeeds(particles: SetOfParticles, need: Tuple[str, ...], what: str) -> List[str]:
    first = particles.getFirstItem()
    if "angles" in need and not (particles.hasAlignmentProj() and first.hasTransform()):
        has = {"2D": "only a 2-D alignment", "3D": "a 3-D alignment of volumes"}.get(
            particles.getAlignment(), "no alignment"
        )
        return [
            f"The {what} have {has}; angles of a 3-D refinement are needed (projection alignment). Refine them, "
            "or give them angles with *cryodl - assign initial orientations*."
        ]
    if "ctf" in need:
        acquisition = particles.getAcquisition()
        if not (particles.hasCTF() and first.hasCTF()):
            return [f"The {what} have no CTF. Extract them with the CTFs of their micrographs."]
        if not acquisition.getVoltage() or acquisition.getSphericalAberration() is None:
            return [f"The {what} have a CTF, but no voltage or spherical aberration. Import the micrographs with them."]
    return []


def checkStacks(particles: SetOfParticles, what: str = "particles", finite: bool = True) -> List[str]:
    """What is wrong with the files of a set: absent, of another kind, shorter than the set believes, not finite (unless
    `finite` is False)."""
    stacks = [(row["_filename"], row["MAX"]) for row in particles.aggregate(["MAX"], "_index", ["_filename"])]
    boxes = {}
    for path, maximum in stacks:
        problem, box = _stackProblem(path, maximum or 1)
        if problem:
            return [f"The {what} cannot be used: {problem}"]
        boxes.setdefault(box, path)
    if len(boxes) > 1:
        return [
            f"The {what} have several box sizes: "
            f"{', '.join((f'{box} px in {name}' for box, name in sorted(boxes.items())))}. Extract them with one box "
            "size."
        ]
    return [f"The {what} cannot be used: {bad}" for bad in [_notFinite(stacks) if finite else ""] if bad]


def _stackProblem(path: str, maximum: int) -> Tuple[str, int]:
    """(sentence or '', box in px) of a stack whose image number `maximum` is needed."""
    if not os.path.exists(path):
        return f"the image stack {path} does not exist. Restore it, or extract the particles again.", 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with mrcfile.open(path, header_only=True, permissive=True) as mrc:
                mode, start = int(mrc.header.mode), 1024 + int(mrc.header.nsymbt)
                shape = tuple(int(mrc.header[name]) for name in ("nz", "ny", "nx"))
        except (ValueError, OSError, EOFError) as error:
            return f"{path} is not a readable stack of images ({error}).", 0
    if mode not in _MODES or min(shape) < 1:
        return f"{path} is not an MRC stack (.mrcs). Convert the particles first.", 0
    if shape[1] != shape[2]:
        return f"{path} has images of {shape[2]} x {shape[1]} px; they must be square.", 0
    size = start + int(np.prod(shape)) * np.dtype(mrcfile.utils.dtype_from_mode(mode)).itemsize
    if maximum > shape[0] or os.path.getsize(path) < size:
        return (
            f"{path} is too short: image {maximum} is needed, and it holds "
            f"{shape[0]}{'' if maximum > shape[0] else ' by its header, but ends before'}. Extract the particles "
            "again."
        ), 0
    return "", shape[2]


def _notFinite(stacks: Sequence[Tuple[str, int]]) -> str:
    """A sentence about the first of some images, spread over the stacks, that holds a NaN or infinity; '' if none."""
    chosen = [stacks[i] for i in np.unique(np.linspace(0, len(stacks) - 1, _LOOKED_AT).astype(int))]
    for path, maximum in chosen:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mrcfile.mmap(path, permissive=True) as mrc:
                images = mrc.data if mrc.data.ndim == 3 else mrc.data[None]
                for number in np.unique(
                    np.linspace(0, (maximum or 1) - 1, max(1, _LOOKED_AT // len(chosen))).astype(int)
                ):
                    if not np.isfinite(images[number]).all():
                        return (
                            f"image {number + 1} of {path} contains values that are not finite numbers (NaN). "
                            "Extract it again, or remove it from the set."
                        )
    return ""


def scaleWarnings(particles: SetOfParticles, structure: AtomStruct, what: str = "structure") -> Any:
    """Sentences about a map whose pixels or box are not those of the particles. Models have neither."""
    size = structure.getSamplingRate() if hasattr(structure, "getSamplingRate") else None
    if not size:
        return []
    lines, own = [], particles.getSamplingRate()
    if abs(size / own - 1) > 0.001:
        lines.append(
            f"The {what} has {size:.4g} Å/px, the particles {own:.4g} Å/px: it will be resampled to that of the "
            "particles. Make sure that both pixel sizes are correct; with a wrong one all results are wrong."
        )
    dimensions = structure.getDim()
    if dimensions and abs(dimensions[0] * size / (particles.getXDim() * own) - 1) > 0.01:
        lines.append(
            f"The {what} has a box of {dimensions[0] * size:.0f} Å, the particles one of "
            f"{particles.getXDim() * own:.0f} Å: it is "
            f"{'cut' if dimensions[0] * size > particles.getXDim() * own else 'padded'}."
        )
    return lines
