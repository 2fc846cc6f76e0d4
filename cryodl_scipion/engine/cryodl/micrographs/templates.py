# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking by templates: projections of a structure, or round blobs, compared with the micrographs at every position.
The negatives of the micrographs tell what chance gives; one threshold serves all of them.

Candidates are kept in candidates/<micrograph>.star, and beside each a record of its input and parameters,
candidates/<micrograph>.json: a micrograph that has not changed is not compared again."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import torch

from ..contract import PickConfig, PickOutputs, counted, score_text
from ..core import fourier, healpix_grid
from ..core.geometry import inside, map_positions
from ..core.peaks import LocalCorrelation, disc_normalised, disc_of, find_peaks
from ..core.projections import Projector
from ..io import coordinates, micrographs
from ..io.stamps import ItemRecords, Record, stamp, stamp_of
from ..running.runner import PROGRAM, Named, Run
from ..simulate.pool import load_member
from .normalize import prepare_micrograph
from .pickers.pick_files import HEAD, other_thresholds
from .pickers.pick_record import CANDIDATES
from .pickers.pictures import PICTURES, draw_first
from .pickers.predict import check_particle_fits

ACROSS = 24  # px of the particle's diameter where it is compared: coarser loses shape, finer costs time alone
RIM = 0.6  # diameters: radius of the disc that is compared, the particle and a little of what is around it
SAME = 0.998  # correlation of a template with another one, or a sum of images, that stands for it
SOFT = 0.06  # diameters: how soft the blobs' edges are
BLOBS = (1.0, 0.8, 0.6)  # diameters of the blobs over the stated one


@dataclasses.dataclass(frozen=True)
class Templates:
    """images: (n, k, k) tensor of mean 0 and norm 1 in the disc (k, k), protein positive. diameter: Å, ACROSS px.
    moved: Å, see structures.load_molecule."""

    images: torch.Tensor
    disc: torch.Tensor
    diameter: float
    moved: float = 0.0

    @functools.cached_property
    def sums(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, m) weights of norm 1 and (m, k, k) images: the templates are so much alike that all are sums of a few."""
        left, sizes, few = torch.linalg.svd(self.images.flatten(1), full_matrices=False)
        count = int(((left * sizes).square().cumsum(1).amin(0) < SAME**2).sum()) + 1
        weights = torch.nn.functional.normalize((left * sizes)[:, :count], dim=1)
        return weights, few[:count].reshape(-1, *self.disc.shape)


def of_structure(path: str, step_deg: float) -> Templates:
    """Projections of a map or an atomic model, directions and in-plane rotations about step_deg apart, none of them
    twice. Raises ValueError or FileNotFoundError that names the file."""
    member, disc = load_member(path, ACROSS), disc_of(RIM * ACROSS)
    ways, rotations = healpix_grid.directions(step_deg), healpix_grid.in_plane_angles(step_deg)
    angles = np.column_stack([np.repeat(ways, len(rotations), 0), np.tile(rotations, len(ways))])
    # one pixel larger than the disc, an even number: the particle's middle is then the disc's
    images = disc_normalised(Projector(member.density).project(angles, box=disc.shape[0] + 1)[:, 1:, 1:], disc)
    kept: list[int] = []
    for number, likeness in enumerate(images.flatten(1) @ images.flatten(1).T):
        if not kept or float(likeness[kept].max()) < SAME:  # a symmetric structure repeats its views
            kept.append(number)
    return Templates(images[kept], disc, member.extent, member.moved)


def of_blobs(diameter: float) -> Templates:
    """Soft round blobs of some diameters up to the stated one, in Å."""
    disc = disc_of(RIM * ACROSS)
    radius = fourier.from_middle(disc.shape[0])
    images = torch.stack([torch.sigmoid((0.5 * share * ACROSS - radius) / (SOFT * ACROSS)) for share in BLOBS])
    return Templates(disc_normalised(images, disc), disc, diameter)


LOWEST = 0.1  # correlation below which a position is no candidate
QUIET = 0.3  # of the micrograph's median variance: quieter positions are not blown up
AT_ONCE = 8  # images, or rows of a micrograph, that are compared together: more take more memory and no less time
MOST = 0.5  # of the negative's candidates: no threshold is so low that more of them reach it


def candidates(
    image: np.ndarray, pixel_size: float, templates: Templates, distance: float, dark: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of a micrograph that look like a template. image: (h, w) float32. pixel_size: Å/px. Returns yx (n, 2)
    px, best first; scores (n,), the highest correlation coefficients over all templates; and (m,) those of the
    negative's candidates. Raises ValueError if the image has no contrast, or the particle does not fit it."""
    check_particle_fits(image.shape, pixel_size, templates.diameter)
    factor = ACROSS * pixel_size / templates.diameter
    prepared = prepare_micrograph(image, factor, ACROSS, dark)
    highest, lowest = extremes(prepared.image, templates)
    apart = max(1.0, distance / pixel_size * factor)
    yx, scores = find_peaks(highest, apart, LOWEST, prepared.valid)
    _, false = find_peaks(-lowest, apart, LOWEST, prepared.valid)
    yx = map_positions(yx, prepared.image.shape, prepared.shape)
    # the nearest pixel must exist too: Scipion's coordinates are whole numbers
    keep = inside(yx, image.shape) & inside(np.rint(yx), image.shape)
    return yx[keep], scores[keep], false


