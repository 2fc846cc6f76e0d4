# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the tables of denoising, each made from the figures of a benchmark; see page_tables.py."""

import typing

from page_cells import Rows

TESTS = {
    "1": "(1) beta-galactosidase",
    "2": "(2) spike",
    "3": "(3) both learnt, beta-galactosidase",
    "4": "(4) learnt from noise, beta-galactosidase",
    "5": "(5) microtubule + kinesin",
    "6": "(6) nucleosome + Chd1",
}
WAYS = {
    "Wiener": "Wiener filter",
    "blind": "`general_denoiser`, blind",
    "template": "projection of the template, likeliest orientation *",
    "posterior": "projection of the template, mean (`posterior`) *",
    "swinconv": "`swinconv`",
    "cgan": "`cgan`",
}


def six_tests(figures: typing.Any) -> Rows:
    """The tests of the method's authors, all ways of denoising side by side."""
    head = ["test", "way", "steps", "mean FRC", "over Wiener", "FSC = 0.5 of the map (Å)", "noise: FRC - unrelated"]
    rows = [[*head, "noise: contrast (%)", "another molecule: like the known one / itself / genuine ones"]]
    for number, name in TESTS.items():
        found = {way: figures[f"six/{number}/{way}"] for way in WAYS if f"six/{number}/{way}" in figures}
        if not found:
            continue
        first = next(iter(found.values()))
        rows.append(
            [name, "raw", "", f"{first['mean_frc']['raw']:.3f}", "", _angstrom(first["map"]["raw"]), "", "", ""]
        )
        for way, one in found.items():
            mean, unseen = one["mean_frc"], one["unseen"]
            looks = unseen["similarity"], unseen["own_similarity"], one["real_similarity"]
            cells = [f"{mean['denoised']:.3f}", f"{mean['denoised'] / mean['wiener']:.2f}"]
            cells += [_angstrom(one["map"]["denoised"]), f"{one['noise'] - one['unrelated']:+.3f}"]
            cells += [f"{100 * one['noise_contrast']:.0f}", " / ".join(f"{value:.2f}" for value in looks)]
            rows.append([name, WAYS[way], str(one["training"].get("steps") or ""), *cells])
    return rows


def blind_particles(figures: typing.Any) -> Rows:
    """Particles denoised without a known structure, beside what knows the spectra."""
    head = ["molecule", "SNR", "particles", "mean FRC: raw / Wiener filter / blind", "blind over Wiener"]
    rows = [
        [
            *head,
            "correlation: raw / Wiener filter / blind",
            "noise: contrast, Wiener filter / blind (%)",
            "CPU s per particle",
        ]
    ]
    for key, one in figures.items():
        name, snr = key.split("/")
        frc, close = ([one[what][kind] for kind in ("raw", "wiener", "blind")] for what in ("frc", "correlation"))
        left = " / ".join(f"{100 * one[kind]:.0f}" for kind in ("noise_contrast_wiener", "noise_contrast"))
        cells = [_slashed(frc), f"{frc[2] / frc[1]:.2f}", _slashed(close), left]
        rows.append([name, snr, str(one["count"]), *cells, f"{one['cpu_seconds']:.3f}"])
    return rows


def _slashed(values: typing.Iterable[float]) -> str:
    return " / ".join(f"{value:.3f}" for value in values)


def kinesin_sites(figures: typing.Any) -> Rows:
    """Occupancy of each site of a microtubule."""
    rows = [["images", "ROC AUC of the sites", "right (%)"]]
    for way, words in {"raw": "raw, with CTF and noise", **WAYS}.items():
        one = figures.get(f"six/sites/{way}")
        if one:
            rows.append([words, f"{one['auc']:.3f}", f"{100 * one['accuracy']:.0f}"])
    return rows


def _angstrom(value: typing.Optional[float]) -> str:
    return "none" if value is None else f"{value:.1f}"
