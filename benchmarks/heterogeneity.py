# SPDX-License-Identifier: GPL-3.0-or-later
"""Heterogeneity on simulated hinges and mixtures: `python benchmarks/heterogeneity.py OUTPUT [SET ...]`.

Sets: hinge (a domain of 10 to 25 % of the mass rotates), occupancy; each by both methods on the same particles or
by those of --methods. Results that are in OUTPUT/results.json are not made again; a Markdown table is printed at the
end. Structures are found in CRYODL_DATA/structures/complexes.
"""

import argparse
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import torch

from cryodl.contract import FitHeterogeneityConfig, SimulateParticlesConfig
from cryodl.io.particle_sets import read_particles, write_particles_star
from cryodl.particles.commands import fit_heterogeneity, simulate_particles

COMPLEXES = {
    "1U6G": dict(domain="C:900-1210", box=64, pixel_size=4.0),
    "2CG9": dict(domain="A:2-215", box=64, pixel_size=3.5),
    "1WCM": dict(domain="D,G", box=64, pixel_size=3.8),
    "6RN3": dict(domain="F", box=64, pixel_size=4.2),
}
LEFT_OUT = {"1U6G": "C:900-1210", "2CG9": "X", "1WCM": "D,G", "6RN3": "F"}
HINGE = dict(snr=(0.1, 0.02), error=(0.0, 3.0), count=3000, hinge_range=45.0)
METHODS = ("linear", "gaussian")
OCCUPANCY = 3000  # particles of a set of which half lack a part


def hinge(folder, method):
    """Rows (name, function) of the moving sets."""
    for name, snr, error in ((n, s, e) for n in COMPLEXES for s in HINGE["snr"] for e in HINGE["error"]):
        yield (
            f"{method} hinge {name} SNR {snr:g} error {error:g}",
            lambda name=name, snr=snr, error=error: _moving(folder, method, name, snr, error, HINGE["count"]),
        )


def occupancy(folder, method):
    """Rows of the sets of which half the particles lack a part."""
    for name in COMPLEXES:
        yield f"{method} occupancy {name} SNR 0.05", lambda name=name: _occupancy(folder, method, name)


def simulated(folder, name, snr, count, seed=0, **options):
    """STAR file of a set with this SNR over the whole box."""
    path = folder / f"{name}_{snr:g}_{count}_{seed}_{'_'.join(map(str, options.values()))}.star".replace(":", "-")
    structure = next(Path(os.environ["CRYODL_DATA"]).glob(f"structures/complexes/{name}.*"))
    common = {k: v for k, v in COMPLEXES[name].items() if k != "domain"}
    config = SimulateParticlesConfig(
        structure=str(structure),
        count=count,
        snr=snr,
        output=str(path),
        seed=seed,
        threads=1,
        device="cpu",
        snr_area="box",
        **common,
        **options,
    )
    if not path.exists():
        simulate_particles.run(config)
    return path


def with_errors(path, degrees, seed=0):
    """The set with orientations rotated by that angle about random axes."""
    from scipy.spatial.transform import Rotation

    if not degrees:
        return path
    particles, rng = read_particles(path), np.random.default_rng(seed)
    axes = rng.standard_normal((len(particles), 3))
    axes *= np.radians(degrees) / np.linalg.norm(axes, axis=1, keepdims=True)
    rotated = Rotation.from_euler("ZYZ", particles.angles, degrees=True) * Rotation.from_rotvec(axes)
    angles = rotated.as_euler("ZYZ", degrees=True).T
    changed = path.with_name(f"{path.stem}_error{degrees:g}.star")
    write_particles_star(str(changed), particles, dict(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles)))
    return changed


def fitted(path, reference, **options):
    """Outputs of fit-heterogeneity, the columns of its particles, CPU seconds."""
    output = path.with_suffix("")
    if output.exists():
        shutil.rmtree(output)
    start = time.process_time()
    outputs = fit_heterogeneity.run(
        FitHeterogeneityConfig(particles=str(path), reference=str(reference), output=str(output), threads=1, **options)
    ).outputs
    return outputs, read_particles(outputs["particles"]).columns, time.process_time() - start


