# SPDX-License-Identifier: GPL-3.0-or-later
"""How often fit-heterogeneity finds motion where there is none.

    PYTHON benchmarks/heterogeneity_null.py OUTPUT [--runs 20]        simulate, fit, OUTPUT/heterogeneity_null.json
    PYTHON benchmarks/heterogeneity_null.py --table FILE.json         the table of docs/heterogeneity.md

Sets of 800 particles of 48 px, each of its own seed: a rigid molecule; noise alone; a rigid molecule with a wrong CTF
(in turn the defocus off by 500 Å, and the astigmatism dropped). SNR 0.1 and 0.03 over the whole box, in turn. Runs that
are in the file are not made again.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from common import ROOT, data_folder

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
MOLECULES = ("1U6G", "2CG9", "1WCM", "6RN3", "4V4R_30S")
KINDS = ("rigid", "noise", "wrong CTF")
METHODS = ("linear", "gaussian")
COUNT, BOX, WIDTH = 800, 48, 268.8  # particles, px, Å
SNRS = (0.1, 0.1, 0.03, 0.03)
DEFOCUS_ERROR = 500.0  # Å


def simulated(folder, number, kind):
    """(STAR file, its reference, molecule, SNR, what is wrong) of a set."""
    from cryodl.contract import SimulateParticlesConfig
    from cryodl.io.particle_sets import read_particles
    from cryodl.particles.commands import simulate_particles

    position = KINDS.index(kind)
    molecule, snr = MOLECULES[(number + position) % len(MOLECULES)], SNRS[number % len(SNRS)]
    structure = next((data_folder() / "structures" / "complexes").glob(f"{molecule}.*"))
    path = folder / f"{number}_{position}.star"
    simulate_particles.run(
        SimulateParticlesConfig(
            structure=str(structure),
            pixel_size=WIDTH / BOX,
            box=BOX,
            count=COUNT,
            snr=snr,
            output=str(path),
            seed=len(KINDS) * number + position,
            device="cpu",
            threads=1,
        )
    )
    wrong = "" if kind == "rigid" else "noise" if kind == "noise" else ("defocus", "astigmatism")[number % 2]
    return (
        spoiled(path, read_particles(path), wrong, number),
        path.with_name(f"{path.stem}_map.mrc"),
        molecule,
        snr,
        wrong,
    )


def spoiled(path, particles, wrong, seed):
    """STAR file of the particles as noise, or with a wrong CTF."""
    import mrcfile

    from cryodl.io.particle_sets import write_particles_star

    changed, changes, stack = path.with_name(f"{path.stem}_changed.star"), {}, None
    first, second = (np.array(particles.columns[f"rlnDefocus{axis}"], float) for axis in "UV")
    if wrong == "noise":
        stack = str(changed.with_suffix(".mrcs"))
        noise = np.random.default_rng(seed).standard_normal((len(particles), BOX, BOX), np.float32)
        mrcfile.write(stack, noise)
    elif wrong == "defocus":
        changes = dict(rlnDefocusU=first + DEFOCUS_ERROR, rlnDefocusV=second + DEFOCUS_ERROR)
    elif wrong == "astigmatism":
        changes = dict.fromkeys(("rlnDefocusU", "rlnDefocusV"), (first + second) / 2)
    write_particles_star(str(changed), particles, changes, stack=stack)
    return changed


def fitted(star, reference, method):
    """p-value, variability, verdict and CPU seconds of a fit."""
    from cryodl.contract import FitHeterogeneityConfig
    from cryodl.particles.commands import fit_heterogeneity

    output, start = star.with_name(f"{star.stem}_{method}"), time.process_time()
    config = FitHeterogeneityConfig(
        particles=str(star),
        reference=str(reference),
        output=str(output),
        method=method,
        latent=2,
        axes=0,
        threads=1,
        device="cpu",
    )
    made = fit_heterogeneity.run(config).outputs
    return dict(
        p_value=made["p_value"],
        variability=made["variability"],
        verdict=made["verdict"],
        cpu_seconds=time.process_time() - start,
    )


def run(folder, runs):
    """Fill OUTPUT/heterogeneity_null.json, the kinds in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "heterogeneity_null.json"
    rows = json.loads(record.read_text()) if record.exists() else []
    done = {(row["number"], row["kind"]) for row in rows}
    for number, kind in ((n, k) for n in range(runs) for k in KINDS):
        if (number, kind) in done:
            continue
        scratch = folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        star, reference, molecule, snr, wrong = simulated(scratch, number, kind)
        for method in METHODS:
            rows.append(
                dict(
                    number=number,
                    kind=kind,
                    wrong=wrong,
                    molecule=molecule,
                    snr=snr,
                    particles=COUNT,
                    box=BOX,
                    method=method,
                    **fitted(star, reference, method),
                )
            )
        temporary = record.with_suffix(".tmp")
        temporary.write_text(json.dumps(rows, indent=1) + "\n")
        os.replace(temporary, record)
    return record


def table(path):
    """Markdown of the runs of a file."""
    rows = json.loads(Path(path).read_text())
    lines = ["| set | method | runs | p < 0.05 | smallest p | largest variability | mean CPU s |", "|---" * 7 + "|"]
    for kind, method in ((k, m) for k in KINDS for m in METHODS):
        mine = [row for row in rows if (row["kind"], row["method"]) == (kind, method)]
        if mine:
            values = [row["p_value"] for row in mine]
            lines.append(
                f"| {kind} | {method} | {len(mine)} | {sum(v < 0.05 for v in values)} | {min(values):.2g} | "
                f"{max(row['variability'] for row in mine):.2%} | {np.mean([r['cpu_seconds'] for r in mine]):.0f} |"
            )
    return "\n".join(lines)


def main():
    """Run the sets, or print the table of a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=20, help="sets of each kind")
    parser.add_argument("--table", type=Path, help="print the table of this file; nothing is run")
    options = parser.parse_args()
    if (options.table is None) == (options.output is None):
        parser.error("give OUTPUT or --table")
    print(table(options.table or run(options.output, options.runs)))


if __name__ == "__main__":
    main()
