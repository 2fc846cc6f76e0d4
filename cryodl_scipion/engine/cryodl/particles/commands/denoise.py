# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl denoise`: particles in; denoised images, and a STAR file that links them to the raw ones, out.

Result.outputs are the contract's DenoiseOutputs.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import typing
from pathlib import Path

from ...contract import MICROGRAPH_DENOISER, DenoiseConfig, Result, read_card
from ...contract.particles.denoising import DenoiseOutputs
from ...io.unfinished import RECORD, check_output, working_folder
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ...io.particle_sets import ParticleSet
    from ..denoisers.blind import BlindDenoiser
    from ..denoisers.run import Denoiser

CHUNK = 256  # particles read at a time, at most
CHUNK_BYTES = 2**26  # ... and of images
STRENGTH = "cryodlDenoisedStrength"  # column: standard deviation within the particle's circle; of projections it is 1
EMPTY = 0.1  # strength below which an image counts as empty


@dataclasses.dataclass(frozen=True)
class Ready:
    """A denoiser that is ready for particles. diameter_px: of the circle that the background lies outside of. notes:
    sentences for the user. explained: DenoiseOutputs'. shown: what the denoised images show, in words."""

    denoiser: Denoiser | BlindDenoiser
    particles: ParticleSet
    contrast: str
    diameter_px: float
    notes: list[str]
    explained: float | None
    shown: str


def run(config: DenoiseConfig) -> Result:
    """Denoise into <output>.partial, then put the stack in its place, the STAR file last. A killed run starts anew."""
    from ...core.devices import choose_device, device_name, set_threads
    from ...io.model import find_model
    from ...io.particle_sets import DENOISER, read_particles, write_particles_star

    stack = _check_output(config.output)
    particles = read_particles(config.particles, need=("raw",))
    device = choose_device()
    set_threads()
    blind = read_card(find_model(config.model, MICROGRAPH_DENOISER))["kind"] == MICROGRAPH_DENOISER
    ready = (_ready_blind if blind else _ready_for_structure)(config, particles, device)
    notes, name = ready.notes, ready.denoiser.card["name"]
    for note in notes:
        warn(note)
    print(f"Denoising {len(particles)} particles on {device_name(device)} with {name}.")
    folder = working_folder(config, continues=False)
    strength = _denoise(ready, folder / "denoised.mrcs", config.batch_size)
    os.replace(folder / "denoised.mrcs", stack)
    columns = {DENOISER: [name] * len(particles), STRENGTH: [f"{value:.4f}" for value in strength]}
    write_particles_star(config.output, particles, columns, stack=stack)
    shutil.rmtree(folder)
    print(f"Denoised particles: {config.output}. They show {ready.shown}; docs/denoise_particles.md says what for.")
    empty = sum(value < EMPTY for value in strength)
    if empty:
        notes.append(
            f"{empty} of {len(particles)} images are empty or almost empty: {name} finds "
            f"{'hardly any signal' if blind else 'no particle'} in them (column {STRENGTH})."
        )
        warn(notes[-1])
    outputs = DenoiseOutputs(
        particles=str(config.output),
        stack=stack,
        count=len(particles),
        pixel_size=particles.pixel_size,
        box=particles.box,
        contrast=ready.contrast,
        model=name,
        empty=empty,
        explained=ready.explained,
        blind=blind,
    )
    return Result("denoise", outputs, device=device_name(device), warnings=tuple(notes))


def _ready_for_structure(config: DenoiseConfig, particles: ParticleSet, device: torch.device) -> Ready:
    """A denoiser that was trained with a known structure."""
    from ...io.particle_sets import read_particles
    from ..denoisers import load_denoiser
    from ..denoisers.phases import looks_flipped

    denoiser = load_denoiser(config.model, device)
    if denoiser.method.uses_ctf:
        read_particles(config.particles, need=("ctf",))
    diameter_px = _diameter(particles, denoiser.card)
    contrast, notes = _contrast(config, particles, diameter_px)
    notes += _differences(particles, denoiser)
    if looks_flipped(denoiser, particles, contrast, diameter_px):
        particles = dataclasses.replace(particles, ctf_state="flipped")
        notes.append(
            f"{particles.path}: the images fit the model's output only if they are phase-flipped; they are assumed "
            "to be, although the file does not state it (rlnCtfDataArePhaseFlipped)."
        )
    explained, doubts = _explained(particles, denoiser.card, contrast, device)
    shown = "the network's prediction" if denoiser.method.learns else "projections of the template"
    return Ready(denoiser, particles, contrast, diameter_px, notes + doubts, explained, shown)


def _ready_blind(config: DenoiseConfig, particles: ParticleSet, device: torch.device) -> Ready:
    """A general denoiser, which knows no structure: it is told what the set itself tells."""
    from ...likelihood.prepare import WIDEST
    from ..denoisers.blind import load_blind

    denoiser = load_blind(config.model, device)
    contrast, notes = _contrast(config, particles, None)
    notes += denoiser.notes(particles)
    if not denoiser.measure(particles, contrast).deviation:
        notes.append(
            f"{particles.path}: at no frequency have the images more power than the noise in their corners. Nothing "
            "but noise was found in this set, and its denoised images are empty."
        )
    shown = "what a network makes of each image without a known structure"
    return Ready(denoiser, particles, contrast, WIDEST * particles.box, notes, None, shown)


