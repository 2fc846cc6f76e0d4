# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the tables of tomograms and maps, each made from the figures of a benchmark; see page_tables.py."""

import statistics
import typing

from page_cells import Rows

FEATURES = ("membrane", "ribosome", "microtubule", "filament")
SPECIES = {
    "rubisco": "rubisco (apo-ferritin)",
    "cand1": "CAND1-CUL1 (beta-amylase, weight 0)",
    "betagal": "beta-galactosidase (weight 2)",
    "mtorc1": "mTORC1 (thyroglobulin, weight 2)",
    "capsid": "capsid (virus-like particle)",
}


def general_segmenters(figures: typing.Any) -> Rows:
    """The shipped segmenters on tomograms that they never saw."""
    head = ["tomogram", "feature", "Dice", "precision", "recall", "best Dice", "found in its noise (%)"]
    rows = []
    for name, entry in figures.items():
        if "features" in entry:
            order = sorted(entry["features"], key=list(FEATURES).index)
            rows += [_segmented(name.split("/")[1], feature, entry["features"][feature]) for feature in order]
    return [head, *rows, _segmented("EMD-1155 (real)", "membrane", figures["pretrained/EMD-1155"])]


def _segmented(tomogram: str, feature: str, r: typing.Any) -> typing.List[str]:
    scores = [f"{r[key]:.3f}" for key in ("dice", "precision", "recall", "best_dice")]
    return [tomogram, feature, *scores, f"{100 * r['noise']:.2g}"]


def segmented_noise(figures: typing.Any) -> Rows:
    """The part of noise that the shipped segmenters take for a feature."""
    rows = [["noise", *(f"{feature} (%)" for feature in FEATURES)]]
    for key, parts in figures.items():
        if "/noise " in key:
            width = key.split("/noise ")[1].split()[0]
            name = "white" if width == "0" else f"smoothed by {width} px"
            name += ", as it is used" if key.endswith(" limited") else ", scores as they are"
            rows.append([name, *(f"{100 * parts[feature]:.2g}" for feature in FEATURES)])
    return rows


def ten_tiles(figures: typing.Any) -> Rows:
    """Ten drawn tiles added to a shipped segmenter, and alone. The first tomogram is that of seed 77."""
    rows = [["drawn in, evaluated on", "feature", "shipped model", "ten tiles added to it", "ten tiles alone"]]
    order = {"77": "first", "78": "second"}
    for key, r in figures.items():
        if "/ten tiles/" in key:
            feature, drawn, other = key.rsplit("/", 1)[1].split()
            shipped, added = r["shipped"]["dice"], r["shipped and ten tiles"]["dice"]
            alone = f"{r['ten tiles']['dice']:.3f}" if "ten tiles" in r else "not measured"
            words = f"{added:.3f}" + " (kept)" * (added == shipped)
            rows.append([f"{order[drawn]}, {order[other]}", feature, f"{shipped:.3f}", words, alone])
    return rows


def map_invention(figures: typing.Any) -> Rows:
    """What the half-map test says of known treatments."""
    rows = [["Done to both half-maps", "warned", "not in the data", "gain"]]
    for treatment in dict.fromkeys(r["treatment"] for r in figures):
        part = [r for r in figures if r["treatment"] == treatment]
        new, gain = sorted(100 * r["unexplained"] for r in part), sorted(r["gain"] for r in part)
        warned = f"{sum(r['warned'] for r in part)} of {len(part)}"
        rows.append([treatment, warned, f"{new[0]:.1f} to {new[-1]:.1f} %", f"{gain[0]:+.3f} to {gain[-1]:+.3f}"])
    return rows


def map_nucleic(figures: typing.Any) -> Rows:
    """Maps with nucleic acid from 2.5 to 8 Å: the whole, and the nucleic acid alone."""
    head = ["map", "in the training", "taken for (Å)", "FSC 0.5 (Å): input", "best sharpening", "ours"]
    head += ["Q-score: input", "best sharpening", "ours", "nucleic acid, FSC 0.5 (Å): input", "ours"]
    rows = [[*head, "Q-score: input", "best sharpening", "ours"]]
    kinds = ("input", "sharpened", "improved")
    angstrom = lambda value: "not reached" if value is None else f"{value:.2f}"
    for key, r in figures.items():
        molecule, resolution = key.rsplit("/", 2)[-2:]
        taken = (f"{r['estimated']:.2f}" if r["estimated"] else "unknown") + ", unchanged" * r["unchanged"]
        row = [f"{molecule} at {resolution} Å", r["learnt"], taken]
        row += [angstrom(r[kind]["fsc05"]) for kind in kinds] + [f"{r[kind]['q']:.3f}" for kind in kinds]
        if "nucleic_q" in r["input"]:
            row += [angstrom(r[kind]["nucleic_fsc05"]) for kind in ("input", "improved")]
            row += [f"{r[kind]['nucleic_q']:.3f}" for kind in kinds]
        else:
            row += ["none"] + ["-"] * 4
        rows.append(row)
    return rows


