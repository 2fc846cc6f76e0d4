# SPDX-License-Identifier: GPL-3.0-or-later
"""A trained detector on tomograms of any size: blocks that overlap, and the peaks of their heat maps."""

import collections
import dataclasses
import itertools
import math
import typing

import numpy as np
import torch
import torch.nn.functional as F

from ...contract import DetectParticlesConfig, counted, network_words, rescaled, score_text
from ...core import names, peaks, volumes
from ...core.devices import fast_dtype
from ...core.tiles import tile_spans
from ...io import memory, particles, tomogram_coordinates
from ...io.model import find_model, read_model
from ...io.progress import ProgressBar
from ...io.tomograms import Tomogram
from ...learning import inference, task
from ..segmenters.working_scale import WorkingTomogram, skewness, trained_elsewhere, turned_contrast
from .unet3d import STRIDE


@dataclasses.dataclass(frozen=True)
class SpeciesFound:
    """Detections of one species in one tomogram. name: of the species. zyx: (n, 3) px of the tomogram. scores: (n,).
    angles: (n, 3) rot, tilt, psi in degrees, or None. threshold: minimum score. expected_false: detections that noise
    alone gives, scaled to the tomogram; None without a control. diameter: Å. rivals: (m,) scores of places where a
    decoy of the template fits best; None without decoys. taken: {other particle: (k,) scores of its places}."""

    name: str
    zyx: np.ndarray
    scores: np.ndarray
    angles: np.ndarray | None
    threshold: float
    expected_false: float | None
    diameter: float
    rivals: np.ndarray | None = None
    taken: typing.Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def well_inside(zyx: np.ndarray, shape: typing.Sequence[int], border: float) -> np.ndarray:
    """(n,) bool: which of some (n, 3) places lie at least so many px from the first and last voxels of a tomogram."""
    return np.asarray(((zyx >= border) & (zyx <= np.array(shape) - 1 - border)).all(axis=1))


def detection_columns(
    name: str, found: typing.Sequence[SpeciesFound], shape: typing.Sequence[int], pixel_size: float
) -> dict[str, list[typing.Any]]:
    """{column: values} of all species of a tomogram: RELION 5's columns, score, species and its number from 1."""
    zyx = np.concatenate([one.zyx.reshape(-1, 3) for one in found])
    columns: dict[str, typing.Any] = dict(tomogram_coordinates.coordinate_columns(name, zyx, shape, pixel_size))
    if all(one.angles is not None for one in found):
        angles = np.concatenate([one.angles for one in found if one.angles is not None]).reshape(-1, 3)
        columns.update(dict(zip(particles.ANGLES, angles.T)))
    columns["rlnClassNumber"] = [number for number, one in enumerate(found, 1) for _ in one.zyx]
    columns["cryodlSpecies"] = [one.name for one in found for _ in one.zyx]
    columns["cryodlScore"] = np.concatenate([one.scores for one in found])
    return {key: list(values) for key, values in columns.items()}


def detections_in_words(
    name: str,
    counts: typing.Mapping[str, int],
    thresholds: typing.Mapping[str, float],
    expected: typing.Mapping[str, float],
    what: str,
) -> typing.Iterator[str]:
    """Sentences about the detections in a tomogram, one for each species. expected: false ones; empty without a
    control. what: these are."""
    for species, count in counts.items():
        false = expected.get(species)
        number = "" if false is None else f"{false:.2g}" if false < 10 else f"{false:.0f}"
        control = "no control" if false is None else f"{number if false >= 0.1 else 'less than 0.1'} expected {what}"
        found = f"{counted(count, 'detection')} of {species} from score {score_text(thresholds[species])}, {control}"
        yield f"{name}: {found if count else f'no detections of {species}'}."


def taken_in_words(items: typing.Iterable[typing.Mapping[str, int]]) -> str:
    """A sentence about the places that other particles took. items: {other particle: places} of each tomogram."""
    counts = sum(map(collections.Counter, items), collections.Counter())
    found = ", ".join(f"{count} of {name}" for name, count in counts.most_common()) or "none"
    return f"Places left out because another of the given particles fits better: {found}."


