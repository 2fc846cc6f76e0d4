# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking one micrograph with a trained network: image in, candidates with scores out."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ...contract import particle_size_problem
from ...core.calibration import calibrate
from ...core.geometry import inside, map_positions, resampled_shape, values_at
from ...core.tiles import resized_image
from ...io.model import read_model
from ..normalize import Measured, Prepared, prepare_micrograph
from ..tiled import TiledNetwork
from . import load_network, picker_method
from .thresholds import Narrow, lower_narrow

# Candidates below this raw score are forgotten. Of 3,507 particles among the candidates of 20 simulated sets 52 scored
# below 0.03 and none below 0.002. The distance between candidates bounds the files.
LOWEST_RAW_SCORE = 0.002
FILLED_MARGIN = 0.3  # diameters that a pick keeps from filled areas: nearer, much of its particle is not there
MINIMUM_DISTANCE = 0.5  # of the particle diameter, between two picks, where labels do not tell
# Outliers, dirt and ice: so many times as high as the middle one of the sure candidates of their micrograph, if there
# are enough. Particles reach twice of it.
OUTLIER, SURE, FEWEST = 2.5, 0.5, 5


@dataclasses.dataclass
class Picker(TiledNetwork):
    """A network ready to pick. method, network: from pickers and a model. device: torch.device. calibration: (slope,
    offset) of Calibration. memory: GB for the network's tiles. notes: sentences about what had to be changed on the
    way. contrast: 'dark' or 'bright' protein in the micrographs. narrow: for lower_narrow, of a model that has it.
    typical_size: widest extent of the set's particles over the diameter that micrographs are rescaled for; None as long
    as it is not known, and then all widths count alike. spares_outliers: whether dirt and ice are no candidates, for a
    general model, which does not know what the particles look like. seen: candidates with raw scores by file, contrast
    and diameter, of files that were asked before they are picked. scales: of the working size; log odds are means."""

    calibration: tuple[float, ...] = (1.0, 0.0)
    narrow: Narrow | None = None
    typical_size: float | None = None
    spares_outliers: bool = False
    scales: tuple[float, ...] = (1.0,)
    seen: dict[tuple[typing.Any, ...], tuple[np.ndarray, np.ndarray]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.prepare_network(self.method.dense(self.network))

    def candidates(
        self, image: np.ndarray | Prepared, pixel_size: float, diameter: float, minimum_distance: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """All candidates of a micrograph, best first. image: (h, w) float32 as read, or prepared before. pixel_size:
        Å/px. diameter, minimum_distance: Å. Returns yx (n, 2) in px of the micrograph, and calibrated scores (n,).
        Raises ValueError for an image that cannot be picked."""
        prepared = image if isinstance(image, Prepared) else self.prepared(image, pixel_size, diameter)
        factor = working_factor(self.method, pixel_size, diameter)
        yx, scores = self.candidates_prepared(prepared, minimum_distance / pixel_size * factor)
        return map_positions(yx, prepared.image.shape, prepared.shape), scores

    def prepared(
        self, image: np.ndarray, pixel_size: float, diameter: float, dirt: np.ndarray | None = None
    ) -> Prepared:
        """A micrograph made ready for the network; arguments and errors as those of `candidates`. dirt: as for
        prepare_micrograph; of a network that learnt from micrographs where nobody looked for it, None."""
        check_particle_fits(image.shape, pixel_size, diameter)
        factor = working_factor(self.method, pixel_size, diameter)
        return prepare_micrograph(image, factor, self.method.working_diameter, self.contrast == "dark", dirt)

    def candidates_prepared(self, prepared: Measured, distance: float) -> tuple[np.ndarray, np.ndarray]:
        """The same for a Prepared micrograph or LabelledImage; distance and returned yx in working px."""
        return self.sized_candidates(prepared, distance)[:2]

    def sized_candidates(self, prepared: Measured, distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As candidates_prepared, and (n,) the particles' widest extents over the stated diameter; NaN from a network
        that tells none."""
        output, shape = self.output(prepared), prepared.image.shape
        stride = self.network.stride
        grid = (output.shape[1] * stride, output.shape[2] * stride)  # the padded area that the score map covers
        # before peaks compete: what is no image may silence no particle
        padded = F.pad(
            prepared.valid.float(), (0, grid[1] - prepared.valid.shape[1], 0, grid[0] - prepared.valid.shape[0])
        )
        cells = F.avg_pool2d(padded[None, None], stride)[0, 0] >= 0.5  # at least half of which is valid
        cells &= _away_from_filled(prepared.valid, grid, stride, FILLED_MARGIN * self.method.working_diameter)
        yx, raw = self.method.peaks(output, distance / stride, LOWEST_RAW_SCORE, cells)
        sizes = np.full(len(yx), np.nan)
        if getattr(getattr(self.network, "head", None), "out_channels", 1) > 1 and len(yx):
            sizes = np.exp(values_at(output[1].numpy(), yx).astype(float))
            if self.narrow and self.typical_size:
                raw = lower_narrow(raw, sizes / self.typical_size, self.narrow)
                order = np.argsort(-raw, kind="stable")
                yx, raw, sizes = yx[order], raw[order], sizes[order]
        yx = map_positions(yx, output.shape[1:], grid)
        keep = inside(yx, shape) & values_at(prepared.valid.numpy(), yx)
        if self.spares_outliers and (raw >= SURE).sum() >= FEWEST:
            heights = values_at(prepared.bands(self.method.working_diameter).numpy(), yx)
            keep &= heights <= OUTLIER * max(0.0, float(np.median(heights[raw >= SURE])))
        return yx[keep], calibrate(raw[keep], self.calibration), sizes[keep]

    def output(self, prepared: Measured) -> torch.Tensor:
        own = super().output(prepared)
        others = [super(Picker, self).output(at_scale(prepared, scale))[0] for scale in self.scales if scale != 1]
        odds = torch.stack([own[0], *(resized_image(one, own[0].shape) for one in others)]).mean(0)
        return torch.cat([odds[None], own[1:]])

    def score_map(self, prepared: Measured) -> torch.Tensor:
        """Raw scores (h/stride, w/stride) of a prepared micrograph."""
        return self.method.scores(self.output(prepared)[None])[0, 0]


def _away_from_filled(valid: torch.Tensor, grid: tuple[int, int], stride: int, distance: float) -> torch.Tensor:
    """(h/stride, w/stride) bool: cells at least `distance` px from invalid pixels; the outside does not count."""
    if bool(valid.all()):
        return torch.ones(tuple(n // stride for n in grid), dtype=torch.bool)
    padded = F.pad((~valid).float(), (0, grid[1] - valid.shape[1], 0, grid[0] - valid.shape[0]))
    filled = F.avg_pool2d(padded[None, None], stride)
    reach = int(round(distance / stride))
    for kernel in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
        filled = F.max_pool2d(filled, kernel, stride=1, padding=(kernel[0] // 2, kernel[1] // 2))
    return filled[0, 0] < 0.5


def working_factor(method: typing.Any, pixel_size: float, diameter: float) -> float:
    """Working size over file size, so that the particle's diameter has the network's size in px."""
    return method.working_diameter * pixel_size / diameter


def check_particle_fits(shape: tuple[int, ...], pixel_size: float, diameter: float) -> None:
    """Raises ValueError if the particle is not clearly smaller than the micrograph, or hardly larger than a pixel."""
    if problem := particle_size_problem(diameter, pixel_size, min(shape)):
        raise ValueError(problem)


def load_picker(model: Path, device: torch.device, spares_outliers: bool) -> tuple[Picker, dict[str, typing.Any]]:
    """The Picker of a model folder, as its card says, and the card. Raises ValueError as read_model does."""
    card, weights = read_model(model, "picker")
    known: typing.Any = {
        key.removeprefix("picking_"): tuple(card[key])
        for key in ("calibration", "gains", "picking_scales")
        if card.get(key) is not None
    }
    method = picker_method(card["network"])
    return Picker(method, load_network(method, weights, model), device, spares_outliers=spares_outliers, **known), card


def at_scale(prepared: typing.Any, factor: float) -> typing.Any:
    """A prepared micrograph or LabelledImage at another working size; as it is where that is nearly the same."""
    if abs(factor - 1) < 0.01:
        return prepared
    shape = resampled_shape(prepared.image.shape, factor)
    image, valid = (resized_image(pixels.float(), shape) for pixels in (prepared.image, prepared.valid))
    return Prepared(image, valid > 0.5, shape)
