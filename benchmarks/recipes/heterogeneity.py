# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving and mixed particles: five sets in the manner of CryoBench's (NeurIPS 2024), at a size for two cores.

IgG-1D: a Fab of 1IGT rotates through 360 degrees about a bond of its hinge. IgG-RL: the torsions of five residues of
that hinge are random. Ribosembly: 16 compositions of 4V4R_30S in unequal numbers. Mixture: up to 60 complexes. Spike:
one receptor-binding domain of 6VXX swings. And hinges of which a domain of 10 to 25 % of the mass rotates.
"""

import dataclasses

import mrcfile
import numpy as np
import torch
from bench import asked, data_folder, structure_file
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryodl.core import volumes
from cryodl.core.projections import Projector, random_angles
from cryodl.io import mrc, particle_sets, structures
from cryodl.simulate import micrographs, states

SETS = {"IgG-1D": 256.0, "IgG-RL": 256.0, "Ribosembly": 345.6, "Mixture": 345.6, "Spike": 256.0}  # Å, the images' width
EDGE = 0.05  # of the width that stays empty
ROTATIONS, LINKERS, SWINGS, COMPOSITIONS = 60, 100, 41, 16  # states
HINGE = range(228, 233)  # residues of 1IGT's chain B that have a preceding and a following one
SWING = 60.0  # degrees in all
CLASH, CLASHES = 3.0, 0.002  # Å between atoms of the Fab and of the rest; part of its atoms that may be nearer


def make_set(name, folder, count, snr, box, seed=0):
    """STAR file of a set, its maps beside it; made once."""
    folder.mkdir(parents=True, exist_ok=True)
    star = folder / "particles.star"
    if star.exists():
        return star
    make = {"IgG-1D": igg_1d, "IgG-RL": igg_rl, "Ribosembly": ribosembly, "Mixture": mixture, "Spike": spike}[name]
    maps, weights = make(Grid(box, SETS[name] / box), np.random.default_rng(seed))
    paths = [folder / f"made_{number:03d}.mrc" for number in range(len(maps))]
    for path, values in zip(paths, maps):
        mrc.write_map(path, values, SETS[name] / box)
    values = dict(structure=paths[0], structures=paths[1:], weights=",".join(f"{w:g}" for w in weights), box=box)
    values.update(pixel_size=SETS[name] / box, count=count, snr=snr, seed=seed, device="cpu")
    asked("simulate-particles", star, **values)
    for path in paths:
        path.unlink()
    return star


@dataclasses.dataclass
class Grid:
    """Of the maps. box : px. size : Å/px."""

    box: int
    size: float


def density(xyz, weight, grid):
    """(box, box, box) of atoms (n, 3), Å from the middle; None if they do not fit."""
    if np.linalg.norm(xyz, axis=1).max() > (0.5 - EDGE) * grid.box * grid.size:
        return None
    return volumes.cube_crop(
        structures.density_of_atoms(xyz, weight, grid.size, 2 * grid.size, "atoms"), grid.box
    ).numpy()


def _together(models, weight, grid):
    """Maps of states in one frame, in the middle of the sphere that holds them all."""
    middle = (np.max([m.max(0) for m in models], axis=0) + np.min([m.min(0) for m in models], axis=0)) / 2
    return [density(xyz - middle, weight, grid) for xyz in models]


def _fab(model):
    """Atoms of the first Fab of 1IGT, up to the hinge."""
    return (model.chain == "A") | ((model.chain == "B") & (model.residue < HINGE[0]))


def igg_1d(grid, rng):
    """Maps and weights: a Fab at equal steps of a rotation."""
    model = states.read_atom_model(str(structure_file("1IGT")))
    alpha = _alpha_carbons(model)
    point, axis = alpha[HINGE[0]], alpha[HINGE[0]] - alpha[HINGE[0] - 1]
    axis, fab = axis / np.linalg.norm(axis), _fab(model)
    made = [states.hinged(model.xyz, fab, point, axis, 360 * k / ROTATIONS) for k in range(ROTATIONS)]
    return _together(made, model.weight, grid), np.ones(ROTATIONS)


def _alpha_carbons(model):
    """{residue of chain B: a place in it}; the mean of its first four atoms stands for its backbone."""
    chain = model.chain == "B"
    return {number: model.xyz[chain & (model.residue == number)][:4].mean(0) for number in set(model.residue[chain])}


def igg_rl(grid, rng):
    """Maps and weights: linkers of random torsions, without clashes."""
    model = states.read_atom_model(str(structure_file("1IGT")))
    fab, linker = _fab(model), (model.chain == "B") & np.isin(model.residue, HINGE)
    middle, rest = model.xyz[~fab].mean(0), cKDTree(model.xyz[~fab & ~linker])
    maps = []
    while len(maps) < LINKERS:
        xyz = model.xyz
        for number in reversed(HINGE):  # from the rest to the Fab; what lies before the residue follows
            moved = fab | ((model.chain == "B") & (model.residue < number))
            for one, other in ((0, 1), (1, 2)):
                backbone = xyz[(model.chain == "B") & (model.residue == number)][:3]  # N, CA, C
                axis = backbone[other] - backbone[one]
                xyz = states.hinged(xyz, moved, backbone[one], axis / np.linalg.norm(axis), rng.uniform(-180, 180))
        made = density(xyz - middle, model.weight, grid)
        if made is not None and (rest.query(xyz[fab])[0] < CLASH).mean() < CLASHES:
            maps.append(made)
    return maps, np.ones(LINKERS)


def ribosembly(grid, rng):
    """Maps and weights: states without ever other groups of protein chains; one of them four times as frequent."""
    model = states.read_atom_model(str(structure_file("4V4R_30S")))
    names, atoms = np.unique(model.chain, return_counts=True)
    proteins = names[np.argsort(-atoms)][1:]
    middle = np.average(model.xyz, axis=0, weights=model.weight)
    maps = []
    for number in range(COMPOSITIONS):
        gone = [name for bit in range(4) if number >> bit & 1 for name in proteins[bit::4]]
        maps.append(density(model.xyz - middle, model.weight * ~np.isin(model.chain, gone), grid))
    return maps, 1.0 + np.arange(COMPOSITIONS) % 4


def mixture(grid, rng):
    """Maps and weights: the complexes that fit, each in the middle."""
    maps = []
    for path in sorted((data_folder() / "structures" / "complexes").iterdir()):
        try:
            found = structures.load_density(str(path), grid.size, None)
        except ValueError:
            continue
        if micrographs.particle_diameter(found, grid.size) <= (1 - 2 * EDGE) * grid.box * grid.size:
            maps.append(volumes.cube_crop(found, grid.box).numpy())
    return maps, np.ones(len(maps))


def spike(grid, rng):
    """Maps and weights: the receptor-binding domain of one chain at equal steps of a swing."""
    model = states.read_atom_model(str(structure_file("6VXX")))
    domain = states.selected(model, "A:330-528", "")
    point, axis = states.hinge_of(model, domain, None)
    made = [states.hinged(model.xyz, domain, point, axis, angle) for angle in np.linspace(0, SWING, SWINGS)]
    outward = [np.linalg.norm(xyz[domain].mean(0) - model.xyz[~domain].mean(0)) for xyz in (made[0], made[-1])]
    if outward[1] < outward[0]:
        made = [states.hinged(model.xyz, domain, point, axis, -angle) for angle in np.linspace(0, SWING, SWINGS)]
    return _together(made, model.weight, grid), np.ones(SWINGS)


COMPLEXES = {
    "1U6G": dict(domain="C:900-1210", box=64, pixel_size=4.0),
    "2CG9": dict(domain="A:2-215", box=64, pixel_size=3.5),
    "1WCM": dict(domain="D,G", box=64, pixel_size=3.8),
    "6RN3": dict(domain="F", box=64, pixel_size=4.2),
}


def simulated(folder, name, snr, count, seed=0, **options):
    """STAR file of a set with this SNR over the whole box."""
    path = folder / f"{name}_{snr:g}_{count}_{seed}_{'_'.join(map(str, options.values()))}.star".replace(":", "-")
    common = {k: v for k, v in COMPLEXES[name].items() if k != "domain"}
    values = dict(common, structure=structure_file(name), count=count, snr=snr, seed=seed, snr_area="box")
    if not path.exists():
        asked("simulate-particles", path, **values, device="cpu", **options)
    return path


def with_another(folder, name, other, share, snr, count, box, seed, hinge=False):
    """STAR file of a molecule, rigid or with its hinge, and a share of another one; (count,) which are of that; map."""
    size, maps = 268.8 / box, [folder / "first.mrc"]
    first, second = (
        volumes.cube_crop(structures.load_density(str(structure_file(n)), size, None), box).numpy()
        for n in (name, other)
    )
    mrc.write_map(maps[0], first, size)
    if hinge:
        given = dict(structure=structure_file(name), domain=COMPLEXES[name]["domain"], hinge_range=45, hinge_states=9)
        given.update(pixel_size=size, box=box, count=1, snr=1, device="cpu")
        asked("simulate-particles", folder / "states.star", **given)
        maps = sorted(folder.glob("states_state*.mrc"))
        second = second * (mrcfile.read(maps[0]).sum() / first.sum())
    mrc.write_map(folder / "other.mrc", second, size)
    weights = ",".join([f"{(1 - share) / len(maps):.5f}"] * len(maps) + [f"{share:.5f}"])
    values = dict(structure=maps[0], structures=[*maps[1:], folder / "other.mrc"], weights=weights, pixel_size=size)
    values.update(box=box, count=count, snr=snr, seed=seed, device="cpu")
    asked("simulate-particles", folder / "p.star", **values)
    state = np.array(particle_sets.read_particles(folder / "p.star").columns["cryodlTrueState"], float)
    return folder / "p.star", state == state.max(), folder / f"p_state{(len(maps) + 1) // 2:03d}.mrc"


VIEWS, REACH = 6000, 3  # that are compared; px that an image may be shifted


def oriented_by(path, rows, reference):
    """The set with some images at the view and shift where they are most like a reference, as a refinement does."""
    particles, angles = particle_sets.read_particles(path), random_angles(VIEWS, np.random.default_rng(0))
    views = torch.fft.rfft2(torch.as_tensor(Projector(torch.tensor(mrcfile.read(reference))).project(angles)))
    box, place = particles.box, torch.fft.fftfreq(particles.box) * particles.box
    near = ((place.abs()[:, None] <= REACH) & (place.abs() <= REACH)).flatten()
    pose = np.concatenate(particles.poses(np.arange(len(particles))), axis=1)
    for row in rows:
        seen = views * particles.ctf([row])
        likeness = torch.fft.irfft2(torch.fft.rfft2(particles.images([row])) * seen.conj(), s=(box, box)).flatten(1)
        likeness = likeness / seen.abs().square().sum((1, 2)).sqrt()[:, None]
        view, shift = divmod(int(torch.where(near, likeness, -torch.inf).argmax()), box * box)
        pose[row] = *angles[view], place[shift // box], place[shift % box]
    names = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginYAngst", "rlnOriginXAngst")
    changed = path.with_name(f"{path.stem}_refined.star")
    particle_sets.write_particles_star(
        str(changed), particles, dict(zip(names, (pose * [1, 1, 1, *[-particles.pixel_size] * 2]).T))
    )
    return changed


def with_errors(path, degrees, seed=0, read=particle_sets.read_particles, write=particle_sets.write_particles_star):
    """The set with orientations rotated by that angle about random axes. read, write: for sets of subtomograms."""
    if not degrees:
        return path
    particles, rng = read(path), np.random.default_rng(seed)
    axes = rng.standard_normal((len(particles), 3))
    axes *= np.radians(degrees) / np.linalg.norm(axes, axis=1, keepdims=True)
    rotated = Rotation.from_euler("ZYZ", particles.angles, degrees=True) * Rotation.from_rotvec(axes)
    angles = rotated.as_euler("ZYZ", degrees=True).T
    changed = path.with_name(f"{path.stem}_error{degrees:g}.star")
    write(str(changed), particles, dict(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles)))
    return changed


def spoiled(path, particles, wrong, seed):
    """STAR file of the particles as noise, or with a wrong CTF."""
    changed, changes, stack = path.with_name(f"{path.stem}_changed.star"), {}, None
    first, second = (np.array(particles.columns[f"rlnDefocus{axis}"], float) for axis in "UV")
    if wrong == "noise":
        stack = str(changed.with_suffix(".mrcs"))
        noise = np.random.default_rng(seed).standard_normal((len(particles), particles.box, particles.box), np.float32)
        mrcfile.write(stack, noise)
    elif wrong == "defocus":
        changes = dict(rlnDefocusU=first + 500, rlnDefocusV=second + 500)
    elif wrong == "astigmatism":
        changes = dict.fromkeys(("rlnDefocusU", "rlnDefocusV"), (first + second) / 2)
    particle_sets.write_particles_star(str(changed), particles, changes, stack=stack)
    return changed
