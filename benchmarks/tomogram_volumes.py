# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms denoised and searched for particles, and motion found in subtomograms."""

import json
from pathlib import Path

import numpy as np
import torch
from bench import (
    CPU,
    asked,
    benchmark,
    columns,
    costs,
    cryodl,
    grouped,
    groups,
    in_order,
    mean,
    measure,
    of_all,
    recorded,
    structure_file,
)
from peers import START_TOPAZ
from recipes.heterogeneity import COMPLEXES, with_errors
from recipes.other_tomograms import make_tomogram
from recipes.tomograms import cells
from scipy.stats import spearmanr

from cryodl.contract import SimulateParticlesConfig
from cryodl.core.fourier import frequencies
from cryodl.core.matching import f_beta, match_picks
from cryodl.io import mrc, subtomograms
from cryodl.io.star import read_tables, write_tables
from cryodl.io.tomograms import Tomogram
from cryodl.simulate.states import load_states

# ----- denoising, with known ground truth: the same cell without noise, and once more without the missing wedge
NAME, SEED = "tomo_001", 11
GAUSSIANS = (0.03, 0.05, 0.07, 0.1, 0.13, 0.16, 0.2, 0.25)  # cycles per px where a Gaussian low-pass has 61 %
STRUCTURES = ("SIM_4V4R_70S_10A", "3J9I")


