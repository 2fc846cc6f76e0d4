# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoising of simulated tomograms with known ground truth, beside filters and Topaz's 3-D denoiser.

    python benchmarks/tomogram_denoising.py --output FOLDER [--topaz FOLDER] [--parts denoise topaz wedge segment speed]

Run by the engine's Python. --topaz: folder that `pip install --target FOLDER --no-deps topaz-em` filled; its pretrained
models (unet-3d-10a, unet-3d-20a) are in the package. A cell (70S ribosomes, proteasomes, membranes, microtubules,
thin filaments; 13 Å/px, ±60° by 3°, tilt images of SNR 0.1, CTF, dose) is simulated with even and odd halves by
`cryodl simulate-tomograms --halves`, and once more without noise: the truth, with the same missing wedge; a third time
without noise and wedge. The network learns from the halves alone. Writes FOLDER/tomogram_denoising.json after each
part; parts that it has are not measured again.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from common import cryodl, data_folder
from parts import engine_path
from tomo_data import PIXEL_SIZE, PROTEASOME, RIBOSOME

PARTS = ("denoise", "topaz", "wedge", "segment", "speed")
NAME = "tomo_001"
GAUSSIANS = (0.03, 0.05, 0.07, 0.1, 0.13, 0.16, 0.2, 0.25)  # cycles per px where a Gaussian low-pass has 61 %
LARGE, TARGET = (256, 512, 512), (512, 2048, 2048)
SEED = 11


def simulate(output: Path, name: str, *options: object) -> Path:
    """Folder of the simulated cell, made if it is not there."""
    folder = output / name
    if not folder.exists():
        structures = data_folder() / "structures"
        common = ("--structures", unpacked(structures / RIBOSOME, output), structures / PROTEASOME, "--copies", 30, 25)
        cell = ("--size", 192, "--thickness", 64, "--microtubules", 3, "--filaments", 6, "--seed", SEED)
        cryodl("simulate-tomograms", *common, *cell, *options, "--output", folder, *CPU)
    return folder


CPU = ("--device", "cpu", "--threads", 1)


def unpacked(path: Path, output: Path) -> Path:
    """A map of which the header is read without unpacking."""
    import gzip

    target = output / path.name[:-3]
    if not target.exists():
        target.write_bytes(gzip.decompress(path.read_bytes()))
    return target


def volume(path: Path) -> np.ndarray:
    """(z, y, x) float32 values of a file."""
    from cryodl.io.tomograms import Tomogram

    return Tomogram(path).part()


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Of all voxels."""
    return round(float(np.corrcoef(first.ravel(), second.ravel())[0, 1]), 4)


class Cell:
    """The simulated tomogram. output: folder of all files."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.noisy = simulate(output, "noisy", "--snr", 0.1, "--halves")
        clean = simulate(output, "clean", "--snr", 1e6)
        self.average, self.ground_truth = (
            volume(folder / "tomograms" / f"{NAME}.mrc") for folder in (self.noisy, clean)
        )

    def whole(self) -> np.ndarray:
        """The ground truth without missing wedge."""
        full = simulate(self.output, "full", "--snr", 1e6, "--tilt-min", -90, "--tilt-max", 87)
        return volume(full / "tomograms" / f"{NAME}.mrc")

    def denoised(self, output: str, *options: object) -> tuple:
        """Folder of the denoised tomogram and the cost of the command, None if it was there."""
        folder, cost = self.output / output, None
        if not (folder / f"{NAME}.mrc").exists():
            halves = ("--tomograms", self.noisy / "halves" / "*.mrc")
            cost = costs(cryodl("denoise-tomograms", *halves, "--output", folder, *options, *CPU))
        return folder, cost


def costs(measured: tuple) -> dict:
    """What common.measure gives, with names."""
    _, cpu, wall, memory = measured
    return dict(cpu_s=round(cpu, 1), wall_s=round(wall, 1), memory_mb=round(memory))


def low_passed(image: np.ndarray, width: float) -> np.ndarray:
    """A Gaussian low-pass filter. width: cycles per px."""
    import torch

    from cryodl.tomograms.denoisers.spectra import subvolume_frequencies

    transform = torch.fft.rfftn(torch.from_numpy(image)) * torch.exp(
        -((subvolume_frequencies(image.shape) / width) ** 2) / 2
    )
    return torch.fft.irfftn(transform, s=image.shape).numpy()


