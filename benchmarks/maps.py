# SPDX-License-Identifier: GPL-3.0-or-later
"""Improved maps: of molecules never trained on, real ones, what must not be invented, the half-map test, cost."""

import contextlib
import dataclasses
import shutil

import numpy as np
import scipy.fft
import torch
from bench import benchmark, columns, cryodl, data_folder, grouped, groups, mean, structure_file
from recipes.maps import CHOOSING, SEED, case_of, compared, improve, measured, mirrored, simulate, untrained
from scipy.ndimage import gaussian_filter

from cryodl.contract import BY_NETWORK, ImproveMapConfig, half_map_resolutions, half_map_verdict
from cryodl.maps.commands.improve_map import improve_map
from cryodl.maps.improvers.run import load_improver
from cryodl.maps.improvers.simulated import chosen_atoms
from cryodl.maps.measures import doubt, measure, qscore, shells, simulated
from cryodl.maps.measures.atoms import dense_mask, model_density, read_atoms, soft_mask
from cryodl.maps.measures.half_map_test import half_map_test
from cryodl.maps.measures.shells import estimated_resolution
from cryodl.maps.measures.simulated import simulate as simulated_halves
from cryodl.maps.measures.volume import Volume, read_volume, write_volume

IMPROVER = "improver"
NOT_REACHED = 20.0  # Å, what a curve counts that is below 0.5 from the first shell on
FSC = (("input", "fsc05"), ("sharpened", "fsc05"), ("improved", "fsc05"), ("input", "unmasked"))
FSC += (("input", "times_mask"), ("improved", "unmasked"))
HEAD = ["FSC 0.5 in the mask: input", "best sharpening", "ours", "whole box: input", "input x mask", "ours"]
HEAD += ["Q-score: input", "best sharpening", "ours"]


def least_and_most(values, form):
    return f"{min(values):{form}} to {max(values):{form}}"


def compared_cells(rows):
    """The cells of HEAD for the mean of comparisons."""
    fsc = [mean(r[kind][key] or NOT_REACHED for r in rows) for kind, key in FSC]
    q = [mean(r[kind]["q"] for r in rows) for kind in ("input", "sharpened", "improved")]
    return [*(f"{value:.2f}" for value in fsc), *(f"{value:.3f}" for value in q)]


def simulated_table(rows):
    parts = {f"{resolution:g} Å": part for (resolution,), part in sorted(grouped(rows, "resolution").items())}
    lines = [[name, str(len(part)), *compared_cells(part)] for name, part in {**parts, "mean": rows}.items()]
    return [["resolution", "maps", *HEAD], *lines]


@benchmark(
    cases=dict(molecule=["1OEL", "6VXX", "1WCM", "3J9I", "1U6G", "5GJV"], resolution=[3.0, 4.0, 5.0, 6.0]),
    tables={"map-simulated": simulated_table},
    quick=dict(molecule="1S3X", resolution=6.0),
)
def map_simulated(run, molecule, resolution, model=IMPROVER):
    """Simulated maps of molecules that the shipped model never saw, nor any that shares a chain with them. Input: as
    deposited, sharpened by Guinier's B-factor and filtered by the half-maps' FSC. Best sharpening: of the input, by the
    B-factor whose Q-score is highest. One soft mask for all, made from the model."""
    work = run.folder(f"{molecule} {resolution:g}")
    structure = simulate(molecule, resolution, work / "map")
    found = compared(
        model, case_of(work / "map_full.mrc", structure, resolution), work / "map_full.mrc", work, "--input-weight", 0
    )
    shutil.rmtree(work)
    return found


# ----- real maps
REAL = {  # file: resolution in Å by the entry of the map
    "EMD-5185_3J06": 3.3,
    "EMD-2566_3J6B_chain9": 3.2,
    "EMD-5830_3J63_chainA": 3.8,
    "EMD-30342_7CEC_chainA": 3.9,
    "EMD-6770_5XSY_chainB": 4.0,
    "EMD-5137_3LOS_chainA": 4.3,
    "EMD-6187_3J8X_chainA": 5.0,
    "EMD-6187_3J8X_chainK": 5.0,
}
# Outside of what is asked of: 2.3 Å; the pore of 1OED, 4 Å by its entry; a coarse map, about 20 Å
OTHERS = {"EMD-4413_6I5A": 2.3, "EMD-1044_1OED": 4.0, "EMD-1883_1WCM": 20.0}