def cell(run, name, size, **values):
    """Folder of a cell of ribosomes, proteasomes, membranes, microtubules and filaments."""
    shape = dict(size=size, thickness=size // 3, microtubules=3, filaments=6, seed=SEED)
    return cells(run, f"{name} {size}", STRUCTURES, (30 * size**2 // 192**2, 25 * size**2 // 192**2), **shape, **values)


def volume(path):
    """(z, y, x) float32 values of a file."""
    return Tomogram(path).part()


def correlation(first, second):
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def low_passed(image: np.ndarray, width: float) -> np.ndarray:
    """A Gaussian low-pass filter. width: cycles per px."""
    transform = torch.fft.rfftn(torch.from_numpy(image)) * torch.exp(-((frequencies(image.shape) / width) ** 2) / 2)
    return torch.fft.irfftn(transform, s=image.shape).numpy()


def in_wedge(image: np.ndarray) -> np.ndarray:
    """The part of an image that tilts up to 60 degrees do not measure."""
    kz, kx = torch.fft.fftfreq(image.shape[0])[:, None], torch.fft.rfftfreq(image.shape[2])
    mask = (torch.atan2(kz.abs(), kx) > np.pi / 3).float()[:, None]
    return torch.fft.irfftn(torch.fft.rfftn(torch.from_numpy(image)) * mask, s=image.shape).numpy()


TOPAZ = """
import sys, numpy
{start}
from topaz.denoise import Denoise3D
# at once, which its tiles only approximate
found = Denoise3D(sys.argv[1], dims=3).denoise(numpy.load(sys.argv[2]), patch_size=-1)
numpy.save(sys.argv[3], found)
"""
WAYS = {
    "half": "a half as it was",
    "average": "mean of the halves",
    "gaussian": "best Gaussian low-pass of the mean, chosen by the ground truth",
    "wiener_of_the_average": "Wiener filter of the mean, from the halves",
    "unet-3d-10a": "Topaz, pretrained 3-D denoiser (unet-3d-10a)",
    "unet-3d-20a": "Topaz, pretrained 3-D denoiser (unet-3d-20a)",
    "denoised": "denoised",
    "denoised_rows_not_learned": "denoised, rows that were not learned from",
    "estimated": "the same, estimated without the truth",
}
denoised_table = lambda rows: (
    [["", "correlation"]]
    + [
        [word, f"{next(r[key] for r in rows if key in r):.2f}"]
        for key, word in WAYS.items()
        if any(key in r for r in rows)
    ]
)


@benchmark(
    cases=dict(way=["denoised", "unet-3d-10a", "unet-3d-20a"]),
    tables={"tomogram-denoising": denoised_table},
    quick=dict(size=96, steps=2),
)
def tomogram_denoising(run, way, size=192, steps=1000):
    """Correlation with the ground truth of what a network that learns from the halves alone makes of them, beside
    filters and Topaz's pretrained 3-D denoisers (--tool topaz=PYTHON). 13 Å/px, ±60° by 3°, tilt images of SNR 0.1."""
    noisy, clean = cell(run, "noisy", size, snr=0.1, halves=True), cell(run, "clean", size, snr=1e6)
    average, truth = (volume(folder / "tomograms" / f"{NAME}.mrc") for folder in (noisy, clean))
    folder = run.folder(way)
    if way != "denoised":
        folder.mkdir()
        np.save(folder / "average.npy", average)
        code = TOPAZ.format(start=START_TOPAZ.rsplit("from topaz.main", 1)[0])
        cost = measure([run.tool("topaz"), "-c", code, way, folder / "average.npy", folder / "found.npy"])
        return {way: correlation(np.load(folder / "found.npy"), truth), "cpu_s": cost[1]}
    half = volume(noisy / "halves" / f"{NAME}_even.mrc")
    given = ("--tomograms", noisy / "halves" / "*.mrc", "--steps", steps, *CPU)
    cost = costs(cryodl("denoise-tomograms", *given, "--output", folder))
    found, card = volume(folder / f"{NAME}.mrc"), json.loads((folder / "model" / "card.json").read_text())
    gaussians = {width: correlation(low_passed(average, width), truth) for width in GAUSSIANS}
    controls = json.loads((folder / "denoise.json").read_text())["tomograms"][NAME]["controls"]
    return dict(
        steps=steps,
        half=correlation(half, truth),
        average=correlation(average, truth),
        gaussian=max(gaussians.values()),
        denoised=correlation(found, truth),
        denoised_rows_not_learned=correlation(*(v[:, slice(*card["training"]["held_out"][0])] for v in (found, truth))),
        estimated=controls["signal_correlation_after"],
        controls={key: value for key, value in controls.items() if not isinstance(value, list)},
        cost=cost,
    )


@benchmark(
    cases=dict(way=["average", "denoised", "filled"]),
    tables={
        "tomogram-wedge": columns(
            {
                "correlation": lambda r: (
                    dict(average="mean of the halves").get(r["way"])
                    or f"denoised{', wedge filled' if r['way'] == 'filled' else ''} ({r['steps']} steps)"
                ),
                "all frequencies": "whole:.2f",
                "in the missing wedge alone": "wedge:.2f",
            }
        )
    },
    quick=dict(size=96, way="filled", steps=2),
)
def tomogram_wedge(run, way, size=192, steps=None):
    """Correlation with the ground truth without missing wedge, over all frequencies and in the wedge alone."""
    noisy = cell(run, "noisy", size, snr=0.1, halves=True)
    full = cell(run, "full", size, snr=1e6, tilt_min=-90, tilt_max=87) / "tomograms" / f"{NAME}.mrc"
    image, truth, more = volume(noisy / "tomograms" / f"{NAME}.mrc"), volume(full), {}
    if way != "average":
        steps = steps or (1000 if way == "denoised" else 600)
        given = ("--tomograms", noisy / "halves" / "*.mrc", "--steps", steps, *CPU)
        folder = run.folder(way)
        cpu = cryodl("denoise-tomograms", *given, *["--fill-wedge"][: way == "filled"], "--output", folder)[1]
        image, more = volume(folder / f"{NAME}.mrc"), dict(steps=steps, cpu_s=cpu)
    return dict(more, whole=correlation(image, truth), wedge=correlation(in_wedge(image), in_wedge(truth)))


# ----- particles, in a simulated copy of the CZII contest: six species, seven tomograms of 10 Å voxels
DETECTION_SIZE, BETA = 10.0, 4.0  # Å/px


# file of the structure, radius (Å) and weight of the species of the contest that it stands for, copies in a training
# and in a test tomogram
SPECIES = {
    "rubisco": ("1BXN", 60.0, 1, 20, 12, "rubisco (apo-ferritin)"),
    "cand1": ("1U6G", 65.0, 0, 16, 8, "CAND1-CUL1 (beta-amylase, weight 0)"),
    "betagal": ("8BK7", 90.0, 2, 16, 8, "beta-galactosidase (weight 2)"),
    "ribosome": ("SIM_4V4R_70S_10A", 150.0, 1, 14, 8, "ribosome"),
    "mtorc1": ("5H64", 130.0, 2, 14, 8, "mTORC1 (thyroglobulin, weight 2)"),
    "capsid": ("1BMV", 135.0, 1, 7, 5, "capsid (virus-like particle)"),
}
TRAINING = {
    "train_a": dict(snr=0.06, tilt=66, tilt_step=2, defocus=25000, dose=130, filaments=3, seed=11),
    "train_b": dict(snr=0.2, tilt=51, tilt_step=3, defocus=55000, dose=70, filaments=0, seed=12),
    "train_c": dict(snr=0.4, tilt=54, tilt_step=2, defocus=35000, dose=160, filaments=6, seed=13),
    "train_d": dict(snr=0.1, tilt=57, tilt_step=4, defocus=48000, dose=100, filaments=2, seed=14),
}
TRAINING_CELL = dict(size=320, thickness=128, count=2, vesicles=2, membranes=1)
TEST = dict(snr=0.1, tilt=60, tilt_step=3, defocus=40000, dose=100, filaments=2, seed=1)
TEST_CELL = dict(size=256, thickness=128, count=7, vesicles=1, membranes=0)


def labelled(output, folders):
    """Tomograms and STAR files of several folders under names of their own. Returns both lists."""
    linked = output / "labelled"
    linked.mkdir(exist_ok=True)
    tomograms, stars = [], []
    for folder in folders:
        for path in sorted((folder / "tomograms").glob("*.mrc")):
            name = f"{folder.name}_{path.stem}"
            tomograms.append(linked / f"{name}.mrc")
            stars.append(linked / f"{name}.star")
            if not tomograms[-1].exists():
                tomograms[-1].symlink_to(path.resolve())
            table = read_tables(folder / "coordinates" / f"{path.stem}.star")["particles"]
            table["rlnTomoName"] = [name] * len(table["rlnTomoName"])
            write_tables(stars[-1], {"particles": table})
    return tomograms, stars


def placed(path, column, species):
    """(n, 3) zyx px of a species, by a column that names it, in a STAR file."""
    table = read_tables(path)["particles"]
    rows = [n for n, one in enumerate(table.get(column, ())) if one == species]
    return np.array([[float(table[f"rlnCoordinate{axis}"][n]) for axis in "ZYX"] for n in rows]).reshape(-1, 3)


def contest(folder, made, species):
    hit = picks = there = 0
    for name, path in made["files"].items():
        true = placed(folder / "coordinates" / f"{name}.star", "cryodlStructure", species)
        positions = placed(path, "cryodlSpecies", species)
        hit += int(match_picks(positions, true, SPECIES[species][1] / 2 / DETECTION_SIZE).sum())
        picks, there = picks + len(positions), there + len(true)
    return dict(
        particles=there,
        found=hit,
        false=picks - hit,
        recall=round(hit / there, 3),
        precision=round(hit / max(picks, 1), 3),
        f_beta=round(f_beta(hit, picks - hit, there - hit, BETA), 3),
    )


detection_table = lambda rows: (
    [["species (stands for)", "particles", "found", "wrong", "F4"]]
    + [
        *(
            [SPECIES[r["species"]][5], *(str(r[key]) for key in ("particles", "found", "false")), f"{r['f_beta']:.2f}"]
            for r in rows
            if "found" in r
        ),
        *(["weighted mean", "", "", "", f"{r['f_beta']:.3f}"] for r in rows if r["species"] == "weighted mean"),
    ]
)


def crowded(run, name, cell, values, position, size=None):
    """Folder of simulated tomograms of all species. position: of the copies in SPECIES."""
    values = dict(
        cell, **values, microtubules=0, fiducials=0, pixel_size=DETECTION_SIZE, **(dict(size=size) if size else {})
    )
    tilt = values.pop("tilt")
    structures, part = {species: row[0] for species, row in SPECIES.items()}, (values["size"] / cell["size"]) ** 2
    copies = [max(1, round(part * row[position])) for row in SPECIES.values()]
    return cells(run, f"{name} {values['size']}", structures, copies, tilt_min=-tilt, tilt_max=tilt, **values)


@benchmark(cases=dict(steps=[2500]), tables={"tomogram-detection": detection_table}, quick=dict(steps=2, size=112))
def tomogram_detection(run, steps, size=None):
    """A detector that learnt from tomograms of some settings of the simulator (tilts, SNR, defocus, dose) on tomograms
    of another. The contest's score: F-beta with beta 4 of each species, all tomograms together, a match within half
    the radius; the mean weighs the species as the contest does."""
    learn = [crowded(run, name, TRAINING_CELL, values, 3, size) for name, values in TRAINING.items()]
    test = crowded(run, "test7", TEST_CELL, TEST, 4, size)
    tomograms, stars = labelled(run.output, learn)
    diameters = [f"{name}={2 * row[1]:g}" for name, row in SPECIES.items()]
    given = ("--tomograms", *tomograms, "--coordinates", *stars, "--diameter", *diameters, "--beta", BETA, "--seed", 1)
    make = lambda path: cryodl("train-detector", *given, "--steps", steps, "--output", path, *CPU)
    model, tomograms = run.kept(f"model {steps}", make), sorted((test / "tomograms").glob("*.mrc"))
    found, words = run.folder("detected"), ("--tomograms", *tomograms, "--model", model, *CPU)
    made, _, cost = recorded("detect-particles", found, *words)
    rows = [dict(species=name, **contest(test, made, name)) for name in SPECIES]
    weights, voxels = [row[2] for row in SPECIES.values()], len(tomograms) * (size or 256) ** 2 * 128 / 1e6
    overall = float(np.average([r["f_beta"] for r in rows], weights=weights))
    spent = dict(cpu_seconds_per_mvoxel=cost[1] / voxels, memory_mb=round(cost[3]))
    return [*rows, dict(species="weighted mean", f_beta=overall, **spent)]


# ----- detections in mixes of species, of another generator than the program's: is the stated part of look-alikes true?
# One target and what is with it. None of these served to choose the method; 1AON, 3C91, 1WCM, 2CG9, 5GJV, 5X0Y did.
MIXES = {
    "6VXX": ("8UV2", "3IYD", "1OEL"),
    "8UV2": ("6VXX", "3IYD", "6RN3"),
    "4V4R_30S": ("6VXX", "8UV2", "6RN3"),
    "6RN3": ("3IYD", "1OEL", "6VXX"),
}
NEAR = 0.25  # diameters from the truth that a detection may be


AMONG_ITS_KIND, ITS_KIND = "8UV2", "6RN3"  # hexamers of AAA+ rings
total = lambda key: lambda part: sum(row[key] for row in part)
f1_of = lambda part: 2 * total("right")(part) / (total("kept")(part) + total("particles")(part) or 1)
mixed = lambda row: "others" if row["target"] != AMONG_ITS_KIND else row["target"]
named = lambda row: dict(row, targets=mixed(row) + (f", told of {row['against']}" if row["against"] else ""))
false_table = groups(
    ("targets", "snr", "pixel_size"),
    {
        "targets": "targets",
        "SNR": "snr:g",
        "Å/px": "pixel_size:g",
        "particles": total("particles"),
        "kept": total("kept"),
        "right": total("right"),
        "F1": lambda part: f"{f1_of(part):.2f}",
        "best F1": lambda part: f"{mean(row['best_f1'] for row in part):.2f}",
        "`--fdr 0.2`: kept": total("kept_20"),
        "of these right": total("right_20"),
    },
    lambda rows, *keys: grouped([named(row) for row in rows if row["snr"]], *keys),
)


def right_ones(folder, truth, distance):
    """(n,) bool, right or not, of the detections in a folder, best first. truth: {name: (m, 3) zyx}. All in px."""
    scores, right = [], []
    for name, places in truth.items():
        found = read_tables(folder / f"{name}.star")["particles"]
        zyx = np.array([[float(v) for v in found[f"rlnCoordinate{axis}"]] for axis in "ZYX"]).T.reshape(-1, 3)
        scores += map(float, found["cryodlScore"])
        right += match_picks(zyx, places, distance).tolist()
    return np.array(right, bool)[np.argsort(-np.array(scores), kind="stable")]


def mixes():
    kinds = [(0.1, 10.0), (0.03, 10.0), (0.0, 10.0), (0.1, 14.0)]  # 0: noise alone
    given = [dict(target=target, against="") for target in MIXES] + [dict(target=AMONG_ITS_KIND, against=ITS_KIND)]
    return [dict(one, snr=snr, pixel_size=size) for snr, size in kinds for one in given]


@benchmark(cases=mixes, tables={"false-detections": false_table}, quick=dict(tomograms=1, copies=4))
def false_detections(run, target, against, snr, pixel_size, tomograms=2, copies=12, shape_a=(400, 1280, 1280)):
    """Detections of a target among three other species, 12 copies each, by default settings; SNR of the images without
    tilt. against: one of these that the program is told of. Best threshold: the largest F1 over all thresholds on the
    scores of the template's places."""
    files = [structure_file(name) for name in (target, *MIXES[target])]
    shape, where = tuple(round(a / pixel_size) for a in shape_a), run.work(f"{target} {against} {snr:g} {pixel_size:g}")
    truth = {}
    for number in range(tomograms):
        path, seed = where / f"tomo{number}.mrc", 1000 * number + sum(map(ord, target))
        make_tomogram(path, dict.fromkeys(files, copies) if snr else {}, shape, pixel_size, snr, seed)
        there = json.loads(path.with_suffix(".json").read_text()).get(str(files[0]), [])
        truth[path.stem] = np.array(there).reshape(-1, 3)
    told = ("--others", structure_file(against)) if against else ()
    words = ("--tomograms", *sorted(where.glob("*.mrc")), "--template", files[0], *CPU, *told)
    made, _, cost = recorded("detect-particles", where / "found", *words)
    (diameter,) = made["diameters"].values()
    found = lambda folder: right_ones(folder, truth, NEAR * diameter / pixel_size)
    kept, every, count = found(where / "found"), found(where / "found" / "candidates"), sum(map(len, truth.values()))
    again, _, _ = recorded("detect-particles", where / "found", *words, "--fdr", 0.2)
    stated = lambda made: sum(sum(one.values()) for one in made["expected_false_detections"].values())
    wide = found(where / "found")
    best = max(2 * np.cumsum(every) / (np.arange(1, len(every) + 1) + count), default=0.0) if count else 0.0
    return dict(
        tomograms=tomograms,
        particles=count,
        kept=len(kept),
        right=int(kept.sum()),
        stated=stated(made),
        best_f1=float(best),
        kept_20=len(wide),
        right_20=int(wide.sum()),
        stated_20=stated(again),
        cpu=cost[1],
    )


# ----- motion in subtomograms: a domain in 13 states of a rotation of 45 degrees in all, 25 of each; and rigid ones
PIXEL_SIZES = {"1U6G": 8.0, "2CG9": 7.0, "1WCM": 7.6, "6RN3": 8.4}  # Å/px
BOX, STATES, RANGE = 32, 13, 45.0
SNRS, ERRORS = (0.1, 0.02), (0.0, 3.0)
OF_CUBES = subtomograms.read_subtomograms, subtomograms.write_subtomograms_star
KNOWN = 100.0  # SNR within the particle's sphere at which that over the box is measured


def hinge_maps(folder, name):
    """Files of the states of a hinge."""
    config = SimulateParticlesConfig(
        structure=str(structure_file(name)),
        box=BOX,
        count=1,
        output=str(folder / "unused.star"),
        domain=COMPLEXES[name]["domain"],
        pixel_size=PIXEL_SIZES[name],
        hinge_range=RANGE,
        hinge_states=STATES,
        snr=1.0,
    )
    paths = [folder / f"{name}_{number:02d}.mrc" for number in range(1, STATES + 1)]
    if not paths[-1].exists():
        for path, density in zip(paths, load_states(config).densities):
            mrc.write_map(path, density, config.pixel_size)
    return [str(path) for path in paths]


def simulated(folder, structures, pixel_size, count, snr, seed):
    """STAR file of subtomograms with an SNR over the whole box."""

    def made(name, **changes):
        common = dict(structures=structures, pixel_size=pixel_size, box=BOX, max_shift=10.0, seed=seed, device="cpu")
        asked("simulate-subtomograms", folder / name, **common, **changes)
        return folder / name

    if (folder / "set.star").exists():  # with other orientations
        return folder / "set.star"
    clean = subtomograms.read_subtomograms(made("clean.star", count=max(1, 6 // len(structures)), snr=KNOWN))
    over_box = float(clean.volumes(slice(None)).var(dim=(1, 2, 3)).mean()) - 1  # the noise has a variance of 1
    return made("set.star", count=count, snr=snr * KNOWN / over_box)


def measured(path, folder, **options):
    """Row of a fit, and its columns."""
    made, seconds = asked("fit-heterogeneity", folder / "fit", particles=path, **options)
    row = {key: made[key] for key in ("p_value", "variability", "verdict", "count")}
    said = json.loads(Path(made["heterogeneity"]).read_text())
    row.update(cpu_seconds=round(seconds, 1), error_found=said["orientation_error_degrees"])
    return row, subtomograms.read_subtomograms(made["particles"]).columns


def hinges_first(rows, *keys):
    """Each hinge by itself, and the rigid sets by SNR and error."""
    hinges = [r for r in rows if r["kind"] == "hinge"]
    rigid = in_order([r for r in rows if r["kind"] == "rigid"], *keys)
    return {**{n: [r] for n, r in enumerate(hinges)}, **dict(reversed(rigid.items()))}


either = lambda moving, still: lambda part: moving(part[0]) if part[0]["kind"] == "hinge" else still(part)
motion_table = groups(
    ("snr", "error"),
    {
        "set": either(lambda r: f"hinge {r['molecule']}", lambda part: "rigid"),
        "SNR": "snr:g",
        "error of orientations": lambda part: f"{part[0]['error']:g}°",
        "Spearman": "spearman:.2f",
        "p": either(lambda r: f"{r['p_value']:.0e}", lambda part: f"{min(r['p_value'] for r in part):.1g} at least"),
        "variability": either(
            lambda r: f"{r['variability']:.1%}", lambda part: f"{max(r['variability'] for r in part):.2%} at most"
        ),
        "verdict": either(
            lambda r: r["verdict"], lambda p: f"motion in {sum(r['p_value'] < 0.05 for r in p)} of {len(p)}"
        ),
        "CPU s": of_all("cpu_seconds", ".0f"),
    },
    hinges_first,
)


def motion_cases():
    moving = [(snr, name, e) for snr in SNRS for name in ("1U6G", "2CG9", "1WCM") for e in ERRORS]
    rigid = [(n, list(PIXEL_SIZES)[n % 4], SNRS[n // 2 % 2], ERRORS[n // 4 % 2]) for n in range(14)]
    return [dict(kind="rigid", number=n + 1, molecule=m, snr=s, error=e) for n, m, s, e in rigid] + [
        dict(kind="hinge", number=0, molecule=m, snr=s, error=e) for s, m, e in moving
    ]


@benchmark(cases=motion_cases, tables={"subtomogram-heterogeneity": motion_table}, quick=dict(each=30, kind="rigid"))
def subtomogram_heterogeneity(run, kind, number, molecule, snr, error, each=25):
    """Motion found in simulated subtomograms of hinges, and in rigid ones, each of those sets of its own seed. Tilts of
    -60 to 60 degrees, defocus of 3.5 to 4.5 µm, uncorrected; SNR over the whole box. Orientations are exact or wrong by
    3 degrees about random axes."""
    folder, size = run.work(f"{kind} {number} {molecule} {snr} {error}"), PIXEL_SIZES[molecule]
    if kind == "rigid":
        path = simulated(folder, [str(structure_file(molecule))], size, 12 * each, snr, seed=99 + number)
        return measured(with_errors(path, error, number - 1, *OF_CUBES), folder, latent=2, axes=0)[0]
    both = run.output / f"{molecule}_{snr:g}"
    both.mkdir(exist_ok=True)
    path = simulated(both, hinge_maps(run.output, molecule), size, each, snr, seed=1)
    row, columns = measured(with_errors(path, error, 1, *OF_CUBES), folder, latent=2, maps=5)
    true, found = (np.array(columns[name], float) for name in ("rlnClassNumber", "cryodlLatent1"))
    return dict(row, spearman=abs(float(spearmanr(found, true)[0])))
