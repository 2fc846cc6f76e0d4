# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the place of each particle along a motion could be known, were the maps of all states known.

    PYTHON benchmarks/heterogeneity_ceiling.py PARTICLES.star [--latent FIT/particles.star]

PARTICLES.star is a set of simulate-particles with --domain; its true states are the maps beside it. Each image's place
is the mean of its posterior along these maps, with the likelihood of fit-heterogeneity: its noise, resolution and
errors of orientation and CTF. Prints the Spearman correlation with the true angle, and that of --latent.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import ROOT

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
DEGREE = 8  # of the polynomials through the true maps


def positions(star, folder):
    """(n,) expected places of the particles along the true maps, and the true angles."""
    import mrcfile

    from cryodl.contract import FitHeterogeneityConfig
    from cryodl.latent import masks
    from cryodl.latent.components import COARSE, Setting, mean_of, refine_views
    from cryodl.latent.cube import resized_volume
    from cryodl.latent.expectation import expect
    from cryodl.latent.posterior import CurvedCoordinate
    from cryodl.likelihood.prepare import WIDEST
    from cryodl.particles.heterogeneity.coefficients import load_coefficients
    from cryodl.particles.heterogeneity.inputs import load_inputs
    from cryodl.particles.heterogeneity.views import FIRST_SPREAD, ParticleViews
    from cryodl.reconstruction.halves import same_images, split_halves

    name = str(star.with_suffix(""))
    inputs = load_inputs(
        FitHeterogeneityConfig(particles=str(star), reference=f"{name}_map.mrc", output=str(folder), device="cpu")
    )
    particles, box = inputs.particles, inputs.box
    width = min(1.1 * inputs.diameter / particles.pixel_size, WIDEST * particles.box)
    setting = Setting(
        load_coefficients(particles, inputs.radius, width, inputs.contrast, folder), ParticleViews.of(particles),
        split_halves(particles, 0), masks.sphere_mask(box), box, print, same_images(particles),
    )  # fmt: skip
    mean, _ = mean_of(setting, min(COARSE, inputs.radius), FIRST_SPREAD)
    _, sigmas = refine_views(setting, mean, min(COARSE, inputs.radius), FIRST_SPREAD)
    mean, _ = mean_of(setting, inputs.radius, sigmas)
    states = [mrcfile.read(path) for path in sorted(star.parent.glob(f"{star.stem}_state*.mrc"))]
    maps = np.stack([resized_volume(volume, box) for volume in states])
    middle = maps.mean(0)
    maps *= (middle * mean).sum() / (middle**2).sum()
    basis = np.polynomial.legendre.legvander(np.linspace(-1, 1, len(maps)), DEGREE)
    volumes = np.tensordot(np.linalg.pinv(basis), maps, axes=1).astype(np.float32)
    found = expect(
        setting.coefficients, setting.views, setting.rows(), setting.cube(inputs.radius), volumes,
        setting.coefficients.count(inputs.radius), sigmas, CurvedCoordinate(DEGREE), False,
    )  # fmt: skip
    return found.latent[:, 0], np.array(particles.columns["cryodlTrueLatent"], float)


def main():
    """Print the correlations."""
    from scipy.stats import spearmanr

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("particles", type=Path)
    parser.add_argument("--latent", type=Path, help="particles.star of fit-heterogeneity")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        position, true = positions(options.particles, Path(folder))
    print(f"true maps known: Spearman {abs(spearmanr(position, true)[0]):.4f}")
    if options.latent:
        from cryodl.io.particle_sets import read_particles

        latent = np.array(read_particles(str(options.latent)).columns["cryodlLatent1"], float)
        print(f"cryodlLatent1: Spearman {abs(spearmanr(latent, true)[0]):.4f}")


if __name__ == "__main__":
    main()
