# SPDX-License-Identifier: GPL-3.0-or-later
"""Stacks of a particle's tilt images, as RELION 5 and Warp extract them, and the subtomogram that they add up to.

What RELION 5 does with them is followed (subtomo.cpp, tomogram.cpp, particle_set.cpp of ver5.0): the position of the
particle is the middle of every image, so that tilts differ in direction, defocus and dose alone."""

import dataclasses
import functools
import json
import os
import typing
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..core.backproject import Slices
from ..core.fourier import frequencies
from ..core.optics import OpticsTable, ctf_of_optics
from . import stacks, star, tomogram_coordinates
from .coordinates3d import angles_of, to_tomogram
from .particles import MICROSCOPE
from .relion_tables import STACKS, VISIBLE, known_columns, number_columns

PARTICLES_FILE, TOMOGRAMS_FILE = "rlnTomoParticlesFile", "rlnTomoTomogramsFile"  # of an optimisation set
_TILTS = ("rlnTomoXTilt", "rlnTomoYTilt", "rlnTomoZRot")
_CTF, _DOSE = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"), "rlnMicrographPreExposure"
_USUAL = {"rlnTomoXTilt": "0", "rlnPhaseShift": "0", "rlnCtfBfactor": "0", "rlnCtfScalefactor": "1"}
_WHOLE = ("rlnTomoTiltSeriesPixelSize", "rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ", "rlnTomoHand")


@dataclasses.dataclass(frozen=True)
class TiltSeries:
    """rotations: (t, 3, 3), from the tomogram's axes to the image's. optics: (t, fields) numbers of core.optics.Optics
    in the tomogram's middle. dose: (t,) e/Å² before each image. slope: Å of defocus for each Å towards the detector.
    middle: (3,) Å, x y z. pixel_size: Å/px of the images before they were binned. path: of the STAR file."""

    rotations: np.ndarray
    optics: np.ndarray
    dose: np.ndarray
    slope: float
    middle: np.ndarray
    pixel_size: float
    path: str


Series = typing.Callable[[str], TiltSeries]
Columns = typing.Mapping[str, typing.Sequence[str]]