def real_table(rows):
    part = [r for r in rows if r["map"] in REAL]
    lines = [[r["map"].replace("_", " "), f"{REAL[r['map']]:g} Å", *compared_cells([r])] for r in part]
    return [["map", "resolution", *HEAD], *lines, *([["mean", "", *compared_cells(part)]] if part else [])]


def real_files(name):
    folder = data_folder() / "structures" / "maps"
    return folder / f"{name}.mrc.gz", next(iter(sorted(folder.glob(f"{name}.model.*"))))


@benchmark(cases=dict(map=[*REAL, *OTHERS]), tables={"map-real": real_table}, quick=dict(map="EMD-30342_7CEC_chainA"))
def map_real(run, map, model=IMPROVER):
    """Real maps with their fitted models: small parts, cut out about one chain of large maps, zero beyond 3 to 4 Å from
    the atoms, so that the mask of the comparison changes next to nothing, and there is no solvent."""
    (path, structure), work = real_files(map), run.work(map)
    return compared(model, case_of(path, structure, {**REAL, **OTHERS}[map]), path, work)


# ----- what people make of maps before they improve them: improved by default, with no resolution told
STATED = {**REAL, **OTHERS}
KINESIN, BALL = "1BG2", 22.0  # not learnt from, but a kinesin, as one of the real maps; Å of it about its middle
SIMULATED = (2.3, 2.6, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0)  # Å
SPOILT = {"fsc05": 0.05, "q": -0.02}  # Å, no unit: a map is spoilt by more
TIGHT, CLOSE, PART, BLURRED = 2.5, 2.0, 0.6, 1.25  # Å about atoms; of each axis; of the resolution


def copies_of(volume, atoms, resolution):
    """{what was done: Volume} of a map: one or two of sharpening, filter, box and mask."""
    volume = dataclasses.replace(volume, header=None, order=(0, 1, 2))  # its origin is kept, whatever stated it
    voxels, limits = volume.voxels_zyx, volume.positions(atoms.xyz)
    changed = lambda data, of=volume: dataclasses.replace(of, data=np.asarray(data, np.float32))
    sharp = lambda b: changed(shells.shell_filtered(volume.data, voxels, lambda s: np.exp(b * s**2 / 4)))
    filtered = lambda at, one=volume: changed(shells.sharpened(one.data, voxels, 0, at))
    masked = lambda one: changed(one.data * soft_mask(atoms.xyz, one, TIGHT, TIGHT), one)

    def boxed(one, low, high):
        low = np.maximum(np.floor(low), 0).astype(int)
        high = np.minimum(np.ceil(high) + 1, one.data.shape).astype(int)
        data = np.ascontiguousarray(one.data[tuple(slice(a, b) for a, b in zip(low, high))])
        return dataclasses.replace(changed(data, one), origin_zyx=one.origin_zyx + low * voxels)

    close = lambda one: boxed(one, limits.min(0) - CLOSE / voxels, limits.max(0) + CLOSE / voxels)
    size = np.array(volume.data.shape)
    return {
        "as it is": volume,
        **{f"sharpened by {b} Å²": sharp(b) for b in (50, 100, 150)},
        "low-passed": filtered(BLURRED * resolution),
        "boxed": close(volume),
        "a part": boxed(volume, (1 - PART) / 2 * size, (1 + PART) / 2 * size),
        "masked": masked(volume),
        "sharpened by 100 Å², low-passed": filtered(resolution, sharp(100)),
        "sharpened by 100 Å², boxed": close(sharp(100)),
        "sharpened by 100 Å², masked": masked(sharp(100)),
        "low-passed, masked": masked(filtered(BLURRED * resolution)),
        "boxed, masked": close(masked(volume)),
    }


