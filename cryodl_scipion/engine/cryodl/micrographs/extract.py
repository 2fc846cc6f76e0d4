# SPDX-License-Identifier: GPL-3.0-or-later
"""Extraction of particles from micrographs. The particles of one micrograph: boxes, resampled and normalised as
RELION's extraction does. Records of each micrograph's particles, beside its stack, and the table of all."""

import dataclasses
import hashlib
import typing
from pathlib import Path

import numpy as np
import torch

from ..contract import ExtractParticlesConfig, config_to_dict, some_names, star_head
from ..contract.reading import star_text
from ..core.boxes import box_corners, boxes_inside, cooled, cut_boxes, normalised
from ..core.fourier import fourier_resize
from ..core.optics import Optics
from ..io.files import whole_file
from ..io.particles import CTF, MICROSCOPE
from ..io.stamps import ItemRecords, file_stamp

_CHUNK = 256  # boxes that are worked on at once


@dataclasses.dataclass(frozen=True)
class Cut:
    """Particles of a micrograph. images: (m, box, box) float32 array. rows: (m,) int, their indices among the picks.
    positions_yx: (m, 2) whole px of the micrograph, the boxes' centres. at_edge, unusable: picks left out."""

    images: np.ndarray
    rows: np.ndarray
    positions_yx: np.ndarray
    at_edge: int
    unusable: int


def cut_micrograph(
    image: np.ndarray, centres_yx: np.ndarray, config: ExtractParticlesConfig, optics: Optics | None
) -> Cut:
    """Cut the particles out of a micrograph. image: (h, w) float32; values that are no numbers are allowed. centres_yx:
    (n, 2) px of the picks. optics: the micrograph's CTF, for flipping phases."""
    box = config.box_in_pixels()
    corners, positions = box_corners(centres_yx, box)
    on_it = ((positions >= 0) & (positions < image.shape)).all(axis=1)
    kept = np.asarray(on_it if config.edge == "fill" else boxes_inside(corners, box, image.shape))
    pixels = torch.from_numpy(image)
    if config.flip_phases and optics is not None:
        pixels = flip_phases(pixels, optics, config.pixel_size)
    rows = np.nonzero(kept)[0]
    parts = [_finished(pixels, corners[rows[i : i + _CHUNK]], config) for i in range(0, len(rows), _CHUNK)]
    side = config.scaled_box or box
    images = np.concatenate([part[0] for part in parts]) if parts else np.zeros((0, side, side), np.float32)
    usable = np.concatenate([part[1] for part in parts]) if parts else np.zeros(0, bool)
    return Cut(images[usable], rows[usable], positions[rows[usable]], int(len(kept) - kept.sum()), int((~usable).sum()))


def _finished(
    pixels: torch.Tensor, corners: np.ndarray, config: ExtractParticlesConfig
) -> tuple[np.ndarray, np.ndarray]:
    images = cut_boxes(pixels, corners, config.box_in_pixels())
    finite, images = torch.isfinite(images).all(dim=(1, 2)), cooled(images)
    if config.scaled_box and config.scaled_box != images.shape[-1]:
        images = fourier_resize(images, config.scaled_box)
    side = images.shape[-1]
    # the radius of the circle: the particle's, but never the whole box
    radius = 0.5 * (config.particle_diameter or 0) / config.pixel_size * side / config.box_in_pixels()
    made, usable = normalised(images, min(radius, side / 2 - 1), config.contrast == "dark", slope=0)
    if not config.normalise:
        made = -images if config.contrast == "dark" else images
    return made.numpy(), (usable & finite).numpy()


def flip_phases(image: torch.Tensor, optics: Optics, pixel_size: float) -> torch.Tensor:
    """A micrograph whose phases that the CTF flipped are flipped back; values that are no numbers stay such. image: (h,
    w). pixel_size: Å/px."""
    finite = torch.isfinite(image)
    if not finite.any():
        return image
    cool = cooled(torch.where(finite, image, image[finite].mean())[None])[0]  # a hot pixel would leave the CTF's rings
    mean = cool[finite].mean()
    level = (cool - mean) * finite
    signs = torch.where(optics.transfer(image.shape, pixel_size) < 0, -1.0, 1.0)
    return torch.where(finite, torch.fft.irfft2(torch.fft.rfft2(level) * signs, s=image.shape) + mean, image)


KIND = "particles of a micrograph"
FREE = ("coordinates", "micrographs", "ctf", "output", "names", "threads")  # they, or what is in them, may grow
NUMBER = "cryodlPickNumber"  # column: place of the particle in its micrograph's list of picks, from 1
_PICK = ("rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit", NUMBER)
_PHASE, _FLIPPED = "rlnPhaseShift", "rlnCtfDataArePhaseFlipped"


