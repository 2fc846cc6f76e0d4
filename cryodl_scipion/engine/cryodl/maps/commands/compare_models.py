# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl compare-models`: an atomic model that was built into a map, against a reference in the same frame. Compare,
and write the table of matched residues if one is wanted."""

import os

from ...contract import CompareModelsConfig, CompareModelsOutputs, counted
from ...io.files import write_csv
from ...running.runner import PROGRAM, Run, command
from ..measures import atoms, chains

TITLES = ("chain", "number", "name", "reference_chain", "reference_number", "reference_name", "distance_angstrom")


@command
def compare_models(config: CompareModelsConfig, run: Run) -> CompareModelsOutputs:
    run.take_device("cpu")
    built, reference = atoms.read_atoms(config.structure), atoms.read_atoms(config.reference)
    metrics, pairs = chains.compare_chains(built, reference, config.distance)
    run.warn(*built.notes, *reference.notes)
    if config.output:
        os.makedirs(os.path.dirname(os.path.abspath(config.output)), exist_ok=True)
        write_csv(config.output, TITLES, ([*a, *b, f"{d:.3f}"] for a, b, d in pairs))
    coverage, right = f"{metrics['coverage']:.1%}", f"{metrics['sequence_match']:.1%}"
    rmsd = "none" if metrics["rmsd_angstrom"] is None else f"{metrics['rmsd_angstrom']:.2f} Å"
    run.summary(
        f"{metrics['matched']} of {counted(metrics['reference_residues'], 'residue')} of the reference are matched "
        f"within {config.distance:g} Å ({coverage}), in {counted(metrics['fragments'], 'fragment')}.",
        f"RMSD of matched residues: {rmsd}; correct residue names: {right}.",
        f"{metrics['false_residues']} of the {counted(metrics['residues'], 'residue')} in the model match none of "
        "the reference.",
        "Chains: " + ", ".join(f"{name} {part:.1%}" for name, part in list(metrics["chains"].items())[:20]),
    )
    run.methods(
        f"Of the {metrics['reference_residues']} residues of the reference {coverage} were matched within "
        f"{config.distance:g} Å ({PROGRAM}), with an RMSD of {rmsd}, and {right} of these "
        "had the correct residue name."
    )
    if not metrics["matched"]:
        offset = ", ".join(f"{d:.1f}" for d in built.xyz.mean(axis=0) - reference.xyz.mean(axis=0))
        run.warn(
            f"No residue of {config.structure} lies within {config.distance:g} Å of one of {config.reference}: their "
            f"centres are ({offset}) Å (x, y, z) apart. The models are compared without superposition; superpose them "
            "first."
        )
    return CompareModelsOutputs(**metrics, table=str(config.output) if config.output else None)