def denoise(cell: Cell, options: argparse.Namespace) -> dict:
    """Correlation with the truth of the mean of the halves, the best Gaussian low-pass, and of what was denoised."""
    half = volume(cell.noisy / "halves" / f"{NAME}_even.mrc")
    folder, cost = cell.denoised("denoised", "--steps", options.steps)
    found, rows = volume(folder / f"{NAME}.mrc"), round(0.85 * half.shape[1])
    gaussians = {width: correlation(low_passed(cell.average, width), cell.ground_truth) for width in GAUSSIANS}
    best = max(gaussians, key=gaussians.get)
    controls = json.loads((folder / "denoise.json").read_text())["tomograms"][NAME]["controls"]
    return dict(
        steps=options.steps,
        half=correlation(half, cell.ground_truth),
        average=correlation(cell.average, cell.ground_truth),
        gaussian=gaussians[best],
        gaussian_width=best,
        denoised=correlation(found, cell.ground_truth),
        denoised_rows_not_learned=correlation(found[:, rows:], cell.ground_truth[:, rows:]),
        controls={key: value for key, value in controls.items() if not isinstance(value, list)},
        training_and_denoising=cost,
    )


def topaz(cell: Cell, options: argparse.Namespace) -> dict:
    """Correlation with the ground truth of what Topaz's pretrained 3-D denoisers make of the mean of the halves."""
    import contextlib
    import time

    import torch

    library = torch.library.Library("torchvision", "DEF")  # Topaz rotates images with it, and nothing here
    for operator in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        with contextlib.suppress(RuntimeError):
            library.define(operator)
    sys.path.insert(0, options.topaz)  # before this folder, which has a topaz.py
    from topaz.denoise import Denoise3D

    figures = {}
    for model in ("unet-3d-10a", "unet-3d-20a"):
        denoiser, start = Denoise3D(model, dims=3), time.process_time()
        found = denoiser.denoise(cell.average, patch_size=-1)  # at once, which its tiles only approximate
        figures[model] = correlation(found, cell.ground_truth)
        figures[f"{model}_cpu_s"] = round(time.process_time() - start, 1)
        np.save(cell.output / f"topaz_{model}.npy", found)
    return figures


def wedge(cell: Cell, options: argparse.Namespace) -> dict:
    """Correlation with the truth without missing wedge, over all frequencies and over those in the wedge alone."""
    whole = cell.whole()
    plain, _ = cell.denoised("denoised", "--steps", options.steps)
    filled, cost = cell.denoised("filled", "--fill-wedge", "--steps", options.wedge_steps)
    figures = dict(steps=options.wedge_steps, cost=cost)
    for what, folder in (("average", None), ("denoised", plain), ("filled", filled)):
        image = cell.average if folder is None else volume(folder / f"{NAME}.mrc")
        figures[what] = correlation(image, whole)
        figures[f"{what}_in_the_wedge"] = correlation(in_wedge(image), in_wedge(whole))
    return dict(figures, validation=json.loads((filled / "model" / "card.json").read_text())["validation"])


def in_wedge(image: np.ndarray) -> np.ndarray:
    """The part of an image that tilts up to 60 degrees do not measure."""
    import torch

    kz, kx = torch.fft.fftfreq(image.shape[0])[:, None], torch.fft.rfftfreq(image.shape[2])
    mask = (torch.atan2(kz.abs(), kx) > np.pi / 3).float()[:, None]
    return torch.fft.irfftn(torch.fft.rfftn(torch.from_numpy(image)) * mask, s=image.shape).numpy()


def segment(cell: Cell, options: argparse.Namespace) -> dict:
    """Dice coefficients of features in the second half of the rows, by networks that learned from the first half of
    them, with and without denoising."""
    features = [f["name"] for f in json.loads((cell.noisy / "features.json").read_text())["features"]]
    folder, _ = cell.denoised("denoised", "--steps", options.steps)
    labels, figures = volume(cell.noisy / "labels" / f"{NAME}.mrc"), {}
    middle = labels.shape[1] // 2
    for what, image in (("as it was", cell.average), ("denoised", volume(folder / f"{NAME}.mrc"))):
        work = cell.output / f"segment_{what.replace(' ', '_')}"
        work.mkdir(exist_ok=True)
        learned = write(work / "learned.mrc", image[:, :middle])
        drawn, asked = write(work / "drawn.mrc", labels[:, :middle]), write(work / "asked.mrc", image[:, middle:])
        for feature in options.features:
            label, model = features.index(feature) + 1, work / f"{feature}_model"
            if not model.exists():
                names = ("--label", label, "--feature", feature, "--steps", options.segmenter_steps)
                cryodl("train-segmenter", "--tomograms", learned, "--labels", drawn, *names, "--output", model, *CPU)
            cryodl("segment", "--tomograms", asked, "--model", model, "--output", work / feature, *CPU)
            hit = volume(work / feature / f"asked__{feature}.mrc") >= 0.5
            right = labels[:, middle:] == label
            figures[f"{feature}, {what}"] = round(float(2 * (hit & right).sum() / (hit.sum() + right.sum())), 4)
    return dict(dice=figures, segmenter_steps=options.segmenter_steps)


