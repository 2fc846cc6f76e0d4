# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl denoise`: particles in; denoised images, and a STAR file that links them to the raw ones, out. Denoise, then
put the stack in its place, the STAR file last. A killed run starts anew."""

import dataclasses
import os
import shutil
import typing
from pathlib import Path

from ...contract import MICROGRAPH_DENOISER, DenoiseConfig, DenoiseOutputs, absent, network_words, read_card
from ...core import fourier, projections
from ...io import model, structures, unfinished
from ...io.particle_sets import DENOISER, ParticleSet, StackWriter, read_particles, usable, write_particles_star
from ...io.particles import EXPLAINED
from ...likelihood import observed, reference
from ...running.runner import PROGRAM, Run, command
from ...simulate import micrographs
from ..denoisers import load_denoiser
from ..denoisers.blind import BlindDenoiser, load_blind
from ..denoisers.run import Denoiser, looks_flipped
from ..orientations.explained import ERRORS, explained_by

CHUNK = 256  # particles read at a time, at most
BATCH = 16  # particles that the network processes at a time
CHUNK_BYTES = 2**26  # ... and of images
STRENGTH = "cryodlDenoisedStrength"  # column: standard deviation within the particle's circle; 0: nothing was found
EMPTY = 0.1  # strength below which an image counts as empty


@dataclasses.dataclass(frozen=True)
class Ready:
    """A denoiser that is ready for particles. diameter_px: of the circle that the background lies outside of.
    explained: DenoiseOutputs'; columns: of each particle, of that. shown: what the denoised images show, in words."""

    denoiser: Denoiser | BlindDenoiser
    particles: ParticleSet
    contrast: str
    diameter_px: float
    explained: float | None
    columns: dict[str, list[float]]
    shown: str


@command
def denoise(config: DenoiseConfig, run: Run) -> DenoiseOutputs:
    stack = unfinished.star_stem(config.output, "Particles", ".mrcs") + ".mrcs"
    particles = usable(read_particles(config.particles, need=("raw",)), run.skip)
    blind = read_card(model.find_model(config.model, MICROGRAPH_DENOISER))["kind"] == MICROGRAPH_DENOISER
    ready = (_ready_blind if blind else _ready_for_structure)(config, particles, run)
    card = ready.denoiser.card
    print(f"Denoising {len(particles)} particles on {run.device_name} with {card['name']}.")
    folder = run.folder(continues=False)
    strength = _denoise(ready, folder / "denoised.mrcs", run)
    os.replace(folder / "denoised.mrcs", stack)
    columns = {DENOISER: [card["name"]] * len(particles), STRENGTH: [f"{value:.4f}" for value in strength]}
    write_particles_star(config.output, particles, dict(columns, **ready.columns), stack=stack)
    shutil.rmtree(folder)
    if empty := sum(value < EMPTY for value in strength):
        run.warn(
            f"{empty} of {len(particles)} images are empty or almost empty: {card['name']} finds "
            f"{'hardly any signal' if blind else 'no particle'} in them (column {STRENGTH})."
        )
    _tell(run, card, blind, ready.shown)
    return DenoiseOutputs(
        particles=str(config.output),
        stack=stack,
        count=len(particles),
        pixel_size=particles.pixel_size,
        box=particles.box,
        contrast=ready.contrast,
        model=card["name"],
        empty=empty,
        explained=ready.explained,
        blind=blind,
    )


def _tell(run: Run[DenoiseConfig], card: typing.Mapping[str, typing.Any], blind: bool, shown: str) -> None:
    run.summary(
        f"Denoised particles: {run.config.output}, by the model {card['name']}"
        f"{', without a known structure (blind)' if blind else ''}: not raw data. They show {shown}.",
        "For viewing; assign orientations to the raw images. Never for the final map."
        if blind
        else "For viewing and initial orientations; never for the final map.",
    )
    learnt = (card.get("training") or {}).get("simulated_micrographs")
    run.methods(
        f"For inspection, particles were denoised blindly with {PROGRAM}: by a U-Net that was trained on "
        f"{f'{learnt} ' if learnt else ''}simulated micrographs of other structures, with spectra of signal and "
        "noise that were measured on the particles, and without a known structure; the raw images were kept."
        if blind
        else f"Particles were denoised with {PROGRAM} by the model {card['name']} "
        f"({network_words('denoiser', card['network'])}); the raw images were kept."
    )


