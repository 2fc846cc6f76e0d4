# SPDX-License-Identifier: GPL-3.0-or-later
"""Missing cones, what a tilt leaves and the resolution by direction, beside the truth of sets of known views."""

import mrcfile
import numpy as np
from bench import asked, benchmark, columns, structure_file
from recipes.particles import atoms_of, make_mixed, map_of
from scipy.optimize import brentq
from scipy.spatial.transform import Rotation

BOX, PIXEL, FINER = 64, 3.5, 4
MOLECULES = ("1WCM", "1U6G", "7QPD")
CONCENTRATIONS = (0.01, 5, 10, 20)  # of the von Mises-Fisher density of the views; the first is even
MISSING, CONE, TILT = 0.15, 20.0, 30.0
AXIS = Rotation.from_euler("ZYZ", [0.4, 1.1, 0.0])


def turns(concentration, count, rng, tilt=0.0):
    """Rotations from image to molecule: views about AXIS, any angle in the plane, the specimen tilted."""
    low = np.exp(-2 * concentration)
    along = 1 + np.log(low + rng.random(count) * (1 - low)) / concentration
    spins = rng.uniform(-np.pi, np.pi, (2, count))
    views = AXIS * Rotation.from_euler("ZYZ", np.stack([spins[0], np.arccos(along), spins[1]], 1))
    return views * Rotation.from_euler("x", tilt, degrees=True)


def true_cone(concentration):
    """Degrees from the axis where a direction is seen as often as MISSING of even views; 0 if all are."""
    around = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    density = lambda cosine: concentration / np.sinh(concentration) * np.cosh(concentration * cosine)
    seen = lambda angle: density(np.sin(angle) * np.cos(around)).mean() - MISSING
    return float(np.degrees(brentq(seen, 0, np.pi / 2))) if seen(0) < 0 else 0.0


def true_map(body):
    """The molecule in the box of the images, from voxels FINER times smaller."""
    volume = map_of(*body, PIXEL, PIXEL / FINER)
    side = BOX * FINER
    before = side // 2 - len(volume) // 2
    volume = np.pad(volume, [(max(before, 0), max(side - len(volume) - before, 0))] * 3)
    cut = slice(max(-before, 0), max(-before, 0) + side)
    transform = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(volume[cut, cut, cut])))
    kept = slice(side // 2 - BOX // 2, side // 2 + BOX // 2)
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(transform[kept, kept, kept])).real)


def by_direction(volume, truth, axes):
    """Å at which the FSC of a map with the truth falls below 0.5 in a cone about each (rot, tilt); None if nowhere."""
    one, other = (np.fft.rfftn(np.fft.ifftshift(v)) for v in (volume, truth))
    frequency = [np.fft.fftfreq(BOX, 1 / BOX)] * 2 + [np.fft.rfftfreq(BOX, 1 / BOX)]
    zyx = np.stack(np.meshgrid(*frequency, indexing="ij"))
    length = np.sqrt((zyx**2).sum(0))
    shell = np.round(length).astype(int)
    power = np.bincount(shell.ravel(), (abs(one) ** 2).ravel())[shell]
    found = []
    for rot, tilt in np.radians(axes):
        axis = np.array([np.cos(tilt), np.sin(rot) * np.sin(tilt), np.cos(rot) * np.sin(tilt)])
        near = (abs(np.tensordot(axis, zyx, 1)) > np.cos(np.radians(CONE)) * length) & (shell > 0) & (shell <= BOX // 2)
        total = lambda v: np.convolve(np.bincount(shell[near], (v / power)[near], BOX // 2 + 1), np.ones(3), "same")
        curve = total((one * other.conj()).real) / np.sqrt(total(abs(one) ** 2) * total(abs(other) ** 2))
        first = next((k for k in range(1, len(curve)) if curve[k] < 0.5), None)
        part = first and (curve[first - 1] - 0.5) / (curve[first - 1] - curve[first])
        found.append(None if first == 1 else BOX * PIXEL / (first - 1 + part) if first else 2 * PIXEL)
    return found


@benchmark(
    cases=lambda: [dict(molecule=m, concentration=c) for c in CONCENTRATIONS for m in MOLECULES],
    tables={
        "views": columns(
            {
                "molecule": "molecule",
                "missing cone (°)": "cone:.0f",
                "true": "true:.0f",
                "left by a tilt of 30° (°)": "forecast:.0f",
                "with images so tilted": "tilted:.0f",
                "resolution (Å)": "resolution:.1f",
                "by direction, best and worst": "span",
                "axes stated (of 96)": "axes",
                "median deviation from the truth (%)": "deviation:.0f",
            }
        )
    },
    quick=dict(count=100),
)
def views(run, molecule, concentration, count=1500, snr=0.05, seed=3):
    """Sets of particles at their true orientations, views about one axis (von Mises-Fisher), SNR over the box."""
    folder, rng = run.work(f"{molecule} {concentration}"), np.random.default_rng(seed)
    body = atoms_of(structure_file(molecule))
    made = {}
    for tilt in (0.0, TILT):
        kinds, seen = np.zeros(count, int), turns(concentration, count, rng, tilt)
        star = make_mixed([body], kinds, folder / f"{tilt:g}", snr, rng, BOX, PIXEL, turns=seen.inv())
        made[tilt], cpu = asked("reconstruct", folder / f"{tilt:g}" / "map.mrc", particles=star, device="cpu")
    axes = np.array(made[0]["by_direction"], float)
    sphere = np.linalg.norm(np.indices((BOX,) * 3) - BOX // 2, axis=0) < 0.45 * BOX
    halves = (mrcfile.read(made[0][half]) * sphere for half in ("half1", "half2"))
    truth = by_direction(sum(halves), true_map(body) * sphere, axes[:, :2])
    pairs = [(one, other) for one, other in zip(axes[:, 2], truth) if np.isfinite(one) and other]
    return dict(
        cone=made[0]["missing_cone"],
        true=true_cone(concentration),
        forecast=made[0]["tilted_cones"][1],
        tilted=made[TILT]["missing_cone"],
        resolution=made[0]["resolution"],
        span=f"{np.nanmin(axes[:, 2]):.1f} to {np.nanmax(axes[:, 2]):.1f}",
        deviation=float(100 * np.median([abs(one / other - 1) for one, other in pairs])),
        axes=len(pairs),
        cpu=cpu,
    )
