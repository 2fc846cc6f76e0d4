# SPDX-License-Identifier: GPL-3.0-or-later
"""Two atomic models of one map, compared residue by residue as they stand: nothing is superposed."""

import typing

import gemmi
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ...io.files import lists_by_key
from .atoms import Atoms

Trace = list[tuple[int, np.ndarray, bool]]  # residue, position, protein


def compare_chains(
    built: Atoms, reference: Atoms, distance: float = 3.0
) -> tuple[dict[str, typing.Any], list[tuple[tuple[str, str, str], tuple[str, str, str], float]]]:
    """Metrics of a built model against a reference, and the matched pairs. built, reference: maps.atoms.Atoms in one
    frame. distance: Å; residues (C-alpha, or P of nucleotides) match one to one within it, as many as there can be and
    of these the nearest, as phenix.chain_comparison counts (Liebschner et al. 2019, Acta Cryst. D75). Protein matches
    protein only, nucleotides nucleotides. Returns (metrics, pairs). metrics: residues, reference_residues, matched,
    coverage (matched part of the reference), sequence_match (part of the matched that has the reference's residue
    name), rmsd_angstrom of the matched, or null, fragments (runs of matched residues that follow each other in both),
    false_residues (built and unmatched), chains {reference chain: coverage}. pairs: list of (built residue, reference
    residue, distance in Å). Raises ValueError if one of them has no such atoms."""
    mine, theirs = _trace(built), _trace(reference)
    pairs = []
    for protein in (True, False):
        ours, others = ([r for r in trace if r[2] == protein] for trace in (mine, theirs))
        pairs += _matched(ours, others, distance)
    pairs.sort(key=lambda pair: pair[1])
    same = sum(built.residues[a][2] == reference.residues[b][2] for a, b, _ in pairs)
    matched = {b for _, b, _ in pairs}
    chains = lists_by_key((reference.residues[index][0], index in matched) for index, _, _ in theirs)
    metrics = dict(
        residues=len(mine),
        reference_residues=len(theirs),
        matched=len(pairs),
        coverage=len(pairs) / len(theirs),
        sequence_match=same / len(pairs) if pairs else 0.0,
        rmsd_angstrom=float(np.sqrt(np.mean([d**2 for _, _, d in pairs]))) if pairs else None,
        false_residues=len(mine) - len(pairs),
        fragments=_fragments(pairs, built, reference),
        chains={name: float(np.mean(hits)) for name, hits in chains.items()},
    )
    return metrics, [(built.residues[a], reference.residues[b], d) for a, b, d in pairs]


def _trace(atoms: Atoms) -> Trace:
    trace, seen = [], set()
    sugars = {residue for name, residue in zip(atoms.atom_names, atoms.residue) if name == "C1'"}
    for name, residue, xyz, protein in zip(atoms.atom_names, atoms.residue, atoms.xyz, atoms.protein):
        if name == ("CA" if protein else "P") and residue not in seen:
            known = gemmi.find_tabulated_residue(atoms.residues[residue][2])
            # phosphate, lipids and cofactors have a P, too
            if protein or known.is_nucleic_acid() or residue in sugars and not known.found():
                seen.add(residue)
                trace.append((int(residue), xyz, bool(protein)))
    if not trace:
        raise ValueError(
            f"{atoms.path} has no CA or P atoms: it is not a model of protein or nucleic acid and cannot be compared."
        )
    return trace


def _matched(mine: Trace, theirs: Trace, distance: float) -> list[tuple[int, int, float]]:
    """[(residue, residue, Å)]: one-to-one pairs within the distance, as many as there can be, the nearest of these."""
    if not mine or not theirs:
        return []
    first, second = (cKDTree([r[1] for r in trace]) for trace in (mine, theirs))
    near = first.sparse_distance_matrix(second, distance, output_type="coo_matrix")
    if not near.nnz:
        return []
    n = len(mine)
    links = csr_matrix((np.ones(near.nnz), (near.row, near.col + n)), (n + len(theirs),) * 2)
    group = connected_components(links, directed=False)[1]
    pairs, order = [], np.argsort(group[near.row], kind="stable")
    # each a small assignment of its own
    for part in np.split(order, np.nonzero(np.diff(group[near.row][order]))[0] + 1):
        rows, row = np.unique(near.row[part], return_inverse=True)
        columns, column = np.unique(near.col[part], return_inverse=True)
        gain = np.zeros((len(rows), len(columns)))
        maximum = distance * (min(gain.shape) + 1)  # one pair more outweighs the distances of all
        gain[row, column] = maximum - near.data[part]
        pairs += [
            (mine[rows[a]][0], theirs[columns[b]][0], float(maximum - gain[a, b]))
            for a, b in zip(*linear_sum_assignment(gain, maximize=True))
            if gain[a, b] > 0
        ]
    return pairs


def _fragments(pairs: typing.Sequence[tuple[int, int, float]], built: Atoms, reference: Atoms) -> int:
    """Number of runs of pairs that follow each other in both models, within their chains."""
    follows = (
        (a - before[0], b - before[1]) == (1, 1)
        and built.residues[a][0] == built.residues[before[0]][0]
        and reference.residues[b][0] == reference.residues[before[1]][0]
        for before, (a, b, _) in zip(pairs, pairs[1:])
    )
    return len(pairs) - sum(follows)
