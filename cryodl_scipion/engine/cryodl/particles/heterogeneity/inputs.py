# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs of a heterogeneity fit, and their checks. Whether particles may have other angles or phases than is stated."""

import dataclasses
import typing

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ...contract import PARTICLES_PER_DIMENSION, FitHeterogeneityConfig, ReconstructConfig, refuse_if, say_if
from ...core import fourier, volumes
from ...core.fourier import plane_weights, radial_mean, shells
from ...core.projections import Projector
from ...io.particle_sets import ParticleSet, read_particles, treated_ctf, usable
from ...io.structures import load_density
from ...latent.masks import checked_mask, symmetry_notes
from ...likelihood.observed import WIDEST, Source, prepare, resample, sample_groups, sample_rows
from ...likelihood.reference import DIRTY, group_notes, image_products, opposite_groups
from ...reconstruction.halves import Reconstruction, half_reconstructions
from ...simulate import micrographs, particle_images
from ..orientations import assign, simulated_set
from ..orientations.explained import STEP, sample_search
from ..orientations.structure import size_notes
from .paths import with_room

SAMPLE = 1024  # particles that are compared with projections of the reference
SURE = 5.0  # standard errors
VIEWED, ROUNDS = 256, 200  # particles whose orientations are compared with all others, and rounds of that fit
NEAR = 3.0  # degrees: standard deviation of orientations that are right; three times that where the molecule moves
# of the particles at their orientations (fewer wrong ones are set apart); within NEAR (a quarter if a domain swings)
ENOUGH, FEW = 0.7, 0.15
OWN_AMPLITUDE = 40  # images of an optics group that tell how strongly it shows the structure
TELLS = 0.2  # logarithmic likelihood of an image, on average, by which views other than those stated must be better
WORDS = {
    "none": "neither phase-flipped nor multiplied by their CTF",
    "flipped": "phase-flipped (or corrected for their CTF)",
    "multiplied": "multiplied by their CTF",
}
# kV: of joined groups one may have another's; standard errors: 3.8 to 16 where one had, at most 1.6 elsewhere
VOLTAGES, SURE_OF_VOLTAGE = (120, 200, 300), 3.5


def check_alignment(
    particles: ParticleSet, reference: torch.Tensor, voxel: float, diameter: float, contrast: str
) -> tuple[str, float, assign.Search | None]:
    """The contrast of aligned particles, the fraction of them at their own views, and the Search that tells it; 1 and
    None of noise.

    particles: with angles and CTF. reference: (box, box, box). voxel, diameter: Å. contrast: 'bright', 'dark', or
    'auto' to find it from the images. Raises ValueError: empty images; both contrasts; a CTF unlike the file's."""
    found, gains, groups = match_reference(particles, reference, voxel, diameter)
    refuse_if(opposite_groups(particles, sample_groups(particles, SAMPLE), found))
    value = found.mean() * np.sqrt(len(found)) / max(found.std(), 1e-30)
    if contrast == "auto":
        contrast = "dark" if value < -SURE else "bright"
    if abs(value) <= SURE:
        return contrast, 1.0, None
    refuse_if(ctf_notes(particles, gains, groups))
    return contrast, *at_own_views(particles, reference, voxel, diameter, contrast)


def at_own_views(
    particles: ParticleSet, reference: torch.Tensor, voxel: float, diameter: float, contrast: str
) -> tuple[float, assign.Search]:
    """Fraction of the particles that are about at the orientations that the file states, of what images made at these
    would show (a symmetric molecule looks alike at others); 1 if the images do not tell. Also the Search of a sample
    of them. Parameters: see check_alignment; contrast is 'bright' or 'dark'."""
    source = Source(
        particles, min(1.1 * diameter / particles.pixel_size, WIDEST * particles.box), contrast, particles.ctf_state
    )
    views = lambda one: sample_search(one, Projector(reference), voxel, diameter, torch.device("cpu"), VIEWED, STEP)
    search = views(source)
    share = _share_there(search)
    if share >= ENOUGH:
        return share, search
    made = simulated_set.simulate_alike(search, min(VIEWED, len(particles)), 0, there=True)
    return min(1.0, share / _share_there(views(dataclasses.replace(source, particles=made)))), search


