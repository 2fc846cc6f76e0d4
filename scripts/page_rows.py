# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the documentation's tables, each made from the figures of a benchmark; see page_tables.py."""

import typing

Rows = typing.List[typing.List[str]]
FEATURES = ("membrane", "ribosome", "microtubule", "filament")
SPECIES = {
    "rubisco": "rubisco (apo-ferritin)",
    "cand1": "CAND1-CUL1 (beta-amylase, weight 0)",
    "betagal": "beta-galactosidase (weight 2)",
    "mtorc1": "mTORC1 (thyroglobulin, weight 2)",
    "capsid": "capsid (virus-like particle)",
}


def filaments(figures: typing.Any) -> Rows:
    """Traced filaments against the truth."""
    head = ["filament", "SNR", "stated / true diameter", "precision", "recall", "F1", "angle error (degrees)", "CPU s"]
    return [head] + [
        [r["filament"], f"{r['snr']:g}", f"{r['stated']:g}"]
        + [f"{r[key]:.2f}" for key in ("precision", "recall", "f1")]
        + [f"{r['angle_mean']:.1f}", f"{r['seconds']:.1f}"]
        for r in figures["simulated"]
    ]


def filaments_without(figures: typing.Any) -> Rows:
    """What is traced where no filaments are."""
    head = ["real micrographs without filaments", "micrographs", "filament diameter (Å)", "filaments", "segments"]
    keys = ("set", "micrographs", "diameter", "filaments", "segments")
    return [head] + [[_plain(r[key]) for key in keys] for r in figures["without"]]


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


def half_maps(figures: typing.Any) -> Rows:
    """FSC of half-maps, ours beside RELION's."""
    programs = {"cryodl": "`reconstruct`", "relion_reconstruct": "`relion_reconstruct --ctf --pad 2`"}
    head = [""] + [
        f"{what}: {name}"
        for what in ("half-maps", "sum of the halves with the molecule's density")
        for name in programs.values()
    ]
    found = {(r["complex"], r["program"]): r for r in figures}
    return [head] + [
        [one] + [f"{found[one, program][key]:.3f}" for key in ("halves", "truth") for program in programs]
        for one in dict.fromkeys(r["complex"] for r in figures)
    ]


def heterogeneity(figures: typing.Any) -> Rows:
    """Both methods on the same particles."""
    head = ["set", "method", "Spearman of `cryodlLatent1`", "p", "verdict", "CPU s"]
    return [head] + [
        [
            r["set"],
            r["method"],
            f"{r['spearman']:.2f}",
            f"{r['p_value']:.0e}" if r["p_value"] < 1e-4 else f"{r['p_value']:.1g}",
            r["verdict"],
            _plain(r["cpu_seconds"]),
        ]
        for r in figures
    ]


def map_invention(figures: typing.Any) -> Rows:
    """What the half-map test says of known treatments."""
    rows = [["Done to both half-maps", "warned", "not in the data", "gain"]]
    for treatment in dict.fromkeys(r["treatment"] for r in figures):
        part = [r for r in figures if r["treatment"] == treatment]
        new, gain = sorted(100 * r["unexplained"] for r in part), sorted(r["gain"] for r in part)
        warned = f"{sum(r['warned'] for r in part)} of {len(part)}"
        rows.append([treatment, warned, f"{new[0]:.1f} to {new[-1]:.1f} %", f"{gain[0]:+.3f} to {gain[-1]:+.3f}"])
    return rows


def orientation_floors(figures: typing.Any) -> Rows:
    """Orientations beside plain cross-correlation on the same particles."""
    head = ["complex", "SNR", "particles", "within 15° (%)", "plain cross-correlation (%)", "said to be right (%)"]
    rows = [[*head, "expected calibration error", "CPU ms per particle"]]
    for r in [*figures["complexes"], *figures["together"]]:
        name = r.get("complex") or f"**all {r['complexes']}**"
        count = r.get("count") or sum(one["count"] for one in figures["complexes"] if one["snr"] == r["snr"])
        shares = [f"{r[key]:.0f}" if "complex" in r else f"{r[key]:.1f}" for key in ("right", "correlation", "stated")]
        error = "" if "complex" in r else f"{r['ece']:.3f}"
        rows.append([name, f"{r['snr']:g}", str(count), *shares, error, f"{r['ms']:.0f}"])
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
        "best Gaussian low-pass of the mean, chosen by the truth": figures["denoise"]["gaussian"],
        "Wiener filter of the mean, from the halves": figures["denoise"]["wiener_of_the_average"],
        f"{topaz} (unet-3d-10a)": figures["topaz"]["unet-3d-10a"],
        f"{topaz} (unet-3d-20a)": figures["topaz"]["unet-3d-20a"],
        "denoised": figures["denoise"]["denoised"],
        "denoised, rows that were not learned from": figures["denoise"]["denoised_rows_not_learned"],
    }
    return [["", "correlation"]] + [[name, f"{value:.2f}"] for name, value in found.items()]


def tomogram_wedge(figures: typing.Any) -> Rows:
    """Correlation with the truth where the missing wedge was filled."""
    steps, wedge = figures["denoise"]["steps"], figures["wedge"]
    names = {
        "average": "mean of the halves",
        "denoised": f"denoised ({steps} steps)",
        "filled": f"denoised, wedge filled ({wedge['steps']} steps)",
    }
    return [["correlation", "all frequencies", "in the missing wedge alone"]] + [
        [name, f"{wedge[key]:.2f}", f"{wedge[key + '_in_the_wedge']:.2f}"] for key, name in names.items()
    ]


def _plain(value: typing.Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# name of the table: its file of figures, and the function that makes its rows (the first is the head)
TABLES: typing.Dict[str, typing.Tuple[str, typing.Callable[[typing.Any], Rows]]] = {
    "filaments": ("filaments", filaments),
    "filaments-without": ("filaments", filaments_without),
    "general-segmenters": ("general_segmenters", general_segmenters),
    "segmented-noise": ("general_segmenters", segmented_noise),
    "half-maps": ("half_maps", half_maps),
    "heterogeneity": ("heterogeneity", heterogeneity),
    "map-invention": ("map_invention", map_invention),
    "orientation-floors": ("orientation_floors", orientation_floors),
    "tomogram-detection": ("tomogram_detection", tomogram_detection),
    "tomogram-denoising": ("tomogram_denoising", tomogram_denoising),
    "tomogram-wedge": ("tomogram_denoising", tomogram_wedge),
}
