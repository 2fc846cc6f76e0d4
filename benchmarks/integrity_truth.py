# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether `assess-integrity` is right as often as it says: complexes with and without a partner.

    PYTHON benchmarks/integrity_truth.py [--count N] [--snr S ...] [--cases NAME ...] [--output FOLDER] [--figures FILE]

Half of the particles lack the partner. Particles of made_particles.py (64 px of 3.5 Å, coloured noise, SNR over the
whole box); orientations are searched, or the true ones given. Compositions are given as models. Printed for each set:
the partner's part of the mass, the ROC AUC, percent of classes that are right and that are said to be right, the
calibration error (ten bins), and what the self-test found. A stopped run goes on where it was. FILE (JSON) gets all
rows; docs/integrity.md has its table from there.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from common import ROOT, data_folder
from foreign_particles import auc
from made_particles import make_mixed
from map_sizes import diameter_of

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
# complex: file, chains of the partner
CASES = {
    "tubulin-TTL": ("5IYZ.pdb.gz", "F"),
    "receptor-Fab": ("4ZXB.cif.gz", "AB"),
    "polymerase-4-7": ("1WCM.pdb.gz", "DG"),
    "SCF-CAND1": ("1U6G.pdb.gz", "C"),
}


def compositions(source, partner, folder):
    """Write whole.cif and part.cif; [(xyz, weights)] of both about the whole's centre of mass."""
    import gemmi

    structure = gemmi.read_structure(str(source))
    structure.setup_entities()
    structure.remove_waters()
    del structure[1:]
    bodies = []
    for name, lost in (("whole", ""), ("part", partner)):
        for chain in lost:
            structure[0].remove_chain(chain)
        structure.make_mmcif_document().write_file(str(folder / f"{name}.cif"))
        atoms = [(*a.atom.pos.tolist(), a.atom.element.atomic_number * a.atom.occ) for a in structure[0].all()]
        bodies.append((np.array(atoms)[:, :3], np.array(atoms)[:, 3]))
    centre = np.average(bodies[0][0], axis=0, weights=bodies[0][1])
    return [(xyz - centre, weight) for xyz, weight in bodies]


def measure(case, snr, options):
    """Figures of one set."""
    from orientation_floors import calibration_error

    from cryodl.contract import AssessIntegrityConfig
    from cryodl.io.star import read_tables
    from cryodl.particles.commands import assess_integrity

    file, partner = CASES[case]
    folder = options.output / f"{case}-{snr:g}-{options.orientations}-{options.count}-{options.seed}"
    done = folder / "row.json"
    if done.exists():
        return json.loads(done.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    bodies = compositions(data_folder() / "structures/complexes" / file, partner, folder)
    kinds = np.arange(options.count) % 2
    make_mixed(bodies, kinds, folder, snr, np.random.default_rng(int(1000 * snr) + options.seed))
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    assess_integrity.run(
        AssessIntegrityConfig(
            particles=str(folder / "particles.star"),
            structures=(str(folder / "whole.cif"), str(folder / "part.cif")),
            names=("whole", "part"),
            output=str(out),
            orientations=options.orientations,
            threads=1,
            device="cpu",
        )
    )
    table = read_tables(out / "particles.star")["particles"]
    whole = np.array(table["cryodlProbability1"], float)
    right, record = (whole < 0.5) == (kinds == 1), json.loads((out / "integrity.json").read_text())
    stated = np.maximum(whole, 1 - whole)
    row = dict(
        case=case,
        mass=1 - bodies[1][1].sum() / bodies[0][1].sum(),
        diameter=diameter_of(*bodies[0]),
        snr=snr,
        orientations=options.orientations,
        count=options.count,
        auc=auc(whole[kinds == 0], whole[kinds == 1]),
        right=float(right.mean()),
        stated=float(stated.mean()),
        ece=calibration_error(stated, right),
        **{name: record[name] for name in ("temperature", "simulated_accuracy", "strength", "explained")},
        warnings=len(record["warnings"]),
    )
    np.savez(folder / "answers.npz", stated=stated, right=right)
    row = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
    done.write_text(json.dumps(row))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--snr", type=float, nargs="+", default=(0.05, 0.02))
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--orientations", default="search", choices=("search", "given"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("benchmark_results/integrity_truth"))
    parser.add_argument("--figures", type=Path, help="JSON to write the rows into")
    options = parser.parse_args()
    rows = []
    for case in options.cases:
        for snr in options.snr:
            rows.append(measure(case, snr, options))
            print("RESULT", json.dumps(rows[-1]), flush=True)
    if options.figures:
        options.figures.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
