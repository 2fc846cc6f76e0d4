# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs of structures that the general model did not learn from, and unusual ones."""

import numpy as np
import torch
from bench import data_folder
from scipy.ndimage import gaussian_filter, map_coordinates

from cryodl.contract import read_card
from cryodl.core.optics import Optics
from cryodl.core.projections import Projector
from cryodl.io import micrographs, star, structures
from cryodl.io.model import find_model
from cryodl.simulate import artefacts
from cryodl.simulate.micrographs import Surroundings, particle_diameter, simulate_micrograph
from cryodl.simulate.noise import MicroscopeNoise


def unseen(model="general"):
    """{name: path} of what a general model did not learn from."""
    training = read_card(find_model(model, "picker"), "picker")["training"]
    unseen = set(training["validation_structures"]) | set(training["left_out"])
    found = {p.name.split(".")[0]: p for p in sorted((data_folder() / "structures").glob("*/*.gz"))}
    return {name: found[name] for name in sorted(unseen) if name in found}


SIDE, PARTICLE_PX = 1024, 50


def optics(rng, low=10000, high=25000):
    """300 kV, nearly no astigmatism; defocus in Å."""
    defocus = float(rng.uniform(low, high))
    return Optics(defocus + 100, defocus - 100, float(rng.uniform(0, 180)), 300.0, 2.7, 0.1)


def dense(member, snr, index, seed, folder, count=3, side=SIDE):
    """Micrographs in a new folder. Returns {name: (n, 2) yx of the particles}."""
    folder.mkdir(parents=True)
    rng, particles = np.random.default_rng((seed, index, int(1000 * snr))), {}
    share, defocus = rng.uniform(0.05, 0.6), rng.uniform(8000, 25000)
    nearest = float(rng.choice([0.6, 0.8, 1.0]))
    around = Surroundings(minimum_distance=nearest, ice=4.0, carbon=0.2, gradient=1.0, aggregates=0.5)
    pixel_size = member.extent / PARTICLE_PX
    for number in range(count):
        seen = Optics(defocus + 100, defocus - 100, rng.uniform(0, 180), 300.0, 2.7, 0.1)
        field = ((side, side), int(share * (side / PARTICLE_PX) ** 2), snr, seen, rng, PARTICLE_PX, around)
        made = simulate_micrograph(Projector(member.density), pixel_size, *field)
        micrographs.write_micrograph(folder / f"m{number}.mrc", made.image.numpy().astype(np.float32), pixel_size)
        particles[f"m{number}"] = made.centres_yx
    return particles


PIXEL_SIZE, COUNT = 2.0, 2  # of the unusual ones
LARGE, SMALL = "structures/complexes/8BK7.cif.gz", "structures/small/1U19.pdb.gz"  # 177 Å and 75 Å
WITHOUT = ("ice", "clouds", "carbon", "carbon edge", "crystals", "dirt", "much dirt", "crystals and dirt", "specks")
PARTICLES = ("particles", "inverted", "low-passed", "denoised", "grey levels", "other sizes", "diameter x 10", "dirty")
ODD = ("two molecules", "larger than a third", "below 8 px")


