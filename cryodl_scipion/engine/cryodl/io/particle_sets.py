# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of particles: RELION's STAR files (3.0, 3.1 and later) with their stacks of images."""

import dataclasses
import os
import typing
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..contract import say_if
from ..contract.reading import reader
from ..core.names import check_words
from ..core.optics import FIELDS, OpticsTable, ctf_of_optics, optics_values
from . import cryosparc, messages
from .mrc import header_pixel_size
from .particles import ANGLES, COORDINATES
from .relion_tables import (
    Groups,
    StarRows,
    groups_of_particles,
    header_notes,
    known_columns,
    modern_tables,
    number_columns,
    optics_rows,
    whole_column,
)
from .stacks import (
    StackWriter,  # noqa: F401, belongs here for its users
    find_images,
    names_base,
    names_of,
    read_as_stored,
    read_images,
    split_names,
    stack_shape,
    usable_images,
)
from .star import read_tables, write_tables

DENOISER = "cryodlDenoiser"  # column that names the model which made the images
ORIGINAL = "rlnImageOriginalName"
AVERAGE, MEMBERS, PIXEL = "rlnReferenceImage", "rlnClassDistribution", "rlnPixelSize"  # of 2-D classes
NEEDS = ("angles", "ctf", "raw")
CHUNK = 512  # images that are looked at together
FAINTEST = 0.05  # least CTF by which images that were multiplied with it are divided
UNUSABLE = "image {} has non-finite or constant values; it is {}."


