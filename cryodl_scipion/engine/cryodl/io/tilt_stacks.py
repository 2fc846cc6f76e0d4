# SPDX-License-Identifier: GPL-3.0-or-later
"""Stacks of a particle's tilt images, as RELION 5 and Warp extract them, and the subtomogram that they add up to.

What RELION 5 does with them is followed (subtomo.cpp, tomogram.cpp, particle_set.cpp of ver5.0): the position of the
particle is the middle of every image, so that tilts differ in direction, defocus and dose alone."""

import dataclasses
import json
import os
import typing
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from .coordinates3d import angles_of, to_tomogram
from .particles import MICROSCOPE
from .relion_tables import STACKS, VISIBLE, known_columns, number_columns
from .stacks import find_file, read_images
from .star import read_tables
from .tomogram_coordinates import CENTRED, PIXELS, SUBTOMOGRAM

if typing.TYPE_CHECKING:
    import torch

PARTICLES_FILE, TOMOGRAMS_FILE = "rlnTomoParticlesFile", "rlnTomoTomogramsFile"  # of an optimisation set
_TILTS = ("rlnTomoXTilt", "rlnTomoYTilt", "rlnTomoZRot")
_CTF = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift", "rlnCtfScalefactor")
_DOSE = "rlnMicrographPreExposure"
_USUAL = {"rlnTomoXTilt": "0", "rlnPhaseShift": "0", "rlnCtfScalefactor": "1", _DOSE: "0"}


@dataclasses.dataclass(frozen=True)
class TiltSeries:
    """rotations: (t, 3, 3), from the tomogram's axes to the image's. optics: (t, fields) numbers of core.optics.Optics
    in the tomogram's middle. dose: (t,) e/Å² before each image. slope: Å of defocus for each Å towards the detector.
    middle: (3,) Å, x y z. pixel_size: Å/px of the images before they were binned."""

    rotations: np.ndarray
    optics: np.ndarray
    dose: np.ndarray
    slope: float
    middle: np.ndarray
    pixel_size: float


