# SPDX-License-Identifier: GPL-3.0-or-later
"""Pickers on simulated micrographs of structures that the general model did not learn from, and the maps of picks."""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from bench import (
    CPU,
    NETWORKS,
    RealSet,
    benchmark,
    columns,
    cryodl,
    data_folder,
    f1_ap,
    flags,
    groups,
    in_order,
    mean,
    pick,
    recorded,
    score,
)
from peers import positions
from picking_real import learn
from recipes.micrographs import ODD, PARTICLE_PX, PARTICLES, SIDE, WITHOUT, Scenes, dense, unseen, write_ctf

from cryodl.contract import Result
from cryodl.core import geometry, matching, projections
from cryodl.core.calibration import calibrate, expected_calibration_error
from cryodl.core.optics import Optics
from cryodl.io.coordinates import read_coordinates, write_coordinates
from cryodl.io.micrographs import micrograph_shape, write_micrograph
from cryodl.io.model import find_model, read_model
from cryodl.micrographs.normalize import prepare_micrograph
from cryodl.micrographs.pickers import adaptation, crops, load_network, picker_method, predict, thresholds, train
from cryodl.simulate.micrographs import Surroundings, simulate_micrograph
from cryodl.simulate.pool import EXTENT_PX, load_member

# ----- the general model by size and SNR
SNRS = (0.03, 0.1, 0.3)
PANEL_SIDE = 640  # px of a micrograph, in which a particle is 40 px wide
GROUPS = {
    **{f"SNR {snr:g}": lambda r, snr=snr: r["snr"] == snr for snr in SNRS},
    "below 120 Å": lambda r: r["diameter"] < 120,
    "120 to 200 Å": lambda r: 120 <= r["diameter"] < 200,
    "200 to 1000 Å": lambda r: r["diameter"] >= 200,
    "all": lambda r: True,
}


def plot(rows, path):
    models = [key for key in rows[0] if isinstance(rows[0][key], dict)]
    figure, axes = plt.subplots(1, len(SNRS), figsize=(10, 3.2), sharey=True, layout="constrained")
    for axis, snr in zip(axes, SNRS):
        chosen = sorted((r for r in rows if r["snr"] == snr), key=lambda r: r["diameter"])
        for name in models:
            axis.plot([r["diameter"] for r in chosen], [r[name]["f1"] for r in chosen], "o-", ms=4, label=name)
        axis.set(title=f"SNR {snr:g}", xlabel="diameter (Å)", ylim=(0, 1), xscale="log")
    axes[0].set_ylabel("F1 at the default threshold")
    axes[-1].legend()
    figure.savefig(path, dpi=100)


def mean_scores(rows, key):
    """Best F1 / AP (F1) of the scores row[key], the means over rows."""
    return f1_ap({name: mean(r[key][name] for r in rows) for name in ("best_f1", "ap", "f1")})


def panel_table(rows):
    models = [key for key in rows[0] if isinstance(rows[0][key], dict)]
    parts = {title: [r for r in rows if chosen(r)] for title, chosen in GROUPS.items()}
    head = ["sets", "number", *(model.replace("general", "general model") for model in models)]
    return [head] + [[t, str(len(part)), *(mean_scores(part, m) for m in models)] for t, part in parts.items() if part]


def labelled(member, snr, index, count):
    """[LabelledImage] of one set, one microscope and one density of the field."""
    rng, images = np.random.default_rng((78, index, int(1000 * snr))), []
    share, defocus = rng.uniform(0.05, 0.7), rng.uniform(8000, 25000)
    stated, nearest = float(np.exp(rng.uniform(math.log(0.85), math.log(1.25)))), float(rng.choice([0.6, 0.8, 1.0]))
    around = Surroundings(minimum_distance=nearest, ice=3.0, carbon=0.15, gradient=1.0, aggregates=0.3)
    shape, number = (PANEL_SIDE, PANEL_SIDE), int(share * (PANEL_SIDE / EXTENT_PX) ** 2)
    for _ in range(count):
        optics = Optics(defocus + 100, defocus - 100, rng.uniform(0, 180), 300.0, 2.7, 0.1)
        field = (member.extent / EXTENT_PX, shape, number, snr, optics, rng, EXTENT_PX, around)
        made = simulate_micrograph(projections.Projector(member.density), *field)
        seen = prepare_micrograph(made.image.numpy(), 32 / (EXTENT_PX * stated), 32)
        positions = geometry.map_positions(made.centres_yx, shape, seen.image.shape)
        positions = positions[geometry.inside(positions, seen.image.shape)]
        images.append(
            crops.LabelledImage(member.name, seen.image, seen.valid, positions, np.zeros((0, 2)), size=1 / stated)
        )
    return images


