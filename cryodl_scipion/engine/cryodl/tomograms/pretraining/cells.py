# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated cells that shipped segmenters learn from: made once, at the working pixel size, one file each."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt, gaussian_filter

from ...contract import SimulateTomogramsConfig
from ...contract.tomograms.segmenting import TrainGeneralSegmenterConfig
from ...core.geometry import resampled_shape
from ...io import files, structures
from ...simulate.tomograms import Particle, load_particle
from ...simulate.varied_cells import DEPTH, FEATURES, PIXEL_SIZES, WIDTH, VariedCell, random_cell
from ..segmenters.working_scale import resample_whole, resampling_factor, values_statistics

# Ribosomes of other kingdoms are larger: each given one is also taken stretched by these factors along its axes.
STRETCHED = ((1.0, 1.0, 1.0), (1.1, 1.1, 1.1), (1.0, 1.1, 1.2), (1.18, 1.14, 1.1))

WARPED = 2  # further ribosomes made of each of these: other species differ in more than their size
# Å that a position is moved by, at least and at most, over Å; how unevenly the density is weighed. The strongest ones
# have gaps and lobes: mitochondrial ribosomes differ as much from bacterial ones.
BENT, BENT_OVER, UNEVEN = (8.0, 28.0), 90.0, (0.2, 0.9)

GROWN = 2  # further ones of each of those, with more at their surface, as larger ribosomes have
REACH, LUMP = 35.0, 70.0  # Å that it stands out at most, Å of its lumps

MAX_OTHERS = 9  # other structures in the cells of one pixel size: reading them costs more than making a cell


class CellMaker:
    """Files of simulated cells in a folder (a Path), made when they are asked for."""

    def __init__(self, folder: Path, config: TrainGeneralSegmenterConfig) -> None:
        self.folder, self.config = folder, config
        self._particles: dict[float, tuple[list[Particle], list[Particle]]] = {}

    def _file(self, number: int) -> Path:
        return self.folder / f"cell_{number:04d}.npz"

    def there(self, maximum: int) -> int:
        """How many of the first cells were made before."""
        return next((number for number in range(maximum) if not self._file(number).exists()), maximum)

    def path(self, number: int) -> Path:
        """The file of a cell: an array `image` (z, y, x) float16 and `labels` (z, y, x) uint8."""
        path = self._file(number)
        if not path.exists():
            size = PIXEL_SIZES[number % len(PIXEL_SIZES)]
            if size not in self._particles:
                self._particles[size] = _particles(self.config, size)
            cell = random_cell(*self._particles[size], size, np.random.default_rng((self.config.seed, number)))
            image, labels = _at_working_size(cell, self.config.working_pixel_size)
            with files.whole_file(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, image=image, labels=labels)
        return path


def _particles(config: TrainGeneralSegmenterConfig, pixel_size: float) -> tuple[list[Particle], list[Particle]]:
    """Ribosomes and others, two lists of Particle, at a pixel size. Of many others each size has some of its own."""
    size, thickness = int(WIDTH / pixel_size), int(DEPTH / pixel_size)
    frame = SimulateTomogramsConfig(output="", pixel_size=pixel_size, size=size, thickness=thickness)
    load = lambda paths: [load_particle(p, n, frame) for p, n in zip(paths, structures.structure_names(paths))]
    rng = np.random.default_rng((config.seed, int(10 * pixel_size)))
    order = rng.permutation(len(config.others))
    ribosomes = [stretched(particle, scale) for particle in load(config.ribosomes) for scale in STRETCHED]
    first = ribosomes[: len(STRETCHED)]
    ribosomes += [warped(p, n, pixel_size, rng) for p in first for n in range(WARPED)]
    ribosomes += [grown(warped(p, WARPED + n, pixel_size, rng), pixel_size, rng) for p in first for n in range(GROWN)]
    return ribosomes, load([config.others[k] for k in order[:MAX_OTHERS]])


