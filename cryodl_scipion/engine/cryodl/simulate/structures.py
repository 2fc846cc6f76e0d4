# SPDX-License-Identifier: GPL-3.0-or-later
"""Structures to simulate from: density maps, and atomic models turned into density."""
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

MODEL_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")


def load_density(path, pixel_size, resolution=None):
    """The density of a structure in a cube, protein positive, centre of mass in the middle.

    path: .mrc or .map (voxel size from its header), or .pdb or .cif (also .gz), of which the first assembly is built.
    pixel_size: Å/px of the result. resolution: Å; of the blur given to atoms, twice the pixel size if None.
    Returns (d, d, d) float32 tensor (zyx), d even. Raises ValueError that names the file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"Structure {path} does not exist.")
    name = path.name[:-3] if path.name.endswith(".gz") else path.name
    if name.lower().endswith(MODEL_SUFFIXES):
        return _density_of_atoms(*_read_atoms(path), pixel_size, resolution or 2 * pixel_size)
    return _density_of_map(path, pixel_size)


def _read_atoms(path):
    """Positions (n, 3) xyz in Å and weights (n,) (atomic numbers times occupancy) of the first assembly, no water."""
    import gemmi
    try:
        structure = gemmi.read_structure(str(path))
        structure.setup_entities()
        model = structure[0]
        if structure.assemblies:
            model = gemmi.make_assembly(structure.assemblies[0], model, gemmi.HowToNameCopiedChain.Short)
        model.remove_waters()  # not before: assemblies of mmCIF files name the waters, too
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(f"{path} is not a readable atomic model: {error}.") from None
    atoms = [(a.atom.pos.tolist(), a.atom.element.atomic_number * a.atom.occ) for a in model.all()]
    if not atoms:
        raise ValueError(f"{path} holds no atoms.")
    return np.array([p for p, _ in atoms]), np.array([w for _, w in atoms])


def _density_of_atoms(xyz, weight, pixel_size, resolution):
    """Atoms spread over the nearest 8 voxels, then blurred by a Gaussian of the wanted resolution."""
    xyz = xyz - np.average(xyz, axis=0, weights=np.maximum(weight, 1e-3))
    radius = np.linalg.norm(xyz, axis=1).max() + 2 * resolution
    side = 2 * int(np.ceil(radius / pixel_size)) + 2
    zyx = xyz[:, ::-1] / pixel_size + side // 2
    low = np.floor(zyx).astype(int)
    part = zyx - low
    volume = np.zeros((side,) * 3, np.float32)
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(corner, part, 1 - part), axis=1)
        np.add.at(volume, tuple((low + corner).T), share * weight)
    from scipy.ndimage import gaussian_filter
    # sigma = 0.225 x resolution: the width at which a Gaussian atom falls to 1/e of its amplitude at that frequency
    return torch.from_numpy(gaussian_filter(volume, 0.225 * resolution / pixel_size))


def _density_of_map(path, pixel_size):
    import mrcfile
    try:
        with warnings.catch_warnings(action="ignore"), mrcfile.open(path, permissive=True) as mrc:
            if mrc.data is None:
                raise ValueError("its header makes no sense, or its data are missing")
            data, voxel = np.array(mrc.data, np.float32), mrc.voxel_size
            voxels = np.array([voxel.z, voxel.y, voxel.x], float)
            order = [int(mrc.header[c]) for c in ("maps", "mapr", "mapc")]
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is not a readable map: {error}.") from None
    if data.ndim != 3:
        raise ValueError(f"{path} holds an array of shape {data.shape}; a map has three axes.")
    if sorted(order) == [1, 2, 3]:
        data = np.transpose(data, [order.index(k) for k in (3, 2, 1)])
    if not (voxels > 0).all():
        raise ValueError(f"{path} has the voxel size {voxels.tolist()} in its header; it must be positive.")
    shape = [max(2, int(round(n * v / pixel_size))) for n, v in zip(data.shape, voxels)]
    data = _resample(torch.from_numpy(np.ascontiguousarray(data)), shape)
    side = max(data.shape) + max(data.shape) % 2
    cube = torch.zeros((side,) * 3)
    start = [(side - n) // 2 for n in data.shape]
    cube[tuple(slice(s, s + n) for s, n in zip(start, data.shape))] = data.clamp(min=0)
    return cube


def _resample(volume, shape):
    if tuple(volume.shape) == tuple(shape):
        return volume
    shrink = max(n / m for n, m in zip(volume.shape, shape))
    if shrink > 1.05:
        from scipy.ndimage import gaussian_filter
        volume = torch.from_numpy(gaussian_filter(volume.numpy(), 0.4 * shrink))
    return F.interpolate(volume[None, None], size=tuple(shape), mode="trilinear", align_corners=False)[0, 0]
