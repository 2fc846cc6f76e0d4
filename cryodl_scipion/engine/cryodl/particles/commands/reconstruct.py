# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl reconstruct`: oriented particles in; a map and its two half-maps out. Back-project; the map appears last.
A stopped run leaves nothing and starts anew."""

import contextlib
import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import ReconstructConfig, ReconstructOutputs, counted, resolution_in_words
from ...core import projections, symmetry
from ...io import files, memory, mrc, particle_sets, stopping, unfinished
from ...io.particles import BEYOND, EXPLAINED, REFERENCE, SUBSTITUTED
from ...latent.masks import molecule_mask
from ...likelihood.observed import smoothed_notes
from ...reconstruction.halves import (
    Reconstruction,
    half_reconstructions,
    looks_inverted,
    mask_diameter_px,
    split_halves,
)
from ...reconstruction.reference import control_of, finest, shared_value, substitution_test, tested
from ...reconstruction.views import resolutions, views_of
from ...running.runner import PROGRAM, Run, command
from ..heterogeneity.inputs import sample_notes
from ..orientations.explained import MINIMUM


@command
def reconstruct(config: ReconstructConfig, run: Run) -> ReconstructOutputs:
    """Raises ValueError for another ending than .mrc, and for a mask that is wider than the images."""
    if not config.output.endswith(".mrc"):
        raise ValueError(f"Map (--output) is {config.output}; it must end with .mrc.")
    paths = {name: f"{config.output[:-4]}_{name}.mrc" for name in ("half1", "half2", "mask")} | dict(map=config.output)
    for path in paths.values():
        unfinished.check_output(path, "Map")
    symmetry.operations(config.symmetry)  # an unknown one is an error before the work
    particles = particle_sets.read_particles(config.particles, need=("angles",))
    mask_diameter_px(particles, config.mask_diameter)  # one that is too wide is an error before the work
    if particles.denoiser:
        run.warn(
            f"{particles.path} has denoised images (by {particles.denoiser}): a map of denoised images shows the "
            "structure that the denoiser was trained on, if it has one. Its resolution is meaningless; use the raw "
            "particles for results."
        )
    elif not config.correct_ctf:
        run.warn("The CTF was not corrected, so the map has the contrast of the microscope.")
    elif particles.optics is None:
        particle_sets.read_particles(config.particles, need=("ctf",))
    memory.require_memory(
        32 * projections.padded_side(particles.box) ** 3, f"A map of {particles.box} px", "Extract with larger pixels."
    )
    particles = particle_sets.usable(particles, run.skip)
    controls = [control_of(particles, config.noise_control), control_of(particles, None, SUBSTITUTED)]
    run.warn(*(doubt for _, found in controls for doubt in found))
    halves = split_halves(particles, run.seed)
    print(f"Back-projecting {len(particles)} particles of {particles.box} px on {run.device_name}.")
    with run.progress(len(particles), "particle") as bar:
        found = half_reconstructions(particles, halves, config, run.device, bar.update)
    if looks_inverted(found.whole):
        run.warn(
            f"The map is negative at the particle: protein seems to be dark in {particles.path}. Invert the images, "
            "or the map before you use it."
        )
    views = views_of(projections.rotation_matrices(typing.cast("np.ndarray", particles.angles)), config.symmetry)
    run.warn(*smoothed_notes(particles), *views.doubts(), *sample_notes(particles, halves, found, config, run.device))
    made = ReconstructOutputs(
        map=paths["map"],
        half1=paths["half1"],
        half2=paths["half2"],
        mask=paths["mask"],
        resolution=None if found.resolution is None else round(found.resolution, 3),
        fsc=_rounded(found.fsc),
        count=len(particles),
        pixel_size=particles.pixel_size,
        box=particles.box,
        **views.outputs(),
        by_direction=None
        if found.resolution is None  # by chance alone a few coefficients agree in any cone
        else resolutions(found.half1 * found.mask, found.half2 * found.mask, particles.pixel_size),
    )
    (noise, _), (substituted, _) = controls
    if shared_value(particles, REFERENCE):
        made = _with_reference(made, particles, noise, config, found, run)
    if substituted is not None:
        curve = half_reconstructions(substituted, halves, config, run.device).fsc
        test = substitution_test(found.fsc, curve, finest(substituted, BEYOND), made.pixel_size, made.box)
        run.warn(test.sentence())
        made = dataclasses.replace(
            made,
            substituted_from=test.beyond,
            substituted_fsc=_rounded(test.fsc),
            substituted_resolution=test.resolution,
        )
    Path(config.output).resolve().parent.mkdir(parents=True, exist_ok=True)
    mask = molecule_mask(found.whole.numpy(), particles.pixel_size)
    with stopping.held(), contextlib.ExitStack() as stack:  # they appear together, the map last
        for name, density in dict(map=found.whole, mask=mask, half1=found.half1, half2=found.half2).items():
            mrc.write_map(stack.enter_context(files.whole_file(paths[name])), density, particles.pixel_size)
        _tell(run, made, particles)
    return made


def _with_reference(
    made: ReconstructOutputs,
    particles: particle_sets.ParticleSet,
    noise: particle_sets.ParticleSet | None,
    config: ReconstructConfig,
    found: Reconstruction,
    run: Run,
) -> ReconstructOutputs:
    curve = (
        None if noise is None else half_reconstructions(noise, split_halves(noise, run.seed), config, run.device).fsc
    )
    test = tested(particles, found.fsc, curve, 1 if noise is None else len(noise))
    run.warn(*test.sentences(found.resolution))
    told = [float(word) for word in particles.columns.get(EXPLAINED, []) if word not in ("", "None", "nan")]
    if (share := np.mean(told or [1.0])) < MINIMUM:
        run.warn(
            f"{test.name} does not explain these particles: the evidence for it is "
            f"{f'{100 * share:.0f} %' if share > 0 else 'none'} of that of particles of it ({EXPLAINED}; at least "
            f"{100 * MINIMUM:.0f} % are expected). If some show something else, or it is a coarse map, the FSC is no "
            "proof of detail, whatever the noise control says."
        )
    like_noise = test.like_noise(found.resolution)
    return dataclasses.replace(
        made,
        resolution=None if like_noise else made.resolution,
        by_direction=None if like_noise else made.by_direction,
        reference=test.name,
        search_resolution=test.search_resolution,
        noise_fsc=None if test.noise is None else _rounded(test.noise),
        noise_resolution=test.noise_resolution,
        corrected_resolution=test.corrected_resolution,
        fsc_beyond=test.beyond,
    )


def _rounded(curve: torch.Tensor) -> list[float]:
    return [round(float(v), 5) for v in curve]


def _tell(run: Run[ReconstructConfig], made: ReconstructOutputs, particles: particle_sets.ParticleSet) -> None:
    by, at = f", denoised by {particles.denoiser}" * bool(particles.denoiser), "FSC of the half-maps of 0.143"
    of_reference = f", angles assigned with the reference {made.reference}" * bool(made.reference)
    reached = resolution_in_words(made.resolution, "nothing resolved")
    run.summary(f"Map: {made.map} of {counted(made.count, 'particle')}{by} ({reached} at an {at}{of_reference}).")
    resolution = "" if particles.denoiser else f"; the resolution at an {at} is {resolution_in_words(made.resolution)}"
    run.methods(
        f"{counted(made.count, 'particle')}{by} were back-projected with {PROGRAM} under the symmetry "
        f"{run.config.symmetry}{resolution}."
    )
