# SPDX-License-Identifier: GPL-3.0-or-later
"""Good and bad micrographs of another generator: electrons are counted behind ice of some thickness.

Potential and CTF are those of other_particles.py. Ice and carbon are structures of their own that pass the CTF, all
that the CTF has formed moves, and each pixel draws its electrons behind what its thickness has let through.
"""

import numpy as np
from recipes.other_particles import atoms_of, ctf, frequencies, projection, random_rotations
from scipy.ndimage import distance_transform_edt, gaussian_filter

KINDS = ("good", "empty", "thick ice", "all carbon", "drift", "dirt", "crystals")
SIDE, ACROSS = 640, 44  # px of a micrograph and of a particle
FREE_PATH, DOSE = 350.0, 50.0  # nm, electrons/Å²


class Field:
    """One molecule at one pixel size: path of a structure, Å/px (None: ACROSS px wide)."""

    def __init__(self, path, pixel_size=None):
        self.atoms, self.weights = atoms_of(path)
        self.diameter = 2 * float(np.percentile(np.linalg.norm(self.atoms, axis=1), 99))
        self.pixel_size = pixel_size or self.diameter / ACROSS

    def micrograph(self, kind, rng):
        """(SIDE, SIDE) float32 electrons of one of KINDS."""
        px, wide = self.pixel_size, self.diameter / self.pixel_size
        potential, covered = self._particles(wide, rng)
        fy, fx = frequencies(SIDE, px)
        s = np.hypot(fy, fx)
        defocus, half = rng.uniform(8000, 26000), rng.uniform(0, 400)
        transfer = ctf(SIDE, px, defocus + half, defocus - half, rng.uniform(0, 180), b_factor=rng.uniform(50, 150))
        wave = np.fft.rfft2(potential)
        shown = np.fft.irfft2(wave * transfer, s=(SIDE, SIDE))[covered].std()  # SNR: of what the CTF leaves
        snr = rng.uniform(0.05, 0.25) * (60 / wide) ** 2
        wave *= {"empty": 0.0, "all carbon": 0.0, "thick ice": 0.08}.get(kind, 1.0) * np.sqrt(snr) / shown
        rough = rng.uniform(6, 15) if kind == "all carbon" else rng.uniform(0.2, 1.2)
        wave += np.fft.rfft2(rng.normal(size=(SIDE, SIDE))) * np.sqrt(rough) / (1 + (s * 6) ** 2)
        if kind == "crystals":
            wave += np.fft.rfft2(self._planes(rng)) * rng.uniform(0.4, 1.0)
        reach, turn = rng.uniform(20, 60) if kind == "drift" else rng.uniform(0, 4), rng.uniform(0, np.pi)
        seen = wave * transfer * np.sinc(reach * (fy * np.sin(turn) + fx * np.cos(turn)))
        contrast = np.fft.irfft2(seen, s=(SIDE, SIDE)) / np.sqrt(DOSE * px**2)
        passed = np.exp(-self._thickness(kind, rng) / FREE_PATH) * self._dirt(kind, wide, rng)
        return rng.poisson(DOSE * px**2 * np.clip(passed * (1 + contrast), 0, None)).astype(np.float32)

    def _particles(self, wide, rng):
        """Potential of particles that touch at most, and where they are; their centres (y, x) are kept."""
        field, covered = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE), bool)
        box = 2 * int(0.6 * wide) + 4
        views = [
            projection(self.atoms, self.weights, r, (0, 0), box, self.pixel_size) for r in random_rotations(60, rng)
        ]
        self.centres, wanted = [], rng.uniform(0.1, 0.5) * (SIDE / wide) ** 2
        for centre in rng.uniform(box / 2, SIDE - box / 2, (2000, 2)):
            if len(self.centres) < wanted and all(np.hypot(*(centre - o)) > 0.95 * wide for o in self.centres):
                self.centres.append(centre)
        for y, x in (np.array(self.centres) - box / 2).astype(int):
            view = views[rng.integers(len(views))]
            field[y : y + box, x : x + box] += view
            covered[y : y + box, x : x + box] |= view > 0.05 * view.max()
        return field, covered

    def _thickness(self, kind, rng):
        """nm of ice: thinner in the middle of a hole than at its rim."""
        y, x = np.mgrid[:SIDE, :SIDE] / SIDE - rng.uniform(0, 1, 2)[:, None, None]
        differs = rng.uniform(150, 350) if kind == "thick ice" else rng.uniform(0, 40)
        bowl = np.hypot(x, y) ** 2
        return 30 + differs * (bowl - bowl.min()) / np.ptp(bowl)

    def _dirt(self, kind, wide, rng):
        """Part that pieces of ice let through: one at most, or until they take 30 % of the positions."""
        passed, taken = np.ones((SIDE, SIDE)), np.zeros((SIDE, SIDE), bool)
        least = 0.3 if kind == "dirt" else 0.01 * (rng.random() < 0.4)
        y, x = np.mgrid[:SIDE, :SIDE]
        while taken.mean() < least:
            cy, cx, radius = rng.uniform(0, SIDE), rng.uniform(0, SIDE), wide * rng.uniform(0.3, 1.2)
            turn, ratio = rng.uniform(0, np.pi), rng.uniform(0.5, 1)
            u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
            inside = np.hypot(u, ((y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)) / ratio) < radius
            passed *= 1 - rng.uniform(0.2, 0.8) * gaussian_filter(inside.astype(float), 2)
            taken |= distance_transform_edt(~inside) < wide / 2
        return passed

    def _planes(self, rng):
        """Planes of cubic ice, 3.67 Å apart, in three directions, over most of the field."""
        y, x = np.mgrid[:SIDE, :SIDE] * self.pixel_size
        turn = rng.uniform(0, np.pi)
        waves = sum(np.cos(2 * np.pi / 3.67 * (x * np.cos(a) + y * np.sin(a))) for a in turn + np.pi / 3 * np.arange(3))
        return waves * (gaussian_filter(rng.normal(size=(SIDE, SIDE)), 60) > -0.002)
