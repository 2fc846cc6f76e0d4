# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of one network for all features on simulated cells: dense labels, crops anywhere, noise as an example. One
segmenter for each feature of a network that was trained on all of them: weights and card."""

import math
import typing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ...contract.tomograms.segmenting import TrainGeneralSegmenterConfig
from ...core import augment, volumes
from ...io import model, tomograms
from ...io.structures import structure_names
from ...learning.recipe import TrainingRun
from ...learning.task import NetworkTask
from ...simulate.varied_cells import FEATURES, PIXEL_SIZES
from ..segmenters import calibrate, slabs, train
from ..segmenters.card import SIMULATION, THRESHOLD
from ..segmenters.method import SegmenterMethod, load_network, soft_dice


def write_models(
    folder: Path, config: TrainGeneralSegmenterConfig, task: "CellsTask", run: TrainingRun
) -> dict[str, dict[str, float]]:
    """Write <folder>/<feature> of all features. Returns {feature: validation metrics}."""
    raw, labels = task.answers(task.validation)
    noisy, _ = task.answers(task.noise)
    weights = task.networks["segmenter"].state_dict()
    metrics = {}
    for number, feature in enumerate(FEATURES):
        hit, answer = (labels == number + 1).numpy().ravel(), raw[:, number].numpy().ravel()
        calibration, counted = calibrate.fit_voxels(hit, answer), calibrate.Counted.of(hit, answer)
        metrics[feature] = dict(
            dice=calibrate.dice(calibration.score(answer) >= THRESHOLD, hit),
            best_dice=counted.best_dice,
            average_precision=counted.average_precision,
            noise_fraction=float(np.mean(calibration.score(noisy[:, number].numpy().ravel()) >= THRESHOLD)),
        )
        (folder / feature).mkdir(exist_ok=True)
        card = _card(config, task, run)
        own = dict(
            name=feature,
            feature=feature,
            validation=metrics[feature],
            calibration=[calibration.slope, calibration.score_offset],
            boundary_probability=calibration.boundary,
        )
        model.write_model(folder / feature, dict(card, **own), weights_of(weights, number, len(FEATURES)))
    return metrics


def weights_of(weights: typing.Mapping[str, torch.Tensor], number: int, features: int) -> dict[str, torch.Tensor]:
    """The weights of a network that finds the feature `number` alone, of one with several: its part of the head."""
    return {**weights, **{name: weights[name].chunk(features)[number] for name in slabs.HEAD}}


def joined_network(method: SegmenterMethod, folder: Path) -> torch.nn.Module:
    """The network of all features whose parts `write_models` left in a folder."""
    every = [model.read_model(folder / feature, "segmenter") for feature in FEATURES]
    heads = {name: torch.cat([weights[name] for _, weights in every]) for name in slabs.HEAD}
    return load_network(method, dict(every[0][1], **heads), str(folder), len(FEATURES))


def _card(config: TrainGeneralSegmenterConfig, task: "CellsTask", run: TrainingRun) -> dict[str, typing.Any]:
    return dict(
        kind="segmenter",
        network=config.network,
        annotator=SIMULATION,
        pixel_size=config.working_pixel_size,
        trained_pixel_size=config.working_pixel_size,
        trained_pixel_sizes=[min(PIXEL_SIZES), max(PIXEL_SIZES)],
        threshold=THRESHOLD,
        context=task.method.context,
        raw_scale=1.0,
        trained_on=f"{config.cells} simulated cells (cryodl train-general-segmenter)",
        split=f"{config.validation_cells} further simulated cells",
        training=dict(
            **run.record(), cells=config.cells, structures=structure_names([*config.ribosomes, *config.others])
        ),
    )


ANYWHERE = 0.2  # part of the crops that lie anywhere; the others lie around a feature, each as often as another
CLEAR = 0.4  # part of the crops that no white noise is added to: filtered tomograms have none
FAINTER = 0.35  # part of the crops with a feature that noise of their own spectrum is added to
ROTATED = 0.4  # part of the crops that are rotated by any angle; the others by whole quarters, which costs nothing
MAX_POSITIONS = 2000  # places of a feature in a cell
FIRST_CELLS = 20  # that a training begins with
VALIDATED = 8  # crops of each cell


class Cells:
    """Images (z, y, x) float16 and labels (z, y, x) uint8 of some cells, and where their features are. path_of:
    function that gives the file of cell 0, 1, ..., made if need be. The cells are read as they are asked for."""

    def __init__(self, path_of: typing.Callable[[int], Path]) -> None:
        self.path_of = path_of
        self.images: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.positions: list[list[tuple[int, np.ndarray]]] = [[] for _ in FEATURES]

    def grow(self, count: int) -> None:
        """Have at least `count` cells."""
        for number in range(len(self.images), count):
            with np.load(self.path_of(number)) as arrays:
                image, labels = arrays["image"], arrays["labels"]
            rng = np.random.default_rng(number)
            for k in range(len(FEATURES)):
                flat = np.flatnonzero(labels == k + 1)
                if len(flat):
                    chosen = rng.choice(flat, min(len(flat), MAX_POSITIONS), replace=False)
                    self.positions[k].append((number, np.stack(np.unravel_index(chosen, labels.shape), 1)))
            self.images.append(image)
            self.labels.append(labels)

    def centre(self, rng: np.random.Generator) -> tuple[int, list[int]]:
        """Number of a cell and a position (z, y, x) in it."""
        k = int(rng.integers(len(FEATURES)))
        if rng.random() < ANYWHERE or not self.positions[k]:
            number = int(rng.integers(len(self.images)))
            return number, [int(rng.integers(n)) for n in self.images[number].shape]
        number, zyx = self.positions[k][rng.integers(len(self.positions[k]))]
        return number, zyx[rng.integers(len(zyx))].tolist()

    def crop(
        self, number: int, centre: typing.Sequence[int], depth: int, side: int, jitter: int, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (depth, side, side) float32 and labels (depth, side, side) int64 around a place. Up to a third of the
        slices lie beyond the cell's first or last, where it is mirrored as a tomogram is; y and x lie within it."""
        beyond, positions = (depth // 3, 0, 0), []
        for position, n, length, more in zip(centre, self.images[number].shape, (depth, side, side), beyond):
            start = position - length // 2 + int(rng.integers(-jitter, jitter + 1))
            start = int(np.clip(start, -more, max(0, n - length) + more))
            positions.append(tomograms.mirrored(start, start + length, n))
        part = np.ix_(*positions)
        image = torch.from_numpy(self.images[number][part].astype(np.float32))
        return image, torch.from_numpy(self.labels[number][part].astype(np.int64))


class CellsTask(NetworkTask):
    """One network of several features. training, validation: Cells; validation has all of its own. count: of training
    cells; the first are there at once, the others come in until half of the steps are done, so that none waits."""

    example_name = "crops"
    default_steps = 12000

    def __init__(
        self,
        method: SegmenterMethod,
        training: Cells,
        count: int,
        validation: Cells,
        batch_size: int | None = None,
        network: torch.nn.Module | None = None,
    ) -> None:
        self.method, self.training, self.count = method, training, count
        self.batch_size = batch_size or method.batch_size
        build: typing.Callable[..., torch.nn.Module] = method.build
        self.learn("segmenter", network or build(len(FEATURES)), method.optimizer, method.memory_format)
        self.validation = self._fixed(validation)
        rng = np.random.default_rng(1)
        self.noise = [(noise_like(image, rng), torch.zeros_like(labels)) for image, labels in self.validation]

    def _fixed(self, cells: Cells) -> list[tuple[torch.Tensor, torch.Tensor]]:
        rng, side, crops = np.random.default_rng(0), self.method.crop, []
        for number, labels in enumerate(cells.labels):
            for _ in range(VALIDATED):
                kind = int(rng.integers(len(FEATURES) + 1))
                flat = np.flatnonzero(labels == kind) if kind else np.zeros(0, int)
                position = rng.choice(flat) if len(flat) else rng.integers(labels.size)
                centre = [int(p) for p in np.unravel_index(position, labels.shape)]
                crops.append(cells.crop(number, centre, self.method.slices_in, side, 8, rng))
        return crops

    def batch(self, rng: np.random.Generator) -> list[torch.Tensor]:
        self.training.grow(min(self.count, FIRST_CELLS + int(2 * self.progress * self.count)))
        return [torch.stack(part) for part in zip(*[self._view(rng) for _ in range(self.batch_size)])]

    def _view(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        crop, rotation = self.method.crop, rng.random() < ROTATED
        side = 2 * round(crop * 1.5 / 2) if rotation else crop
        image, labels = self.training.crop(*self.training.centre(rng), self.method.slices_in, side, crop // 4, rng)
        if rng.random() < 0.5:
            image, labels = image.flip(0), labels.flip(0)
        if rotation:
            grid = train.view_grid(side, crop, augment.random_rotation(rng), np.zeros(2, int))
            image = F.grid_sample(image[None], grid, "bicubic", "reflection", align_corners=False)[0]
            labels = F.grid_sample(labels[None].float(), grid, "nearest", "border", align_corners=False)[0].long()
        else:
            quarter, mirror = int(rng.integers(4)), rng.random() < 0.5
            image, labels = (torch.rot90(part.flip(2) if mirror else part, quarter, (1, 2)) for part in (image, labels))
        if rng.random() < NOISE:
            image, labels = noise_like(image, rng), torch.zeros_like(labels)
        elif rng.random() < FAINTER:
            image = fainter(image, rng)
        image = image * float(rng.uniform(0.8, 1.25)) if rng.random() < CLEAR else augment.vary_contrast(image, rng)
        return image, labels[self._answered].to(torch.uint8)

    @property
    def _answered(self) -> slice:
        return slice(self.method.context, self.method.context + self.method.slices_out)

    def _targets(self, labels: torch.Tensor) -> torch.Tensor:
        return torch.cat([(labels == k + 1).float() for k in range(len(FEATURES))], dim=1)

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        return dense_loss(output, self._targets(batch[1]), len(FEATURES))

    @torch.no_grad()
    def answers(self, crops: typing.Sequence[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log odds (n, features, slices_out, h, w) and labels (n, slices_out, h, w) of crops."""
        network = self.networks["segmenter"].eval()
        device = next(network.parameters()).device
        raw = torch.cat([network(image[None].to(device)).float().cpu() for image, _ in crops])
        return raw.unflatten(1, (len(FEATURES), -1)), torch.stack([labels[self._answered] for _, labels in crops])

    def validate(self) -> dict[str, float]:
        raw, labels = self.answers(self.validation)
        loss = dense_loss(raw.flatten(1, 2), self._targets(labels), len(FEATURES))
        counted = [
            calibrate.Counted.of((labels == k + 1).numpy().ravel()[::3], raw[:, k].numpy().ravel()[::3])
            for k in range(len(FEATURES))
        ]
        metrics = {f"dice_{name}": c.best_dice for name, c in zip(FEATURES, counted)}
        return dict(metrics, metric=float(np.mean(list(metrics.values()))), loss=float(loss))


def dense_loss(output: torch.Tensor, target: torch.Tensor, features: int) -> torch.Tensor:
    """Mean cross-entropy, and one minus the soft Dice coefficient of each feature in the batch. output: log odds,
    target: 0 or 1, both (b, features * slices, h, w)."""
    cross = F.binary_cross_entropy_with_logits(output, target)
    parts = zip(output.sigmoid().chunk(features, 1), target.chunk(features, 1))
    return 4 * cross + torch.stack([1 - soft_dice(o, t, torch.ones_like(t)) for o, t in parts]).mean()


# ----- Crops without any feature that segmenters learn from: noise of the spectra that tomograms have after
# filters.
NOISE = 0.2  # part of the crops that are noise
SMOOTHED = (0.3, 6.0)  # px, widths of the Gaussians that noise is smoothed by
MAX_ADDED = 1.2  # standard deviations of noise that a crop is made fainter by
WEDGE = (40.0, 70.0)  # degrees, largest tilts of the noise that has a missing wedge


def noise_like(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Noise of one of four kinds. A quarter each: the spectrum of the image; the same, smoothed; white noise smoothed
    alike along all axes; white noise smoothed along each axis by another width, half of it with a missing wedge. image:
    (z, y, x), A normalised crop. Returns Tensor (z, y, x): of the image's shape; of variance 1 but for the first kind,
    which has the image's."""
    kind = int(rng.integers(4))
    if kind == 0:
        return volumes.phases_at_random(image, rng)
    width = math.exp(rng.uniform(*np.log(SMOOTHED)))
    if kind == 1:
        return filtered_noise(volumes.phases_at_random(image, rng), (width,) * 3)
    white = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    if kind == 2:
        return filtered_noise(white, (width,) * 3)
    return filtered_noise(
        white, tuple(width * rng.uniform(0.5, 2, 3)), rng.uniform(*WEDGE) if rng.random() < 0.5 else None
    )


def fainter(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A crop with noise of its own spectrum added: a cell has one noise, which a network would learn by heart. image:
    (z, y, x), A normalised crop. Returns Tensor (z, y, x): of about the same variance."""
    part = rng.uniform(0, MAX_ADDED)
    return (image + part * volumes.phases_at_random(image, rng)) / math.sqrt(1 + part**2)


def filtered_noise(noise: torch.Tensor, widths: typing.Sequence[float], tilt: float | None = None) -> torch.Tensor:
    """Noise filtered and brought to mean 0 and variance 1. noise: (z, y, x). widths: Standard deviations in px of the
    Gaussian along z, y and x. tilt: optional, degrees; what tilts about y of up to this do not measure is taken out.
    Returns Tensor (z, y, x)."""
    shape = noise.shape
    z, y, x = torch.meshgrid(*[torch.fft.fftfreq(n) for n in shape[:2]] + [torch.fft.rfftfreq(shape[2])], indexing="ij")
    square = sum((width * frequency) ** 2 for width, frequency in zip(widths, (z, y, x)))
    kept = torch.exp(-2 * math.pi**2 * torch.as_tensor(square))
    if tilt is not None:
        kept = kept * (z.abs() <= math.tan(math.radians(tilt)) * x.abs() + 1e-6)
    kept[0, 0, 0] = 0
    result: torch.Tensor = torch.fft.irfftn(torch.fft.rfftn(noise) * kept, s=shape)
    return result / result.std().clamp(min=1e-9)
