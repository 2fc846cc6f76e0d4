# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a micrograph denoiser on the user's micrographs: which ones, in what memory, and what its card says.
Denoising one micrograph with a trained network: the file's image in, an image of the same shape and grey values out."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import AllSkipped, DenoiseMicrographsConfig, Skipped, counted, denoises_blindly, in_words
from ...core.fourier import correlation, filtered
from ...io import files, micrographs
from ...learning import inference, networks, recipe
from ...learning.task import NetworkTask
from ...learning.training import Schedule
from ...running.runner import Run
from ...simulate.noise import plane_mean, spectrum_on_grid
from .scaling import (
    DEFAULT_RESOLUTION,
    SEED,
    WienerViews,
    cut_views,
    denoising_pixel_size,
    joined_views,
    make_views,
    pair,
    restored,
    whole_view,
    working_images,
)

TILE = 1024  # working px; about 0.4 GB


class MicrographDenoiser:
    """card, weights: of a model of kind 'micrograph_denoiser'. device: torch.device. resolution: Å, of a general model,
    which leaves the choice; None for the card's. tile: largest side at a time, working px."""

    def __init__(
        self,
        card: typing.Mapping[str, typing.Any],
        weights: typing.Mapping[str, torch.Tensor],
        device: torch.device,
        resolution: float | None = None,
        tile: int = TILE,
    ) -> None:
        self.card, self.tile = card, tile
        self.resolution: float = resolution or card["resolution"]
        self.network = inference.ImageDenoiser(weights, device)

    @torch.inference_mode()
    def denoise(self, images: typing.Sequence[np.ndarray], pixel_size: float) -> np.ndarray:
        """(h, w) float32 array: grey values, background and contrast of the input, without what the network takes for
        noise. images: list of one (h, w) float32 array, or of the averages of even and odd frames. pixel_size: Å/px.
        Raises ValueError for images that cannot be denoised."""
        general = denoises_blindly(self.card)
        if general and len(images) > 1:
            images = [np.asarray(np.mean(images, axis=0, dtype=np.float32))]
        working = working_images(images, pixel_size / denoising_pixel_size(pixel_size, self.resolution))
        if general:
            whole = whole_view(working[0])
            return restored(self._answer(torch.cat([whole.images, whole.wiener])) * whole.strength, working[0])
        views = make_views(working)
        answers = [self._answer(seen) for seen in pair(views, torch.Generator().manual_seed(SEED))]
        return restored(joined_views(torch.stack(answers), views), working[0])

    def _answer(self, seen: torch.Tensor) -> torch.Tensor:
        return self.network.tiled(seen, self.tile)


VALIDATION_PART = 0.15  # of the rows of each micrograph
VALIDATIONS = 8
DEFAULT_STEPS = 600  # simulated micrographs still gain from 200 to 400 (docs/bench_picking.md)
MAX_PIXELS = 150_000_000  # working px in memory (0.6 GB); of more micrographs only a part of each is kept