def _moving(folder, method, name, snr, error, count):
    from scipy.stats import spearmanr

    path = simulated(
        folder, name, snr, count, domain=COMPLEXES[name]["domain"], hinge_range=HINGE["hinge_range"], hinge_states=21
    )
    reference = path.with_name(path.stem + "_map.mrc")
    made, columns, seconds = fitted(with_errors(path, error), reference, method=method)
    true = np.array(columns["cryodlTrueLatent"], float)
    found = [abs(spearmanr(np.array(columns[f"cryodlLatent{k + 1}"], float), true)[0]) for k in range(made["latent"])]
    return dict(
        spearman=max(found),
        p_value=made["p_value"],
        variability=made["variability"],
        cpu_seconds=seconds,
        count=count,
        **_domain_shells(path, made, true, columns),
    )


def _domain_shells(path, made, true, columns):
    """First shell at which the FSC with the truth in the domain's mask falls below 0.5: of the map along the path that
    is nearest to an end of the motion, and of the mean map."""
    import mrcfile
    from scipy.ndimage import binary_dilation, gaussian_filter

    from cryodl.core.frc import fsc

    states = sorted(path.parent.glob(path.stem + "_state*.mrc"))
    latent = np.array(columns["cryodlLatent1"], float)
    shells = []
    for end in (0, -1):
        # particles of the outermost map, and the true state of most of them
        rank = np.argsort(np.argsort(latent)) / len(latent)
        near = rank < 0.2 if end == 0 else rank >= 0.8
        state = int(np.argmin(np.abs(np.unique(true) - np.median(true[near]))))
        ground_truth, rest = mrcfile.read(states[state]), np.mean([mrcfile.read(s) for s in states], axis=0)
        moved = gaussian_filter(np.abs(ground_truth - rest), 1) * (ground_truth > 0.05 * ground_truth.max())
        wide = binary_dilation(moved > 0.2 * moved.max(), iterations=2)
        mask = torch.from_numpy(gaussian_filter(wide.astype(np.float32), 1))
        for volume in (mrcfile.read(made["paths"][0][end]), mrcfile.read(made["mean"])):
            curve = fsc(torch.from_numpy(volume.copy()) * mask, torch.from_numpy(ground_truth.copy()) * mask)
            shells.append(int(np.argmax(np.append(curve.numpy() < 0.5, True))))
    return dict(shell_path=(shells[0] + shells[2]) / 2, shell_mean=(shells[1] + shells[3]) / 2)


def _occupancy(folder, method, name):
    from sklearn.metrics import roc_auc_score

    path = simulated(folder, name, 0.05, OCCUPANCY, missing_chains=LEFT_OUT[name])
    made, columns, seconds = fitted(path, path.with_name(path.stem + "_map.mrc"), axes=0, method=method)
    lacking, latent = (np.array(columns[n], float) for n in ("cryodlTrueState", "cryodlLatent1"))
    found = roc_auc_score(lacking == 2, latent)
    return dict(
        auc=max(found, 1 - found),
        p_value=made["p_value"],
        variability=made["variability"],
        cpu_seconds=seconds,
        count=OCCUPANCY,
    )


def table(results):
    """Markdown of {row: {figure: value}}."""
    names = ("count", "spearman", "auc", "shell_path", "shell_mean", "p_value", "variability", "cpu_seconds")
    lines = ["| set | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row, found in results.items():
        lines.append(
            f"| {row} | "
            + " | ".join("" if n not in found else f"{found[n]:.3g}" if n != "count" else str(found[n]) for n in names)
            + " |"
        )
    return "\n".join(lines)


def main():
    """Run the sets that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("sets", nargs="*", default=["hinge", "occupancy"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    asked = ((name, method) for name in options.sets for method in options.methods)
    for row, work in (item for name, method in asked for item in globals()[name](options.output, method)):
        if row not in results:
            results[row] = work()
            path.write_text(json.dumps(results, indent=2))
    print(table(results))


if __name__ == "__main__":
    main()