def stretched(particle: Particle, scale_zyx: tuple[float, ...]) -> Particle:
    """A Particle with its density stretched along the axes; an own name."""
    if set(scale_zyx) == {1.0}:
        return particle
    step = particle.density.shape[-1] // particle.side
    sides = [int(round(n * s)) for n, s in zip(particle.density.shape, scale_zyx)]
    side = 2 * step * -(-max(sides) // (2 * step))
    density = F.interpolate(particle.density[None, None], size=sides, mode="trilinear", align_corners=False)[0, 0]
    # the middle voxel, side // 2, stays in the middle
    pads = [(side // 2 - n // 2, side - n - (side // 2 - n // 2)) for n in sides]
    density = F.pad(density, [p for pair in pads[::-1] for p in pair])
    return Particle(f"{particle.name}_{'_'.join(map(str, scale_zyx))}", density, side // step, particle.threshold)


def warped(particle: Particle, number: int, pixel_size: float, rng: np.random.Generator) -> Particle:
    """A Particle bent smoothly, its density weighed unevenly: as another species' would be. number: For its name.
    pixel_size: Å/px that the particle is for. Returns Particle: with the size and the threshold of the given one."""
    size = len(particle.density)
    step = particle.side / size * pixel_size  # Å/px of the density
    coarse = max(2, round(size * step / BENT_OVER)) + 1
    bent, uneven = rng.uniform(*BENT), rng.uniform(*UNEVEN)
    fields = torch.from_numpy(rng.standard_normal((4, coarse, coarse, coarse), dtype=np.float32))
    fields = F.interpolate(fields[None], size=[size] * 3, mode="trilinear", align_corners=True)[0]
    axis = (torch.arange(size, dtype=torch.float32) * 2 + 1) / size - 1
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    positions = torch.stack([x, y, z], -1) + fields[:3].permute(1, 2, 3, 0) * (2 * bent / (step * size))
    density = F.grid_sample(particle.density[None, None], positions[None], align_corners=False)[0, 0]
    density = density * torch.exp(uneven * fields[3]).clamp(max=1.5)
    name = f"{particle.name}_warped_{number}"
    return Particle(name, density * (particle.density.sum() / density.sum()), particle.side, particle.threshold)


def grown(particle: Particle, pixel_size: float, rng: np.random.Generator) -> Particle:
    """A Particle with lumps added around it: proteins and RNA that larger ribosomes have at their surface. pixel_size:
    Å/px that the particle is for. Returns Particle: larger by up to REACH on each side, with the threshold of the given
    one. The density of the lumps is 0.75 to 1.1 times the mean one inside."""
    finer = len(particle.density) // particle.side
    step = pixel_size / finer  # Å/px of the density
    margin = int(np.ceil(REACH / pixel_size)) + 1
    density = F.pad(particle.density, [margin * finer] * 6).numpy()
    inside = density > particle.threshold
    distance = distance_transform_edt(~inside) * step
    coarse = max(2, round(len(density) * step / LUMP)) + 1
    drawn = torch.from_numpy(rng.standard_normal((1, 1, coarse, coarse, coarse), dtype=np.float32))
    field = F.interpolate(drawn, size=density.shape, mode="trilinear", align_corners=True)[0, 0].numpy()
    height = REACH * np.clip(0.6 * field + rng.uniform(-0.2, 0.4), 0.0, 1.0)
    lumps = gaussian_filter((~inside & (distance <= height)).astype(np.float32), 6.0 / step)
    lumps *= float(density[inside].mean()) * float(rng.uniform(0.75, 1.1))
    return Particle(
        f"{particle.name}_grown",
        torch.from_numpy(np.maximum(density, lumps)),
        particle.side + 2 * margin,
        particle.threshold,
    )


def _at_working_size(cell: VariedCell, working: float) -> tuple[np.ndarray, np.ndarray]:
    """Arrays of a cell as a network sees it: image (z, y, x) float16, normalised; labels (z, y, x) uint8."""
    shape = resampled_shape(cell.volume.shape, resampling_factor(cell.pixel_size, working))
    volume = resample_whole(cell.volume, shape)
    labels = torch.from_numpy(cell.labels)
    parts = [resample_whole((labels == k + 1).float(), shape) for k in range(len(FEATURES))]
    best, number = torch.stack(parts).max(dim=0)
    number = torch.where(best >= 0.5, number + 1, 0)
    return values_statistics(volume.numpy()).normalised(volume).half().numpy(), number.to(torch.uint8).numpy()