def extremes(image: torch.Tensor, templates: Templates) -> tuple[torch.Tensor, torch.Tensor]:
    """(h, w) highest and lowest correlation coefficient over all templates at each position."""
    compared, (weights, images) = LocalCorrelation(image, templates.disc, QUIET), templates.sums
    parts = [compared.scores(part).half().split(AT_ONCE, 1) for part in images.split(AT_ONCE)]  # rounded by < 1e-3
    lowest, highest = torch.empty((2, *image.shape))
    for rows, *found in zip(zip(*parts), lowest.split(AT_ONCE), highest.split(AT_ONCE)):
        torch.aminmax(weights @ torch.cat(rows).flatten(1).float(), dim=0, out=(found[0].view(-1), found[1].view(-1)))
    return highest, lowest


def threshold_by_negative(scores: np.ndarray, false: np.ndarray) -> float:
    """The correlation from which the expected F1 is largest, if chance gives candidates as the negative has them, but
    only where no particle is, and one standard error more: in micrographs without particles, few positions are
    picked if both are alike. scores: (n,), of candidates. false: (m,) of the negative's. 1 if no score stands out."""
    ranked, picks = np.sort(scores)[::-1], np.arange(1, len(scores) + 1)
    chance = len(false) - np.searchsorted(np.sort(false), ranked)
    ranked, picks, chance = (values[chance <= MOST * len(false)] for values in (ranked, picks, chance))
    part, above = chance / max(len(false), 1), picks - np.sqrt(2 * chance)
    particles = ((above - len(scores) * part) / (1 - part)).max(initial=0)
    right = np.maximum.accumulate(above - (len(scores) - particles) * part)
    return float(ranked[np.argmax(2 * right / (picks + particles))]) if particles else 1.0


SETTINGS = ("pixel_size", "structure", "particle_diameter", "minimum_distance")
STEP = 24.0  # degrees between neighbouring projections, and between their in-plane rotations
DISTANCE = 0.6  # diameters between picks, if nothing else is asked for
AGAIN = "Choose another --output, or pick again with --overwrite."


def pick_by_templates(config: PickConfig, named: Named, run: Run) -> PickOutputs:
    """Compare all micrographs that are not done yet, and pick. named: names and files of micrographs."""
    folder = Path(config.output)
    config = dataclasses.replace(config, contrast="dark" if config.contrast == "auto" else config.contrast)
    if config.model not in ("", PickConfig.model):  # Scipion gives none
        run.warn("The model (--model) is not used: templates were chosen (--method).")
    patterns = ("{}.star", "../{}.star", f"../{PICTURES}/{{}}.png")
    settings = dict(
        {key: getattr(config, key) for key in SETTINGS},
        angular_step=STEP,
        contrast=config.contrast,
        structure_stamp=stamp(config.structure) if config.structure else None,
    )
    templates = (
        of_structure(config.structure, STEP) if config.structure else of_blobs(float(config.particle_diameter or 0))
    )
    if templates.moved:  # what was picked before it was moved is elsewhere
        settings["Å of the structure's centre from its box's"] = round(templates.moved)
    files = ItemRecords(folder / CANDIDATES, "candidates by templates", settings, *patterns, remedy=AGAIN)
    known = {} if config.overwrite else files.unchanged(named)
    (folder / CANDIDATES).mkdir(parents=True, exist_ok=True)
    print(f"{counted(len(templates.images), 'template')}, particle diameter {templates.diameter:.0f} Å.")
    compare = lambda name, path: _compare(name, path, config, templates, files, run)
    records = run.each(named, "micrograph", "picked", compare, known, files.forget)
    done = [(n, p) for n, p in named if n in records]
    made = _picked(config, templates, records)
    run.warn(*other_thresholds(folder, {name for name, _ in named}, made.threshold))
    return _said(made, draw_first(done, folder, config.pictures, config.pixel_size, templates.diameter), config, run)