def source_of(map):
    """({what was done: Volume}, atoms, resolution) of a real map by its name, or of a simulated one, "1BG2 2.6"."""
    if map in STATED:
        path, structure = real_files(map)
        atoms = read_atoms(structure)
        return copies_of(read_volume(path), atoms, STATED[map]), atoms, STATED[map]
    name, resolution = map.split()[0], float(map.split()[1])
    atoms = read_atoms(structure_file(name))
    atoms = chosen_atoms(atoms, np.linalg.norm(atoms.xyz - atoms.xyz.mean(axis=0), axis=1) < BALL)
    grid = simulated.grid_around(atoms, min(resolution / 3, 1.2))
    made = simulated_halves(atoms, grid, simulated.Faults(resolution, 20 * resolution), np.random.default_rng(SEED))
    found = copies_of(dataclasses.replace(grid, data=simulated.deposited(made, resolution)[0]), atoms, resolution)
    whole = dataclasses.replace(grid, data=made.full.astype(np.float32))
    refined = copies_of(whole, atoms, resolution)
    return {**found, "half-map sum": whole, "half-map sum, masked": refined["masked"]}, atoms, resolution


def before_and_after(volumes, atoms):
    """[{fsc05, q}] of Volumes on one grid: with the model in its soft mask, and of atoms that lie inside."""
    reference, voxels = measure.reference_for(volumes[0], atoms), volumes[0].voxels_zyx
    points = qscore.score_points(
        atoms, np.random.default_rng(0).permutation(np.flatnonzero(reference.inside))[:CHOOSING]
    )
    fsc = lambda one: shells.shell_correlation(one.data * reference.mask, reference.density * reference.mask, voxels)
    return [
        dict(fsc05=fsc(one).resolution(0.5), q=float(qscore.q_scores(one, atoms, points).mean())) for one in volumes
    ]


def spoilt(row):
    """Whether an improved map is worse than before by more than SPOILT."""
    change = changes(row)
    return change["fsc05"] > SPOILT["fsc05"] or change["q"] < SPOILT["q"]


def changes(row):
    counted = lambda when: dict(row[when], fsc05=min(row[when]["fsc05"] or NOT_REACHED, NOT_REACHED))
    return {key: counted("after")[key] - counted("before")[key] for key in SPOILT}


def copies_line(part):
    """Cells of the copies that were treated in one way."""
    known, improved = [r for r in part if r["estimate"]], [r for r in part if "after" in r]
    off, missed = [r["estimate"] - r["stated"] for r in known], sum(r["stated"] < r["finest"] for r in known)
    counts = [str(len(part)), str(len(improved)), str(sum(map(spoilt, improved)))]
    cells = [part[0]["copy"], *counts, least_and_most(off, "+.1f") if off else "", f"{missed} of {len(known)}"]
    for key, form, worst in (("fsc05", ".2f", max), ("q", ".3f", min)):
        each = [mean(r[w][key] or NOT_REACHED for r in improved) for w in ("before", "after") if improved]
        cells += [" to ".join(format(value, form) for value in each)]
        cells += [f"{worst(changes(r)[key] for r in improved):+{form}}" if improved else ""]
    return cells


def copies_table(rows):
    head = ["copy", "maps", "improved", "spoilt", "estimate less resolution (Å)", "finer than the estimate allows"]
    head += ["FSC 0.5 of the improved (Å)", "worst", "Q-score of the improved", "worst"]
    return [head, *map(copies_line, grouped([*rows, *(dict(r, copy="all") for r in rows)], "copy").values())]


@benchmark(
    cases=dict(map=[*STATED, *(f"{KINESIN} {resolution:g}" for resolution in SIMULATED)]),
    tables={"map-copies": copies_table},
    quick=dict(map="EMD-6187_3J8X_chainK"),
)
def map_copies(run, map, model=IMPROVER):
    """Whether `improve-map`, told no resolution, spoils copies of maps: sharpened (up to Nyquist), low-passed at 1.25
    times the resolution, boxed 2 Å about the atoms, a part of 60 % of each axis, masked 2.5 Å about the atoms, and
    pairs of these. Spoilt: FSC 0.5 worse by more than 0.05 Å, or Q-score by more than 0.02."""
    (volumes, atoms, stated), work, rows = source_of(map), run.work(map), []
    for copy, volume in volumes.items():
        found = estimated_resolution(volume.data, volume.voxels_zyx)
        write_volume(work / "copy.mrc", volume.data, volume)
        config = ImproveMapConfig(str(work / "copy.mrc"), output=str(work / "improved.mrc"), model=model)
        row = dict(copy=copy, stated=stated * (BLURRED if copy.startswith("low-passed") else 1))
        row.update(estimate=found and found.value, finest=found and found.finest)
        try:
            with contextlib.redirect_stdout(None):
                row["unchanged"] = improve_map(config, device="cpu", threads=1).outputs["unchanged"]
        except ValueError as error:  # refused: sharpened so much that noise is all there is
            row["unchanged"] = str(error)
        if not row["unchanged"]:
            pair = [read_volume(work / name) for name in ("copy.mrc", "improved.mrc")]
            row.update(zip(("before", "after"), before_and_after(pair, atoms)))
        row["unchanged"] = str(row["unchanged"] or "").replace(f"{work}/", "") or None
        (work / "improved.mrc").unlink(missing_ok=True)
        rows.append(row)
    shutil.rmtree(work)
    return rows