def write(path: Path, values: np.ndarray) -> Path:
    """A volume of 13 Å/px."""
    from cryodl.io.volume_writer import VolumeWriter

    with VolumeWriter(path, values.shape, PIXEL_SIZE, np.float32) as file:
        file.write(0, values)
    return path


def speed(cell: Cell, options: argparse.Namespace) -> dict:
    """Time and memory of denoising both halves of a larger volume with a trained network."""
    rng, folder = np.random.default_rng(0), cell.output / "large"
    folder.mkdir(exist_ok=True)
    times = [-(-n // m) for n, m in zip(LARGE, cell.ground_truth.shape)]
    base = 0.3 * np.tile(cell.ground_truth, times)[tuple(slice(n) for n in LARGE)]
    halves = [write(folder / f"{h}.mrc", base + rng.standard_normal(LARGE, np.float32)) for h in ("even", "odd")]
    model, _ = cell.denoised("denoised", "--steps", options.steps)
    files = ("--even", halves[0], "--odd", halves[1], "--names", "large", "--model", model / "model")
    cost = costs(cryodl("denoise-tomograms", *files, "--output", folder / "out", *CPU))
    more = float(np.prod(TARGET) / np.prod(LARGE))
    return dict(cost, shape_zyx=LARGE, cpu_s_of_2048x2048x512_extrapolated=round(cost["cpu_s"] * more))


def picture(path: Path, images: dict) -> None:
    """A slice across z, and below it one across y, of each of volumes {title: (z, y, x)}, in greys of their own."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(images), 4.1))
    axes = figure.subplots(2, len(images), gridspec_kw=dict(height_ratios=(3, 1), hspace=0.02, wspace=0.02))
    for column, (title, image) in zip(axes.T, images.items()):
        low, high = np.percentile(image, (0.5, 99.5))
        for panel, part in zip(column, (image[image.shape[0] // 2], image[:, image.shape[1] // 2])):
            panel.imshow(part, cmap="gray", vmin=low, vmax=high, origin="lower")
            panel.set_axis_off()
        column[0].set_title(title)
    figure.savefig(path, dpi=100, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--topaz", help="folder with the topaz package")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--wedge-steps", type=int, default=2000)
    parser.add_argument("--segmenter-steps", type=int, default=300)
    parser.add_argument("--picture", type=Path, help="PNG of slices as they were, denoised, filled, and of the truth")
    parser.add_argument("--features", nargs="+", default=["membrane"])
    options = parser.parse_args()
    engine_path()
    options.output.mkdir(parents=True, exist_ok=True)
    cell, path = Cell(options.output), options.output / "tomogram_denoising.json"
    for part in options.parts:
        figures = json.loads(path.read_text()) if path.exists() else {}
        if part in figures or (part == "topaz" and not options.topaz):
            continue
        print(f"{part} ...", flush=True)
        made = globals()[part](cell, options)
        figures = json.loads(path.read_text()) if path.exists() else {}  # parts may run side by side
        path.write_text(json.dumps(dict(figures, **{part: made}), indent=1) + "\n")
        print(json.dumps(made, indent=1), flush=True)
    if options.picture:
        shown = {"mean of the halves": cell.average}
        for title, folder in (("denoised", "denoised"), ("denoised, wedge filled", "filled")):
            if (options.output / folder / f"{NAME}.mrc").exists():
                shown[title] = volume(options.output / folder / f"{NAME}.mrc")
        picture(options.picture, dict(shown, **{"truth, no missing wedge": cell.whole()}))


if __name__ == "__main__":
    main()