def _compare(name: str, path: str, config: PickConfig, templates: Templates, files: ItemRecords, run: Run) -> Record:
    run.take_device("cpu")
    made_of, image = stamp_of(path), micrographs.read_micrograph(path)
    apart = DISTANCE * templates.diameter if config.minimum_distance is None else config.minimum_distance
    yx, scores, false = candidates(image, config.pixel_size, templates, apart, config.contrast == "dark")
    coordinates.write_coordinates(files.folder / f"{name}.star", yx, scores, f"cryodl: all candidates of {name}")
    return files.write(name, made_of, shape=list(image.shape), negative=[round(s, 5) for s in false.tolist()])


def _picked(config: PickConfig, templates: Templates, records: dict[str, Record]) -> PickOutputs:
    folder, counts = Path(config.output), dict[str, int]()
    found = {n: next(iter(coordinates.read_coordinates(folder / CANDIDATES / f"{n}.star").values())) for n in records}
    negatives = [np.asarray(record["negative"], float) for record in records.values()]
    false, threshold, border = np.concatenate(negatives), config.threshold, config.border / config.pixel_size
    # parts of the micrographs that lie inside the border
    parts = [np.prod([max(0, 1 - 2 * border / side) for side in record["shape"]]) for record in records.values()]
    if threshold is None:
        threshold = threshold_by_negative(np.concatenate([scores for _, scores in found.values()]), false)
    for name, (yx, scores) in found.items():
        keep = (scores >= threshold) & inside(yx, records[name]["shape"], border)
        coordinates.write_coordinates(
            folder / f"{name}.star", yx[keep], scores[keep], HEAD.format(name, score_text(threshold))
        )
        counts[name] = int(keep.sum())
    return PickOutputs(
        folder=str(folder),
        coordinates={n: str(folder / f"{n}.star") for n in records},
        candidates={n: str(folder / CANDIDATES / f"{n}.star") for n in records},
        counts=counts,
        picks=sum(counts.values()),
        threshold=threshold,
        threshold_uncertainty=None,
        thresholds=dict.fromkeys(records, threshold),
        particle_diameter=templates.diameter,
        contrast=config.contrast,
        expected_particles={},
        expected=None,
        model="",
        pictures={},
        picked_diameter=templates.diameter,
        pixel_size=config.pixel_size,
        templates=len(templates.images),
        expected_false_picks=round(sum(part * (one >= threshold).sum() for part, one in zip(parts, negatives))),
    )


def _said(made: PickOutputs, pictures: dict[str, str], config: PickConfig, run: Run) -> PickOutputs:
    run.summary(
        f"{counted(made.picks, 'pick')} in {counted(len(made.counts), 'micrograph')} with a correlation of at least "
        f"{score_text(made.threshold)}, {made.expected_false_picks} with inverted contrast: "
        f"{made.folder}/<micrograph>.star"
    )
    run.methods(
        f"Particles were picked with {PROGRAM} by correlation with {made.templates} "
        + (f"projections of {Path(config.structure).name}" if config.structure else "round blobs")
        + f", at a correlation coefficient of at least {score_text(made.threshold)}."
    )
    if not made.picks:
        run.warn(
            f"There are no picks, assuming {made.contrast} protein (--contrast): no position matches the templates "
            "better than positions in the micrographs with inverted contrast. Check pixel size and diameter, or set a "
            "threshold (--threshold)."
        )
    elif 3 * (made.expected_false_picks or 0) > made.picks:
        run.warn(
            f"Many of the {made.picks} picks are chance, assuming {made.contrast} protein (--contrast): "
            f"{made.expected_false_picks} are found in micrographs of inverted contrast. Check the contrast, the "
            "template and the size."
        )
    return dataclasses.replace(made, pictures=pictures)