def _check_output(output: str) -> str:
    """Path of the stack beside the STAR file. Raises FileExistsError or ValueError."""
    if not output.endswith(".star"):
        raise ValueError(f"Output (--output) is {output}; it must end in .star.")
    stack = output[: -len(".star")] + ".mrcs"
    check_output(output, "Particles")
    begun = (Path(output + ".partial") / RECORD).exists()  # then the stack is of a run stopped before its last step
    if os.path.exists(stack) and not begun:
        raise FileExistsError(
            f"{stack}, the stack for the denoised images, exists already and is not replaced. Choose another "
            "--output, or remove it."
        )
    Path(output).resolve().parent.mkdir(parents=True, exist_ok=True)
    return stack


def _diameter(particles: ParticleSet, card: typing.Mapping[str, typing.Any]) -> float:
    """Diameter in px of the circle that the background is measured outside of. Raises ValueError if it leaves none."""
    wanted, room = card["particle_diameter"], particles.box * particles.pixel_size
    if wanted > room:
        raise ValueError(
            f"The model {card['name']} is of particles {wanted:.0f} Å wide, but the images of {particles.path} are "
            f"only {room:.0f} Å wide ({particles.box} px x {particles.pixel_size:g} Å). Extract them with a box of "
            f"{1.5 * wanted:.0f} Å, or use another model."
        )
    return wanted / particles.pixel_size


def _contrast(config: DenoiseConfig, particles: ParticleSet, diameter_px: float | None) -> tuple[str, list[str]]:
    """'dark' or 'bright', and warnings. diameter_px: None if it is not known."""
    from ...likelihood.signal import find_contrast

    found, sure, sentence = find_contrast(particles, None, diameter_px)
    if config.contrast == "auto":
        if sure:
            print(sentence)
        return found, [] if sure else [sentence]
    if sure and found != config.contrast:
        return config.contrast, [f"Contrast (--contrast) is {config.contrast}, but: {sentence}"]
    return config.contrast, []


def _explained(
    particles: ParticleSet, card: typing.Mapping[str, typing.Any], contrast: str, device: torch.device
) -> tuple[float | None, list[str]]:
    """How well the best of the model's structures explains the particles, and sentences for the user."""
    from ...core.projections import Projector
    from ...likelihood.observed import Source
    from ...simulate.micrographs import particle_diameter
    from ...simulate.structures import load_density
    from ..orientations.guard import explained_by

    paths = list(dict.fromkeys(entry.get("structure", "its file") for entry in card["training_particles"]))
    gone = [path for path in paths or ["its file"] if not os.path.exists(path)]
    if gone or particles.optics is None:
        why = f"{gone[0]} does not exist" if gone else f"{particles.path} has no CTF"
        print(f"It was not tested whether these particles show the structure of {card['name']}: {why}.")
        return None, []
    found = []
    for path in paths:
        density = load_density(path, particles.pixel_size)
        diameter = particle_diameter(density, particles.pixel_size)
        source = Source(particles, diameter / particles.pixel_size, contrast, particles.ctf_state)
        projector = Projector(density.to(device))
        found.append((explained_by(source, projector, particles.pixel_size, diameter, device), path))
    best, path = max(found, key=lambda one: one[0].whole)
    return round(best.whole, 3), best.warnings(str(particles.path), Path(path).name)


def _differences(particles: ParticleSet, denoiser: Denoiser) -> list[str]:
    """Warnings about particles that differ from those of the training."""
    card, notes = denoiser.card, []
    if abs(particles.pixel_size / card["pixel_size"] - 1) > 0.01:
        notes.append(
            f"The model was trained at {card['pixel_size']:g} Å/px, these images have {particles.pixel_size:g} Å/px: "
            "they are resampled for the model, and the result is resampled back."
        )
    learnt = {entry["ctf_state"] for entry in card["training_particles"]}
    if "flipped" in learnt and particles.ctf_state == "none":
        notes.append(
            f"The particles that {card['name']} was trained on were phase-flipped, but those of {particles.path} are "
            "not, according to the file. If they are, set rlnCtfDataArePhaseFlipped to 1 in its optics table, else "
            "the result is wrong."
        )
    return notes


def _denoise(ready: Ready, path: str | os.PathLike[str], batch_size: int) -> list[float]:
    """Write the denoised stack, chunk by chunk: memory does not grow with the number of particles. Returns their
    strengths."""
    from tqdm import tqdm

    from ...core.fourier import circle
    from ...io.particle_sets import StackWriter
    from ...likelihood.prepare import prepare

    particles, diameter_px = ready.particles, ready.diameter_px
    inside, strengths = circle(particles.box, diameter_px), []
    chunk = max(batch_size, min(CHUNK, CHUNK_BYTES // (4 * particles.box**2)))
    with (
        StackWriter(path, len(particles), particles.box, particles.pixel_size) as stack,
        tqdm(total=len(particles), unit="particle", mininterval=1.0) as bar,
    ):
        for start in range(0, len(particles), chunk):
            rows = slice(start, min(start + chunk, len(particles)))
            images = prepare(particles.images(rows), diameter_px, ready.contrast)
            ctf = None if particles.optics is None else particles.ctf(rows)
            denoised = ready.denoiser.denoise(images, ctf, particles.pixel_size, batch_size)
            stack.add(denoised)
            strengths += denoised[:, inside].std(dim=1).tolist()
            bar.update(len(images))
    return strengths
