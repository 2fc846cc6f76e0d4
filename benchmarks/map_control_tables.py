# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of what the model makes of noise, nucleic acid, detergent and the wrong hand (map_controls)."""

from map_cases import angstrom
from parts import table


def tables(found, nucleic, sure):
    """Markdown. found: {control: figures, {} if not measured}. nucleic: the same of molecules with nucleic acid. sure:
    the confidence above which voxels were counted."""
    protein = found["protein"]
    unit = protein["protein"]["contrast"] if protein else None
    positions = [
        ("protein", protein, "protein"),
        ("solvent of the same map", protein, "solvent"),
        ("noise alone", found["noise"], "noise"),
        ("detergent belt", found["detergent"], "detergent"),
        ("protein of the wrong hand", found["wrong hand"], "protein"),
        *[(f"nucleic acid of {name} ({f.get('learnt', '-')})", f, "nucleic") for name, f in nucleic.items()],
    ]
    first = table(
        ["place", "contrast kept (protein: 1)", "mean confidence", f"voxels with confidence above {sure:g}"],
        [[name, *_position_cells(f.get(position), unit)] for name, f, position in positions],
    )
    whole = [
        ("right hand", protein),
        ("wrong hand", found["wrong hand"]),
        ("with detergent", found["detergent"]),
        *nucleic.items(),
    ]
    second = table(
        ["map", "FSC 0.5 in the mask (Å): before", "after", "correlation: before", "after", "Q-score: before", "after"],
        [[name, *_ground_truth_cells(f)] for name, f in whole],
    )
    return "\n\n".join([first, second, *_sentences(protein, found["half-maps"], nucleic)])


def _position_cells(position, unit):
    if not position or unit is None:
        return [None] * 3
    return [position["contrast"] / unit, position["confidence"], f"{position['sure']:.1%}"]


def _ground_truth_cells(figures):
    if not figures:
        return [None] * 6
    both = (figures["before"], figures["after"])
    return [*[f"{angstrom(f):.2f}" for f in both], *[f["correlation"] for f in both], *[f["q"] for f in both]]


def _sentences(protein, test, nucleic):
    if protein:
        worst, best = protein["worst_atoms"], protein["best_atoms"]
        yield (
            f"Confidence at the tenth of the atoms with the lowest Q-scores in the improved map (mean "
            f"{worst['q']:.2f}): {worst['confidence']:.2f}; with the highest ({best['q']:.2f}): "
            f"{best['confidence']:.2f}."
        )
    for molecule, found in nucleic.items():
        if found:
            yield (
                f"Q-score of the {found['atoms']} atoms of nucleic acid in {molecule}: {found['q_before']:.3f} "
                f"before, {found['q_after']:.3f} after."
            )
    if test:
        words = {name: test[name]["fsc0143_angstrom"] for name in ("raw", "improved", "crossed")}
        text = ", ".join(f"{name} {f'{value:.2f} Å' if value else 'not reached'}" for name, value in words.items())
        yield f"Half-map test, FSC 0.143: {text}."
