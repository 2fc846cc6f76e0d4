# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of pickers: batches from labelled micrographs, validation by picking, threshold and calibration."""
import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree

from ..crops import sample_crop, vary_contrast
from ..matching import match_picks, score_matched
from ..training import Task
from .predict import MINIMUM_DISTANCE, Picker

CROP_SIDE = 160  # working px: several particles, and a multiple of the networks' strides
BOX_CROP_SIDE = 80  # where only boxes are labelled: most of a larger crop would teach nothing
MATCH_RADII = 0.5  # strict: mirrored picks match by chance at a full radius (docs/evaluation.md)


class PickerTask(Task):
    """One picker network on labelled micrographs, validated by picking the held-out ones.

    training, validation: lists of LabelledImage. batch_size: crops per step, twice as many where only boxes are labelled
    (they are a quarter as large). minimum_distance: between two picks, in particle diameters.
    """

    crop_side = CROP_SIDE

    def __init__(self, method, network, training, validation, batch_size, device):
        self.method, self.training, self.validation, self.batch_size = method, training, validation, batch_size
        self.device = device
        if not training[0].dense:
            self.crop_side, self.batch_size = BOX_CROP_SIDE, 2 * batch_size
        self.minimum_distance = closest_neighbours(training + validation, method.working_diameter)
        # from the first step on, as Picker needs it: sums round by layout, and a continued training must end the same
        network = network.to(memory_format=torch.channels_last)
        self.networks = torch.nn.ModuleDict({"picker": network})
        self.optimizers = {"picker": torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)}
        counts = np.array([1.0 + len(im.positives) + len(im.negatives) for im in training])
        self.chances = counts / counts.sum()

    def batch(self, rng):
        crops = []
        for index in rng.choice(len(self.training), self.batch_size, p=self.chances):
            image, target, weight = self._crop(self.training[index], rng)
            crops.append((vary_contrast(image, rng), target, weight))
        return [torch.stack(x)[:, None] for x in zip(*crops)]

    def _crop(self, item, rng):
        """Image (side, side), target and weight (side/stride, side/stride) of one random view."""
        stride, side = self.networks["picker"].stride, self.crop_side
        image, usable, positives, negatives = sample_crop(item, side, rng)
        target, weight = self.method.target(positives, negatives, (side // stride,) * 2, stride, item.dense)
        return image, target, weight * F.avg_pool2d(usable[None], stride)[0]

    def train_step(self, batch, accelerator):
        image, target, weight = (x.to(accelerator.device) for x in batch)
        network, optimizer = self.networks["picker"], self.optimizers["picker"]
        optimizer.zero_grad(set_to_none=True)
        with accelerator.autocast():
            logits = network(image.contiguous(memory_format=torch.channels_last))
        loss = self.method.loss(logits.float(), target, weight)
        accelerator.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        return {"loss": loss.detach()}

    def validate(self):
        hits = self.validation_hits()
        figures = score_matched(hits.hit, hits.raw, hits.reference)
        return {"figure": 0.5 * (figures.average_precision + figures.best_f1), "loss": self._validation_loss(),
                "f1": figures.best_f1, "average_precision": figures.average_precision}

    def _validation_loss(self):
        """Loss on fixed crops of the validation part."""
        rng, losses = np.random.default_rng(12345), []
        for _ in range(16):
            image, target, weight = self._crop(self.validation[rng.integers(len(self.validation))], rng)
            logits = self.networks["picker"](image[None, None].to(self.device)).float().cpu()
            losses.append(float(self.method.loss(logits, target[None, None], weight[None, None])))
        return float(np.mean(losses))

    def validation_hits(self):
        """Hits of the validation micrographs."""
        return self.hits(self.validation)

    def hits(self, items):
        """Candidates on labelled images, and which of them are particles."""
        picker = Picker(self.method, self.networks["picker"], self.device)
        diameter = self.method.working_diameter
        hit, raw, reference = [], [], 0
        for item in items:
            yx, scores = picker.candidates_prepared(item, self.minimum_distance * diameter)
            matched, judged = judge(yx, item, diameter)
            hit.append(matched[judged])
            raw.append(scores[judged])
            reference += int(_usable_at(item.positives, item).sum())
        return Hits(np.concatenate(hit), np.concatenate(raw), reference)


    def box_hits(self, items):
        """Hits of the labelled boxes themselves: the highest raw score within the match distance of each."""
        picker = Picker(self.method, self.networks["picker"], self.device)
        stride, reach = picker.network.stride, MATCH_RADII * self.method.working_diameter / 2
        hit, raw = [], []
        for item in items:
            scores = picker.score_map(item).numpy()
            for boxes, particle in ((item.positives, True), (item.negatives, False)):
                for low, high in zip(((boxes - reach) // stride).astype(int), ((boxes + reach) // stride).astype(int) + 1):
                    hit.append(particle)
                    raw.append(scores[max(low[0], 0):high[0], max(low[1], 0):high[1]].max())
        return Hits(np.array(hit, bool), np.array(raw, float), sum(hit))


@dataclasses.dataclass(frozen=True)
class Hits:
    """hit (n,) bool and raw scores (n,) of judged places; reference: number of labelled particles."""
    hit: np.ndarray
    raw: np.ndarray
    reference: int


def closest_neighbours(images, diameter):
    """How near to each other particles of these labels lie, in diameters: the distance to ask of picks.

    Nearly the 2 % closest pairs of neighbours, between 0.35 and 0.7; MINIMUM_DISTANCE if there are few labels.
    diameter: working px.
    """
    nearest = [cKDTree(im.positives).query(im.positives, 2)[0][:, 1] for im in images if len(im.positives) > 1]
    nearest = np.concatenate(nearest) if nearest else np.zeros(0)
    if len(nearest) < 100:
        return MINIMUM_DISTANCE
    return float(np.clip(0.95 * np.percentile(nearest, 2) / diameter, 0.35, 0.7))


def judge(yx, item, diameter):
    """Which candidates match a labelled particle, and which can be judged at all.

    yx: (n, 2) working px. Densely labelled: all on usable ground are judged. Otherwise: only those on a labelled box.
    Returns two (n,) bool arrays.
    """
    matched = match_picks(yx, item.positives, MATCH_RADII * diameter / 2)
    if item.dense:
        return matched, _usable_at(yx, item)
    on_negative = np.zeros(len(yx), bool)
    if len(item.negatives) and len(yx):
        distance = np.linalg.norm(yx[:, None] - item.negatives[None], axis=2).min(1)
        on_negative = distance < diameter / 2
    return matched, (matched | on_negative) & _usable_at(yx, item)


def _usable_at(yx, item):
    nearest = np.clip(np.rint(yx), 0, np.array(item.image.shape) - 1).astype(int)
    return item.usable.numpy()[nearest[:, 0], nearest[:, 1]]