@dataclasses.dataclass(frozen=True, eq=False)
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

    def added(self, file: str, box: int, pixel_size: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of the images times their CTF, and of CTF², on the grid of rfftn of the padded box. file: the stack.
        pixel_size: Å/px. Returns two (padded, padded, padded // 2 + 1) tensors."""
        rotations, optics = self.series.rotations[self.frames], self.series.optics[self.frames]
        optics[:, :2] += (self.series.slope * rotations[:, 2] @ self.xyz)[:, None]
        slices = Slices(box)
        side = slices.padded
        critical = 0.245 * frequencies((side, side), pixel_size) ** -1.665 + 2.81  # e/Å², Grant & Grigorieff 2015
        dose = torch.as_tensor(self.series.dose[self.frames], dtype=torch.float32)[:, None, None]
        transfer = ctf_of_optics(OpticsTable(optics), side, pixel_size) * torch.exp(-dose / 2 / critical)
        images = torch.from_numpy(stacks.read_images([file] * len(self.sections), self.sections))
        factor = None if self.multiplied else transfer
        slices.add(images, angles_of(rotations @ self.turn), np.zeros((len(images), 2)), factor, transfer**2)
        return slices.finished("C1")


def tilt_stacks(
    path: str, columns: Columns, files: typing.Sequence[str] | np.ndarray, counts: list[int], state: str
) -> np.ndarray:
    """(n,) TiltStacks of a STAR file's particles. path: the file; the geometry is found from it. files, counts: (n,) of
    the particles' stacks, and how many images each has. state: of relion_tables.Groups. Raises FileNotFoundError or
    ValueError that says what is missing or does not fit."""
    if state == "flipped":
        raise ValueError(f"{path} has phase-flipped tilt images (rlnCtfDataArePhaseFlipped). Extract them without.")
    series, names = tilt_series(path, columns), columns["rlnTomoName"]
    turns = number_columns(path, columns, tomogram_coordinates.SUBTOMOGRAM)
    turns = to_tomogram(np.zeros((len(counts), 3)) if turns is None else turns)
    xyz = number_columns(path, columns, tomogram_coordinates.CENTRED)
    if xyz is None:
        _demand(path, columns, tomogram_coordinates.PIXELS, "particles (or of rlnCenteredCoordinateXAngst, Y and Z)")
        size, middle = ([getattr(series(n), what) for n in names] for what in ("pixel_size", "middle"))
        xyz = known_columns(path, columns, tomogram_coordinates.PIXELS) * np.array(size)[:, None] - middle
    made = np.empty(len(counts), object)
    for row, (name, file, count) in enumerate(zip(names, files, counts)):
        frames = visible_frames(path, columns, row, file, count, series)
        sections = frames if count == len(series(name).dose) else np.arange(count)  # RELION leaves the others out
        made[row] = TiltStack(series(name), frames, sections, turns[row], xyz[row], state == "multiplied")
    return made


def tilt_series(path: str, columns: Columns) -> Series:
    """What reads the TiltSeries of a tomogram by its name. path, columns: of a STAR file of stacks. Both raise
    FileNotFoundError or ValueError that says what is missing, of the whole file or of one series."""
    found = optimisation_set(path)[TOMOGRAMS_FILE][0]
    _demand(path, columns, ("rlnTomoName", VISIBLE), "particles")
    tables = star.read_tables(found)
    return functools.cache(lambda name: _series(found, tables, name))


def visible_frames(path: str, columns: Columns, row: int, file: str, count: int, series: Series) -> np.ndarray:
    """(k,) visible frames of a particle. path, columns: of the STAR file. row: of the particle. file: its stack, of
    `count` images. series: see tilt_series. Raises ValueError if there are none, or other numbers of tilts, images."""
    name, text = columns["rlnTomoName"][row], columns[VISIBLE][row]
    total, seen = len(series(name).dose), _numbers(path, text)
    if len(seen) != total or not seen.any() or count not in (total, np.count_nonzero(seen)):
        raise ValueError(
            f"{path}: a particle has {np.count_nonzero(seen)} visible of {len(seen)} frames ({VISIBLE}), its tilt "
            f"series {name} has {total} and its stack {file} has {count} images. Extract it again, or give the "
            "tomograms.star that it was extracted with."
        )
    return np.flatnonzero(seen)


def optimisation_set(path: str) -> dict[str, typing.Sequence[str]]:
    """The columns of the optimisation set that lies beside a STAR file of tilt stacks and names it, with the path of
    its tomograms.star; or that of one beside the file. Raises FileNotFoundError if there is neither."""
    mine = Path(path).absolute()
    for file in sorted(mine.parent.glob("*optimisation_set.star")):
        for table in star.read_tables(file).values():
            parts = Path(table.get(PARTICLES_FILE, [""])[0]).parts  # from the project's folder, which is not known
            if parts and mine.parts[-len(parts) :] == parts and TOMOGRAMS_FILE in table:
                return {**table, TOMOGRAMS_FILE: [stacks.find_file(path, table[TOMOGRAMS_FILE][0], "tomograms")]}
    found = mine.parent / "tomograms.star"
    if not found.is_file():
        raise FileNotFoundError(
            f"{path} has a stack of tilt images for each particle ({STACKS}). Where they lie is in the tomograms.star "
            f"that they were extracted with, which is neither in {mine.parent} nor named by an optimisation_set.star "
            "there that names this file. Copy one of the two to it."
        )
    return {TOMOGRAMS_FILE: [str(found)]}


def _demand(path: str, columns: typing.Mapping[str, typing.Any], names: typing.Sequence[str], what: str) -> None:
    if missing := [name for name in names if name not in columns]:
        raise ValueError(f"{path} lacks {', '.join(missing)} of the {what}. Use the file as RELION or Warp wrote it.")


def _series(path: str, tables: typing.Mapping[str, typing.Mapping[str, typing.Sequence[str]]], name: str) -> TiltSeries:
    general = next((table for table in tables.values() if "rlnTomoName" in table), {})
    known = list(general.get("rlnTomoName", ()))
    if name not in known:
        raise ValueError(f"{path} has no tomogram {name} (rlnTomoName), but {', '.join(known[:5]) or 'none'}.")
    one = {"rlnTomoDefocusSlope": "1", "rlnCtfBfactorPerElectronDose": "0"}
    one.update({column: texts[known.index(name)] for column, texts in general.items()})
    file, table = path, tables.get(name, {})
    if "rlnTomoTiltSeriesStarFile" in one:  # RELION 5; Warp and RELION 4 have all in one file
        file = stacks.find_file(path, one["rlnTomoTiltSeriesStarFile"], "tilt series")
        table = next((t for t in star.read_tables(file).values() if _CTF[0] in t), {})
    matrices = [f"rlnTomoProj{axis}" for axis in "XYZ"]
    _demand(file, table, (*_CTF, _DOSE, *(matrices if matrices[0] in table else _TILTS[1:])), f"tilt series {name}")
    _demand(path, one, (*_WHOLE, *MICROSCOPE), f"tomogram {name}")
    usual = {column: [value] * len(table[_DOSE]) for column, value in _USUAL.items()}
    numbers = lambda *columns: known_columns(file, {**usual, **table}, columns, "tilt")
    ctf, dose = numbers(*_CTF, *list(_USUAL)[1:]), numbers(_DOSE)[:, 0]
    if not ctf[:, :2].any():
        raise ValueError(f"{file} has a defocus of 0 in every tilt of {name}. Estimate the CTF before extraction.")
    if matrices[0] in table:
        rows = [[_numbers(file, text)[:3] for text in table[column]] for column in matrices]
        rotations = np.array(rows).transpose(1, 0, 2)
        off = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        if len(wrong := np.flatnonzero(~((off < 1e-3) & (np.linalg.det(rotations) > 0)))):
            raise ValueError(f"{file}: {', '.join(matrices)} of tilt {wrong[0] + 1} of {name} are no rotation.")
    else:
        rotations = Rotation.from_euler("xyz", numbers(*_TILTS), degrees=True).as_matrix()
    own = {column: [value] for column, value in one.items()}
    of_tomogram = lambda *columns: known_columns(path, own, columns, "tomogram")[0]
    pixel_size, *size, hand = of_tomogram(*_WHOLE)
    slope, falling = of_tomogram("rlnTomoDefocusSlope", "rlnCtfBfactorPerElectronDose")
    microscope = np.tile(of_tomogram(*MICROSCOPE), (len(dose), 1))
    if not microscope[0, 0] > 0:
        raise ValueError(f"{path} has a voltage ({MICROSCOPE[0]}) of 0 kV or less for the tomogram {name}. Correct it.")
    # a B-factor in place of the weights of Grant and Grigorieff
    optics = np.column_stack([ctf[:, :3], microscope, ctf[:, 3], ctf[:, 4] + falling * dose, ctf[:, 5]])
    dose = dose * (falling == 0)
    return TiltSeries(rotations, optics, dose, hand * slope, np.array(size) * pixel_size / 2, pixel_size, file)


def _numbers(path: str | os.PathLike[str], text: str) -> np.ndarray:
    """The numbers of a text such as [1,0,1]."""
    try:
        found = np.array(json.loads(text), float).reshape(-1)
        if not np.isfinite(found).all():
            raise ValueError
        return found
    except (ValueError, TypeError):
        raise ValueError(f"{path} has {text!r}, where numbers in brackets, as [1,0,1], are needed.") from None