@dataclasses.dataclass(frozen=True)
class TiltStack:
    """A particle's tilt images. frames: (k,) of the series. sections: (k,) places in the file. turn: (3, 3), from the
    axes of the subtomogram to the tomogram's. xyz: (3,) Å from the tomogram's middle. multiplied: the images are, by
    their CTF and the weights of their dose."""

    series: TiltSeries
    frames: np.ndarray
    sections: np.ndarray
    turn: np.ndarray
    xyz: np.ndarray
    multiplied: bool

    def added(self, file: str, box: int, pixel_size: float) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Sums of the images times their CTF, and of CTF², on the grid of rfftn of the padded box. file: the stack.
        pixel_size: Å/px. Returns two (padded, padded, padded // 2 + 1) tensors."""
        import torch

        from ..core.backproject import Slices
        from ..core.fourier import frequencies
        from ..core.optics import OpticsTable, ctf_of_optics

        rotations, optics = self.series.rotations[self.frames], self.series.optics[self.frames]
        optics[:, :2] += (self.series.slope * rotations[:, 2] @ self.xyz)[:, None]
        slices = Slices(box)
        side = slices.padded
        critical = 0.245 * frequencies((side, side), pixel_size) ** -1.665 + 2.81  # e/Å², Grant & Grigorieff 2015
        dose = torch.as_tensor(self.series.dose[self.frames], dtype=torch.float32)[:, None, None]
        transfer = ctf_of_optics(OpticsTable(optics), side, pixel_size) * torch.exp(-dose / 2 / critical)
        images = torch.from_numpy(read_images([file] * len(self.sections), self.sections))
        factor = None if self.multiplied else transfer
        slices.add(images, angles_of(rotations @ self.turn), np.zeros((len(images), 2)), factor, transfer**2)
        return slices.finished("C1")


def tilt_stacks(
    path: str, columns: typing.Mapping[str, typing.Sequence[str]], counts: typing.Sequence[int], multiplied: bool
) -> np.ndarray:
    """(n,) TiltStacks of a STAR file's particles. path: the file; the geometry is found from it. counts: (n,) images
    in each particle's file. Raises FileNotFoundError or ValueError that says what is missing or does not fit."""
    tomograms, names = tomograms_file(path), columns.get("rlnTomoName", [""] * len(counts))
    tables = read_tables(tomograms)
    series = {name: _series(tomograms, tables, name) for name in dict.fromkeys(names)}
    shape = (len(counts), 3)
    none = {name: ["0"] * len(counts) for name in SUBTOMOGRAM}
    turns = to_tomogram(known_columns(path, {**none, **columns}, SUBTOMOGRAM))
    xyz = number_columns(path, columns, CENTRED)
    if xyz is None:
        pixels = number_columns(path, columns, PIXELS)
        size, middle = ([getattr(series[n], what) for n in names] for what in ("pixel_size", "middle"))
        xyz = np.zeros(shape) if pixels is None else pixels * np.array(size)[:, None] - middle
    found = np.empty(len(counts), object)
    for row, (name, count) in enumerate(zip(names, counts)):
        total = len(series[name].dose)
        seen = _numbers(path, columns[VISIBLE][row]) if VISIBLE in columns else np.ones(total)
        frames = np.flatnonzero(seen)
        if len(seen) != total or count not in (total, len(frames)) or not len(frames):
            raise ValueError(
                f"{path}: particle {row + 1} has {len(frames)} visible frames of {len(seen)} and {count} images; the "
                f"tilt series {name} has {total} ({tomograms}). Give the tomograms.star that it was extracted with."
            )
        sections = frames if count == total else np.arange(count)  # RELION leaves the others out, Warp does not
        found[row] = TiltStack(series[name], frames, sections, turns[row], xyz[row], multiplied)
    return found


def tomograms_file(path: str) -> str:
    """The tomograms.star of a STAR file of tilt stacks: named by an optimisation set that lies beside it and names it,
    or beside it. Raises FileNotFoundError if there is none."""
    folder, name = Path(path).absolute().parent, Path(path).name
    for file in sorted(folder.glob("*optimisation_set.star")):
        for table in read_tables(file).values():
            if any(Path(one).name == name for one in table.get(PARTICLES_FILE, ())) and TOMOGRAMS_FILE in table:
                return find_file(file, table[TOMOGRAMS_FILE][0], "tomograms")
    found = folder / "tomograms.star"
    if not found.is_file():
        raise FileNotFoundError(
            f"{path} has a stack of tilt images for each particle ({STACKS}). Where they lie is in the tomograms.star "
            f"that they were extracted with, which is neither in {folder} nor named by an optimisation_set.star there "
            "that names this file. Copy one of the two to it."
        )
    return str(found)


def _series(path: str, tables: typing.Mapping[str, typing.Mapping[str, typing.Sequence[str]]], name: str) -> TiltSeries:
    general = next((table for table in tables.values() if "rlnTomoName" in table), {})
    if name not in general.get("rlnTomoName", ()):
        raise ValueError(f"{path} has no tomogram {name or 'without name'} (rlnTomoName), which the particles name.")
    row = list(general["rlnTomoName"]).index(name)
    one = {"rlnTomoHand": "1", "rlnTomoDefocusSlope": "1", **{column: texts[row] for column, texts in general.items()}}
    file, table = path, tables.get(name)
    if "rlnTomoTiltSeriesStarFile" in one:  # RELION 5; Warp and RELION 4 have all in one file
        file = find_file(path, one["rlnTomoTiltSeriesStarFile"], "tilt series")
        table = next((t for t in read_tables(file).values() if _CTF[0] in t), None)
    if table is None or _CTF[0] not in table:
        raise ValueError(f"{file} has no CTF of the tilt series {name} ({_CTF[0]}). Estimate it before extraction.")
    usual = {column: [value] * len(table[_CTF[0]]) for column, value in _USUAL.items()}
    numbers = lambda *columns: known_columns(file, {**usual, **table}, columns, "tilt")
    if "rlnTomoProjX" in table:
        rows = [[_numbers(file, text)[:3] for text in table[f"rlnTomoProj{axis}"]] for axis in "XYZ"]
        rotations = np.array(rows).transpose(1, 0, 2)
    else:
        rotations = Rotation.from_euler("xyz", numbers(*_TILTS), degrees=True).as_matrix()
    own = {column: [value] for column, value in one.items()}
    microscope = np.tile(known_columns(path, own, MICROSCOPE, "tomogram"), (len(rotations), 1))
    ctf = numbers(*_CTF)
    sizes = [f"rlnTomoSize{axis}" for axis in "XYZ"]
    pixel_size, *rest = known_columns(path, own, ("rlnTomoTiltSeriesPixelSize", *sizes), "tomogram")[0]
    hand, slope = known_columns(path, own, ("rlnTomoHand", "rlnTomoDefocusSlope"), "tomogram")[0]
    optics = np.column_stack([ctf[:, :3], microscope, ctf[:, 3], np.zeros(len(ctf)), ctf[:, 4]])
    middle = np.array(rest) * pixel_size / 2
    return TiltSeries(rotations, optics, numbers(_DOSE)[:, 0], hand * slope, middle, pixel_size)


def _numbers(path: str | os.PathLike[str], text: str) -> np.ndarray:
    """The numbers of a text such as [1,0,1]."""
    try:
        return np.array(json.loads(text), float).reshape(-1)
    except ValueError:
        raise ValueError(f"{path} has {text!r}, where numbers in brackets, as [1,0,1], are needed.") from None
