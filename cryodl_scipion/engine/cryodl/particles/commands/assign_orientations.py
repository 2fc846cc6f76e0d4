# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assign-orientations`: particles and a structure in; the same particles with angles, shifts, score and margin
out. Find the orientations, chunk by chunk; a stopped run continues. The STAR file is written last."""

import dataclasses
import functools
import math
import os
import shutil
import typing
from pathlib import Path

import torch

from ...contract import AssignOrientationsConfig, AssignOrientationsOutputs, counted, say_if, sha256
from ...core import projections, symmetry
from ...io import messages, particle_sets, unfinished
from ...io.particles import COMPARED, DIGEST, DIGITS, EXPLAINED, MARGIN, NOISE, REFERENCE, SCORE, SUBSTITUTED
from ...likelihood.observed import Source, sample_rows
from ...likelihood.search import evidence
from ...reconstruction.views import views_of
from ...running.runner import PROGRAM, Run, command
from ..denoisers import load_denoiser
from ..orientations import assign, kept_controls, simulated_set
from ..orientations.explained import ERRORS, explained
from ..orientations.hypotheses import choose_hypothesis, flipped_notes, hypotheses
from ..orientations.structure import TIGHT, end_of, prepare_structure, size_notes

PROBABILITY = "rlnMaxValueProbDistribution"
UNTOLD = "How many orientations are correct cannot be told: that takes raw images, and controls (--controls)."
START = "The images are the raw ones. Use the angles as the start of a refinement."
FOREIGN = (
    "The structure does not explain these particles: if they show another molecule, junk or noise, these angles are "
    "of no use."
)
# particles of a search so long that a few are looked at first; how many; mean probability below which it is warned
MANY, FEW, UNCLEAR = 1000, 96, 0.5


@command
def assign_orientations(config: AssignOrientationsConfig, run: Run) -> AssignOrientationsOutputs:
    # the controls of an earlier run under this name are not replaced; denoised images get none
    unfinished.star_stem(config.output, "Particles", *_beside(config))
    symmetry.operations(config.symmetry)  # an unknown one is an error before the work
    # denoised images need no CTF, but cannot be denoised again
    particles = particle_sets.read_particles(config.particles, need=("raw", "ctf") if config.model else ())
    if not particles.denoiser:
        particles = particle_sets.read_particles(config.particles, need=("ctf",))
    simulated_set.check_substitution(config, particles)
    particles = particle_sets.usable(particles, run.skip)
    structure = prepare_structure(config, particles, run.device)
    sources = hypotheses(particles, structure.settings.diameter, config.contrast)
    search = assign.Search(sources[0], structure.projector, structure.pixel_size, structure.settings, run.device)
    resolution = float(structure.settings.search_resolution())
    print(
        f"Comparing {len(particles)} particles with {len(search.grid.directions)} directions x "
        f"{len(search.grid.psi)} in-plane angles, to {resolution:.1f} Å, on {run.device_name}."
    )
    run.warn(*structure.notes)
    said, advice, kept = _prepare(search, sources, config, run)
    # what is refused before leaves none behind
    stacks = dict.fromkeys(particles.files)
    folder = run.folder(config.particles, config.structure, *stacks, *([kept.path] if kept else []))
    with run.progress(len(particles), "particle") as bar:
        found = search.run(lambda done: bar.update(done - bar.n), folder)
    made = simulated_set.calibrated(search)[0] if config.controls and _raw(search) and not kept else None
    calibration = kept.calibration if kept else made
    trust, uses = _trust(search, found, calibration, said, advice, run)
    noise, substituted = _controls(search, config, folder, kept)
    origin = {k: [v] * len(particles) for k, v in _origin(search, config).items()}
    if noise and calibration and not kept:
        kept_controls.keep_controls(search, config, calibration, noise)
    _write(config.output, particles, found, dict(trust, **origin))
    shutil.rmtree(folder)
    controls = kept.path if kept else "new" if noise else "none"
    views = views_of(projections.rotation_matrices(found.angles), config.symmetry)
    run.warn(*views.doubts())
    _tell(run, len(particles), len(search.grid.directions), controls, uses)
    return AssignOrientationsOutputs(
        particles=config.output,
        count=len(particles),
        mean_score=float(found.score.mean()),
        mean_probability=float(trust[PROBABILITY].mean()) if PROBABILITY in trust else None,
        reference=str(config.structure),
        noise_control=noise,
        substituted=substituted,
        controls=controls,
        directions=len(search.grid.directions),
        symmetry=config.symmetry,
        contrast="" if FOREIGN in uses and config.contrast == "auto" else search.source.contrast,
        resolution=resolution,
        pixel_size=particles.pixel_size,
        **views.outputs(),
    )


def _tell(run: Run, count: int, directions: int, controls: str, uses: list[str]) -> None:
    config: AssignOrientationsConfig = run.config
    particles, step = counted(count, "particle"), f"{directions} directions {config.angular_step:.3g}° apart"
    run.summary(
        f"Orientations of {particles}: {config.output}, in {step}, symmetry {config.symmetry}, assigned with the "
        f"reference {config.structure}.",
        *uses,
    )
    if controls not in ("new", "none"):
        run.summary(
            f"Calibration and noise control are those of {controls}: reference, CTF, noise and signal are alike."
        )
    run.methods(
        f"Particles were given initial orientations with {PROGRAM} by comparison with projections of "
        f"{Path(config.structure).name} in {step}, of "
        + (f"images denoised by {config.model}." if config.model else "the raw images with their CTF and noise.")
    )


def _prepare(
    search: assign.Search, sources: typing.Sequence[Source], config: AssignOrientationsConfig, run: Run
) -> tuple[str, list[str], kept_controls.KeptControls | None]:
    """Settle how the images are read, and learn their strength and noise. Returns what was found and advice, which hold
    only where the structure explains the particles, and the controls of an earlier run that suit them, with whose
    strength they are compared."""
    # denoised images have no noise to make up
    alike = config.controls and not (config.model or search.source.particles.denoiser)
    chosen = functools.cache(lambda: (*choose_hypothesis(search, sources, config.particles), search.source))
    kept, reasons = kept_controls.find_controls(search, sources, config, lambda: chosen()[2]) if alike else (None, [])
    run.warn(*map(messages.Line, reasons))
    if kept:
        search.fit = kept.fit
        said = f"Protein is {search.source.contrast} in the particle images."
        return said, flipped_notes(search.source, sources[0], config.particles), kept
    said, advice, search.source = chosen()
    if config.model:
        search.source, notes = _with_denoiser(search.source, config.model, run.device)
        run.warn(*notes)
    if search.source.particles.denoiser:
        run.warn(
            f"{config.particles} has denoised images, and so has the output. For a refinement with raw images, give "
            "the raw particles, and the denoiser as --model."
        )
    search.learn()
    if _raw(search) and (count := len(search.source.particles)) > MANY:  # said before the long search
        few = search.like(search.source.particles.subset(sample_rows(count, FEW)))
        found = explained(few, evidence(few.log_likelihoods(sample_rows(FEW))).cpu().numpy())
        likely = found.signal * (count / FEW) ** 0.5  # of all: a weak signal of a few is none yet
        if abs(found.signal) >= ERRORS or likely < ERRORS:
            for said_first in found.warnings(f"{FEW} particles of {config.particles}", config.structure):
                print(said_first, flush=True)
    return said, advice, None


def _raw(search: assign.Search) -> bool:
    """Whether raw images are compared: denoised ones have no noise to make up."""
    return search.source.denoise is None and search.source.ctf_state != "denoised"


def _trust(
    search: assign.Search,
    found: assign.Orientations,
    calibration: simulated_set.AnswerCalibration | None,
    said: str,
    advice: list[str],
    run: Run,
) -> tuple[dict[str, typing.Any], list[str]]:
    """Columns, and sentences: how many angles are right, and what they may be used for."""
    config: AssignOrientationsConfig = run.config
    if not _raw(search):
        print(said)
        run.warn(
            *advice,
            "The images are denoised, so there are no probabilities, and it was not tested whether the structure "
            "explains the particles. Both need raw images.",
        )
        return {}, [
            UNTOLD,
            START
            if config.model
            else "Use the angles as the start of a refinement of the raw images: these are denoised.",
        ]
    explanation = explained(search, found.evidence)
    roomy = search.settings.diameter <= TIGHT * search.width  # else its particles seem explained as little as others
    foreign = explanation.foreign and (roomy or explanation.signal < ERRORS)
    # of other images a flag or contrast that fits by chance is not to be believed
    doubts = explanation.warnings(config.particles, config.structure)
    run.warn(*(doubts or advice))
    if not doubts:
        print(said)
    if explanation.signal >= ERRORS:
        run.warn(*size_notes(search, config.particles, config.structure, near=not doubts))
    explains = (
        [
            f"The structure explains {int(100 * explanation.whole)} ± {math.ceil(100 * explanation.error)} % of the "
            "evidence that particles of this structure with as much signal would give"
            + (
                f"; {100 * calibration.right:.0f} % of such made-up particles were oriented correctly."
                if calibration and not foreign
                else "."
            )
        ]
        if explanation.can_be_told and explanation.signal >= ERRORS
        else []
    )
    if calibration is None or not explanation.can_be_told:
        return {EXPLAINED: explanation.particle}, ([FOREIGN] if foreign else [UNTOLD, START]) + explains
    probability = calibration.probability(found)
    if probability.mean() < UNCLEAR and not foreign:
        run.warn(
            f"Only {100 * probability.mean():.0f} % of the orientations are expected to be correct (within "
            f"{simulated_set.RIGHT:g}°): the others cannot be determined from single images "
            + (
                f"with a coarse map, whose detail fades from {end:.0f} Å on"
                if (end := end_of(search))
                else "at this signal-to-noise ratio"
            )
            + f". Keep particles with a large {MARGIN} or {PROBABILITY}."
            + " If the structure has a symmetry, give it (--symmetry)." * (config.symmetry.upper() == "C1")
        )
    uses = [
        f"{min(100 * probability.mean(), 99):.0f} % are expected to be correct (within {simulated_set.RIGHT:g}°), if "
        "all particles show the structure, and it alone: false picks are not counted.",
        START,
    ]
    return {PROBABILITY: probability, EXPLAINED: explanation.particle}, ([FOREIGN] if foreign else uses) + explains


def _origin(search: assign.Search, config: AssignOrientationsConfig) -> dict[str, typing.Any]:
    return {
        REFERENCE: Path(config.structure).name.replace(" ", "_"),
        DIGEST: sha256(config.structure)[:DIGITS],
        COMPARED: round(float(search.settings.fine_resolution()), 3),
    }


def _beside(config: AssignOrientationsConfig) -> list[str]:
    asked = {NOISE: config.controls, SUBSTITUTED: config.noise_substitution is not None}
    return [f"{kind}{end}" for kind in asked if asked[kind] and not config.model for end in (".star", ".mrcs")]


def _controls(
    search: assign.Search, config: AssignOrientationsConfig, folder: Path, kept: kept_controls.KeptControls | None
) -> tuple[str | None, str | None]:
    """Paths of the oriented noise and of the particles with noise beyond some detail; None where there is none:
    denoised images have no noise to make up."""
    if not _raw(search):
        return None, None
    origin, beyond, noise = _origin(search, config), config.noise_substitution, None
    if kept:
        noise = simulated_set.copy_noise_control(kept.noise, config.output, origin)
    elif config.controls:
        noise = simulated_set.write_noise_control(search, config.output, origin)
    if beyond is None:
        return noise, None
    return noise, simulated_set.write_substituted(search, config.output, origin, beyond, folder / "substituted")


def _write(
    path: str | os.PathLike[str],
    particles: particle_sets.ParticleSet,
    found: assign.Orientations,
    trust: typing.Mapping[str, typing.Any],
) -> None:
    # without controls, or of denoised images, what the file has of the first two is of other angles
    changes = {
        PROBABILITY: None,
        EXPLAINED: None,
        **particle_sets.pose_columns(found.angles, found.shifts_yx, particles.pixel_size),
        SCORE: found.score,
        MARGIN: found.margin,
        **trust,
    }
    particle_sets.write_particles_star(path, particles, changes)


def _with_denoiser(source: Source, model: str | os.PathLike[str], device: torch.device) -> tuple[Source, list[str]]:
    """The source whose images go through a denoiser first, and sentences for the user."""
    denoiser = load_denoiser(model, device)
    pixel_size, own = source.particles.pixel_size, denoiser.card["pixel_size"]
    denoise = lambda images, ctf: torch.as_tensor(denoiser.denoise(images, ctf, pixel_size)).float()
    particles = denoiser.readable(dataclasses.replace(source.particles, ctf_state=source.ctf_state))
    resampled = messages.Line(
        f"The model was trained at {own:g} Å/px, these images have {pixel_size:g} Å/px: they are resampled for the "
        "model."
    )
    source = dataclasses.replace(source, particles=particles, ctf_state=particles.ctf_state, denoise=denoise)
    return source.measured(), say_if(abs(pixel_size / own - 1) > 0.01, resampled)