class Scenes:
    """Micrographs of each case: [(image (h, w), centres (n, 2) yx px)], their pixel size and particle diameter."""

    def __init__(self, seed):
        self.rng = np.random.default_rng((91, seed))
        self.pixel_size, self.diameter, self.options = PIXEL_SIZE, None, ()

    def noise(self, shape=(SIDE, SIDE)):
        return MicroscopeNoise()(shape, self.pixel_size, optics(self.rng), self.rng)

    def without(self, case):
        rng, image = self.rng, self.noise()
        if case == "clouds":
            for scale in (20, 60, 200):
                image = image + 0.5 * artefacts.smooth_noise(tuple(image.shape), scale, rng)
            image = artefacts.add_gradient(image, 4.0, rng)
        if case.startswith("carbon"):
            image, _ = artefacts.add_carbon(image, 80.0, rng, 1.0 if case == "carbon" else 0.4)
        if "crystals" in case:
            image, _ = artefacts.add_ice(image, 25, 80.0, rng)
        if case == "specks":
            image = self.lumps(image, 250, (6, 14), (1, 6))
        if "dirt" in case:
            image = self.lumps(image, 150 if case == "much dirt" else 30, (6, 160), (0.7, 6))
        return image

    def lumps(self, image, count, widths, strengths):
        """Dark lumps of irregular outline."""
        rng, layer = self.rng, torch.zeros(image.shape)
        for _ in range(count):
            wide, strength = (float(np.exp(rng.uniform(*np.log(pair)))) for pair in (widths, strengths))
            side = int(2 * wide) + 4
            grid = torch.arange(side) - side / 2
            inside = 1 - (grid[:, None] ** 2 + grid**2).sqrt() / (wide / 2)
            shape = inside + 0.35 * artefacts.smooth_noise((side, side), max(3.0, wide / 3), rng)
            y, x = (int(v) for v in rng.integers(0, np.array(image.shape) - side))
            layer[y : y + side, x : x + side] += strength * torch.sigmoid(6 * shape)
        return image - layer

    def of_structure(self, file, number, pixel_size, side=SIDE, snr=0.1):
        """An image of a structure's particles, noise included, and their centres."""
        density = structures.load_density(data_folder() / file, pixel_size)
        self.diameter = particle_diameter(density, pixel_size)
        made = simulate_micrograph(
            density,
            pixel_size,
            (side, side),
            number,
            snr,
            optics(self.rng),
            self.rng,
            self.diameter / pixel_size,
            Surroundings(minimum_distance=0.9),
        )
        return made.image, made.centres_yx

    def with_particles(self, case, index):
        side = SIDE if case != "other sizes" else (SIDE, 720)[index % 2]
        image, centres = self.of_structure(LARGE, int(40 * (side / SIDE) ** 2), PIXEL_SIZE, side)
        if case == "inverted":
            image = -image
        if case == "low-passed":
            image = torch.from_numpy(gaussian_filter(image.numpy(), 5.0))
        if case == "denoised":  # as strongly as a median and a mean of a neighbourhood do
            image = torch.nn.functional.avg_pool2d(image[None, None], 13, 1, 6)[0, 0]
            image = image + 0.02 * torch.from_numpy(self.rng.standard_normal(image.shape, dtype=np.float32))
        if case == "grey levels":
            image = (image * 8).round().clamp(-40, 40) / 8
        if case == "dirty":
            image = self.lumps(image, 30, (6, 160), (0.7, 6))
        if case == "diameter x 10":
            self.options = ("--particle-diameter", round(10 * self.diameter))
        return image, centres

    def odd(self, case):
        if case == "two molecules":
            large, _ = self.of_structure("structures/maps/SIM_4V4R_70S_10A.mrc.gz", 12, PIXEL_SIZE, snr=0.1)
            small, centres = self.of_structure(SMALL, 150, PIXEL_SIZE, snr=0.3)
            return small + large, centres
        if case == "larger than a third":
            return self.of_structure(LARGE, 4, PIXEL_SIZE, 200)
        self.pixel_size = 25.0
        return self.of_structure(LARGE, 900, 25.0, 512, 0.3)

    def of(self, case):
        if case in WITHOUT:
            return [(self.without(case), np.zeros((0, 2))) for _ in range(COUNT)]
        made = self.with_particles if case in PARTICLES else lambda case, _: self.odd(case)
        return [made(case, index) for index in range(COUNT)]


def to_assess(case, member, rng, particle_px=60):
    pixel_size = member.extent / particle_px
    around = dict(minimum_distance=1.0, ice=1.0, gradient=float(rng.uniform(0, 1)))
    around.update({"thick ice": dict(gradient=6.0), "dirt": dict(ice=30.0, aggregates=6.0)}.get(case, {}))
    count = 0 if case == "empty" else int(rng.uniform(40, 90))
    snr = 0.01 if case == "thick ice" else float(rng.uniform(0.07, 0.2))
    made = simulate_micrograph(
        member.density, pixel_size, (SIDE, SIDE), count, snr, optics(rng), rng, particle_px, Surroundings(**around)
    )
    image, film = made.image, {"little carbon": 0.15, "much carbon": 0.65, "all carbon": 0.999}.get(case)
    if film:
        image = artefacts.add_carbon(image, particle_px, rng, film)[0]
    image = np.asarray(image)
    if case == "drift":  # all moves along a line while it is exposed; what the detector adds does not
        y, x = np.mgrid[:SIDE, :SIDE].astype(float)
        angle, reach = rng.uniform(0, np.pi), rng.uniform(0.4, 0.7) * particle_px
        moved = [
            map_coordinates(image, (y + s * np.sin(angle), x + s * np.cos(angle)), order=1, mode="reflect")
            for s in np.arange(-reach / 2, reach / 2, 1.5)
        ]
        image = np.mean(moved, 0)
        image = image / image.std() + rng.normal(0, 1, image.shape)
    return np.asarray(image, np.float32)


def write_ctf(folder):
    """ctf.star of simulated micrographs, from the lists of their particles."""
    defocus = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
    columns = {name: [] for name in ("rlnMicrographName", "rlnOpticsGroup", *defocus)}
    for file in sorted((folder / "coordinates").glob("*.star")):
        table = next(iter(star.read_tables(file).values()))
        for key, value in zip(columns, (f"{file.stem}.mrc", 1, *(table[name][0] for name in defocus))):
            columns[key].append(value)
    microscope = dict(rlnVoltage=[300], rlnSphericalAberration=[2.7], rlnAmplitudeContrast=[0.1])
    optics = dict(rlnOpticsGroupName=["simulated"], rlnOpticsGroup=[1], **microscope)
    star.write_tables(folder / "ctf.star", dict(optics=optics, micrographs=columns))