MIN_SCORE = 0.05  # of a candidate
SIDES = (96, 640)  # of blocks, working px
DISTANCE = 0.7  # of two particles of a species at least, in diameters


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Peaks of one species. zyx: (n, 3) px of the tomogram. scores: (n,), best first."""

    zyx: np.ndarray
    scores: np.ndarray

    def best(self, distance: float, threshold: float) -> "Candidates":
        """Those from a threshold on that have no better one nearer than distance (px)."""
        order = np.argsort(-self.scores, kind="stable")
        order = order[self.scores[order] >= threshold]
        keep = order[peaks.separate(self.zyx[order], distance)]
        return Candidates(self.zyx[keep], self.scores[keep])


class Detector:
    """A trained detector on a device. weights: {name: tensor}."""

    def __init__(self, card: dict[str, typing.Any], weights: dict[str, torch.Tensor], device: torch.device) -> None:
        self.card, self.device, self.dtype = card, device, fast_dtype(device)
        self.species, self.pixel_size = tuple(card["species"]), float(card["pixel_size"])
        self.method = task.method_of("detector", card["network"])
        network = task.with_weights(self.method.build(len(self.species)), weights, card["name"], self.method.name)
        self.network = inference.for_inference(network, device, self.dtype)

    @torch.inference_mode()
    def heat_maps(self, voxels: torch.Tensor) -> torch.Tensor:
        """(species, z / 2, y / 2, x / 2) scores of normalised voxels (z, y, x) at the model's pixel size."""
        padded = (
            filled_up(voxels, self.method.granularity)
            .to(self.device, self.dtype)
            .contiguous(memory_format=torch.channels_last_3d)
        )
        found = self.network(padded)[0].float().sigmoid().cpu()
        return found[(slice(None), *(slice(-(-n // STRIDE)) for n in voxels.shape))]


def filled_up(voxels: torch.Tensor, multiple: int) -> torch.Tensor:
    """(1, 1, z, y, x) of voxels (z, y, x), whose last ones are repeated up to multiples of a number along each axis."""
    padding = [-n % multiple for n in voxels.shape]
    return F.pad(voxels[None, None], [v for n in padding[::-1] for v in (0, n)], mode="replicate")


Ranges = list[tuple[int, int]]


def block_ranges(shape: typing.Sequence[int], voxels: float, method: typing.Any) -> list[tuple[Ranges, Ranges]]:
    """(where it begins and ends, what is kept of it) along z, y and x, of blocks of at most so many voxels."""
    multiple, (low, high) = method.granularity, SIDES
    thick = min(shape[0], max(low, int(voxels ** (1 / 3))))  # as thick as the tomogram where it can be, square across
    across = min(high, max(low, int((voxels / thick) ** 0.5)))
    sides = [max(low, side // multiple * multiple) for side in (-(-thick // multiple) * multiple, across, across)]
    spans = [tile_spans(-(-n // multiple) * multiple, side, method.overlap, multiple) for n, side in zip(shape, sides)]
    return [
        (
            [(a, min(b, n)) for (a, b, _, _), n in zip(block, shape)],
            [(c, min(d, n)) for (_, _, c, d), n in zip(block, shape)],
        )
        for block in itertools.product(*spans)
    ]


def detect(
    detector: Detector,
    working: WorkingTomogram,
    ranges: typing.Sequence[tuple[Ranges, Ranges]],
    progress: typing.Callable[[], object] = lambda: None,
    treated: typing.Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> list[Candidates]:
    """Candidates of each species in blocks of a tomogram at the detector's pixel size, in px of the tomogram; not yet
    apart from each other. ranges: see block_ranges. treated: what is looked at in place of a block (z, y, x)."""
    found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in detector.species]
    for whole, kept in ranges:
        voxels = working.part(whole)
        add_peaks(found, detector.heat_maps(treated(voxels) if treated else voxels), whole, kept)
        progress()
    joined = ((np.concatenate(part) for part in zip(*each)) for each in found)
    return [Candidates(working.in_tomogram(zyx), scores) for zyx, scores in joined]


def add_peaks(
    found: list[list[tuple[np.ndarray, np.ndarray]]],
    maps: torch.Tensor,
    whole: list[tuple[int, int]],
    kept: list[tuple[int, int]],
) -> None:
    """Add the peaks of a block's heat maps that lie in what is kept of it, in working px."""
    keep = [((c - a) // STRIDE, -(-(d - a) // STRIDE)) for (a, _), (c, d) in zip(whole, kept)]
    for scores, each in zip(maps, found):
        zyx, heights, _ = peaks.find_peaks_3d(scores, MIN_SCORE, keep)
        each.append((rescaled(zyx, STRIDE) + [a for a, _ in whole], heights))


DIFFERENT, TOO_DIFFERENT = 2.0, 4.0  # times the pixel size that a model learned at: warned of; refused


class NetworkFinder:
    """What detect-particles does with a model. named: (name, path) of the tomograms."""

    angular_step = orientations = None

    def __init__(
        self, config: DetectParticlesConfig, named: typing.Sequence[tuple[str, str]], device: torch.device
    ) -> None:
        card, weights = read_model(find_model(str(config.model), "detector"), "detector")
        self.config, self.detector, self.card = config, Detector(card, weights, device), card
        self.species = self.detector.species
        given = names.numbers_by_name(config.threshold, self.species, "Thresholds (--threshold)", 0, 1)
        self.thresholds = [given.get(name, usual) for name, usual in zip(self.species, card["thresholds"])]
        self.identity = {"weights of the model": card["weights_sha256"]}
        self.notes: list[str] = []
        self.in_words = f"by the model {card['name']} ({network_words('detector', card['network'])})"

    def search(self, name: str, tomogram: Tomogram, pixel_size: float) -> tuple[list[SpeciesFound], list[str]]:
        """Each species' SpeciesFound in a tomogram, and sentences. Raises ValueError if it cannot serve."""
        notes, model, trained = list[str](), self.card["name"], self.card["trained_pixel_size"]
        if trained_elsewhere(tomogram.path, pixel_size, model, trained, DIFFERENT, TOO_DIFFERENT):
            notes.append(
                f"The model {model} was trained on tomograms of {trained:g} Å/px, but some have {pixel_size:g} Å/px, "
                "and it may not find particles at that resolution."
            )
        working, method = WorkingTomogram(tomogram, pixel_size, self.detector.pixel_size), self.detector.method
        ranges = block_ranges(working.shape, memory.WORKING_MEMORY * memory.GIGABYTE / method.bytes_per_voxel, method)
        skewed = skewness(working.part(ranges[0][0])), float(self.card.get("skew", 0.0))
        notes += turned_contrast(str(tomogram.path), model, *skewed)
        with ProgressBar(total=len(ranges), unit="block", desc=name, mininterval=1.0) as bar:
            found = detect(self.detector, working, ranges, bar.update)
        noise, part = None, 0.0
        if self.config.control:
            rng = np.random.default_rng([self.config.seed, *name.encode()])
            # copies of some blocks whose phases were drawn at random, and the part of the tomogram that they are
            count = max(1, round(self.config.control * len(ranges)))
            chosen = [ranges[n] for n in sorted(rng.permutation(len(ranges))[:count].tolist())]
            part = sum(math.prod(b - a for a, b in kept) for _, kept in chosen) / math.prod(working.shape)
            noise = detect(self.detector, working, chosen, treated=lambda voxels: volumes.phases_at_random(voxels, rng))
        result, inside = [], lambda one: well_inside(one.zyx, tomogram.shape, self.config.border / pixel_size)
        for number, (species, diameter) in enumerate(zip(self.species, self.card["diameters"])):
            distance = max(1.0, (self.config.minimum_distance or DISTANCE * diameter) / pixel_size)
            threshold = max(self.thresholds[number], MIN_SCORE)
            kept = found[number].best(distance, threshold)
            chance = None if noise is None else int(inside(noise[number].best(distance, threshold)).sum()) / part
            zyx, scores = kept.zyx[inside(kept)], kept.scores[inside(kept)]
            result.append(SpeciesFound(species, zyx, scores, None, threshold, chance, float(diameter)))
        return result, notes