def judged(model, images):
    """best_f1, ap, f1 (at the threshold of the scores), calibration_error."""
    card, weights = read_model(find_model(model, "picker"), "picker")
    method = picker_method(card["network"])
    narrow = thresholds.Narrow(*card["narrow"]) if "narrow" in card else None
    picker = predict.Picker(method, load_network(method, weights, model), torch.device("cpu"), narrow=narrow)
    hit, raw, reference = [], [], 0
    for image in images:
        own, picker.typical_size = method.working_diameter * image.size, image.size
        yx, scores = picker.candidates_prepared(image, card["minimum_distance"] * own)
        matched, judged = train.judge_candidates(yx, image, own)
        hit, raw, reference = [*hit, matched[judged]], [*raw, scores[judged]], reference + len(image.positives)
    hit, raw = np.concatenate(hit), np.concatenate(raw)
    found = adaptation.adapt([raw], tuple(card["calibration"]))
    calibration, threshold = (found.calibration, found.threshold) if found else (card["calibration"], card["threshold"])
    scores = calibrate(raw, tuple(calibration))
    figures = matching.score_matched(hit, scores, reference, threshold)
    return dict(
        best_f1=figures.best_f1,
        ap=figures.average_precision,
        f1=figures.f1,
        calibration_error=expected_calibration_error(hit, scores),
    )


@benchmark(
    cases=dict(structure=unseen, snr=SNRS),
    tables={"general-panel": panel_table},
    quick=dict(count=1, models="general"),
    pictures={"general_panel.png": plot},
)
def general_panel(run, structure, snr, count=2, models="general"):
    """General pickers by size and SNR, models (names with commas) beside each other. The diameter is stated 0.85 to
    1.25 times the true one: the search for the size is not part of this."""
    files = unseen()
    member = load_member(files[structure])
    images = labelled(member, snr, list(files).index(structure), count)
    return dict(
        diameter=round(member.extent), **{Path(model).name: judged(model, images) for model in models.split(",")}
    )


# ----- no diameter
right_size = lambda r: bool(r["found"]) and 0.8 <= r["found"] / r["diameter"] <= 1.25
sizes_table = groups(
    ("snr",),
    {
        "SNR": "snr:g",
        "structures": len,
        "size found within a factor of 1.25": lambda part: sum(map(right_size, part)),
        "no size found": lambda part: sum(not r["found"] for r in part),
        "nothing stated": lambda part: mean_scores(part, "nothing"),
        "true diameter stated": lambda part: mean_scores(part, "true_diameter"),
    },
    in_order,
)


def found_in(folder, out, pixel_size, particles, *stated):
    """Figures of picks, and the diameter that they were picked at (Å; None if no size was found)."""
    given = ("--micrographs", *sorted(folder.glob("*.mrc")), "--pixel-size", f"{pixel_size:.4f}", "--model", "general")
    outputs, _, _ = recorded("pick", out, *given, *CPU, "--pictures", 0, *stated)
    kept, every = (matched(source, particles, PARTICLE_PX / 4) for source in (out, out / "candidates"))
    return dict(f1=kept.f1, best_f1=every.best_f1, ap=every.average_precision), outputs.get("picked_diameter")


def matched(folder, particles, reach):
    """Agreement of a folder of picks with {name: (n, 2) yx of the particles}; reach: px."""
    listed = read_coordinates(folder) if any(folder.glob("*.star")) else {}
    parts = [(listed.get(name, (np.zeros((0, 2)), np.zeros(0))), yx) for name, yx in particles.items()]
    hits = np.concatenate([matching.match_picks(part[0], yx, reach) for part, yx in parts])
    return matching.score_matched(
        hits, np.concatenate([part[1] for part, _ in parts]), sum(map(len, particles.values()))
    )


