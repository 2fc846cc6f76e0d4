# SPDX-License-Identifier: GPL-3.0-or-later
"""Discrete classes of 16 assembly states of a small ribosomal subunit, in the manner of CryoBench's Ribosembly.

    PYTHON benchmarks/heterogeneity_classes.py OUTPUT [--count 3200] [--snr 0.1] [--states 16]

States are 4V4R_30S without ever more of its protein chains, and without its head's chains in half of them; their
numbers of particles are unequal. Prints the adjusted Rand index of the classes with the true states, with the true
number of classes and with the number that is found, and writes it to OUTPUT/classes.json.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from common import ROOT, data_folder

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
BOX, PIXEL_SIZE = 48, 6.4  # px, Å/px


def write_states(folder, count):
    """PDB files of the states, the whole subunit first; in one frame."""
    import gemmi

    source = next((data_folder() / "structures" / "complexes").glob("4V4R_30S.*"))
    whole = gemmi.read_structure(str(source))
    atoms = {chain.name: sum(len(residue) for residue in chain) for chain in whole[0]}
    proteins = sorted((name for name in atoms if atoms[name] < max(atoms.values())), key=lambda name: -atoms[name])
    paths = []
    for number in range(count):
        # the bits of the state's number say which groups of chains are missing
        groups = [proteins[k::4] for k in range(4)]
        gone = {name for bit, group in enumerate(groups) if number >> bit & 1 for name in group}
        state = whole.clone()
        for name in gone:
            state[0].remove_chain(name)
        state.assemblies.clear()
        paths.append(folder / f"state_{number + 1:02d}.pdb")
        state.write_pdb(str(paths[-1]))
    return paths


def main():
    """Simulate, fit and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--count", type=int, default=3200)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--states", type=int, default=16)
    parser.add_argument("--latent", type=int, default=6)
    options = parser.parse_args()
    from sklearn.metrics import adjusted_rand_score

    from cryodl.contract import FitHeterogeneityConfig, SimulateParticlesConfig
    from cryodl.io.particle_sets import read_particles
    from cryodl.particles.commands import fit_heterogeneity, simulate_particles
    from cryodl.particles.heterogeneity.classes import find_classes

    options.output.mkdir(parents=True, exist_ok=True)
    star = options.output / "p.star"
    if not star.exists():
        first, *others = write_states(options.output, options.states)
        weights = 1.0 + np.arange(options.states) % 4  # 1 to 4 parts
        simulate_particles.run(
            SimulateParticlesConfig(
                structure=str(first),
                structures=tuple(map(str, others)),
                weights=",".join(f"{w:g}" for w in weights),
                pixel_size=PIXEL_SIZE,
                box=BOX,
                count=options.count,
                snr=options.snr,
                output=str(star),
                device="cpu",
                threads=1,
            )
        )
    output, start = options.output / "fit", time.process_time()
    shutil.rmtree(output, ignore_errors=True)
    made = fit_heterogeneity.run(
        FitHeterogeneityConfig(
            particles=str(star),
            reference=str(star.with_name("p_map.mrc")),
            output=str(output),
            latent=options.latent,
            axes=0,
            classes=options.states,
            threads=1,
        )
    ).outputs
    seconds = time.process_time() - start
    columns = read_particles(made["particles"]).columns
    ground_truth, labels = (np.array(columns[name], float) for name in ("cryodlTrueState", "rlnClassNumber"))
    latent = np.stack([np.array(columns[f"cryodlLatent{k + 1}"], float) for k in range(options.latent)], axis=1)
    found = find_classes(latent, 0, 0)[0]
    row = dict(
        states=options.states,
        particles=options.count,
        box=BOX,
        snr=options.snr,
        latent=options.latent,
        adjusted_rand=float(adjusted_rand_score(ground_truth, labels)),
        found_classes=int(found.max()),
        found_adjusted_rand=float(adjusted_rand_score(ground_truth, found)),
        p_value=made["p_value"],
        cpu_seconds=seconds,
    )
    (options.output / "classes.json").write_text(json.dumps(row, indent=1) + "\n")
    print(row)


if __name__ == "__main__":
    main()