@dataclasses.dataclass(frozen=True)
class ParticleSet(StarRows):
    """Particle images; names are 'number@stack'. micrographs: (n,) names, '' if unknown. shifts_yx: (n, 2) px, where
    each particle lies relative to pixel box // 2, or None. optics: OpticsTable of n rows, or None without a CTF.
    ctf_state: what was done to the images with their CTF: 'none', 'flipped' (phases), 'multiplied' or 'divided', see
    `divided`. denoiser: the model that made the images, '' for raw ones."""

    PER_ROW = (*StarRows.PER_ROW, "micrographs", "shifts_yx", "optics")
    micrographs: typing.Sequence[str]
    shifts_yx: np.ndarray | None
    optics: OpticsTable | None
    ctf_state: str
    denoiser: str

    def poses(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Angles (m, 3) and shifts (m, 2) of some rows. Raises ValueError for particles without angles."""
        if self.angles is None or self.shifts_yx is None:
            raise ValueError(f"{self.path} has no angles (rlnAngleRot ...). Assign orientations first.")
        return self.angles[rows], self.shifts_yx[rows]

    def members(self) -> np.ndarray:
        """(n,) part of the particles that is in each class of read_class_averages; where that is not stated, 1."""
        found = number_columns(self.path, self.columns, (MEMBERS,), "class")
        return np.ones(len(self)) if found is None else found[:, 0]

    def images(self, indices: typing.Any) -> torch.Tensor:
        """(m, box, box) float32 tensor of the images as they are in the files. Raises ValueError for values that are no
        finite numbers, naming particle and file."""
        rows = self.rows(indices)
        if not len(rows):
            return torch.zeros((0, self.box, self.box))
        return self.as_read(torch.from_numpy(read_images(self.files[rows], self.numbers[rows])), rows)

    def as_read(self, images: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        """Images (m, box, box) of rows (m,) as they stand in the files, divided where that is asked for."""
        if self.ctf_state != "divided":
            return images
        return torch.fft.irfft2(torch.fft.rfft2(images) / self.ctf(rows).clamp(min=FAINTEST), s=(self.box, self.box))

    def divided(self) -> "ParticleSet":
        """The set, but images that were multiplied by their CTF are divided by its absolute value when read: they are
        phase-flipped then, and have the noise of raw ones."""
        known = self.ctf_state == "multiplied" and self.optics is not None
        return dataclasses.replace(self, ctf_state="divided") if known else self

    def ctf(
        self, indices: typing.Any, box: int | None = None, pixel_size: float | None = None, device: typing.Any = None
    ) -> torch.Tensor:
        """(m, box, box // 2 + 1) tensor: what the microscope, and what was done to the images since, made of each
        Fourier coefficient. The CTF (see core.ctf.ctf_rfft), its absolute value of phase-flipped and divided images,
        its square of multiplied ones. box, pixel_size: of images that were resampled. ValueError without a CTF."""
        if self.optics is None:
            raise ValueError(_missing(self.path, "ctf"))
        values = ctf_of_optics(self.optics[self.rows(indices)], box or self.box, pixel_size or self.pixel_size, device)
        return treated_ctf(values, self.ctf_state)

    def at_voltage(self, voltage: float) -> "ParticleSet":
        """These particles as if they had been taken at another voltage, kV, at the same defocus."""
        values = optics_values(self.optics or []).copy()
        values[:, FIELDS.index("voltage_kv")] = voltage
        return dataclasses.replace(self, optics=OpticsTable(values))


def treated_ctf(ctf: torch.Tensor, state: str) -> torch.Tensor:
    """A CTF as it is in images that were treated. ctf: (..., h, w // 2 + 1). state: see ParticleSet.ctf_state."""
    return {"none": ctf.clone, "flipped": ctf.abs, "divided": ctf.abs, "multiplied": ctf.square}[state]()


@reader
def read_particles(path: str | os.PathLike[str], need: typing.Collection[str] = ()) -> ParticleSet:
    """The ParticleSet of a STAR file. Stacks are looked for beside the STAR file, in the folders above it (RELION's
    project folder), then in the current folder. need: of 'angles', 'ctf' and 'raw' (no denoised images: they must not
    be mistaken for raw ones). Raises FileNotFoundError if a stack is not there; ValueError that names the file, what it
    lacks and what to do."""
    check_words("need", need, NEEDS)
    optics, columns = modern_tables(read_tables(path), path)
    particles = _particle_set(str(path), optics, columns, groups_of_particles(optics, columns, path))
    _check_needs(particles, need)
    for note in aberration_notes(particles) + header_notes(particles) + particles.copy_notes() + place_notes(particles):
        messages.warn(note)
    return particles


def read_class_averages(path: str | os.PathLike[str]) -> ParticleSet | None:
    """The averages of a table of 2-D classes (rlnReferenceImage: classes.star, RELION's run_it025_model.star) or of a
    stack (.mrcs), but for classes without particles; None for a file that is neither. Raises ValueError for 3-D
    references, and if neither the table (rlnPixelSize) nor the stack's header states the pixel size."""
    stack = [f"{n + 1}@{Path(path).name}" for n in range(stack_shape(path)[0])] if Path(path).suffix == ".mrcs" else []
    tables = {"": {AVERAGE: stack}} if stack else {**read_tables(path)}
    columns = next((dict(table) for table in tables.values() if table.get(AVERAGE)), None)
    if columns is None or any("rlnImageName" in table for table in tables.values()):
        return None
    if not all("@" in name for name in columns[AVERAGE]):
        raise ValueError(f"{path} lists 3-D references ({columns[AVERAGE][0]}). Give a table of 2-D classes.")
    columns |= {"rlnImageName": columns[AVERAGE], "rlnOpticsGroup": ["1"] * len(columns[AVERAGE])}
    stated = [known_columns(path, table, (PIXEL,), "row")[0, 0] for table in tables.values() if PIXEL in table]
    averages = _particle_set(str(path), {"rlnOpticsGroup": ["1"]}, columns, Groups((*stated, 0.0)[0], None, "none"))
    pixel_size, there = averages.pixel_size or header_pixel_size(averages.files[0]) or 0, averages.members() > 0
    if not (pixel_size > 0 and there.any()):
        size = f"pixel size ({PIXEL}, or in the stack's header)"
        lacks = f"class with particles ({MEMBERS})" if pixel_size > 0 else size
        raise ValueError(f"{path} has no {lacks}. Add it, or give another table.")
    return dataclasses.replace(averages, pixel_size=pixel_size).subset(there)


def usable(particles: ParticleSet, skip: typing.Callable[[str, str, str, str], object]) -> ParticleSet:
    """The set without images that have values that are no finite numbers, or one value all over. skip: told of each, as
    running.Run.skip. Raises ValueError if none is left."""
    stored = (read_as_stored(particles.files[rows], particles.numbers[rows]) for rows in particles.parts(CHUNK))
    keep = np.concatenate([usable_images(images) for images in stored])
    if not keep.any():
        raise ValueError(
            f"{particles.path}: the images are empty (all pixels the same, or not finite numbers). Extract them again."
        )
    for k in map(int, np.nonzero(~keep)[0]):
        said = UNUSABLE.format(particles.numbers[k] + 1, "left out")
        skip(particles.names[k], str(particles.files[k]), said, "particle")
    return particles if keep.all() else particles.subset(keep)


def pose_columns(angles: np.ndarray, shifts_yx: np.ndarray, pixel_size: float) -> dict[str, np.ndarray]:
    """Columns of angles (n, 3) and shifts (n, 2), px; RELION's origin brings particles to the middle. pixel_size: Å."""
    origins = dict(rlnOriginXAngst=-shifts_yx[:, 1] * pixel_size, rlnOriginYAngst=-shifts_yx[:, 0] * pixel_size)
    return {**dict(zip(ANGLES, angles.T)), **origins}


def write_particles_star(
    path: str | os.PathLike[str],
    particles: ParticleSet,
    changes: dict[str, typing.Any] | None = None,
    stack: str | None = None,
    pixel_size: float | None = None,
    box: int | None = None,
) -> None:
    """Write a ParticleSet as RELION's STAR file (3.1) with all of its columns, whole or not at all. Images that were
    found by names relative to a folder above the new file keep such names; others get names relative to the new file's
    folder. Particles of a .cs file of cryoSPARC, and what was selected of them since, are written as a .cs file too,
    beside the STAR file: the same rows of the first file, with their uids. changes: {column: (n,) values}, added or
    replaced. stack: a new stack that holds an image of each particle in this order; the raw image's name goes to
    rlnImageOriginalName. pixel_size: Å/px of the new images. box: px of the new images. Raises ValueError if a column
    has not one value for each particle."""
    columns: dict[str, typing.Sequence[str]] = dict(particles.columns)
    base = names_base(particles.names[0], particles.files[0], path)
    columns["rlnImageName"] = names_of(particles.files, particles.numbers, base)
    if stack is not None:
        if not particles.denoiser or ORIGINAL not in columns:  # of raw ones, what stands there is an earlier image yet
            columns[ORIGINAL] = columns["rlnImageName"]
        columns["rlnImageName"] = names_of([stack] * len(particles), range(len(particles)), base)
    columns = particles.whole_columns({**columns, **(changes or {})}, "particle")
    optics: dict[str, typing.Sequence[typing.Any]] = dict(particles.optics_columns)
    rows = len(optics["rlnOpticsGroup"])
    optics["rlnImagePixelSize"] = [pixel_size or particles.pixel_size] * rows
    optics["rlnImageSize"] = [box or particles.box] * rows
    write_tables(path, {"optics": optics, "particles": columns})
    source = os.path.splitext(particles.path)[0] + cryosparc.SUFFIX  # itself, or beside it
    if stack is None and cryosparc.UID in columns and os.path.isfile(source):
        try:
            cryosparc.write_cs_rows(source, columns[cryosparc.UID], os.path.splitext(path)[0] + cryosparc.SUFFIX)
        except ValueError as error:  # another job's file of this name: the particles themselves are written
            messages.warn(f"No .cs file is written of these particles: {error}")


def _particle_set(
    path: str, optics: dict[str, typing.Sequence[str]], columns: dict[str, typing.Sequence[str]], groups: Groups
) -> ParticleSet:
    numbers, stacks = split_names(columns["rlnImageName"])
    files, box = find_images(path, stacks, numbers)
    count = len(files)
    angles = number_columns(path, columns, ANGLES) if ANGLES[0] in columns else None  # psi alone is of 2-D classes
    origins = number_columns(path, columns, ("rlnOriginYAngst", "rlnOriginXAngst"))
    if origins is None and angles is not None:
        origins = np.zeros((count, 2))  # as RELION does
    return ParticleSet(
        path=path,
        pixel_size=groups.pixel_size,
        box=box,
        names=columns["rlnImageName"],
        files=files,
        numbers=numbers - 1,
        micrographs=columns.get("rlnMicrographName", [""] * count),
        angles=angles,
        shifts_yx=None if origins is None else -origins / groups.pixel_size,
        optics=groups.optics,
        ctf_state=groups.ctf_state,
        columns=columns,
        optics_columns=optics,
        denoiser=next((v for v in columns.get(DENOISER, []) if v not in ("", "None")), ""),
        halves=whole_column(path, columns, "rlnRandomSubset"),
        classes=whole_column(path, columns, "rlnClassNumber"),
    )


def _missing(path: str, need: str) -> str:
    return {
        "angles": f"{path} has particles without angles (rlnAngleRot, rlnAngleTilt, rlnAnglePsi). Refine them in 3-D, "
        "or use `cryodl assign-orientations`.",
        "ctf": f"{path} has particles without a CTF (rlnDefocusU, and rlnVoltage, rlnSphericalAberration, "
        "rlnAmplitudeContrast of their optics group). Estimate it and extract the particles again.",
    }[need]


def _check_needs(particles: ParticleSet, need: typing.Collection[str]) -> None:
    if "raw" in need and particles.denoiser:
        raise ValueError(
            f"{particles.path} has denoised images (by {particles.denoiser}); raw images are needed. Use those named "
            f"in its column {ORIGINAL}, or the STAR file that was denoised."
        )
    for name, values in (("angles", particles.angles), ("ctf", particles.optics)):
        if name in need and values is None:
            raise ValueError(_missing(particles.path, name))


# ----- Warnings about entries of a particle file that are not used, or that another file contradicts.
ABERRATIONS = {
    "rlnBeamTiltX": "beam tilt",
    "rlnBeamTiltY": "beam tilt",
    "rlnOddZernike": "odd Zernike aberrations",
    "rlnEvenZernike": "even Zernike aberrations",
    "rlnMagMat00": "a magnification matrix",
    "rlnMagMat01": "a magnification matrix",
    "rlnMagMat10": "a magnification matrix",
    "rlnMagMat11": "a magnification matrix",
}
NONE = {"rlnMagMat00": 1.0, "rlnMagMat11": 1.0}  # values that mean nothing; 0 for the others


def aberration_notes(particles: typing.Any) -> list[str]:
    """A sentence, in a list, if the optics table has aberrations other than the CTF's."""
    tables = (particles.optics_columns, particles.columns)
    found = {
        word: None
        for name, word in ABERRATIONS.items()
        for table in tables
        if any(_means_something(name, value) for value in table.get(name, ()))
    }
    if not found:
        return []
    return [f"{particles.path} has {', '.join(found)}, {cryosparc.UNCORRECTED} The columns are kept."]


NEAR = 0.1  # of the box's width: no two particles lie so near to each other
ALIKE = 0.02  # of the particles: fewer of them change no FSC
MOST_COPIES = 8  # others of one place that are looked for: with the nearest alone four copies may be two pairs


def place_notes(particles: ParticleSet) -> list[str]:
    """[sentence] if different images are of the same places, as of joined sets."""
    places = same_places(particles)
    near = int((np.bincount(places)[places] > 1).sum())
    return say_if(
        near > ALIKE * len(particles),
        f"{near} of the {len(particles)} particles of {particles.path} lie within "
        f"{NEAR * particles.box * particles.pixel_size:.0f} Å of another one of their micrograph (rlnCoordinateX). If "
        "they are the same ones, as in sets that were joined, halves agree by their noise: keep one of each.",
    )


def same_places(particles: ParticleSet) -> np.ndarray:
    """(m,) number of the place of each image of same_images; near ones have the same. Segments of filaments overlap:
    each has its own."""
    single = np.unique(particles.same_images(), return_index=True)[1]
    try:
        yx = number_columns(particles.path, particles.columns, COORDINATES[::-1])
        sizes = number_columns(particles.path, particles.optics_columns, ("rlnMicrographOriginalPixelSize",))
    except ValueError:  # whoever needs positions says what is wrong with them; the images can be used
        yx = sizes = None
    if yx is None or not {"rlnMicrographName", "rlnHelicalTubeID"} & set(particles.columns) == {"rlnMicrographName"}:
        return np.arange(len(single))
    pixel_size, width = particles.pixel_size, particles.box * particles.pixel_size
    shifts = 0 if particles.shifts_yx is None else particles.shifts_yx * pixel_size
    if sizes is not None and (sizes > 0).all() and (sizes != 1).any():  # Scipion's plugin of RELION writes 1 for "?"
        pixel_size = sizes[optics_rows(particles.optics_columns, particles.columns, particles.path)]
    micrograph = np.unique(list(particles.micrographs), return_inverse=True)[1]
    points = np.column_stack([2 * width * micrograph, yx * pixel_size + shifts])[single]
    points[~yx[single].any(1), 0] = -2 * width * (1 + np.arange((~yx[single].any(1)).sum()))  # 0 where none was known
    distance, nearest = cKDTree(points).query(points, 1 + MOST_COPIES, distance_upper_bound=NEAR * width)
    row, rank = np.nonzero(np.isfinite(distance))
    graph = coo_array((np.ones(len(row)), (row, nearest[row, rank])), (len(points),) * 2)
    return np.asarray(connected_components(graph, directed=False)[1])


def _means_something(name: str, value: typing.Any) -> bool:
    try:
        numbers = [float(word) for word in str(value).strip("[]").split(",") if word.strip()]
    except ValueError:
        return False
    return any(abs(number - NONE.get(name, 0.0)) > 1e-6 for number in numbers)
