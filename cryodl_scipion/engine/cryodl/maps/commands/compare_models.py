# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl compare-models`: an atomic model that was built into a map, against a reference in the same frame.

Result.outputs are the contract's CompareModelsOutputs.
"""

from __future__ import annotations

import csv
import json
import typing

from ...contract import CompareModelsConfig, Result, counted
from ...contract.maps.evaluating import CompareModelsOutputs

if typing.TYPE_CHECKING:
    from ..measures.atoms import Atoms


def run(config: CompareModelsConfig) -> Result:
    """Print the metrics, and write the table of matched residues if one is wanted."""
    import os

    from ...io.files import whole_file
    from ...io.unfinished import check_output
    from ..measures.atoms import read_atoms
    from ..measures.chains import compare_chains

    if config.output:
        check_output(config.output, "Table")
        os.makedirs(os.path.dirname(os.path.abspath(config.output)), exist_ok=True)
    built, reference = read_atoms(config.structure), read_atoms(config.reference)
    metrics, pairs = compare_chains(built, reference, config.distance)
    warnings = [*built.notes, *reference.notes, *_nothing_matched(config, metrics, built, reference)]
    if config.output:
        with whole_file(config.output) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(
                [
                    "chain",
                    "number",
                    "name",
                    "reference_chain",
                    "reference_number",
                    "reference_name",
                    "distance_angstrom",
                ]
            )
            writer.writerows([*a, *b, f"{d:.3f}"] for a, b, d in pairs)
    if config.json:
        print(json.dumps(dict(metrics, warnings=warnings), indent=2))
    else:
        _print(config, metrics)
    return Result(
        "compare-models",
        CompareModelsOutputs(**metrics, table=str(config.output) if config.output else None),
        device="CPU",
        warnings=tuple(warnings),
    )


def _nothing_matched(
    config: CompareModelsConfig, metrics: typing.Mapping[str, typing.Any], built: Atoms, reference: Atoms
) -> list[typing.Any]:
    if metrics["matched"]:
        return []
    offset = ", ".join(f"{d:.1f}" for d in built.xyz.mean(axis=0) - reference.xyz.mean(axis=0))
    return [
        f"No residue of {config.structure} lies within {config.distance:g} Å of one of {config.reference}: their "
        f"centres are ({offset}) Å (x, y, z) apart. The models are compared without superposition; superpose them "
        "first."
    ]


def _print(config: CompareModelsConfig, metrics: typing.Mapping[str, typing.Any]) -> None:
    rmsd = metrics["rmsd_angstrom"]
    print(
        f"{metrics['matched']} of the reference's {metrics['reference_residues']} residues are matched within "
        f"{config.distance:g} Å ({metrics['coverage']:.1%}), in {counted(metrics['fragments'], 'fragment')}; RMSD "
        f"{'-' if rmsd is None else f'{rmsd:.2f} Å'}, sequence {metrics['sequence_match']:.1%} right; "
        f"{metrics['false_residues']} of the {metrics['residues']} residues in the model match no residue of the "
        "reference."
    )
    for chain, coverage in metrics["chains"].items():
        print(f"  chain {chain}: {coverage:.1%}")