# ----- what it must not invent: all at RESOLUTION; contrast: standard deviation of the improved map over that before
RESOLUTION, PROTEIN, MEMBRANE = 4.0, "1U6G", "5GJV"
NEAR, AWAY = 2.0, 8.0  # Å from the atoms: theirs, and solvent
NOISE_SIDE = 96  # px of the noise that is improved
PLACES = {
    "protein": "protein",
    "solvent": "solvent of the same map",
    "noise": "noise alone",
    "detergent": "detergent belt",
}
MAPS = {"protein": "right hand", "wrong hand": "wrong hand", "detergent": "with detergent"}


def invented_table(rows):
    unit = next((r["places"]["protein"]["contrast"] for r in rows if r["control"] == "protein"), np.nan)
    lines = [["place", "contrast kept (protein: 1)"]]
    for r in rows:
        for place, found in r.get("places", {}).items():
            name = "protein of the wrong hand" if r["control"] == "wrong hand" else PLACES[place]
            lines += [[name, f"{found['contrast'] / unit:.3f}"]] * ((place, r["control"]) != ("protein", "detergent"))
    return lines


def hand_table(rows):
    head = [
        "map",
        "FSC 0.5 in the mask (Å): before",
        "after",
        "correlation: before",
        "after",
        "Q-score: before",
        "after",
    ]
    two = lambda r, key, form: [format(r[when][key] or NOT_REACHED, form) for when in ("before", "after")]
    cells = lambda r: [*two(r, "fsc05", ".2f"), *two(r, "correlation", ".3f"), *two(r, "q", ".3f")]
    return [head] + [[MAPS.get(r["control"], r["control"]), *cells(r)] for r in rows if "before" in r]


def _position(before, after, where):
    """Figures of a position: where is a (z, y, x) bool array."""
    return dict(contrast=float(after[where].std() / before[where].std()), voxels=int(where.sum()))


def _solvent(case):
    return soft_mask(case.reference.atoms.xyz, case.volume, AWAY, 1e-3) == 0