@benchmark(
    cases=dict(structure=unseen, snr=SNRS[:2]), tables={"general-sizes": sizes_table}, quick=dict(count=1, side=512)
)
def general_sizes(run, structure, snr, seed=811, count=3, side=SIDE):
    """What it costs to give `cryodl pick` no particle diameter: fields with ice, aggregates and carbon, as dense as
    chance has it. A pick within a quarter of the diameter of a particle is right; all of the micrograph counts."""
    files = unseen()
    member = load_member(files[structure], PARTICLE_PX)
    pixel_size = member.extent / PARTICLE_PX
    work, true = run.work(f"{structure} {snr:g}"), ("--particle-diameter", f"{member.extent:.1f}")
    particles = dense(member, snr, list(files).index(structure), seed, work / "m", count, side)
    alone, diameter = found_in(work / "m", work / "alone", pixel_size, particles)
    stated, _ = found_in(work / "m", work / "stated", pixel_size, particles, *true)
    return dict(diameter=round(member.extent), found=diameter and round(diameter), nothing=alone, true_diameter=stated)


# ----- micrographs without particles, and unusual ones
SAID = {
    "No particles were found": "no particles at any size",
    "contradict the particle diameter": "the stated diameter is wrong",
    "particles of several sizes": "there is a second size",
    "Protein is bright": "protein is bright",
    "Contrast is not clear": "the contrast is not clear",
    "unsure": "unsure, with questions",
}


def bad_table(rows):
    """A line for each kind of micrographs; those without particles, of which the same is said, in one."""
    said = lambda r: ", ".join(s for words, s in SAID.items() if any(words in w for w in r["warnings"]))
    listed = lambda value: lambda part: ", ".join(dict.fromkeys(str(value(r)) for r in part))
    shown = {"micrographs": listed(lambda r: r["case"] + f" (seed {r['seed']})" * bool(r["seed"]))}
    shown |= {"picks": listed(lambda r: r["picks"]), "particles": lambda part: part[0].get("particles", 0)}
    sizes = lambda r: f"{r['diameter'] or 'none'}, {r['true_diameter']}" if r["true_diameter"] else r["diameter"] or ""
    shown |= {"diameter found, true (Å)": listed(sizes), "F1": "f1:.2f", "what is said": lambda part: said(part[0])}
    kind = lambda r: (r["case"], r["seed"]) if r.get("particles") else said(r)
    return groups(("kind",), shown)([dict(r, kind=kind(r)) for r in rows])


@benchmark(cases=dict(case=[*WITHOUT, *PARTICLES, *ODD], seed=[0]), tables={"bad-micrographs": bad_table})
def bad_micrographs(run, case, seed):
    """What the general model does with micrographs that hold no particles, or unusual ones; nothing is given."""
    scenes, folder = Scenes(seed), run.work(f"{case} {seed}")
    made = scenes.of(case)
    for index, (image, _) in enumerate(made):
        write_micrograph(folder / f"m{index}.mrc", image.numpy().astype(np.float32), scenes.pixel_size)
    given = ("--micrographs", *sorted(folder.glob("m?.mrc")), "--pixel-size", scenes.pixel_size, "--model", "general")
    outputs, warnings, cost = recorded("pick", folder / "picks", *given, *scenes.options, *CPU)
    found = {
        key: value and round(value)
        for key, value in dict(diameter=outputs["picked_diameter"], true_diameter=scenes.diameter).items()
    }
    row = dict(
        picks=outputs["picks"],
        **found,
        warnings=[*warnings, outputs["state"]],
        **dict(cpu=round(cost[1], 1), expected=(outputs["expected"] or {}).get("f1")),
    )
    if scenes.diameter:
        particles = {f"m{index}": centres for index, (_, centres) in enumerate(made)}
        figures = matched(folder / "picks", particles, scenes.diameter / scenes.pixel_size / 4)
        row.update(particles=sum(map(len, particles.values())), f1=figures.f1)
    return row


# ----- maps of the picks
MAPS_SIDE, MICROGRAPHS, EACH, BOX, STEP = 1024, 25, 110, 64, 10
TEACH, LABELS = 4, "100 positives"  # further micrographs, of which the labels are
STRUCTURES = {  # file, symmetry and pixel size (Å); none of them taught the general model
    "8BK7": ("complexes/8BK7.cif.gz", "D2", 4.0),
    "2YKR_30S": ("complexes/2YKR_30S.pdb.gz", "C1", 5.0),
}
KEYS = ("picks", "particles", "resolution", "loss", "structure_resolution")