def map_training(figures: typing.Any) -> Rows:
    """Gain of map improvers against the time of their training; of a long table, times that double."""
    rows = [["training", "CPU minutes", "boxes seen", "correlation: before", "after", "Q-score: before", "after"]]
    for name, run in figures.items():
        shown, least = [], 0.0
        for r in run["rows"]:
            if r["cpu_minutes"] >= 1.4 * least or r is run["rows"][-1]:
                shown, least = [*shown, r], r["cpu_minutes"]
        for r in shown:
            scores = [r["correlation_before"], r["correlation"], r["q_score_before"], r["q_score"]]
            rows.append([name, f"{r['cpu_minutes']:.1f}", f"{r['boxes']:,}", *[f"{score:.3f}" for score in scores]])
    return rows


def map_estimates(figures: typing.Any) -> Rows:
    """What maps of known resolution are taken for: the median, and from where to where."""
    kinds = {"deposited": "as deposited", "as refined": "as refined, not sharpened", "masked": "as deposited, masked"}
    rows = [["resolution (Å)", "maps", *kinds.values()]]
    key = lambda name: float(name.rsplit("/", 1)[1])
    for resolution in sorted({key(name) for name in figures}):
        part = [r for name, r in figures.items() if key(name) == resolution]
        row = [f"{resolution:g}", str(len(part))]
        for kind in kinds:
            found = sorted(r[kind] for r in part if r[kind] is not None)
            unknown = f", {len(part) - len(found)} unknown" if len(found) < len(part) else ""
            row.append(f"{statistics.median(found):.1f} ({found[0]:.1f} to {found[-1]:.1f}){unknown}")
        rows.append(row)
    return rows


def tomogram_detection(figures: typing.Any) -> Rows:
    """The detector, species by species."""
    rows = [["species (stands for)", "particles", "found", "wrong", "F4"]]
    for name, r in figures["detector"]["species"].items():
        counts = [str(r[key]) for key in ("particles", "found", "false")]
        rows.append([SPECIES.get(name, name), *counts, f"{r['f_beta']:.2f}"])
    return [*rows, ["weighted mean", "", "", "", f"{figures['detector']['f_beta']:.3f}"]]


def tomogram_denoising(figures: typing.Any) -> Rows:
    """Correlation of denoised tomograms with the truth."""
    topaz = "Topaz, pretrained 3-D denoiser"
    found = {
        "a half as it was": figures["denoise"]["half"],
        "mean of the halves": figures["denoise"]["average"],
        "best Gaussian low-pass of the mean, chosen by the ground truth": figures["denoise"]["gaussian"],
        "Wiener filter of the mean, from the halves": figures["denoise"]["wiener_of_the_average"],
        f"{topaz} (unet-3d-10a)": figures["topaz"]["unet-3d-10a"],
        f"{topaz} (unet-3d-20a)": figures["topaz"]["unet-3d-20a"],
        "denoised": figures["denoise"]["denoised"],
        "denoised, rows that were not learned from": figures["denoise"]["denoised_rows_not_learned"],
    }
    return [["", "correlation"]] + [[name, f"{value:.2f}"] for name, value in found.items()]


def tomogram_wedge(figures: typing.Any) -> Rows:
    """Correlation with the ground truth where the missing wedge was filled."""
    steps, wedge = figures["denoise"]["steps"], figures["wedge"]
    names = {
        "average": "mean of the halves",
        "denoised": f"denoised ({steps} steps)",
        "filled": f"denoised, wedge filled ({wedge['steps']} steps)",
    }
    return [["correlation", "all frequencies", "in the missing wedge alone"]] + [
        [name, f"{wedge[key]:.2f}", f"{wedge[key + '_in_the_wedge']:.2f}"] for key, name in names.items()
    ]


def subtomograms_elsewhere(figures: typing.Any) -> Rows:
    """Accuracy on subtomograms of another simulator."""
    rows = [["SNR (whole box)", "seed", "accuracy", "known called unknown", "strangers", "noise", "CPU s to learn"]]
    keys = ("snr", "seed", "accuracy", "unknown", "strangers", "noise", "training_cpu")
    return rows + [[str(one[key]) for key in keys] for one in figures]
