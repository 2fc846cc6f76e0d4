# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimated CTFs against known ones, on micrographs that are simulated here, apart from the engine's own simulation.

    python benchmarks/ctf.py --count 180 --output ctf.csv
    python benchmarks/ctf.py --count 90 --blank --output blank.csv        micrographs without any signal
    python benchmarks/ctf.py --picture ctf/061.json ctf/065.json --output ctf.png       of what estimate-ctf has written
    python benchmarks/ctf.py --table ctf.csv blank.csv                    the tables of docs/protocol_estimate_ctf.md

A micrograph is a random coloured specimen times the CTF and an envelope, and coloured noise, with a ramp of ice. The
CTF is written out here in real numbers, so that a mistake in a convention shows.
"""

import argparse
import csv
import time

import numpy as np

PIXELS = (0.8, 1.1, 1.5, 2.2, 3.54, 5.0)  # Å/px, in turn
MICROSCOPES = ((300.0, 2.7, 0.1), (200.0, 2.0, 0.07), (300.0, 0.01, 0.1))  # kV, mm, amplitude contrast
COLUMNS = (
    "pixel_size",
    "voltage",
    "strength_10A",
    "b_factor",
    "defocus",
    "astigmatism",
    "angle",
    "found",
    "found_u",
    "found_v",
    "found_angle",
    "resolution",
    "correlation",
    "strength",
    "lead",
    "accepted",
    "seconds",
    "method",
)


def electron_wavelength(voltage: float) -> float:
    """Wavelength in Å at a voltage in kV, from the constants of nature."""
    planck, mass, charge, light = 6.62607015e-34, 9.1093837e-31, 1.602176634e-19, 299792458.0
    energy = charge * voltage * 1e3
    return 1e10 * planck / np.sqrt(2 * mass * energy * (1 + energy / (2 * mass * light**2)))


def known_ctf(shape, pixel_size, defocus_u, defocus_v, angle, microscope):
    """CTF on the grid of rfft2, by the formula, and the frequencies.

    Parameters
    ----------
    shape : (int, int)
        px.
    pixel_size : float
        Å/px.
    defocus_u, defocus_v : float
        Å.
    angle : float
        Of defocus_u to the x axis, towards the y axis, degrees.
    microscope : (float, float, float)
        kV, mm, amplitude contrast.

    Returns
    -------
    two (h, w // 2 + 1) arrays
        CTF, and frequency in 1/Å.
    """
    voltage, aberration, amplitude = microscope
    y, x = np.fft.fftfreq(shape[0], pixel_size)[:, None], np.fft.rfftfreq(shape[1], pixel_size)[None]
    squared, wave = x**2 + y**2, electron_wavelength(voltage)
    difference = (defocus_u - defocus_v) * np.cos(2 * (np.arctan2(y, x) - np.radians(angle)))
    phase = (
        0.5 * np.pi * wave * (defocus_u + defocus_v + difference) * squared
        - 0.5 * np.pi * 1e7 * aberration * wave**3 * squared**2
    )
    return -(np.sqrt(1 - amplitude**2) * np.sin(phase) + amplitude * np.cos(phase)), np.sqrt(squared)


def micrograph(side, pixel_size, ground_truth, microscope, random):
    """A micrograph with a known CTF.

    Parameters
    ----------
    side : int
        px.
    pixel_size : float
        Å/px.
    ground_truth : dict
        defocus (mean) and astigmatism (U - V), Å; angle, degrees; strength_10A, the signal's power over the noise's
        at 10 Å where the CTF is 1 (0: blank); b_factor, Å^2.
    microscope : (float, float, float)
        kV, mm, amplitude contrast.
    random : numpy Generator

    Returns
    -------
    (side, side) float32 array
    """
    half = ground_truth["astigmatism"] / 2
    ctf, frequency = known_ctf(
        (side, side),
        pixel_size,
        ground_truth["defocus"] + half,
        ground_truth["defocus"] - half,
        ground_truth["angle"],
        microscope,
    )
    white = lambda: np.fft.rfft2(random.standard_normal((side, side)).astype(np.float32))
    nyquist, ice = 0.5 / pixel_size, random.uniform(0.1, 0.9)
    detector = (1 - random.uniform(0, 0.8) * np.minimum(frequency / nyquist, 1.4) ** 2 / 2) ** 2
    noise = detector + random.uniform(0, 60) * np.exp(-0.5 * (60 * frequency) ** 2)
    protein = (1 - ice) / (1 + (15 * frequency) ** 4) * (1 + 1.5**4)
    specimen = (ice + protein) * np.exp(-0.5 * ground_truth["b_factor"] * (frequency**2 - 0.01))
    image = np.fft.irfft2(
        white() * np.sqrt(noise) + white() * ctf * np.sqrt(ground_truth["strength_10A"] * specimen), s=(side, side)
    ).astype(np.float32)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    return image + 0.5 * image.std() * (random.normal() * ramp[:, None] + random.normal() * ramp)


def cases(count, seed, blank):
    """(pixel size, ground truth, microscope, seed) of each micrograph."""
    random = np.random.default_rng(seed)
    for number in range(count):
        ground_truth = dict(
            defocus=random.uniform(5000, 40000),
            astigmatism=random.uniform(0, 1000),
            angle=random.uniform(0, 180),
            b_factor=random.uniform(50, 200),
            strength_10A=0.0 if blank else float(np.exp(random.uniform(np.log(0.03), np.log(0.6)))),
        )
        yield PIXELS[number % len(PIXELS)], ground_truth, MICROSCOPES[random.integers(len(MICROSCOPES))], seed + number


def ours(image, pixel_size, microscope):
    """{column: figure} of the engine's estimate."""
    from cryodl.micrographs.ctf import Microscope, SearchRange, checked, estimate_ctf

    try:
        fit = estimate_ctf(image, pixel_size, Microscope(*microscope), SearchRange())
    except ValueError:
        return dict(accepted=0)
    try:
        accepted = int(checked(fit) is fit)
    except ValueError:
        accepted = 0
    return dict(
        found=(fit.defocus_u + fit.defocus_v) / 2,
        found_u=fit.defocus_u,
        found_v=fit.defocus_v,
        found_angle=fit.defocus_angle,
        resolution=fit.resolution,
        correlation=fit.correlation,
        strength=fit.strength,
        lead=0.5 * (fit.strength**2 - fit.second_best**2),
        accepted=accepted,
    )


def theirs(image, pixel_size, microscope):
    """{column: figure} of torch-ctf-estimation, which must be installed beside the engine."""
    import torch
    from torch_ctf_estimation import estimate_ctf
    from torch_ctf_estimation.models import CTFFittingParams, OpticalParams

    optics = OpticalParams(
        pixel_spacing_angstroms=pixel_size,
        voltage_kev=microscope[0],
        spherical_aberration_mm=microscope[1],
        amplitude_contrast_fraction=microscope[2],
    )
    finest = max(5.0, 2.2 * pixel_size)
    fitting = CTFFittingParams(
        defocus_grid_resolution=(1, 1, 1),
        frequency_fit_range_angstroms=(30.0, finest),
        defocus_range_microns=(0.3, 5.0),
        patch_sidelength=256,
    )
    image = torch.from_numpy((image - image.mean()) / image.std())
    result = estimate_ctf(image, optics, fitting)[2]
    u, v = (1e4 * float(value) for value in (result.defocus_u, result.defocus_v))
    return dict(found=(u + v) / 2, found_u=u, found_v=v, found_angle=float(result.astigmatism_angle), accepted=1)


def measure(arguments):
    """Estimate each case and write a row."""
    estimate = theirs if arguments.torch_ctf_estimation else ours
    with open(arguments.output, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for pixel_size, ground_truth, microscope, seed in cases(arguments.count, arguments.seed, arguments.blank):
            image = micrograph(arguments.side, pixel_size, ground_truth, microscope, np.random.default_rng(seed))
            start = time.process_time()
            found = estimate(image, pixel_size, microscope)
            writer.writerow(
                dict(
                    ground_truth,
                    pixel_size=pixel_size,
                    voltage=microscope[0],
                    **found,
                    method=estimate.__name__,
                    seconds=f"{time.process_time() - start:.2f}",
                )
            )
            file.flush()


def table(paths):
    """Print the figures of some files: of all pixel sizes and of each, for what was accepted."""
    for path in paths:
        with open(path, newline="") as file:
            rows = [
                {k: float(v) if v else np.nan for k, v in row.items() if k != "method"} for row in csv.DictReader(file)
            ]
        print(
            f"\n{path}\n| pixel size | micrographs | accepted | median error (Å) | within 200 Å | wrong by 1000 Å | "
            "error of U - V (Å) | CPU s |\n|---|---|---|---|---|---|---|---|"
        )
        for size in ("all",) + PIXELS:
            mine = [row for row in rows if size in ("all", row["pixel_size"])]
            good = [row for row in mine if row["accepted"]]
            error = np.abs([row["found"] - row["defocus"] for row in good] or [np.nan])
            difference = np.abs([row["found_u"] - row["found_v"] - row["astigmatism"] for row in good] or [np.nan])
            print(
                f"| {size} | {len(mine)} | {len(good)} | {np.median(error):.0f} | {np.mean(error < 200):.0%} | "
                f"{int((error > 1000).sum())} | {np.median(difference):.0f} | "
                f"{np.mean([row['seconds'] for row in mine] or [np.nan]):.2f} |"
            )


def picture(records, output):
    """Spectra beside fits, and their curves, of JSON files of estimate-ctf."""
    import json

    import matplotlib
    import mrcfile

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(2, len(records), figsize=(5 * len(records), 7), squeeze=False, height_ratios=(3, 1))
    for (above, below), path in zip(panels.T, records):
        with open(path) as file:
            record = json.load(file)
        above.imshow(mrcfile.read(path[:-5] + ".mrc"), cmap="gray")
        above.set_title(
            f"...{record['name'][-8:]}: {record['defocus_u']:.0f} and {record['defocus_v']:.0f} Å, "
            f"{record['defocus_angle']:.0f}°"
        )
        above.set_axis_off()
        profile = record["profile"]
        below.plot(profile["frequency"], profile["data"], label="power spectrum, over equal phases")
        scale = 2 * np.std(profile["data"]) / np.std(profile["model"]) * record["correlation"]
        below.plot(profile["frequency"], scale * np.array(profile["model"]), label="fitted CTF")
        below.set_xlabel("Spatial frequency (1/Å)")
        below.set_yticks([])
    panels[1][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(output, dpi=70)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=1536, help="px")
    parser.add_argument("--blank", action="store_true", help="no signal")
    parser.add_argument("--torch-ctf-estimation", action="store_true", help="that package instead of the engine")
    parser.add_argument("--output", default="ctf.csv")
    parser.add_argument("--picture", nargs="+", help="draw these JSON files of estimate-ctf")
    parser.add_argument("--table", nargs="+", help="only print the figures of these files")
    arguments = parser.parse_args()
    if arguments.table:
        table(arguments.table)
    elif arguments.picture:
        picture(arguments.picture, arguments.output)
    else:
        measure(arguments)


if __name__ == "__main__":
    main()