def _share_there(search: assign.Search) -> float:
    """The fraction of a search's particles at their stated orientations."""
    values = search.log_likelihoods(np.arange(len(search.source.particles)))
    stated, grid = (
        torch.from_numpy(Rotation.from_euler("ZYZ", angles, degrees=True).as_quat())
        for angles in (search.source.particles.angles, search.grid.angles(np.arange(len(search.grid))))
    )
    off = 2 * torch.rad2deg(torch.acos((stated @ grid.T).abs().clamp(max=1)))
    near = (torch.log_softmax(-0.5 * (off / width) ** 2, 1) for width in (NEAR, 3 * NEAR, 1e6))
    logs = torch.stack([torch.logsumexp(values + prior, 1) for prior in near], 1)
    share = first = torch.tensor([0.98, 0.01, 0.01], dtype=torch.double)
    for _ in range(ROUNDS):
        share = torch.softmax(logs + share.log(), 1).mean(0).clamp(min=1e-6)
    better = torch.logsumexp(logs + share.log(), 1) - torch.logsumexp(logs + first.log(), 1)
    close, wide, _ = share.tolist()
    return 1.0 if better.mean() < TELLS else close if close < FEW else close + wide


def match_reference(
    particles: ParticleSet, reference: torch.Tensor, voxel: float, diameter: float
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Of a sample of m particles and projections of a reference: (m,) normalised correlations at their orientations;
    {state or voltage in words: (m,)} what they explain of each image, if that was done to it or it was taken so; (m,)
    names of their optics groups. Parameters: see check_alignment."""
    rows, box = sample_groups(particles, SAMPLE), reference.shape[-1]
    few = (particles.images(part) for part in np.array_split(rows, -(-len(rows) // VIEWED)))
    parts, exact = zip(*(resample(images, particles.pixel_size, voxel, box) for images in few))
    images, exact = prepare(torch.cat(parts), min(1.1 * diameter / voxel, 0.98 * box)), exact[0]
    angles, shifts_yx = particles.poses(rows)
    shifts_yx = shifts_yx * (particles.pixel_size / exact)
    transforms = torch.fft.rfft2(Projector(reference).project(angles, shifts_yx, box))
    plain = dataclasses.replace(particles, ctf_state="none").ctf(rows, box, exact)
    read = {state: treated_ctf(plain, state) for state in WORDS}
    for voltage in VOLTAGES:
        read[f"taken at {voltage} kV"] = particles.at_voltage(voltage).ctf(rows, box, exact)
    number = torch.bincount(shells(box).flatten(), plane_weights(box).expand(box, -1).flatten())[1 : box // 2]
    by_ring = lambda values: radial_mean(values.double(), box)[:, 1 : box // 2] * number
    gains, own = {}, torch.fft.rfft2(images).conj()
    names, group, sizes = np.unique(np.array(particles.columns["rlnOpticsGroup"])[rows], False, True, True)
    # with one amplitude for all, a group that is treated otherwise would decide how the others seem to be treated
    alike = np.where(sizes[group] < OWN_AMPLITUDE, -1, group)
    for state, ctf in read.items():  # ring by ring: how blurred a reference is must not decide how they seem treated
        seen, gains[state] = transforms * ctf, np.zeros(len(rows))
        match, power = by_ring((own * seen).real), by_ring(seen.abs().square())
        for part in (alike == one for one in np.unique(alike)):
            amplitude = match[part].sum(0) / power[part].sum(0).clamp(min=1e-30)
            amplitude = torch.where(amplitude * match[part].sum() > 0, amplitude, 0)  # of one sign in all rings
            gains[state][part] = (amplitude * match[part] - 0.5 * amplitude**2 * power[part]).sum(1)
    # noise of images multiplied by their CTF is, too: a product with what no CTF changed tells most
    seen = 1 if particles.ctf_state == "multiplied" else treated_ctf(plain, particles.ctf_state)
    match, power = image_products(images, transforms * seen)[0], image_products(images, transforms * plain)[1]
    return match.numpy() / np.sqrt(np.maximum(power.numpy(), 1e-30)), gains, names[group]


def ctf_notes(particles: ParticleSet, gains: dict[str, np.ndarray], groups: np.ndarray) -> list[str]:
    """[sentence] if images, all or of some groups, seem to be treated otherwise. gains, groups: of match_reference."""
    stated = particles.ctf_state
    better = {state: values - gains[stated] for state, values in gains.items()}
    by = {state: off.clip(-3 * off.std(), 3 * off.std()) for state, off in better.items()}
    # in standard errors by the spread of all images: few would let dirt decide
    told = lambda state, part: by[state][part].mean() * part.sum() ** 0.5 / max(better[state].std(), 1e-30)
    sure = {state: SURE if state in WORDS else SURE_OF_VOLTAGE for state in by}

    def seems(part: np.ndarray) -> str:
        best = max(by, key=lambda state: by[state][part].mean())
        return best if told(best, part) > sure[best] else stated

    names, counts = np.unique(groups, return_counts=True)
    parts = {name: groups == name for name in names[counts > DIRTY]}
    alone = [seems(part) for part in parts.values()]
    best = next((state for state in alone if state != stated), seems(groups == groups))
    if best == stated or len(groups) <= DIRTY:
        return []
    # where one group is surely so, half as much is enough of others: each, or all that are left
    alike = [name for name, part in parts.items() if told(best, part) > sure[best] / 2]
    left = np.isin(groups, [name for name in parts if name not in alike])
    of = ""
    if best in alone and left.any() and told(best, left) <= sure[best] / 2:
        of = f" of optics group {', '.join(alike)}"
    if best in WORDS:
        was, seem = WORDS[stated], WORDS[best]
        cure = (
            "rlnCtfDataArePhaseFlipped and rlnCtfDataAreCtfPremultiplied of its optics table (0 or 1), or give the raw "
            "images"
        )
    else:
        was, seem, cure = f"not {best}", best, "rlnVoltage of its optics table"
    return [
        f"According to {particles.path} its images{of} are {was}, but they seem to be {seem}. If the map is of this "
        f"molecule, correct {cure}."
    ]


SHELLS = slice(2, 8)  # in which maps of the same molecule agree, whatever their resolution
AGREE, DIFFER = 0.3, 0.2  # mean FSC above which maps show the same, below which they do not
OTHER_HAND = 0.1  # by which the mirror image must agree better
DETAIL = 24  # waves per box: finest detail by default
LARGEST, LEAST = 48, 4  # waves per box: the finest detail that is ever used, and the coarsest that tells anything


@dataclasses.dataclass
class Inputs:
    """particles : ParticleSet. radius : waves per box. box : side of the volumes. reference, mask : (box, box, box)
    arrays; mask None without one. diameter : Å. contrast : 'bright' or 'dark'. share : of the particles that show the
    reference at their orientations. notes : sentences for the user. seed : of all that is drawn."""

    particles: ParticleSet
    radius: float
    box: int
    reference: np.ndarray
    mask: np.ndarray | None
    diameter: float
    contrast: str
    share: float
    notes: list[str]
    seed: int = 0


def load_inputs(
    config: FitHeterogeneityConfig, seed: int = 0, skip: typing.Callable[..., object] = lambda *_: None
) -> Inputs:
    """The Inputs of a FitHeterogeneityConfig. skip: told of images that are left out. Raises ValueError: particles
    without angles or CTF, of several sizes or denoised, or not aligned to the reference; too few of them; a reference
    larger than the images; a mask outside of the molecule."""
    particles = usable(with_room(read_particles(config.particles, ("angles", "ctf", "raw")), config.maps), skip)
    needed = PARTICLES_PER_DIMENSION * config.latent
    width = particles.box * particles.pixel_size
    refuse_if(
        say_if(
            len(particles) < needed,
            f"{config.particles} has {len(particles)} particles; {config.latent} latent dimensions (--latent) need at "
            f"least {needed}. Give more particles or fewer dimensions.",
        )
        + say_if(
            (config.resolution or 0) * LEAST > width,
            f"Resolution (--resolution) is {config.resolution} Å; for images {width:.0f} Å wide give "
            f"{width / LEAST:.0f} or less.",
        )
    )
    radius = min(DETAIL if config.resolution is None else width / config.resolution, particles.box / 2 - 2, LARGEST)
    box = 2 * int(np.ceil(radius)) + 4
    voxel, reference = width / box, str(config.reference)
    density = load_density(reference, voxel)
    diameter = micrographs.particle_diameter(density, voxel)
    if diameter > width:
        raise ValueError(
            f"{reference} is {diameter:.0f} Å wide, but the images of {config.particles} are only "
            f"{width:.0f} Å wide. Give the map that the particles were refined against."
        )
    cube = volumes.cube_crop(density, box)
    mask = None if config.mask is None else checked_mask(config.mask, voxel, cube.numpy(), reference)
    contrast, share, search = check_alignment(particles, cube, voxel, diameter, config.contrast)
    notes = [
        *particle_images.voxel_notes(reference, particles.pixel_size),
        *(particles.copy_notes() or symmetry_notes(density, reference)),
        *(size_notes(search, config.particles, reference, near=True) if search else []),
    ]
    if config.resolution is not None and width / config.resolution > radius + 0.5:
        notes.append(
            f"Particles are compared to {width / radius:.1f} Å, not to {config.resolution:g} Å (--resolution): the "
            f"limit is 1/{LARGEST} of the box size, and the pixel size."
        )
    return Inputs(particles, radius, box, cube.numpy(), mask, diameter, contrast, share, notes, seed)


def compare_maps(own: np.ndarray, halves_fsc: np.ndarray, inputs: Inputs, config: FitHeterogeneityConfig) -> list[str]:
    """Whether the particles' own map is that of the reference. own: (box, box, box). halves_fsc: (rings,), of the
    halves of `own`. Returns warnings. Raises ValueError: the particles agree with each other at their orientations, but
    not with the reference; orientations that are wrong."""
    together, same = float(np.mean(halves_fsc[SHELLS])), _alike(own, inputs.reference)
    flipped = max(_alike(own, np.roll(np.flip(inputs.reference, axis), 1, axis)) for axis in range(3))
    refuse_if(
        say_if(
            together >= AGREE and same < DIFFER,
            f"{config.particles} are not aligned to {config.reference}: the map of the particles and the reference "
            f"have a Fourier shell correlation of {same:.2f} at low resolution (between the halves of the particles "
            f"{together:.2f}). Give the map of the refinement that their angles come from, in the same coordinate "
            "frame and handedness.",
        )
        + say_if(
            together >= AGREE and flipped > same + OTHER_HAND,
            f"{config.reference} is the mirror image of the map of {config.particles}: their Fourier shell "
            f"correlation at low resolution is {same:.2f}, that of its mirror image {flipped:.2f}. Give the mirrored "
            "map.",
        )
        + say_if(
            inputs.share < ENOUGH,
            f"{config.particles}: only about {inputs.share:.0%} of the images show {config.reference} at their "
            "orientations; the others fit it better at other ones or show something else, and wrong orientations would "
            "look like motion. Give the particles and the map of the same refinement, assign orientations with "
            "`cryodl assign-orientations`, or sort out other molecules.",
        )
    )
    return say_if(
        together < AGREE,
        f"{config.particles}: at their orientations the two halves of the particles have nothing in common "
        f"(FSC {together:.2f} at low resolution). They are noise, or their orientations are wrong.",
    )


def _alike(first: np.ndarray, second: np.ndarray) -> float:
    return float(fourier.fsc(torch.from_numpy(first), torch.from_numpy(np.ascontiguousarray(second)))[SHELLS].mean())


# Particles of a half that are read otherwise; how much finer maps must agree to differ: of raw images read as flipped,
# 60 to 500 of six molecules, at most 1.04 times. Standard errors by which particles fit the other half's map better in
# their own angles: 4.2 to 28 in 14 sets of eight molecules, with angles exchanged -1.1 to 2.1 in 18; parts of the box's
# width: finer detail is not that of a mean over all directions; px of the images there, at most; particles of a group
# that tell of angles (30 with their own at SNR 0.03: 2.6)
PHASES, FINER, OWN, OUTLINE, SIDE, FEWEST = 500, 1.2, 3.5, 12.0, 64, 100


def sample_notes(
    particles: ParticleSet, halves: np.ndarray, found: Reconstruction, config: ReconstructConfig, device: torch.device
) -> list[str]:
    """Sentences: optics groups of opposite contrast; particles fit as well with angles exchanged; or half-maps agree in
    far finer detail with phases read otherwise, as is seen where defoci differ; or phases of a group are not as stated.
    halves: (n,), 1 or 2. found: of all particles. Angles only of images with a CTF; phases where it was corrected."""
    opposite = group_notes(particles)
    if opposite:  # a map of both shows neither: that of the largest group tells of angles
        _, group, counts = np.unique(particles.columns["rlnOpticsGroup"], return_inverse=True, return_counts=True)
        largest = group == counts.argmax()
        particles, halves = particles.subset(largest), halves[largest]
    if particles.optics is None or len(set(halves)) < 2 or (opposite and len(particles) < FEWEST):
        return opposite
    if opposite:
        found = half_reconstructions(particles, halves, config, device)
    width, side, rng = particles.box * particles.pixel_size, min(SIDE, particles.box), np.random.default_rng(0)
    parts = [particles.subset(halves == half) for half in (1, 2)]
    fits = lambda each, read: [
        match_reference(some, fourier.fourier_resize(density * found.mask, side, 3), width / side, width)
        for some, density in zip(each, (read.half2, read.half1))
    ]
    own = fits(parts, found)
    if found.resolution and OUTLINE * found.resolution > width:
        mixed = fits([dataclasses.replace(p, angles=p.poses(rng.permutation(len(p)))[0]) for p in parts], found)
        better = np.concatenate([at[0] - elsewhere[0] for at, elsewhere in zip(own, mixed)])
        sure = better.mean() / better.std().clip(1e-30) * len(better) ** 0.5
        if sure < OWN:
            return [
                *opposite,
                "The other half's map does not fit particles surely better in their own angles than with the angles "
                f"exchanged among them ({sure:.2g} standard errors, {OWN:g} are needed): it may be a mean outline. "
                f"Check that the angles in {particles.path} are those of its images, or assign new ones.",
            ]
    if opposite or particles.denoiser or not config.correct_ctf:
        return opposite
    rows = np.concatenate([np.nonzero(halves == h)[0][sample_rows((halves == h).sum(), PHASES)] for h in (1, 2)])
    read = lambda state: half_reconstructions(
        dataclasses.replace(particles.subset(rows), ctf_state=state), halves[rows], config, device
    )
    other = {"none": "flipped", "flipped": "none"}.get(particles.ctf_state)
    stated = found if len(rows) == len(halves) or other is None else read(particles.ctf_state)
    best = read(other) if other else stated
    wrong = bool(stated.resolution and best.resolution and FINER * best.resolution < stated.resolution)
    _, gains, groups = zip(*(fits(parts, best) if wrong else own))
    of_both = {state: np.concatenate([values[state] for values in gains]) for state in gains[0]}
    notes = ctf_notes(particles, of_both, np.concatenate(groups))
    if wrong and not notes:
        notes = [
            f"The half-maps agree to {best.resolution or 0:.1f} Å, not {stated.resolution or 0:.1f} Å, if the phases "
            f"of {particles.path} are {'not ' * (other == 'none')}flipped: correct rlnCtfDataArePhaseFlipped of its "
            "optics table (1: flipped), and reconstruct again."
        ]
    return notes
