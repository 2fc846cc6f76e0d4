# SPDX-License-Identifier: GPL-3.0-or-later
"""Density of structures to simulate: read from maps, or computed from atomic models.

The molecule in a density map, apart from solvent noise, the ripple of a sharp resolution cut, and dust."""

import gzip
import math
import os
import typing
from pathlib import Path

import gemmi
import numpy as np
import torch
from scipy.ndimage import affine_transform, gaussian_filter, label

from ..contract.reading import absent, reader
from ..core import projections, volumes
from . import messages
from .memory import available_memory
from .mrc import axes_zyx, read_data, read_header

BLUR = 4.0  # Å, Gaussian: it leaves the outline of a molecule, and little of ripple at 10 Å or finer
BODY = 0.18  # of the blurred interior's density: the outline, about one BLUR outside of the surface
NOISE = 5.0  # standard deviations of the blurred solvent below which nothing is the molecule
DUST = 0.03  # of the largest connected component's mass, below which another is dropped
MINIMUM = 500  # voxels of solvent from which its noise is measured
TAIL = 1.5  # how much longer the tail of negative values is, if protein is negative
EXACT = 1e-4  # of the maximum: a map whose values fall less below its solvent has neither noise nor ripple
ROUNDS = 4  # of outline and solvent


def without_solvent(data: np.ndarray, voxels: np.ndarray) -> tuple[np.ndarray, bool]:
    """A map's molecule alone, protein positive, and whether protein was negative in the map.

    The outline is that of connected density of the blurred map above both BODY of the molecule's interior and NOISE
    standard deviations of all the solvent, which may be noisy near the molecule and zero in the corners.

    data: (z, y, x), density in any unit, with any offset. voxels: (3,), voxel size along z, y, x, Å. Returns density:
    (z, y, x) float32, solvent zero, nothing negative. All zero if nothing rises above the solvent. dark: whether
    protein is negative in `data`; the sign of `density` is changed."""
    axes = [(np.arange(n) - n // 2) / max(n / 2, 1) for n in data.shape]
    outside = data[axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2 > 1]
    data = data.astype(np.float32) - (float(np.median(outside)) if outside.size else 0.0)
    smooth = gaussian_filter(data, np.maximum(BLUR / voxels, 0.7))
    low, high = np.percentile(smooth, [0.1, 99.9])
    # the long tail of the blurred map's values, less those of the solvent, is negative
    dark = bool(float((smooth.astype(np.float64) ** 3).mean()) < 0 and -low > TAIL * high)
    if dark:
        data, smooth = -data, -smooth
    if data.min() >= -EXACT * data.max():  # neither noise nor ripple: the tails of the density are its own
        return np.maximum(data, 0), dark
    outline, level = _outline(smooth)
    return np.where(outline, np.maximum(data - level, 0), 0).astype(np.float32), dark


def _outline(smooth: np.ndarray) -> tuple[np.ndarray, float]:
    """Bool array of the molecule's voxels, and the density of its solvent."""
    outline, level, threshold = np.zeros(smooth.shape, bool), 0.0, 0.3 * float(smooth.max())
    if not threshold > 0:
        return outline, 0.0
    for _ in range(ROUNDS):
        outline = _without_dust(smooth, smooth > threshold)
        solvent, noise = smooth[(smooth < threshold) & (smooth != 0)], 0.0
        if solvent.size > MINIMUM:
            level = float(np.median(solvent))
            noise = 1.4826 * float(np.median(np.abs(solvent - level)))
        interior = float(np.median(smooth[outline])) if outline.any() else float(smooth.max())
        threshold = level + max(BODY * (interior - level), NOISE * noise)
    return outline, level


def _without_dust(smooth: np.ndarray, above: np.ndarray) -> np.ndarray:
    """The connected components that hold at least DUST of the largest one's mass."""
    labels, count = label(above)
    if count < 2:
        return above
    mass = np.bincount(labels.ravel(), np.where(above, smooth, 0).ravel())
    return (mass >= DUST * mass[1:].max())[labels] & above


MODEL_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")


# A density larger than this is no use at any pixel size that one simulates at, and would take hours.
LARGEST_SIDE = 1024
FINEST, COARSEST = 0.05, 100.0  # Å; voxels of maps
MAX_UNEQUAL = 2.0  # of the sides of a voxel
NEAR, MAX_STRAY = 200.0, 20.0  # Å; an atom beyond is a mistake, if it is so many times as far as the median one


@reader
def load_density(
    path: Path | str, pixel_size: float, resolution: float | None = None, centre: np.ndarray | None = None
) -> torch.Tensor:
    """The density of a structure in a cube, protein positive and solvent zero.

    Of an atomic model the first assembly is built, its centre of mass in the middle. The middle of a map's box, voxel
    n // 2, becomes the cube's.

    path: .mrc or .map (voxel size from its header), or .pdb or .cif (also .gz).
    pixel_size: Å/px, of the result.
    resolution: Å, of the blur given to atoms; twice the pixel size if None.
    centre: (3,), xyz in Å of a model that goes to the middle, for several models in one frame; its own centre of mass
        if None.
    Returns (d, d, d) float32, zyx, d even.
    Raises FileNotFoundError if there is no such file.
    Raises ValueError: that names the file, also when the density would be larger than the memory."""
    path = Path(path)
    if is_model(path):
        xyz, weight = _read_atoms(path)
        centre = np.average(xyz, axis=0, weights=weight) if centre is None else np.asarray(centre, float)
        return density_of_atoms(xyz - centre, weight, pixel_size, resolution or 2 * pixel_size, path)
    return torch.from_numpy(_resampled(*_molecule(path), pixel_size, path))


FAR = 0.25  # radii of gyration, a tenth of a ball's diameter, that a molecule may lie off the middle of its map's box


def load_molecule(path: Path | str, pixel_size: float) -> tuple[torch.Tensor, float]:
    """As load_density, for who looks where molecules are: that of a map comes to the middle, as one of a model does,
    if it lies FAR from there, and that is said. pixel_size: Å/px. Returns (d, d, d), and by how many Å it was moved."""
    if is_model(path):
        return load_density(path, pixel_size), 0.0
    density, voxels = _molecule(Path(path))
    weights = [density.sum(tuple({0, 1, 2} - {axis}), float) for axis in range(3)]
    places = [(np.arange(n) - n // 2) * voxel for n, voxel in zip(density.shape, voxels)]
    centre = np.array([np.average(*pair) for pair in zip(places, [None] * 3, weights)])  # Å
    spread = sum(np.average((x - c) ** 2, None, w) for x, c, w in zip(places, centre, weights)) ** 0.5
    moved = float(np.linalg.norm(centre)) * bool(np.linalg.norm(centre) > FAR * spread)
    if moved:
        messages.warn(
            f"The molecule in {path} lies {moved:.0f} Å from the middle of its box. Positions are those of its centre "
            "of mass, not of the box."
        )
        middles, there = np.array(density.shape) // 2 + np.rint(centre / voxels).astype(int), map(np.nonzero, weights)
        room = math.ceil(3 * max(1, pixel_size / voxels.min()))  # for the blur before a coarser sampling
        ends = [(m - reach, m + reach) for m, (w,) in zip(middles, there) for reach in [abs(w - m).max() + room]]
        density = density[tuple(slice(max(0, start), stop) for start, stop in ends)]
        density = np.pad(density, [(max(0, -a), max(0, b - len(w))) for (a, b), w in zip(ends, weights)])
    return torch.from_numpy(_resampled(density, voxels, pixel_size, path)), moved


def _molecule(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A map's molecule (see without_solvent) and its voxels' sizes along z, y, x in Å."""
    data, voxels = _read_map(path)
    density = without_solvent(data, voxels)[0]
    if not density.max() > 0:
        raise ValueError(f"{path} has no density above the solvent level. Give a map that shows the molecule.")
    return density, voxels


def is_model(path: Path | str) -> bool:
    """Whether a name is that of an atomic model's file."""
    return str(path).lower().removesuffix(".gz").endswith(MODEL_SUFFIXES)


def structure_names(paths: typing.Sequence[str]) -> list[str]:
    """Names of structures: their files' names without endings. Raises ValueError if two have the same name."""
    names: list[str] = []
    for path in paths:
        name = Path(path).name
        for ending in (".gz", ".bz2", ".mrc", ".map", *MODEL_SUFFIXES):
            name = name[: -len(ending)] if name.lower().endswith(ending) and len(name) > len(ending) else name
        if name in names:
            raise ValueError(f"Two structures are called {name}: {paths[names.index(name)]} and {path}. Rename one.")
        names.append(name)
    return names


@reader
def read_structure(path: str | os.PathLike[str]) -> gemmi.Structure:
    """gemmi's structure of a file; says if it has several models. Occupancies that all are 0 become 1. Raises
    FileNotFoundError, or ValueError that names it."""
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; an atomic model (.pdb, .cif) is needed.")
    if not Path(path).is_file():
        raise FileNotFoundError(f"The structure {path} {absent(path)}.")
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed:
        with gzip.open(path) as unpacked:  # to its end: of a file that is cut short, gemmi returns the atoms before
            while unpacked.read(1 << 20):
                pass
    try:
        structure = gemmi.read_structure(str(path))
        structure.setup_entities()
        structure[0]
    except (RuntimeError, ValueError, IndexError) as error:
        said = "" if isinstance(error, IndexError) else " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"{path} is not a readable atomic model: {said or 'it has no atoms'}.") from None
    if len(structure) > 1:
        messages.warn(
            f"{path} has {len(structure)} models, and the first alone is used. If they are copies that make up one "
            "molecule, as in assemblies from the PDB, write them as chains of one model."
        )
    if not any(place.atom.occ for place in structure[0].all()):  # blank, or as VMD writes them
        for place in structure[0].all():
            place.atom.occ = 1.0
    return structure


def mass_and_centre(path: str) -> tuple[float, np.ndarray]:
    """Mass of a model, counted in atomic numbers, and its centre. Returns centre: (3,), xyz in Å."""
    xyz, weight = _read_atoms(Path(path))
    return float(weight.sum()), np.average(xyz, axis=0, weights=weight)


def check_memory(side: int, path: Path | str, pixel_size: float, available: float | None = None) -> None:
    """Raises ValueError if a density of `side` voxels is too large to be projected with `available` bytes (of this
    machine if None). path, pixel_size: for the message."""
    available, needed = available or available_memory(), projections.projection_memory(side) + 8 * side**3
    if side > LARGEST_SIDE or needed > available:
        raise ValueError(
            f"{path} is {side} px wide at {pixel_size:g} Å/px: its projections need {needed / 1e9:.1f} GB of memory, "
            f"of which {available / 1e9:.1f} GB are free, and at most {LARGEST_SIDE} px are allowed. Choose a larger "
            "--pixel-size."
        )


def _read_atoms(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 3) xyz in Å and weights (n,) (atomic numbers times occupancy) of the first assembly, no water or
    hydrogens."""
    structure = read_structure(path)
    model = structure[0]
    if structure.assemblies:
        assembly = _of_chains_that_are_there(structure.assemblies[0], model)
        model = gemmi.make_assembly(assembly, model, gemmi.HowToNameCopiedChain.Short)
    model.remove_waters()  # not before: assemblies of mmCIF files name the waters, too
    model.remove_hydrogens()  # most files have none: a molecule shall not be heavier in those that have
    # a flat array, atom by atom: a list of a virus's million atoms would take half a gigabyte
    values = np.fromiter(
        (v for a in model.all() for v in (*a.atom.pos.tolist(), a.atom.element.atomic_number * a.atom.occ)), float
    ).reshape(-1, 4)
    if not len(values) or not values[:, 3].sum() > 0:
        raise ValueError(f"{path} contains no atoms.")
    return values[:, :3], values[:, 3]


def _of_chains_that_are_there(assembly: gemmi.Assembly, model: gemmi.Model) -> gemmi.Assembly:
    """The assembly without chains that the model lacks: files that a partner was cut from still name its chains."""
    chains, subchains = {c.name for c in model}, {s.subchain_id() for c in model for s in c.subchains()}
    for generator in assembly.generators:
        generator.chains = [name for name in generator.chains if name in chains]
        generator.subchains = [name for name in generator.subchains if name in subchains]
    return assembly


def density_of_atoms(
    xyz: np.ndarray, weight: np.ndarray, pixel_size: float, resolution: float, path: Path | str
) -> torch.Tensor:
    """Atoms (n, 3), in Å from the middle, spread over the nearest 8 voxels of pixel_size Å/px, then blurred by a
    Gaussian of the wanted resolution (Å). Raises ValueError for an atom astray, or a volume that exceeds the memory."""
    radii = np.linalg.norm(xyz, axis=1)
    radius, usual = radii.max() + 2 * resolution, np.median(radii)
    if not radii.max() < max(NEAR, MAX_STRAY * usual):
        raise ValueError(
            f"{path} has an atom {radii.max():.3g} Å from the middle, and half of its atoms lie within {usual:.3g} "
            "Å. Remove the stray atom from the file."
        )
    side = 2 * int(np.ceil(radius / pixel_size)) + 2
    check_memory(side, path, pixel_size)
    zyx = xyz[:, ::-1] / pixel_size + side // 2
    low = np.floor(zyx).astype(int)
    part, volume = zyx - low, np.zeros(side**3, np.float32)
    for corner in np.ndindex(2, 2, 2):
        corner_weight = np.prod(np.where(corner, part, 1 - part), axis=1)
        np.add.at(
            volume, np.ravel_multi_index((low + corner).T, (side,) * 3), (corner_weight * weight).astype(np.float32)
        )

    # sigma = 0.225 x resolution: the width at which a Gaussian atom falls to 1/e of its amplitude at that frequency
    return torch.from_numpy(gaussian_filter(volume.reshape((side,) * 3), 0.225 * resolution / pixel_size))


@reader
def read_cube(path: Path | str, pixel_size: float, box: int) -> np.ndarray:
    """Values of a map as they are, resampled, its middle the cube's. pixel_size: Å. box: side of the cube, voxels.
    Returns (box, box, box), float32. Raises FileNotFoundError: no such file. Raises ValueError: the file is no map."""
    data, voxels = _read_map(Path(path))
    return volumes.cube_crop(torch.from_numpy(_resampled(data, voxels, pixel_size, path))[None], box)[0].numpy()


def dark_notes(path: Path | str) -> list[str]:
    """Whether protein is negative in a map; load_density changes its sign. Models have none. Returns one sentence, or
    none. Raises FileNotFoundError if there is no such file."""
    if is_model(path):
        return []
    data, voxels = _read_map(Path(path))
    step = max(1, min(data.shape) // 96)  # coarse voxels suffice
    if not without_solvent(data[::step, ::step, ::step], step * voxels)[1]:
        return []
    return [
        f"Protein seems to be negative in {path}: the map was inverted. If that is wrong, give a map in which "
        "protein is positive."
    ]


def _read_map(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(z, y, x) float32 array of a map and its voxel sizes in Å."""
    if not path.exists():
        raise FileNotFoundError(f"The structure {path} {absent(path)}.")
    found = read_header(path)
    if found.shape[0] > 1 and (path.suffix == ".mrcs" or (int(found.record.ispg), int(found.record.mz)) == (0, 1)):
        raise ValueError(f"{path} is a stack of {found.shape[0]} images, not a map. Give a map (.mrc).")
    data, record = np.array(read_data(path, found), np.float32), found.record
    if data.ndim != 3:
        raise ValueError(f"{path} has an array of shape {data.shape}; a map must have three axes.")
    data, voxels = np.transpose(data, axes_zyx(record, path)), found.voxels_zyx
    if not FINEST <= voxels.min() <= voxels.max() <= min(COARSEST, MAX_UNEQUAL * voxels.min()):
        raise ValueError(
            f"{path} has voxels of {' x '.join(f'{v:.3g}' for v in voxels[::-1])} Å by its header; they "
            f"must be cubes of {FINEST:g} to {COARSEST:g} Å. Correct the header."
        )
    if not np.isfinite(data).all():
        raise ValueError(f"{path} has voxels that are not finite numbers (NaN or infinite). Make the map again.")
    return data, voxels


def _resampled(data: np.ndarray, voxels: np.ndarray, pixel_size: float, path: Path | str) -> np.ndarray:
    """`data` of voxels (3,) in the middle of a cube that holds it, resampled about voxel n // 2. path: for messages."""
    # even, so that the middle of the cube is voxel d // 2 with as much on either side
    side = 2 * int(np.ceil(max(max(2, round(n * v / pixel_size)) for n, v in zip(data.shape, voxels)) / 2))
    check_memory(side, path, pixel_size)
    zoom = voxels / pixel_size
    if np.abs(zoom - 1).max() < 1e-3:
        cube = np.zeros((side,) * 3, np.float32)
        cube[tuple(slice(s, s + n) for s, n in zip([side // 2 - n // 2 for n in data.shape], data.shape))] = data
        return cube
    if zoom.min() < 0.95:
        data = gaussian_filter(data, 0.4 * np.maximum(1 / zoom, 1) * (zoom < 0.95))
    offset = np.array(data.shape) // 2 - (side // 2) / zoom
    return affine_transform(data, 1 / zoom, offset, (side,) * 3, np.float32, order=1)


@reader
def read_focus_mask(path: str, voxel: float, box: int) -> np.ndarray:
    """The mask of a file, its middle the box's. voxel: Å. box: px. Returns (box, box, box), between 0 and 1. Raises
    ValueError for a mask that is nowhere above 0."""
    values = read_cube(path, voxel, box)
    if not values.max() > 0:
        raise ValueError(
            f"The mask {path} is nowhere above 0 (its largest value is {values.max():.3g}). Give a map that is 1 where "
            "the molecule may change."
        )
    return np.clip(values / max(1.0, float(values.max())), 0, 1)