def train_on_micrographs(
    config: DenoiseMicrographsConfig, sources: typing.Sequence[tuple[str, tuple[str, ...]]], output: Path, run: Run
) -> None:
    """Train on some of the micrographs and write the model's folder; a killed training continues from <output>.partial.
    config: DenoiseMicrographsConfig. sources: list of (name, paths), one path or those of even and odd averages. Raises
    AllSkipped if not one micrograph can be read."""
    training = recipe.TrainingRun(run, dataclasses.replace(config, output=str(output)))
    training.take_folder(*(path for _, paths in sources for path in paths))
    method, device = config.method, training.take_device()
    if method == "auto":
        method = "even-odd" if config.even else "added-noise"
    resolution = 2 * denoising_pixel_size(config.pixel_size, config.resolution or DEFAULT_RESOLUTION)
    names, views = load_views(sources, config, resolution, method, run.seed)
    cuts = [round(v.images.shape[1] * (1 - VALIDATION_PART)) for v in views]  # the lowest rows are for validation
    learnt, held_out = ([slice(c) for c in cuts], [slice(c, None) for c in cuts])
    parts = [[cut_views(v, rows, slice(None)) for v, rows in zip(views, part)] for part in (learnt, held_out)]
    training.start()
    task = MicrographTask(parts[0], parts[1], device)
    steps = config.steps or DEFAULT_STEPS
    print(
        f"Training the denoiser ({method}) on {training.device_name}: {len(names)} micrographs at "
        f"{resolution / 2:.3g} Å/px, {steps} steps."
    )
    schedule = Schedule(steps, max(1, -(-steps // VALIDATIONS)), steps, RATE, run.seed, tolerance=0.002)
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
    seed: int = 0,
) -> tuple[list[str], list[WienerViews]]:
    """Names and WienerViews of the micrographs to learn from, spread over all; bad ones are passed over, and said."""
    factor, names, views, bad = config.pixel_size / (resolution / 2), list[str](), list[typing.Any](), list[Skipped]()
    wanted = min(config.training_micrographs, len(sources))
    for index in files.spread_first(range(len(sources)), wanted):
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
        views.append(cut_down(made, MAX_PIXELS // wanted, np.random.default_rng((seed, index))))
    if not names:
        raise AllSkipped(
            f"Of {counted(len(sources), 'training micrograph')}, none could be read. The first: {in_words(bad[0])}"
        )
    return names, views


def read_averages(paths: typing.Sequence[str]) -> list[np.ndarray]:
    """The images of a micrograph: one, or the averages of even and odd frames. Raises ValueError if their shapes
    differ."""
    images = [micrographs.read_micrograph(path) for path in paths]
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


# ----- Training of a micrograph denoiser without ground truth: one noisy view of a micrograph is predicted from
# another. The best guess of a view whose noise one cannot see is the signal (Lehtinen et al. 2018). That holds
# after any filter as well; so answers and views are compared after one that leaves out where there is next to no
# signal, which is most of Fourier space, and whose noise would drown what there is to learn.
CROP = 128  # working px
BATCH = 8
RATE = 0.002
VALIDATION_BATCHES = 4


class MicrographTask(NetworkTask):
    """A network on WienerViews of micrographs. training, validation: lists of Views. The metric is the correlation of
    the network's answers with the views that it did not see."""

    def __init__(
        self, training: typing.Sequence[WienerViews], validation: typing.Sequence[WienerViews], device: torch.device
    ) -> None:
        self.training, self.validation, self.device = training, validation, device
        network = networks.WienerUNet()
        self.learn("denoiser", network, RATE, torch.channels_last)
        self.sides = [
            min(CROP, *(n // network.multiple * network.multiple for v in part for n in v.images.shape[1:]))
            for part in (training, validation)
        ]

    def batch(self, rng: np.random.Generator) -> list[torch.Tensor]:
        return self._draw(self.training, self.sides[0], rng)

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        """Mean squared difference from the other view, where there is signal."""
        _, hidden, weight = batch
        return filtered(output - hidden, weight).square().mean()

    def validate(self) -> dict[str, float]:
        rng, drawn = np.random.default_rng(12345), []
        for _ in range(VALIDATION_BATCHES):
            seen, hidden, weight = self._draw(self.validation, self.sides[1], rng)
            answer = self.networks["denoiser"](seen.to(self.device)).float().cpu()
            drawn.append([filtered(image, weight) for image in (answer, seen[:, 1:], hidden)])
        answer, wiener, hidden = (torch.cat(x) for x in zip(*drawn))
        figure = correlation(answer, hidden)
        return {
            "metric": figure,
            "loss": float((answer - hidden).square().mean()),
            "correlation": figure,
            "wiener_correlation": correlation(wiener, hidden),
        }

    def _draw(self, parts: typing.Sequence[WienerViews], side: int, rng: np.random.Generator) -> list[torch.Tensor]:
        """A batch of random crops: what is seen (b, 2, s, s), what is hidden (b, 1, s, s), both in units of the Wiener
        filter's strength, and the filter to compare them by (b, 1, s, s // 2 + 1), which whitens the noise."""
        areas = np.array([v.images[0].numel() for v in parts], float)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        batch = []
        for i in rng.choice(len(parts), BATCH, p=areas / areas.sum()):
            views, (top, left) = parts[i], (int(rng.integers(n - side + 1)) for n in parts[i].images.shape[1:])
            both = pair(cut_views(views, slice(top, top + side), slice(left, left + side)), generator)
            both = torch.rot90(both, int(rng.integers(4)), (2, 3))
            both = both.flip(3) if rng.random() < 0.5 else both
            seen = int(rng.integers(2))
            weight = np.sqrt(views.gain / max(plane_mean(views.gain), 1e-12)) * views.strength
            batch.append((both[seen], both[1 - seen, :1] / views.strength, spectrum_on_grid(weight, (side,) * 2)[None]))
        return [torch.stack(x) for x in zip(*batch)]
