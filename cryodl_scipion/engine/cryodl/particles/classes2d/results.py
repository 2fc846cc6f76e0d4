# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of a 2-D classification, and their files: class numbers, poses in RELION's convention, averages, scores."""

import dataclasses
import math
import typing
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.optimize import isotonic_regression
from scipy.special import ndtr
from torch import nn

from ...contract import Classify2DConfig, Classify2DOutputs
from ...io import model, progress
from ...io.particle_sets import ParticleSet, StackWriter, write_particles_star
from ...io.particles import ANGLES, MARGIN, ORIGIN, SCORE
from ...io.star import write_tables
from .averages import Averages, ImageSums, average_classes
from .classify import Classification
from .earlier_classes import TAKEN, FormerClasses
from .records import ClassSettings, Records, noise_power, times_ctf

ROTATIONS = 4  # rotations by 90 degrees, and as many mirrored ones, over which the score is averaged
WIDTHS = (16, 32, 48, 64)


class RankerNetwork(nn.Module):
    """Four convolutions of a (n, 1, 40, 40) image, the mean over it, two numbers of its FRC, and a logit."""

    def __init__(self) -> None:
        super().__init__()
        layers, width = [], 1
        for number, wider in enumerate(WIDTHS):
            layers += [
                nn.Conv2d(width, wider, 5 if number == 0 else 3, padding=2 if number == 0 else 1),
                nn.BatchNorm2d(wider),
                nn.ReLU(),
            ] + ([nn.MaxPool2d(2)] if number < 3 else [])
            width = wider
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(2 * width + 2, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))

    def forward(self, images: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """(n,) logits of (n, 1, 40, 40) images and (n, 2) numbers, see below."""
        found = self.body(images)
        return self.head(torch.cat([found.mean((2, 3)), found.amax((2, 3)), numbers], 1))[:, 0]


@dataclasses.dataclass(frozen=True)
class Ranker:
    """A trained network and the temperature that makes its answers probabilities."""

    network: nn.Module
    temperature: float

    def scores(self, images: torch.Tensor, curves: torch.Tensor, mask_px: float) -> np.ndarray:
        """(k,) fractions of the particles that are expected to be good: one particle, whole and centred.

        images: (k, box, box), protein bright. curves: (k, box // 2 + 1) FRC of halves. mask_px: px, radius."""
        small, numbers = small_images(images, mask_px), curve_numbers(curves)
        with torch.no_grad():
            logits = sum(
                self.network(torch.rot90(view, rotation, (2, 3)), numbers)
                for view in (small, small.flip(-1))
                for rotation in range(ROTATIONS)
            ) / (2 * ROTATIONS)
        return torch.sigmoid(logits / self.temperature).double().numpy()


def load_ranker() -> Ranker:
    """The Ranker that comes with the program."""
    card, weights = model.read_model(model.find_model("class_ranker", "class_ranker"), "class_ranker")
    network = RankerNetwork()
    network.load_state_dict(weights)
    return Ranker(network.eval(), float(card["temperature"]))


# ----- Class averages as the ranker sees them: small, of one scale, within the particle's circle; and two numbers.
SIDE = 40  # px of the small image
FILLED = 1.1  # of the mask's diameter: what of the box the small image shows
CONTRAST = 6.0  # values beyond are clipped


def small_images(images: torch.Tensor, mask_px: float) -> torch.Tensor:
    """(k, 1, SIDE, SIDE) averages cut to the mask, made small, with mean 0 and deviation 1 within the circle. images:
    (k, box, box), protein bright. mask_px: radius of the particle, px."""
    box, width = images.shape[-1], 2 * mask_px * FILLED
    axis = torch.linspace(-0.5, 0.5, SIDE) * width * 2 / box
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij")[::-1], -1).expand(len(images), -1, -1, -1)
    factor = width / SIDE  # smoothed first where pixels are left out
    seen = images[:, None].float()
    if factor > 1:
        smooth = gaussian_filter(seen, factor / 2, mode="nearest", radius=math.ceil(1.5 * factor), axes=(2, 3))
        seen = torch.from_numpy(smooth)
    small = torch.nn.functional.grid_sample(seen, grid, mode="bilinear", align_corners=False)
    line = torch.linspace(-1, 1, SIDE) * FILLED
    inside = line[:, None] ** 2 + line**2 <= 1
    values = small[..., inside]
    small = (small - values.mean(-1, keepdim=True)[..., None]) / values.std(-1, keepdim=True)[..., None].clamp(min=1e-6)
    return (small * inside).clamp(-CONTRAST, CONTRAST)


def curve_numbers(curves: torch.Tensor) -> torch.Tensor:
    """(k, 2): mean of each FRC up to half of Nyquist, and where it falls below 0.5, as a fraction of Nyquist."""
    last = curves.shape[-1] - 1
    low, below = curves[:, 1 : max(2, last // 2 + 1)].mean(1), (curves[:, 1:] < 0.5).float()
    first = torch.where(below.any(1), below.argmax(1), torch.full_like(below[:, 0], last).long())
    return torch.stack([low, first / last], 1).float()


PARTICLES, CLASSES, STACK = "particles.star", "classes.star", "classes.mrcs"
COUNT = "cryodlParticles"
PROBABILITY = "cryodlProbability"


@dataclasses.dataclass(frozen=True)
class Answer:
    """A finished classification.

    labels: (n,) int, class of each particle of the input, from 1, the largest first; 0 for unusable ones. psi: (n,)
    degrees, origins_yx: (n, 2) Å, in RELION's sense. scores, margins: (n,) of the particles. probabilities : (n,) that
    each shows more than noise. counts : (k,) int. averages: Averages. quality: (k,) fraction of good
    particles that is expected. order: (k,) the classification's own numbers of the classes, from 0."""

    labels: np.ndarray
    psi: np.ndarray
    origins_yx: np.ndarray
    scores: np.ndarray
    margins: np.ndarray
    probabilities: np.ndarray
    counts: np.ndarray
    averages: Averages
    quality: np.ndarray
    order: np.ndarray


def finished_answer(
    work: Classification,
    particles: ParticleSet,
    settings: ClassSettings,
    ranker: Ranker,
    former: FormerClasses | None = None,
) -> Answer:
    """The Answer of a classification: its averages made from the whole images, and scored. former: classes to which
    the particles are added; they keep their numbers."""
    state, records, scale = work.state, work.records, particles.box / work.grid.box
    counts = np.bincount(state.labels, minlength=work.wanted)
    order = np.argsort(-counts, kind="stable")
    if former is not None:
        counts, order = counts + former.counts, np.arange(len(counts))
    labels, shifts = np.argsort(order)[state.labels], state.shifts_yx * scale
    with progress.ProgressBar(total=len(records), unit="particle", mininterval=1.0) as bar:
        averages = average_classes(
            settings,
            records.rows,
            labels,
            records.images + (0 if former is None else int(former.counts.sum())),
            shifts,
            state.phi,
            work.wanted,
            work.device,
            bar.update,
            former.images if former is not None else None,
        )
    quality = np.where(counts[order] > 0, ranker.scores(averages.images, averages.curves, settings.mask_px), 0.0)
    shown = signal_probabilities(state.scores, noise_scores(work, settings), settings.shown, former is None)
    if former is None:  # blurred averages of noise and particles look better than they are
        quality = np.minimum(quality, np.bincount(labels, shown, work.wanted) / np.maximum(counts[order], 1))

    def whole(values: np.ndarray, missing: float = 0.0) -> np.ndarray:
        every = np.full((len(particles), *values.shape[1:]), missing, values.dtype)
        every[records.rows] = values
        return every

    return Answer(
        whole(labels + 1, 0),
        whole((-np.degrees(state.phi.astype(float)) + 180) % 360 - 180),
        whole(-shifts * particles.pixel_size),
        whole(state.scores),
        whole(state.margins),
        whole(shown),
        counts[order],
        averages,
        quality,
        order,
    )


def former_of(
    config: Classify2DConfig,
    settings: ClassSettings,
    work: Classification,
    answer: Answer,
    converged: bool,
    members: np.ndarray,
) -> FormerClasses:
    """What later particles are to be compared with, in the order of the answer. members: as FormerClasses has them."""
    bank, order, particles = work.bank, torch.from_numpy(answer.order), settings.particles
    return FormerClasses(
        taken={name: getattr(config, name) for name in TAKEN},
        pixel_size=particles.pixel_size,
        box=particles.box,
        with_ctf=particles.optics is not None,
        divided=particles.ctf_state == "divided",
        scale=settings.scale,
        reach_px=settings.reach_px,
        mask_px=settings.mask_px,
        counts=answer.counts,
        rings=torch.stack([bank.sums[half::2].sum(0).cpu()[order] for half in (0, 1)]),
        ring_weights=torch.stack([bank.weights[half::2].sum(0).cpu()[order] for half in (0, 1)]),
        images=typing.cast("ImageSums", answer.averages.sums),  # average_classes gives them
        converged=converged,
        members=members,
    )


def write_answer(
    folder: Path, output: str, particles: ParticleSet, answer: Answer, assigned: int, converged: bool
) -> Classify2DOutputs:
    """Write particles.star, classes.mrcs and classes.star into a working folder. output: its final name. assigned:
    particles that were added to classes of an earlier run. Returns the command's outputs, with their final paths."""
    changes = {
        "rlnClassNumber": answer.labels,
        "rlnAnglePsi": answer.psi,
        "rlnOriginXAngst": answer.origins_yx[:, 1],
        "rlnOriginYAngst": answer.origins_yx[:, 0],
        SCORE: answer.scores,
        MARGIN: answer.margins,
        PROBABILITY: answer.probabilities,
        # what another, 3-D, alignment left would not fit the angle in the plane
        **dict.fromkeys((*ORIGIN, "rlnMaxValueProbDistribution")),
        **{name: np.zeros(len(particles)) for name in ANGLES[:2] if name in particles.columns},
    }
    write_particles_star(folder / PARTICLES, particles, changes)
    with StackWriter(str(folder / STACK), len(answer.counts), particles.box, particles.pixel_size) as stack:
        stack.add(answer.averages.images)
    numbers = np.arange(1, len(answer.counts) + 1)
    table = {
        "rlnReferenceImage": [f"{number:06d}@{STACK}" for number in numbers],
        "rlnClassNumber": numbers,
        "rlnClassDistribution": answer.counts / max(1, answer.counts.sum()),
        COUNT: answer.counts,
        # an unresolved class has the resolution 999, as in RELION's tables
        "rlnEstimatedResolution": np.nan_to_num(answer.averages.resolutions, nan=999.0),
        "rlnClassScore": answer.quality,
    }
    write_tables(folder / CLASSES, {"classes": table})
    final = Path(output)
    return Classify2DOutputs(
        particles=str(final / PARTICLES),
        classes=str(final / CLASSES),
        stack=str(final / STACK),
        counts=[int(count) for count in answer.counts],
        scores=[round(float(s), 4) for s in answer.quality],
        resolutions=[None if math.isnan(value) else round(float(value), 2) for value in answer.averages.resolutions],
        count=int(answer.counts.sum()),
        assigned=assigned,
        converged=converged,
        pixel_size=particles.pixel_size,
        box=particles.box,
    )


FORMING = "forming"  # .star and .mrcs in the working folder: averages while classes form
_SEEN = 40  # particles of a class, which show what it is


def write_forming(folder: Path, work: Classification, level: int, settings: ClassSettings) -> None:
    """Write averages of some particles of each class as it is now, the largest class first, for a person to look at.
    level: see Classification.levels."""
    state, records = work.state, work.records
    positions = work.subset(level)
    labels = state.labels[positions]
    members = [np.flatnonzero(labels == label) for label in range(work.bank.classes)]
    members = sorted((each for each in members if len(each)), key=len, reverse=True)
    some = [positions[each[:: -(-len(each) // _SEEN)]] for each in members]
    chosen, numbers = np.concatenate(some), np.repeat(np.arange(len(some)), [len(each) for each in some])
    averages = average_classes(
        settings,
        records.rows[chosen],
        numbers,
        np.arange(len(chosen)),
        state.shifts_yx[chosen] * settings.particles.box / records.grid.box,
        state.phi[chosen],
        len(some),
        work.device,
        lambda done: None,
    )
    box, pixel_size = settings.particles.box, settings.particles.pixel_size
    with StackWriter(str(folder / f"{FORMING}.mrcs"), len(some), box, pixel_size) as stack:
        stack.add(averages.images)
    names = [f"{number:06d}@{FORMING}.mrcs" for number in range(1, len(some) + 1)]
    table = {"rlnReferenceImage": names, COUNT: [len(each) for each in members]}
    write_tables(folder / f"{FORMING}.star", {"classes": table})


# ----- How likely each classified particle shows more than noise, by the scores that made-up noise reaches in the
# same classes.
MADE = 500  # images of noise
BEYOND = 3.0  # standard deviations; sets of 40 to 2,000 images of noise scored 1.3 to 2.7 above made-up noise
# how far it rises, in standard deviations, and how much wider it scores: mean and deviation that are expected. In 25
# sets 0.0 to 1.8 and 1.2 to 1.7; more would lose more particles than is asked for
RISEN, WIDENED = (0.8, 0.3), (1.35, 0.1)
BULK = 0.5  # standard deviations above the median of made-up noise: hardly any particle scores less
SMOOTHED = 0.2  # of the scores, in standard deviations of the noise: both densities are smoothed alike
STEP = 0.05  # of the densities


class MadeNoise(Records):
    """Records of images of noise alone, whitened, with the CTFs of particles of the set; in memory, not in a folder."""

    def __init__(self, settings: ClassSettings, rows: np.ndarray, rng: np.random.Generator) -> None:
        self.grid, self.rows, self.images = settings.scale.grid, rows, np.arange(len(rows))
        white = torch.from_numpy(rng.normal(size=(len(rows), *[self.grid.box] * 2)).astype(np.float32))
        samples = self.grid.sample(white) / torch.from_numpy(noise_power(white, self.grid)).sqrt()[:, None]
        self._samples, self._squared = times_ctf(samples, settings.particles, rows, self.grid, "none")

    def read(self, positions: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        return self._samples[positions].to(device), self._squared[positions].to(device)


def noise_scores(found: Classification, settings: ClassSettings) -> np.ndarray:
    """(m,) scores that made-up noise reaches, searched for among all classes as particles are. It gets the CTFs of
    usable particles of the set; without any there are no scores."""
    if not len(found.records):
        return np.zeros(0)
    rng = np.random.default_rng(found.seed)
    noise = MadeNoise(settings, rng.choice(found.records.rows, MADE), rng)
    work = Classification(noise, found.bank.classes, settings.reach_px, found.seed, found.device)
    work.assign_all(found.bank, lambda done: None, add=False)
    return work.state.scores


def signal_probabilities(scores: np.ndarray, noise: np.ndarray, shown: bool = True, own: bool = True) -> np.ndarray:
    """(n,) probability that each particle shows more than noise, rising with its score.

    Of a set of noise alone it is 0. Noise that classes are made of scores higher than made-up noise, and more widely.

    One minus the local false discovery rate (Efron 2001): the fraction of noise among the particles, from how many
    score below the median of noise, times the density of noise's scores over that of the particles'.

    scores: (n,), of particles. noise: (m,), of made-up noise. shown: see ClassSettings. own: whether the classes are
    made of these particles."""
    if not len(scores) or not shown and np.median(scores) < np.median(noise) + BEYOND * noise.std():
        return np.zeros(len(scores))
    noise = leaked_noise(scores, noise) if own else noise
    grid = np.arange(min(scores.min(), noise.min()) - 1, max(scores.max(), noise.max()) + 1, STEP)
    of_noise, of_all = _density(noise, grid), _density(scores, grid)
    raw = 1 - min(1.0, 2 * float((scores < np.median(noise)).mean())) * of_noise / np.maximum(of_all, 1e-12)
    # cut to 0..1 afterwards: cutting first would leave the upper half of the scatter, and noise would keep a chance
    return np.interp(scores, grid, np.clip(isotonic_regression(raw, weights=of_all + 1e-9).x, 0, 1))


def leaked_noise(scores: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(m,) scores of noise that classes are made of: those of made-up noise, raised and widened as the particles' lower
    scores say, which are noise. By maximum a posteriori, of normal distributions cut at BULK (Efron 2004: the empirical
    null). scores, noise: see signal_probabilities."""
    middle, spread = np.median(noise), max(float(noise.std()), 1e-6)
    low = (scores[scores <= middle + BULK * spread] - middle) / spread
    rise, width = np.meshgrid(np.arange(0, 2.05, 0.1), np.arange(1, 1.85, 0.1))
    fit = -(np.square(low).sum() - 2 * rise * low.sum() + len(low) * rise**2) / (2 * width**2)
    fit -= len(low) * np.log(width * ndtr((BULK - rise) / width))
    fit -= sum(((value - mean) / deviation) ** 2 / 2 for value, (mean, deviation) in ((rise, RISEN), (width, WIDENED)))
    return middle + rise.flat[fit.argmax()] * spread + width.flat[fit.argmax()] * (noise - middle)


def _density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    counts = np.histogram(values, bins=np.append(grid, grid[-1] + STEP) - STEP / 2)[0] / (len(values) * STEP)
    return np.asarray(gaussian_filter1d(counts, SMOOTHED / STEP, mode="constant"))
