# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials of the half-map test: treatments that add nothing, and textures that are added to both half-maps.

    python benchmarks/map_invention.py --output FOLDER [--trials 10] [--improver improver]

Run by the engine's Python. Half-maps are simulated by `cryodl simulate-half-maps` at 4 Å. Treatments: clipping at 0 and
at the median, a tight mask, sharpening, a low-pass filter, sharpening with mask and clipping. Textures: Gaussian noise
in the mask, with the spectrum of the signal or white up to 4 Å. Prints a table, and writes FOLDER/map_invention.json.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import scipy.fft
from common import cryodl, data_folder
from parts import engine_path

STRUCTURES = ("small/1S3X.pdb.gz", "small/1FDO.pdb.gz", "small/3ENL.pdb.gz")
AMPLITUDES = (0.125, 0.25, 0.5)  # of the signal's
RESOLUTION, PIXEL_SIZE = 4.0, 1.3  # Å


def halves_of(structure: Path, folder: Path, seed: int) -> list:
    """Two simulated half-maps of a structure.

    Parameters
    ----------
    structure : Path
    folder : Path
        Where they are written, if they are not there yet.
    seed : int

    Returns
    -------
    list of Volume
    """
    from cryodl.maps.measures.volume import read_volume

    prefix = folder / f"{structure.name.split('.')[0]}_{seed}"
    paths = [Path(f"{prefix}_half{k}.mrc") for k in (1, 2)]
    if not all(path.exists() for path in paths):
        cryodl(
            "simulate-half-maps",
            "--structure",
            structure,
            "--resolution",
            RESOLUTION,
            "--pixel-size",
            PIXEL_SIZE,
            "--seed",
            seed,
            "--output",
            prefix,
        )
    return [read_volume(path) for path in paths]


def treatments(raw: list[np.ndarray], mask: np.ndarray, voxels: np.ndarray) -> dict[str, list[np.ndarray]]:
    """What people do to half-maps without adding anything: {name: two (z, y, x) arrays}."""
    from scipy.ndimage import gaussian_filter

    from cryodl.maps.measures.shells import sharpened

    blurred = gaussian_filter(raw[0] + raw[1], 2.5)
    tight = gaussian_filter((blurred > np.quantile(blurred[mask > 0.5], 0.4)).astype(np.float32), 1.5)
    sharp = [sharpened(x, voxels, 80, RESOLUTION) for x in raw]
    median = [np.quantile(x[mask > 0.5], 0.5) for x in raw]
    return {
        "nothing": raw,
        "clipping at 0": [np.maximum(x, 0) for x in raw],
        "clipping at the median": [np.maximum(x, m) for x, m in zip(raw, median)],
        "a tight mask": [x * tight for x in raw],
        "sharpening": sharp,
        "a low-pass filter": [sharpened(x, voxels, 0, 1.5 * RESOLUTION) for x in raw],
        "sharpening, clipping and mask": [np.maximum(x, 0) * tight for x in sharp],
    }


def textures(raw: list[np.ndarray], mask: np.ndarray, voxels: np.ndarray, seed: int) -> dict[str, list[np.ndarray]]:
    """The half-maps with a texture added to both: {name: two (z, y, x) arrays}."""
    from cryodl.maps.measures.shells import sharpened, shell_numbers, shell_sums

    white = np.random.default_rng(seed).normal(size=raw[0].shape).astype(np.float32)
    signal = np.maximum(shell_sums(raw[0] * mask, raw[1] * mask, voxels), 0)
    index, count, _ = shell_numbers(white.shape, voxels)
    gain = np.sqrt(signal / np.maximum(shell_sums(white, white, voxels), 1e-9))
    shaped = scipy.fft.irfftn(scipy.fft.rfftn(white) * np.append(gain, 0)[np.minimum(index, count)], s=white.shape)
    found = {}
    for name, texture in (("like the signal", shaped), ("white", sharpened(white, voxels, 0, RESOLUTION))):
        texture = texture * mask
        texture = texture * np.sqrt(signal.sum() / shell_sums(texture, texture, voxels).sum())
        for amplitude in AMPLITUDES:
            found[f"texture {name}, {amplitude:g} of the amplitude"] = [x + amplitude * texture for x in raw]
    return found


def trial(structure: Path, folder: Path, seed: int, improver: str | None) -> list[dict]:
    """Rows of one pair of half-maps: treatment, gain, unexplained, warned."""
    from cryodl.contract import half_map_resolutions, half_map_verdict
    from cryodl.maps.measures.density import dense_mask
    from cryodl.maps.measures.half_map_test import half_map_test

    halves = halves_of(structure, folder, seed)
    raw, voxels = [half.data for half in halves], halves[0].voxels_zyx
    mask = dense_mask(raw[0] + raw[1], voxels)
    cases = dict(treatments(raw, mask, voxels), **textures(raw, mask, voxels, seed))
    if improver:
        cases[f"improved by {improver}"] = _improved(improver, halves)
    rows = []
    for name, improved in cases.items():
        resolutions, _, shared = half_map_test(halves, improved, mask)
        good, _ = half_map_verdict(half_map_resolutions(dict(resolutions, **shared.metrics())))
        rows.append(
            {"structure": structure.name, "seed": seed, "treatment": name, "warned": not good, **shared.metrics()}
        )
    return rows


def _improved(name, halves):
    import torch

    from cryodl.maps.improvers.run import load_improver

    improver = load_improver(name, torch.device("cpu"))
    return [improver.improve(half) for half in halves]


def table(rows: list[dict]) -> str:
    """Markdown: for each treatment how often the test warned, and the ranges of its two numbers."""
    lines = ["| Done to both half-maps | warned | not in the data | gain |", "|---|---|---|---|"]
    for name in dict.fromkeys(row["treatment"] for row in rows):
        these = [row for row in rows if row["treatment"] == name]
        added, gain = ([row[key] for row in these] for key in ("unexplained", "gain"))
        lines.append(
            f"| {name} | {sum(row['warned'] for row in these)} of {len(these)} | "
            f"{100 * min(added):.1f} to {100 * max(added):.1f} % | {min(gain):+.3f} to {max(gain):+.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True, help="folder of map_invention.json")
    parser.add_argument("--trials", type=int, default=10, help="pairs of half-maps, over the structures in turn")
    parser.add_argument("--improver", help="also try this model")
    options = parser.parse_args()
    engine_path()
    folder, rows = Path(options.output), []
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(options.trials):
        structure = data_folder() / "structures" / STRUCTURES[seed % len(STRUCTURES)]
        rows += trial(structure, folder, seed, options.improver)
        (folder / "map_invention.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
        print(f"{seed + 1} of {options.trials}", file=sys.stderr)
    print(table(rows))


if __name__ == "__main__":
    main()