def _ready_for_structure(config: DenoiseConfig, particles: ParticleSet, run: Run) -> Ready:
    """A denoiser that was trained with a known structure. That the images are phase-flipped is assumed only where the
    structure then explains them: another molecule may fit by chance."""
    denoiser = load_denoiser(config.model, run.device)
    particles = denoiser.readable(particles)
    if denoiser.method.uses_ctf:
        read_particles(config.particles, need=("ctf",))
    wanted, room = denoiser.card["particle_diameter"], particles.box * particles.pixel_size
    if wanted > room:
        raise ValueError(
            f"The model {denoiser.card['name']} is of particles {wanted:.0f} Å wide, but the images of "
            f"{particles.path} are only {room:.0f} Å wide ({particles.box} px x {particles.pixel_size:g} Å). Extract "
            f"them with a box of {1.5 * wanted:.0f} Å, or use another model."
        )
    diameter_px = wanted / particles.pixel_size
    contrast, _ = _contrast(config, particles, diameter_px, run)
    card = denoiser.card
    if abs(particles.pixel_size / card["pixel_size"] - 1) > 0.01:
        run.summary(
            f"The model was trained at {card['pixel_size']:g} Å/px, these images have {particles.pixel_size:g} Å/px: "
            "they are resampled for the model, and the result is resampled back."
        )
    if "flipped" in {entry["ctf_state"] for entry in card["training_particles"]} and particles.ctf_state == "none":
        run.warn(
            f"The particles that {card['name']} was trained on were phase-flipped, but those of {particles.path} are "
            "not, according to the file. If they are, set rlnCtfDataArePhaseFlipped to 1 in its optics table, else "
            "the result is wrong."
        )
    flipped = dataclasses.replace(particles, ctf_state="flipped")
    looks = looks_flipped(denoiser, particles, contrast, diameter_px)
    explained, columns, doubts = _explained(flipped if looks else particles, denoiser.card, contrast, run)
    run.warn(*doubts, *reference.group_notes(particles))
    if looks and not doubts:
        particles = flipped
        run.warn(
            f"{particles.path}: the images fit the model's output only if they are phase-flipped; they are assumed "
            "to be, although the file does not state it (rlnCtfDataArePhaseFlipped)."
        )
    shown = "the network's prediction" if denoiser.method.learns else "projections of the template"
    return Ready(denoiser, particles, contrast, diameter_px, explained, columns, shown)


def _ready_blind(config: DenoiseConfig, particles: ParticleSet, run: Run) -> Ready:
    denoiser, particles = load_blind(config.model, run.device), particles.divided()
    contrast, sure = _contrast(config, particles, None, run)
    run.warn(*denoiser.notes(particles), *reference.group_notes(particles))
    if not denoiser.measure(particles, contrast).deviation:
        run.warn(
            f"{particles.path}: the images have no more power than the noise in their corners. Nothing but noise was "
            "found in this set, and its denoised images are empty."
        )
    elif not sure:
        run.warn(
            f"The images of {particles.path} cannot be told from noise: on average they are neither brighter nor "
            "darker in their middle. The denoised images may show nothing but noise."
        )
    shown = "what a network makes of each image without a known structure"
    return Ready(denoiser, particles, contrast, observed.WIDEST * particles.box, None, {}, shown)


def _contrast(config: DenoiseConfig, particles: ParticleSet, diameter_px: float | None, run: Run) -> tuple[str, bool]:
    """'dark' or 'bright', and whether the images tell. diameter_px: None if it is not known."""
    found, sure, sentence = reference.find_contrast(particles, diameter_px)
    if config.contrast == "auto":
        print(sentence) if sure else run.warn(sentence)
    elif sure and found != config.contrast:
        run.warn(f"Contrast (--contrast) is {config.contrast}, but: {sentence}")
    return found if config.contrast == "auto" else config.contrast, sure


def _explained(
    particles: ParticleSet, card: typing.Mapping[str, typing.Any], contrast: str, run: Run
) -> tuple[float | None, dict[str, list[float]], list[str]]:
    """How far the structures of a model explain the particles, and each of them as a column; sentences of doubt."""
    paths = list(dict.fromkeys(entry.get("structure", "its file") for entry in card["training_particles"]))
    gone = [path for path in paths or ["its file"] if not os.path.exists(path)]
    if gone or particles.optics is None:
        why = f"{gone[0]} {absent(gone[0])}" if gone else f"{particles.path} has no CTF"
        print(f"It was not tested whether these particles show the structure of {card['name']}: {why}.")
        return None, {}, []
    found = []
    for path in paths:
        density = structures.load_density(path, particles.pixel_size)
        diameter = micrographs.particle_diameter(density, particles.pixel_size)
        source = observed.Source(particles, diameter / particles.pixel_size, contrast, particles.ctf_state)
        projector, size = projections.Projector(density.to(run.device)), particles.pixel_size
        found.append((explained_by(source, projector, size, diameter, run.device, len(particles))[0], path))
    best, path = max(found, key=lambda one: one[0].whole)
    # an image shows one of them; where nothing can be told they only scatter, and the column stays, for other batches
    each = [
        round(max(values), 4) if best.signal >= ERRORS and best.can_be_told else float("nan")
        for values in zip(*(one.particle for one, _ in found))
    ]
    return round(best.whole, 3), {EXPLAINED: each}, best.warnings(str(particles.path), Path(path).name)


def _denoise(ready: Ready, path: str | os.PathLike[str], run: Run) -> list[float]:
    """Write the denoised stack, chunk by chunk: memory does not grow with their number. Returns strengths."""
    particles, diameter_px = ready.particles, ready.diameter_px
    inside, strengths = fourier.circle(particles.box, diameter_px), []
    chunk = max(BATCH, min(CHUNK, CHUNK_BYTES // (4 * particles.box**2)))
    with (
        StackWriter(path, len(particles), particles.box, particles.pixel_size) as stack,
        run.progress(len(particles), "particle") as bar,
    ):
        for rows in particles.parts(chunk):
            images = observed.prepare(particles.images(rows), diameter_px, ready.contrast)
            ctf = None if particles.optics is None else particles.ctf(rows)
            denoised = ready.denoiser.denoise(images, ctf, particles.pixel_size, BATCH)
            stack.add(denoised)
            strengths += denoised[:, inside].std(dim=1).tolist()
            bar.update(len(images))
    return strengths