def contaminated(run, name, count, particles, box):
    """Simulated micrographs of a structure as a labelled set, whose first micrographs teach."""
    file, _, pixel_size = STRUCTURES[name]

    def make(path):
        options = (
            f"--count {count + TEACH} --size {MAPS_SIDE} --particles {particles} --ice 3 --pixel-size {pixel_size} "
            "--snr 0.1 --minimum-distance 0.9 --aggregates 1 --carbon 0.2 --gradient 1 --threads 1"
        )
        given = ("--structure", data_folder() / "structures" / file, *options.split())
        recorded("simulate-micrographs", path, *given, record=path.with_suffix(".json"))
        write_ctf(path)
        (path / "coordinates").rename(path / "coords")
        path.with_suffix(".json").rename(path / "simulated.json")

    folder = run.kept(f"{name} {count} {particles}", make)
    diameter = Result.read(str(folder / "simulated.json")).outputs.particle_diameter
    return RealSet(name, folder, pixel_size, diameter / pixel_size, box / 2, TEACH)


def picked(run, one, picker):
    """Folder of a picker's picks of the test micrographs."""

    def make(path):
        if picker == "random":
            write_random(path, one)
        elif picker == "blobs":
            given = flags(micrographs=one.test, pixel_size=one.pixel_size, threads=1, pictures=0, output=path)
            cryodl("pick", "--method", "templates", *given, "--particle-diameter", one.diameter)
        elif picker == "general":
            pick(one.test, one.pixel_size, None, picker, path)
        else:
            model = run.kept(f"{one.folder.name} models/{picker}", lambda path: learn([one], LABELS, picker, path))
            pick(one.test, one.pixel_size, one.diameter, model / "model", path)

    return run.kept(f"{one.folder.name} picks/{picker}", make)


def write_random(folder, one):
    """As many positions on each micrograph as it has particles, anywhere."""
    rng, known = np.random.default_rng(7), positions(one)
    folder.mkdir()
    for path in map(Path, one.test):
        yx = rng.uniform(0, micrograph_shape(path), known[path.stem].shape)
        write_coordinates(folder / f"{path.stem}.star", yx, np.zeros(len(yx)))


PICKERS = ("general", "blobs", "random", *NETWORKS)
WORDS = dict(reference="true positions", general="general model", blobs="blobs", random="positions at random")
angstrom = lambda key: lambda r: "nothing" if r[key] is None else f"{r[key]:.2f}"


@benchmark(
    cases=dict(data=["8BK7", "2YKR_30S"]),
    tables={
        "picked-maps": columns(
            {
                "data": "data",
                "picks of": lambda r: WORDS.get(r["set"], r["set"]),
                "particles": "particles",
                "precision": "precision:.3f",
                "recall": "recall:.3f",
                "half-maps, FSC 0.143 (Å)": angstrom("resolution"),
                "loss (%)": lambda r: "" if r["loss"] is None or r["set"] == "reference" else f"{r['loss']:.1f}",
                "map and structure, FSC 0.5 (Å)": angstrom("structure_resolution"),
            }
        )
    },
    quick=dict(micrographs=2, particles=20, box=48, step=30, pickers="general,random"),
)
def picked_maps(run, data, micrographs=MICROGRAPHS, particles=EACH, box=BOX, step=STEP, pickers=",".join(PICKERS)):
    """Resolution of the maps of each picker's particles beside that of the true positions: `compare-maps-of-picks` on
    simulated micrographs of SNR 0.1 within the particle's diameter, with ice, aggregates, carbon and gradients. The
    general model is given nothing, blobs the diameter, the networks 100 labels of four further micrographs; the
    control is as many positions at random."""
    one = contaminated(run, data, micrographs, particles, box)
    sets = {picker: picked(run, one, picker) for picker in pickers.split(",")}
    file, symmetry, _ = STRUCTURES[data]
    given = dict(micrographs=one.test, pixel_size=one.pixel_size, reference=one.ground_truth, angular_step=step)
    given.update(structure=data_folder() / "structures" / file, box=box, symmetry=symmetry, ctf=one.folder / "ctf.star")
    made, _, _ = recorded(
        "compare-maps-of-picks",
        run.folder(f"maps {data}"),
        *flags(picks=[f"{p}={at}" for p, at in sets.items()], **given),
    )
    rows = []
    for name in made["sets"]:
        found = score(one, sets[name]) if name in sets else {}
        row = dict(set=name, **{key: made[key][name] for key in KEYS})
        rows.append(dict(row, **{key: found[key] for key in ("precision", "recall") if found}))
    return rows
