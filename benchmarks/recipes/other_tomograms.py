# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms of another generator: nothing here comes from the program's own simulation.

Atoms (see other_particles.py) are put into a slab, projected along each tilt, multiplied by a CTF with an envelope, and
reconstructed by weighted back-projection from images with coloured noise, which grows with the path through the ice.
Cells hold bilayers, microtubules, helices of a protein of actin's fold, ribosomes, gold and other complexes, of which
the density of ice is taken.
"""

import json
from functools import partial

import gemmi
import mrcfile
import numpy as np
from bench import structure_file
from recipes.other_particles import atoms_of, ctf, noise, random_rotations
from scipy.ndimage import distance_transform_edt, zoom
from scipy.spatial import cKDTree

GRAIN = 5.0  # A: atoms of such a cube are one point
TILTS = np.arange(-60, 60.1, 3.0)
DEFOCUS = 30000.0  # A


def grains(atoms, weights):
    """(n, 3) positions and (n,) weights of atoms, grain by grain."""
    cells, which = np.unique(np.round(atoms / GRAIN).astype(int), axis=0, return_inverse=True)
    mass = np.bincount(which.ravel(), weights)
    return np.stack([np.bincount(which.ravel(), weights * axis) for axis in atoms.T], 1) / mass[:, None], mass


def places(radii, shape_a, rng, tries=20000):
    """(n, 3) zyx in A from the slab's middle of spheres that do not overlap; NaN where there is no room."""
    found = np.full((len(radii), 3), np.nan)
    for number in np.argsort(-radii, kind="stable"):
        there = ~np.isnan(found[:, 0])
        for _ in range(tries // len(radii)):
            place = rng.uniform(-0.5, 0.5, 3) * (np.array(shape_a) - 2 * radii[number])
            if (np.linalg.norm(found[there] - place, axis=1) > radii[there] + radii[number]).all():
                found[number] = place
                break
    return found


def back_projected(images, angles, depth):
    """(depth, h, w) of images (n, h, w) and their tilts in degrees about y, after a ramp filter."""
    h, w = images.shape[1:]
    ramp = np.abs(np.fft.rfftfreq(w))
    z, x = np.arange(depth) - depth // 2, np.arange(w) - w // 2
    volume = np.zeros((depth, h, w), np.float32)
    for image, angle in zip(images, np.radians(angles)):
        filtered = np.fft.irfft(np.fft.rfft(image, axis=1) * ramp, n=w, axis=1).astype(np.float32)
        at = x * np.cos(angle) + z[:, None] * np.sin(angle) + w // 2
        left = np.clip(np.floor(at).astype(int), 0, w - 2)
        part, seen = np.clip(at - left, 0, 1).astype(np.float32), (at >= 0) & (at <= w - 1)
        lines = filtered[:, left] * (1 - part) + filtered[:, left + 1] * part  # (h, depth, w)
        volume += (lines * seen).transpose(1, 0, 2)
    return volume


def write_tomogram(path, cloud, mass, shape, pixel_size, snr, rng, tilts=TILTS, defocus=DEFOCUS, gold=0):
    """Write the tomogram of points: (n, 3) xyz in A from the middle, (n,) masses. snr: as of make_tomogram, without the
    last points, those of gold."""
    side = shape[1]
    transfer = ctf(side, pixel_size, defocus, defocus, 0.0, b_factor=300.0)

    def image(angle, number):
        across = cloud[:number, 0] * np.cos(angle) + cloud[:number, 2] * np.sin(angle)
        x, y = (np.floor(v / pixel_size + side // 2 + 0.5).astype(int) for v in (across, cloud[:number, 1]))
        seen = (x >= 0) & (x < side) & (y >= 0) & (y < side)
        sums = np.bincount((y * side + x)[seen], mass[:number][seen], side * side).reshape(side, side)
        return np.fft.irfft2(np.fft.rfft2(sums) * transfer, s=sums.shape)

    width = np.std(image(0.0, len(mass) - gold)) / snr**0.5 if snr else 1.0
    images, wider = np.array([image(t, len(mass)) for t in np.radians(tilts)]), np.cos(np.radians(tilts)) ** -0.5
    seen = images + width * wider[:, None, None] * noise(len(tilts), side, pixel_size, rng)
    mrcfile.write(path, back_projected(seen, tilts, shape[0]).astype(np.float32), overwrite=True, voxel_size=pixel_size)


def make_tomogram(path, copies, shape, pixel_size, snr, seed):
    """Write path (.mrc) and beside it .json, {name: [[z, y, x] px]}. copies: {structure's path: number}. shape: (z, y,
    x) px, y = x. snr: variance of the images' signal over that of their noise, without tilt; 0 for noise alone."""
    rng, bodies = np.random.default_rng(seed), {file: grains(*atoms_of(file)) for file in copies}
    files = [file for file, number in copies.items() for _ in range(number)]
    radii = np.array([np.percentile(np.linalg.norm(bodies[file][0], axis=1), 99) for file in files])
    zyx = places(radii, np.array(shape) * pixel_size, rng)
    truth, cloud, mass = {}, [np.zeros((0, 3))], [np.zeros(0)]
    for file, place, turn in zip(files, zyx, random_rotations(len(files), rng)):
        if not np.isnan(place[0]):
            truth.setdefault(str(file), []).append((place / pixel_size + np.array(shape) // 2).round(2).tolist())
            cloud.append(bodies[file][0] @ turn.T + place[::-1])
            mass.append(bodies[file][1])
    write_tomogram(path, np.concatenate(cloud), np.concatenate(mass), shape, pixel_size, snr, rng)
    path.with_suffix(".json").write_text(json.dumps(truth))


# ----- cells
LABELS = ("membrane", "ribosome", "microtubule", "filament")
OTHERS = ("1OEL", "8BK7", "1BMV")
COPIES = dict(membrane=4, microtubule=5, filament=12, gold=5, ribosome=35) | dict.fromkeys(OTHERS, 12)
EXTENT = (900.0, 3000.0, 3000.0)  # A, zyx
ICE, PROTEIN = 2.5, 0.09  # weight of the ice that an atom displaces; of what a cubic A of protein has more than ice
HEADS, TAILS, RIBOSOME, GOLD = 1.2, -0.1, 1.5, 12.0  # of the weight of protein
STEP = 10.0  # A, along lines


def tubulin():
    """Points and weights of a ring of dimers about z, of the lattice of 5KMG."""
    structure = gemmi.read_structure(str(structure_file("5KMG")))
    ring = gemmi.make_assembly(structure.assemblies[0], structure[0], gemmi.HowToNameCopiedChain.AddNumber)
    atoms = [found.atom for found in ring.all() if found.chain.name[0] in "AB"]
    xyz = np.array([atom.pos.tolist() for atom in atoms])
    return grains(xyz - xyz.mean(0), np.array([atom.element.atomic_number for atom in atoms]) ** 0.75 - ICE)


def ribosome_of(name):
    """Points and weights of a map, and which (n,) lie within half its maximum."""
    with mrcfile.open(structure_file(name)) as file:
        density, voxel = zoom(file.data, 2, order=1), float(file.voxel_size.x) / 2
    zyx = np.argwhere(density > 0.05 * density.max())
    values = density[tuple(zyx.T)]
    weights = RIBOSOME * PROTEIN * voxel**3 * values / values[values > density.max() / 2].mean()
    return voxel * (zyx[:, ::-1] - zyx[:, ::-1].mean(0)), weights, values > density.max() / 2


def membrane(shape_a, rng, spacing=4.0):
    """A closed bilayer; what it returns is told at makers_of."""
    radius, form = np.exp(rng.uniform(np.log(300), np.log(1500))), 0.06 * rng.normal(size=(3, 3))
    number = np.arange(int(4 * np.pi * radius**2 / spacing**2)) + 0.5
    z, turn = 1 - 2 * number / len(number), number * np.pi * (1 + 5**0.5)
    outwards = np.stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z], 1)
    pull = outwards @ (form + form.T)
    far = 1 + (pull * outwards).sum(1, keepdims=True)
    normal = (3 * far - 2) * outwards - 2 * pull
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    area = (4 * np.pi / len(number) * radius**2 * far * length)[:, 0]
    surface, half = radius * far * outwards + rng.uniform(-0.5, 0.5, 3) * shape_a[::-1], rng.uniform(17, 21)
    layers = ((-half, 4.0, 10 * HEADS), (half, 4.0, 10 * HEADS), (0.0, 8.0, 26 * TAILS))  # two of heads, one of tails
    points = [surface + normal / length * rng.normal(place, width, (len(surface), 1)) for place, width, _ in layers]
    weights = [PROTEIN * weight * area for *_, weight in layers]
    return surface[::36], np.concatenate(points), np.concatenate(weights), surface


def rod(unit, rise, turn, shape_a, rng, bend=0.3):
    """A helix about a gently bent line through a slab."""
    along = np.linspace(-1, 1, int(rng.uniform(0.3, 1.2) * shape_a[2] / STEP))
    azimuth = rng.uniform(0, 2 * np.pi) + bend * (rng.normal() * along + 0.3 * np.sin(3 * along + rng.uniform(0, 6)))
    climb = rng.normal(0, 0.1) + 0.05 * np.sin(2 * along + rng.uniform(0, 6))
    line = STEP * np.cumsum(np.stack([np.cos(azimuth), np.sin(azimuth), climb], 1), 0)
    line += rng.uniform(-0.4, 0.4, 3) * shape_a[::-1] - line[len(line) // 2]
    steps = np.arange(1, int(STEP * len(line) / rise) - 1)[:, None]
    (x, y, z), tangent = unit[0].T, np.gradient(line, axis=0) / STEP
    side = np.cross(tangent, [0.0, 0, 1]) / np.linalg.norm(tangent[:, :2], axis=1)[:, None]
    axes, place = np.stack([line, side, np.cross(side, tangent)]), (z + rise * steps) / STEP
    middle, one, other = (np.stack([np.interp(place, np.arange(len(line)), v) for v in lines.T], -1) for lines in axes)
    across = (x + 1j * y) * np.exp(1j * turn * steps)
    points = middle + across.real[..., None] * one + across.imag[..., None] * other
    return line, points.reshape(-1, 3), np.tile(unit[1], len(steps)), line


def body(points, weights, marked, shape_a, rng):
    """A rigid thing somewhere in a slab."""
    place = rng.uniform(-0.5, 0.5, 3) * (shape_a[::-1] - 2 * reach(points))
    points = points @ random_rotations(1, rng)[0].T + place
    return place[None], points, np.broadcast_to(weights, len(points)), points[marked]


def reach(points):
    """Radius (A) of most of some points."""
    return np.percentile(np.linalg.norm(points, axis=1), 95)


def makers_of(shape_a, ribosome, rng):
    """{name: (radius, make)} of what a cell holds. make(): points (n, 3) that stand for a thing, its points and their
    weights, and the points about which it is labelled."""
    xyz, weights = atoms_of(structure_file("1S3X"))  # of actin's fold, as it stands in actin's filaments
    strand = xyz @ np.linalg.svd(xyz, full_matrices=False)[2][[1, 2, 0]].T + (16.0, 0, 0)
    rods = dict(microtubule=(tubulin(), 82.0, 0.0), filament=(grains(strand, weights - ICE), 27.3, np.radians(-166.4)))
    bodies = dict(ribosome=ribosome_of(ribosome))
    for name in OTHERS:
        xyz, weights = atoms_of(structure_file(name))
        bodies[name] = (*grains(xyz, weights - ICE), slice(0))
    bead = rng.uniform(-50, 50, (8000, 3))
    bodies["gold"] = (bead[np.linalg.norm(bead, axis=1) < 50], GOLD * PROTEIN * 125.0, slice(0))
    return {
        "membrane": (27.0, partial(membrane, shape_a, rng)),
        **{kind: (reach(one[0][0][:, :2]), partial(rod, *one, shape_a, rng)) for kind, one in rods.items()},
        **{kind: (reach(one[0]), partial(body, *one, shape_a, rng)) for kind, one in bodies.items()},
    }


def mark(labels, points, pixel_size, radius, value):
    """Label the voxels whose middles lie within a radius (A) of points (n, 3)."""
    middle, free = np.array(labels.shape) // 2, np.ones(labels.shape, bool)
    at = np.rint(points[:, ::-1] / pixel_size).astype(int) + middle
    free[tuple(at[((at >= 0) & (at < labels.shape)).all(1)].T)] = False
    near = np.argwhere(distance_transform_edt(free) * pixel_size < radius + 2 * pixel_size)
    xyz = (near - middle)[:, ::-1] * pixel_size
    there = np.isfinite(cKDTree(points).query(xyz, distance_upper_bound=radius)[0])
    labels[tuple(near[there].T)] = value


def make_cell(folder, pixel_size, snr, seed, tilt=60, step=3, defocus=DEFOCUS, ribosome="SIM_5MRC_10A", shape_a=EXTENT):
    """Write tomograms/cell.mrc, labels/cell.mrc and features.json in a folder. tilt, step: degrees. shape_a: A.
    Labelled: what is near surfaces and axes, and ribosomes within half their maximum. snr: without the gold."""
    rng, shape_a, placed, cloud, mass = np.random.default_rng(seed), np.array(shape_a), [], [], []
    labels = np.zeros(np.rint(shape_a / pixel_size).astype(int), np.int16)
    for kind, (radius, make) in makers_of(shape_a, ribosome, rng).items():
        marks, tries, before = [np.zeros((0, 3))], 0, len(mass)
        while len(marks) <= COPIES[kind] and (tries := tries + 1) <= 20 * COPIES[kind]:
            sparse, points, weights, marked = make()
            sparse, inside = sparse[(np.abs(sparse) < shape_a[::-1] / 2).all(1)], np.abs(points[:, 2]) < shape_a[0] / 2
            near = (tree.query(sparse, distance_upper_bound=radius + r + 10)[0] for tree, r in placed)
            if len(sparse) and all(np.isinf(distances).all() for distances in near):
                placed.append((cKDTree(sparse), radius))
                cloud.append(points[inside])
                mass.append(weights[inside])
                marks.append(marked)
        if kind in LABELS:
            around = 4.5 if kind == "ribosome" else radius
            mark(labels, np.concatenate(marks), pixel_size, around, 1 + LABELS.index(kind))
    tilts, paths = np.arange(-tilt, tilt + 0.1, step), [folder / part / "cell.mrc" for part in ("labels", "tomograms")]
    for path in paths:
        path.parent.mkdir(parents=True)
    mrcfile.write(paths[0], labels, voxel_size=pixel_size)
    named = [dict(name=name, label=label) for label, name in enumerate(LABELS, 1)]
    (folder / "features.json").write_text(json.dumps(dict(features=named)))
    all_of_it, gold = (np.concatenate(cloud), np.concatenate(mass)), sum(map(len, mass[before:]))
    write_tomogram(paths[1], *all_of_it, labels.shape, pixel_size, snr, rng, tilts, defocus, gold)
