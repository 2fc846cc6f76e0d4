# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a micrograph denoiser on the user's micrographs: which ones, in what memory, and what its card says."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import numpy as np

from ...contract import AllSkipped, DenoiseMicrographsConfig, Skipped, in_words
from ...io.files import spread_first
from ...io.micrographs import read_micrograph
from ...learning.recipe import TrainingRun
from ...learning.schedule import Schedule
from .scaling import DEFAULT_RESOLUTION, denoising_pixel_size, working_images
from .train import RATE, MicrographTask
from .views import cut_views, make_views

if typing.TYPE_CHECKING:
    from .views import WienerViews

VALIDATION_PART = 0.15  # of the rows of each micrograph
VALIDATIONS = 8
DEFAULT_STEPS = 600  # simulated micrographs still gain from 200 to 400 (docs/bench_picking.md)
MAX_PIXELS = 150_000_000  # working px in memory (0.6 GB); of more micrographs only a part of each is kept


def settle_method(config: DenoiseMicrographsConfig) -> str:
    """'even-odd' or 'added-noise'."""
    return config.method if config.method != "auto" else "even-odd" if config.even else "added-noise"


def train_micrograph_denoiser(
    config: DenoiseMicrographsConfig, sources: typing.Sequence[tuple[str, tuple[str, ...]]], output: Path
) -> None:
    """Train on some of the micrographs and write the model's folder; a killed training continues from <output>.partial.

    config: DenoiseMicrographsConfig. sources: list of (name, paths), one path or those of even and odd averages. Raises
    AllSkipped if not one micrograph can be read.
    """
    training = TrainingRun(dataclasses.replace(config, output=str(output)))
    training.take_folder()
    method, device = settle_method(config), training.take_device()
    resolution = 2 * denoising_pixel_size(config.pixel_size, config.resolution or DEFAULT_RESOLUTION)
    names, views = load_views(sources, config, resolution, method)
    parts = split_rows(views)
    training.start()
    task = MicrographTask(*parts, device)
    steps = config.steps or DEFAULT_STEPS
    print(
        f"Training the denoiser ({method}) on {training.device_name}: {len(names)} micrographs at "
        f"{resolution / 2:.3g} Å/px, {steps} steps."
    )
    schedule = Schedule(steps, max(1, -(-steps // VALIDATIONS)), steps, RATE, config.seed, tolerance=0.002)
    report = training.fit(task, schedule)
    card = dict(
        kind="micrograph_denoiser",
        name=Path(config.output).name,
        network="unet",
        method=method,
        resolution=resolution,
        pixel_sizes=[config.pixel_size],
        training=dict(micrographs=names, **training.record()),
        validation={k: report.best[k] for k in ("correlation", "wiener_correlation")},
    )
    training.finish(card, task.networks["denoiser"].state_dict())


def load_views(
    sources: typing.Sequence[tuple[str, tuple[str, ...]]],
    config: DenoiseMicrographsConfig,
    resolution: float,
    method: str,
) -> tuple[list[str], list[WienerViews]]:
    """Names and WienerViews of the micrographs to learn from, spread over all; bad ones are passed over, and said."""
    factor, names, views, bad = config.pixel_size / (resolution / 2), list[str](), list[typing.Any](), list[Skipped]()
    wanted = min(config.training_micrographs, len(sources))
    for index in spread_first(range(len(sources)), wanted):
        if len(names) == wanted:
            break
        name, paths = sources[index]
        try:
            images = read_averages(paths)
            images = images if method == "even-odd" else [np.asarray(sum(images) / np.float32(len(images)))]
            made = make_views(working_images(images, factor))
        except (ValueError, FileNotFoundError) as error:
            bad.append(Skipped(name, paths[0], str(error)))
            print(f"Not used for training: {in_words(bad[-1])}")
            continue
        names.append(name)
        views.append(cut_down(made, MAX_PIXELS // wanted, np.random.default_rng((config.seed, index))))
    if not names:
        raise AllSkipped(
            f"None of the {len(sources)} training micrographs could be read. The first: {in_words(bad[0])}"
        )
    return names, views


def read_averages(paths: typing.Sequence[str]) -> list[np.ndarray]:
    """The images of a micrograph: one, or the averages of even and odd frames. Raises ValueError if their shapes
    differ."""
    images = [read_micrograph(path) for path in paths]
    if len({image.shape for image in images}) > 1:
        sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]} px" for image in images)
        raise ValueError(f"{paths[0]} and {paths[1]} differ in size ({sizes}); they are not halves of one micrograph.")
    return images


def cut_down(views: WienerViews, pixels: int, rng: np.random.Generator) -> WienerViews:
    """The WienerViews, or those of a random square with no more than so many pixels in all."""
    height, width = views.images.shape[1:]
    side = int((pixels / (2 * len(views.images))) ** 0.5)
    if side >= max(height, width):
        return views
    top, left = (int(rng.integers(max(1, n - side + 1))) for n in (height, width))
    part = cut_views(views, slice(top, top + side), slice(left, left + side))
    whole = {name: getattr(part, name).clone() for name in ("images", "wiener", "mask")}
    return dataclasses.replace(part, **whole)  # the rest is let go


def split_rows(views: typing.Sequence[WienerViews]) -> tuple[list[WienerViews], list[WienerViews]]:
    """Training and validation parts: the lowest rows of each micrograph are kept for validation."""
    cuts = [round(v.images.shape[1] * (1 - VALIDATION_PART)) for v in views]
    return (
        [cut_views(v, slice(0, c), slice(None)) for v, c in zip(views, cuts)],
        [cut_views(v, slice(c, None), slice(None)) for v, c in zip(views, cuts)],
    )