def noise_of(work, case):
    """The noise of the same half-maps alone, sharpened as the map with the protein is."""
    half1, half2 = (read_volume(work / f"map_half{k}.mrc") for k in (1, 2))
    voxels, sides = half1.voxels_zyx, half1.data.shape
    b_factor = shells.guinier_b_factor(0.5 * (half1.data + half2.data) * case.reference.mask, voxels, RESOLUTION) or 0.0
    noise = shells.sharpened(0.5 * (half1.data - half2.data), voxels, max(0.0, b_factor), RESOLUTION)
    noise = noise[tuple(slice((n - min(n, NOISE_SIDE)) // 2, (n + min(n, NOISE_SIDE)) // 2) for n in sides)]
    write_volume(work / "noise.mrc", noise.astype(np.float32), dataclasses.replace(half1, data=noise, header=None))
    return noise.astype(np.float32)


@benchmark(
    cases=dict(control=["protein", "noise", "wrong hand", "detergent"]),
    tables={"map-invented": invented_table, "map-hand": hand_table},
    quick=dict(control="noise", protein="1S3X"),
)
def map_controls(run, control, model=IMPROVER, protein=PROTEIN):
    """What the model makes of what it should not invent: noise, detergent, a map of the wrong hand. FSC, correlation
    and Q-score are with the density that is truly there: of the wrong hand, with the mirrored model."""
    work, molecule = run.folder(control), MEMBRANE if control == "detergent" else protein
    structure = simulate(molecule, RESOLUTION, work / "map", *["--detergent"][: control == "detergent"])
    path = work / "map_full.mrc"
    if control == "wrong hand":
        volume, path = read_volume(path), work / "mirror.mrc"
        write_volume(path, volume.data[:, :, ::-1], volume)
        structure = mirrored(structure, volume)
    case = case_of(path, structure, RESOLUTION)
    # noise has no resolution to be estimated, and would be left
    improved = lambda path: improve(model, path, work / "improved.mrc", "--resolution", RESOLUTION)[0]
    if control == "noise":
        noise, after = noise_of(work, case), read_volume(improved(work / "noise.mrc")).data
        return dict(places=dict(noise=_position(noise, after, np.ones(noise.shape, bool))))
    after, before = read_volume(improved(path)).data, case.volume.data
    inside, true = case.reference.mask > 0.5, case.reference.density
    likeness = lambda data: float(np.corrcoef(data[inside], true[inside])[0, 1])
    both = dict(before=before, after=after)
    row = {when: dict(measured(data, case), correlation=likeness(data)) for when, data in both.items()}
    places = dict(protein=soft_mask(case.reference.atoms.xyz, case.volume, NEAR, 1e-3) > 0.5)
    if control == "protein":
        places["solvent"] = _solvent(case)
    if control == "detergent":
        raw = sum(read_volume(work / f"map_half{k}.mrc").data for k in (1, 2))
        places["detergent"] = (dense_mask(raw, case.volume.voxels_zyx) > 0.99) & _solvent(case)
    shutil.rmtree(work)
    return dict(row, places={name: _position(before, after, where) for name, where in places.items()})


# ----- the half-map test: treatments that add nothing, and textures that are added to both half-maps
STRUCTURES, AMPLITUDE = ("1S3X", "1FDO", "3ENL"), 0.15  # of the signal's


def in_shells(volume: np.ndarray, gain: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """A volume with each shell multiplied by a factor."""
    index, count, _ = shells.shell_numbers(volume.shape, voxels)
    return scipy.fft.irfftn(scipy.fft.rfftn(volume) * np.append(gain, 0)[np.minimum(index, count)], s=volume.shape)


def treatments(raw, mask, voxels, resolution) -> dict[str, list[np.ndarray]]:
    """What people do to half-maps without adding anything: {name: two (z, y, x) arrays}."""
    blurred = gaussian_filter(raw[0] + raw[1], 2.5)
    hard = blurred > np.quantile(blurred[mask > 0.5], 0.4)
    tight = gaussian_filter(hard.astype(np.float32), 1.5)
    sharp = [shells.sharpened(x, voxels, 80, resolution) for x in raw]
    power = [shells.shell_sums(raw[0] * mask, x * mask, voxels) for x in raw[::-1]]  # of the signal, and with noise
    return {
        "nothing": raw,
        "clipping at 0": [np.maximum(x, 0) for x in raw],
        "clipping at the median": [np.maximum(x, np.quantile(x[mask > 0.5], 0.5)) for x in raw],
        "a tight mask": [x * tight for x in raw],
        "a hard mask": [x * hard for x in raw],
        "sharpening": sharp,
        "a low-pass filter": [shells.sharpened(x, voxels, 0, 1.5 * resolution) for x in raw],
        "a Wiener filter": [in_shells(x, np.maximum(power[0], 0) / power[1], voxels) for x in raw],
        "sharpening, clipping, tight mask": [np.maximum(x, 0) * tight for x in sharp],
        "sharpening, clipping, hard mask": [np.maximum(x, 0) * hard for x in sharp],
        "a power of 1.5": [np.maximum(x, 0) ** 1.5 for x in raw],
    }


def textured(maps, mask, voxels, resolution, seed, shaped):
    """Two maps with a texture of AMPLITUDE added to both, of the signal's spectrum or white to the resolution."""
    white = np.random.default_rng(seed).normal(size=mask.shape).astype(np.float32)
    signal = np.maximum(shells.shell_sums(maps[0] * mask, maps[1] * mask, voxels), 0)
    texture = shells.sharpened(white, voxels, 0, resolution)
    if shaped:
        texture = in_shells(white, np.sqrt(signal / np.maximum(shells.shell_sums(white, white, voxels), 1e-9)), voxels)
    texture = texture * mask
    scale = AMPLITUDE * np.sqrt(signal.sum() / shells.shell_sums(texture, texture, voxels).sum())
    return [x + scale * texture for x in maps]


def said_of(added):
    """Of a treatment, with a texture or alone: how many maps were warned of, and what was not in the data, in %."""
    percent = lambda part: [100 * row["unexplained" + added] for row in part]
    warned = lambda part: f"{sum(row['warned' + added] for row in part)}/{len(part)}"
    return lambda part: f"{warned(part)}, {min(percent(part)):.1f}–{max(percent(part)):.1f}"


TEXTURES = ("", "texture like the signal", "white texture")
invention_table = groups(
    ("treatment",), {"Done to both half-maps": "treatment", **{added or "alone": said_of(added) for added in TEXTURES}}
)


@benchmark(
    cases=lambda: [dict(seed=n, resolution=4.0 if n < 6 else (3.0, 6.0)[n % 2]) for n in range(12)],
    tables={"map-invention": invention_table},
)
def map_invention(run, seed, resolution, pixel_size=1.3):
    """What the half-map test says of known treatments, alone and with Gaussian noise added in the mask, with the
    spectrum of the signal or white up to the resolution. Half-maps are simulated, the structures in turn."""
    structure, prefix = structure_file(STRUCTURES[seed % len(STRUCTURES)]), run.folder(str(seed))
    given = ("--resolution", resolution, "--pixel-size", pixel_size, "--seed", seed, "--output", prefix)
    cryodl("simulate-half-maps", "--structure", structure, *given)
    halves = [read_volume(f"{prefix}_half{k}.mrc") for k in (1, 2)]
    raw, voxels = [half.data for half in halves], halves[0].voxels_zyx
    mask, rows = dense_mask(raw[0] + raw[1], voxels), []
    for name, maps in treatments(raw, mask, voxels, resolution).items():
        rows.append(dict(structure=structure.name, treatment=name))
        for added in TEXTURES:
            changed = textured(maps, mask, voxels, resolution, seed, "like" in added) if added else maps
            resolutions, _, shared = half_map_test(halves, changed, mask)
            good, _ = half_map_verdict(half_map_resolutions(dict(resolutions, **shared.metrics())))
            told = dict(warned=not good, **shared.metrics())
            rows[-1].update({key + added: value for key, value in told.items()})
    return rows


# ----- the map of doubt: pieces that the data lack, planted into both processed half-maps
PLANTED = {
    "helices": ["1S3X", "1FDO", "2D0F", "1LEE"],
    "side chains": ["3ENL", "1LEE", "2D0F", "1S3X"],
    "ligands": ["1RX1", "5DB0", "5H73", "1LEE"],
}


def planted_atoms(atoms, kind, rng):
    """(n,) bool: atoms that the data lack: ligands, three stretches of ten residues, or every eighth side chain."""
    number, side = len(atoms.residues), ~np.isin(atoms.atom_names, list(doubt.BACKBONE))
    starts, chosen = rng.choice(number - 10, 3), rng.choice(number, number // 8, replace=False)
    return {
        "helices": ((atoms.residue[:, None] - starts) // 10 == 0).any(axis=1),
        "side chains": side & np.isin(atoms.residue, chosen),
        "ligands": ~atoms.protein,
    }[kind]


doubt_table = groups(
    ("planted", "processed"),
    {
        "planted": "planted",
        "processed by": "processed",
        "maps": len,
        "AUC": lambda part: f"{mean(r['auc'] for r in part):.3f} (≥{min(r['auc'] for r in part):.3f})",
        "planted residues called not in the data": lambda part: f"{mean(r['found'] for r in part):.0%}",
        "from the data": lambda part: f"{mean(r['believed'] for r in part):.0%}",
        "others not in the data": lambda part: (
            f"{mean(r['false'] for r in part):.1%} (≤{max(r['false'] for r in part):.1%})"
        ),
    },
)


@benchmark(
    cases=lambda: [
        dict(planted=kind, molecule=name, resolution=resolution, processed=processed)
        for processed, count in (("sharpening, clipping", 4), ("network", 2))
        for kind, names in PLANTED.items()
        for name, resolution in list(zip(names, (4.0, 3.5, 4.5, 5.0)))[:count]
    ],
    tables={"map-doubt": doubt_table},
    quick=dict(processed="sharpening, clipping"),
)
def map_doubt(run, planted, molecule, resolution, processed):
    """Whether residues that were planted into both processed half-maps, and are not in the data, are doubted more than
    others (AUC), and how many of both are called what: others more than 5 Å from what was planted."""
    atoms, rng = read_atoms(structure_file(molecule)), np.random.default_rng(SEED)
    atoms = chosen_atoms(atoms, np.linalg.norm(atoms.xyz - atoms.xyz.mean(axis=0), axis=1) < BALL)
    extra, grid = planted_atoms(atoms, planted, rng), simulated.grid_around(atoms, min(resolution / 3, 1.3))
    faults = simulated.Faults(resolution, 20 * resolution)
    made = simulated_halves(chosen_atoms(atoms, ~extra), grid, faults, rng)
    piece = model_density(chosen_atoms(atoms, extra), grid, np.sqrt((faults.b_factor + 50) / (8 * np.pi**2)))
    whole = lambda added: [dataclasses.replace(grid, data=np.float32(x + added)) for x in (made.half1, made.half2)]
    halves, both = whole(0), whole(piece)
    sharp = lambda half: np.maximum(shells.sharpened(half.data, grid.voxels_zyx, 80, resolution), 0)
    improve = lambda half: load_improver(IMPROVER, torch.device("cpu")).improve(half, resolution=resolution)
    parts = [(improve if processed == "network" else sharp)(half) for half in both]
    mask = dense_mask(halves[0].data + halves[1].data, grid.voxels_zyx)
    found = doubt.doubt_of(halves, parts, half_map_test(halves, parts, mask)[2].controls, mask)
    rows, new = doubt.residue_rows(found, grid, atoms), np.bincount(atoms.residue, extra) > 0
    distance = np.linalg.norm(atoms.xyz[:, None] - atoms.xyz[extra], axis=2).min(axis=1)
    far = np.bincount(atoms.residue, distance < 5) == 0  # Å
    values, called = np.array([float(r[3]) for r in rows]), np.array([r[6] for r in rows])
    return dict(
        auc=float(np.mean((np.sign(values[new][:, None] - values[~new]) + 1) / 2)),
        found=float((called[new] == "not in the data").mean()),
        believed=float((called[new] == "from the data").mean()),
        false=float((called[far] == "not in the data").mean()),
    )


# ----- pairs of half-maps, each improved alone
halves_table = groups(
    ("resolution",),
    {
        "half-maps of": lambda part: f"{part[0]['resolution']:g} Å" if len(part) < 6 else "all",
        "pairs": len,
        "FSC 0.5 of a half with the model: before": lambda part: f"{mean(r['before'] for r in part):.2f}",
        "after": lambda part: f"{mean(r['after'] for r in part):.2f}",
        "FSC 0.143: both raw": lambda part: f"{mean(r['raw'] for r in part):.2f}",
        "one improved, the other's control": lambda part: f"{mean(r['crossed'] for r in part):.2f}",
        "both improved": lambda part: f"{mean(r['improved'] for r in part):.2f}",
        "not in the data": lambda part: f"{least_and_most([100 * r['unexplained'] for r in part], '.1f')} %",
        "warned": lambda part: sum(r["warned"] for r in part),
    },
    lambda rows, key: {**grouped(sorted(rows, key=lambda r: r[key]), key), "all": rows},
)


@benchmark(
    cases=dict(molecule=["1OEL", "6VXX", "1WCM", "1U6G", "5GJV"], resolution=[3.0, 3.5, 4.0, 5.0, 6.0]),
    tables={"map-halves": halves_table},
)
def map_halves(run, molecule, resolution):
    """Simulated half-maps of parts of molecules that the shipped model never saw, a ball of 22 Å of each, improved one
    by one: each with the model, and with each other."""
    atoms = read_atoms(structure_file(molecule))
    middle = atoms.xyz[np.linalg.norm(atoms.xyz - atoms.xyz.mean(axis=0), axis=1).argmin()]
    atoms = chosen_atoms(atoms, np.linalg.norm(atoms.xyz - middle, axis=1) < BALL)
    grid, faults = simulated.grid_around(atoms, min(resolution / 3, 1.3)), simulated.Faults(resolution, 20 * resolution)
    made, voxels = simulated_halves(atoms, grid, faults, np.random.default_rng(SEED)), grid.voxels_zyx
    halves = [dataclasses.replace(grid, data=np.float32(x)) for x in (made.half1, made.half2)]
    model = load_improver(IMPROVER, torch.device("cpu"))
    improved = [model.improve(half, resolution=resolution) for half in halves]
    mask, reference = dense_mask(halves[0].data + halves[1].data, voxels), measure.reference_for(grid, atoms)
    resolutions, _, shared = half_map_test(halves, improved, mask)
    found = dict(resolutions, **shared.metrics())
    fsc = lambda data: shells.shell_correlation(data * reference.mask, reference.density * reference.mask, voxels)
    limit = lambda data: fsc(data).resolution(0.5) or NOT_REACHED
    return dict(
        before=mean(limit(half.data) for half in halves),
        after=mean(map(limit, improved)),
        warned=not half_map_verdict(half_map_resolutions(found), BY_NETWORK)[0],
        unexplained=shared.unexplained,
        **{name: resolutions[name]["fsc0143_angstrom"] or NOT_REACHED for name in ("raw", "crossed", "improved")},
    )


# ----- cost, which is proportional to the number of boxes that hold anything
STEP = 21  # px from box to box: a box of 48 px, and the overlap of the command


def boxes(side, step=STEP):
    return (-(-side // step)) ** 3


def extrapolated(rows, network, side):
    """A row of a larger map, by the time of a box and of all else, of two smaller ones; none without these."""
    pair = [r for r in rows if r["network"] == network and r["threads"] == 1 and not r["filled"]][:2]
    if len(pair) < 2:
        return []
    (one, other), more = (boxes(r["side"], r["step"]) for r in pair), boxes(side, pair[0]["step"])
    slope = lambda key: (pair[1][key] - pair[0][key]) / (other - one)
    times = {key: pair[0][key] + slope(key) * (more - one) for key in ("cpu", "wall")}
    return [dict(network=network, side=side, threads=1, filled=0, step=pair[0]["step"], **times)]


def speed_table(rows):
    shown = {
        "network": lambda r: "swinconv (published, random weights)" if r["network"] == "swinconv" else r["network"],
        "map (px of 1 Å)": lambda r: f"{r['side']}^3" + f", {r['filled']}^3 of it not empty" * bool(r["filled"]),
        "threads": "threads",
        "": lambda r: "measured" if "memory" in r else "extrapolated",
        "boxes": lambda r: "-" if r["filled"] else boxes(r["side"], r["step"]),
        "CPU s": "cpu:.0f",
        "wall s": "wall:.0f",
        "memory (MB)": lambda r: f"{r['memory']:.0f}" if "memory" in r else "-",
    }
    return columns(shown)([*rows, *extrapolated(rows, "swinconv", 200), *extrapolated(rows, IMPROVER, 512)])


@benchmark(
    cases=lambda: [
        *(
            dict(network=IMPROVER, side=side, threads=threads, filled=0)
            for side, threads in ((96, 1), (200, 1), (200, 2))
        ),
        *(dict(network="swinconv", side=side, threads=1, filled=0) for side in (48, 72)),
        dict(network=IMPROVER, side=512, threads=1, filled=96),
    ],
    tables={"map-speed": speed_table},
    quick=dict(side=48),
)
def map_speed(run, network, side, threads, filled):
    """Processor time and memory of `improve-map`; two sizes give the time of a box and of all else, from which larger
    maps are extrapolated. The map of 512^3 is empty but for a cube: its memory is measured."""
    work, data = run.work(f"{network} {side} {threads} {filled}"), np.zeros((side,) * 3, np.float32)
    part = (slice(0, filled or side),) * 3
    data[part] = np.abs(np.random.default_rng(0).standard_normal(data[part].shape, np.float32))
    write_volume(work / "map.mrc", data, Volume("map.mrc", data, np.ones(3), np.zeros(3)))
    model = untrained(run, network) if network == "swinconv" else network
    # noise shows no resolution, and would be left alone
    cost = improve(model, work / "map.mrc", work / "improved.mrc", "--resolution", 4, threads=threads)[1]
    shutil.rmtree(work)
    return dict(cost, step=STEP)