def source_of(path: str, picks: tuple[np.ndarray, np.ndarray], optics: typing.Any) -> dict:
    """What the particles of a micrograph are made of: another micrograph, other picks or another CTF is another source.
    picks: centres (n, 2) px and scores (n,)."""
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(p, "<f8").tobytes() for p in picks)).hexdigest()
    return dict(micrograph=file_stamp(path), picks=digest, ctf=None if optics is None else vars(optics))


def records_of(folder: Path, config: ExtractParticlesConfig, names: typing.Collection[str]) -> ItemRecords:
    """The records of the particles cut out of each micrograph. Raises ValueError if the folder has stacks of others
    than those with these names: the table of all would lose them."""
    if others := {stack.stem for stack in folder.glob("*.mrcs")} - set(names):
        raise ValueError(
            f"{config.output} also has particles of micrographs that are not given now ({some_names(others)}); their "
            f"stacks are in {folder}. Give all micrographs together, or another name (--output)."
        )
    settings = {name: value for name, value in config_to_dict(config).items() if name not in FREE}
    return ItemRecords(folder, KIND, settings, "{}.mrcs")


def earlier(files: ItemRecords, name: str, source: dict) -> dict | None:
    """The record of a micrograph that was cut before; None if there is none, or its source has changed."""
    record = files.read(name)
    if record is None:
        return None
    whole = not record["rows"] or (files.folder / f"{name}.mrcs").exists()
    return record if record["source"] == source and whole else None


def write_record(files: ItemRecords, name: str, path: str, source: dict, cut: typing.Any, scores: np.ndarray) -> dict:
    """Write and return the record of a micrograph; its stack must be there. scores: (n,) of all picks."""
    rows = [
        [int(x), int(y), float(scores[row]), int(row) + 1] for row, (y, x) in zip(cut.rows.tolist(), cut.positions_yx)
    ]
    left = dict(at_edge=cut.at_edge, unusable=cut.unusable)
    return files.write(name, None, name=name, path=str(path), source=source, rows=rows, **left)


def write_star(star: Path, folder: Path, records: typing.Sequence[dict], config: ExtractParticlesConfig) -> None:
    """RELION's STAR file (3.1) of all particles, whole or not at all. Rows are written one by one."""
    box = config.box_in_pixels()
    side = config.scaled_box or box
    given = (config.voltage, config.spherical_aberration, config.amplitude_contrast)
    groups = {_microscope(record, given): 0 for record in records}
    groups = {constants: number for number, constants in enumerate(groups, 1)}
    known = [name for position, name in enumerate(MICROSCOPE) if all(c[position] is not None for c in groups)]
    optics = ["rlnOpticsGroupName", "rlnOpticsGroup", *known, "rlnImagePixelSize", "rlnMicrographOriginalPixelSize"]
    optics += ["rlnImageSize", "rlnImageDimensionality"] + ([_FLIPPED] if config.flip_phases else [])
    phase = any((record["source"]["ctf"] or {}).get("phase_shift") for record in records)
    ctf = [] if config.ctf is None else [*CTF] + ([_PHASE] if phase else [])
    with whole_file(star) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(star_head("optics", optics))
        for constants, number in groups.items():
            values = [f"opticsGroup{number}", number, *(c for c in constants if c is not None)][: 2 + len(known)]
            values += [config.pixel_size * box / side, config.pixel_size, side, 2] + [1] * config.flip_phases
            file.write("  ".join(map(star_text, values)) + "\n")
        file.write(star_head("particles", ["rlnImageName", "rlnMicrographName", *_PICK, *ctf, "rlnOpticsGroup"]))
        for record in records:
            file.writelines(_rows(record, folder, ctf, groups[_microscope(record, given)]))
        file.write("\n")


def _rows(record: dict, folder: Path, ctf: list[str], group: int) -> typing.Iterator[str]:
    optics = record["source"]["ctf"]
    words = dict(zip((*CTF, _PHASE), ("defocus_u", "defocus_v", "defocus_angle", "phase_shift")))
    shared = [optics[words[name]] for name in ctf] + [group]
    for number, pick in enumerate(record["rows"], 1):
        name = f"{number:06d}@{folder / record['name']}.mrcs"
        yield "  ".join(map(star_text, [name, record["path"], *pick, *shared])) + "\n"


def _microscope(record: dict, given: tuple[float | None, ...]) -> tuple[float | None, ...]:
    optics = record["source"]["ctf"]
    return given if optics is None else tuple(optics[name] for name in ("voltage_kv", "cs_mm", "amplitude_contrast"))
