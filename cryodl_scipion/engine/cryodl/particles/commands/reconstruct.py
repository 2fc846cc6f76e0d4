# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl reconstruct`: oriented particles in; a map and its two half-maps out.

Result.outputs are the contract's ReconstructOutputs.
"""

from __future__ import annotations

import typing
from pathlib import Path

from ...contract import ReconstructConfig, Result
from ...contract.particles.orienting import ReconstructOutputs
from ...io.reference_columns import BEYOND, SUBSTITUTED
from ...io.unfinished import check_output
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import numpy as np
    import torch

    from ...io.particle_sets import ParticleSet


def run(config: ReconstructConfig) -> Result:
    """Back-project; the map is written last. A stopped run leaves nothing and starts anew."""
    paths = _paths(config.output)
    from ...core.devices import choose_device, device_name, set_threads
    from ...core.symmetry import operations
    from ...io.maps import write_map
    from ...io.particle_sets import read_particles
    from ...likelihood.prepare import check_not_empty, sample_rows
    from ...reconstruction.halves import looks_inverted, split_halves
    from ...reconstruction.reference_controls import control_of

    operations(config.symmetry)  # an unknown one is an error before the work
    particles = read_particles(config.particles, need=("angles",))
    _check_mask(particles, config)
    noise, doubts = control_of(particles, config.noise_control)
    substituted, more = control_of(particles, config.substituted, SUBSTITUTED)
    doubts += more
    warnings = _warnings(particles, config) + doubts
    halves = split_halves(particles, config.seed)
    device = choose_device()
    set_threads()
    _check_memory(particles.box)
    check_not_empty(particles.images(sample_rows(len(particles))), config.particles)
    print(f"Back-projecting {len(particles)} particles of {particles.box} px on {device_name(device)}.")
    found = _reconstruct(particles, halves, config, device)
    if looks_inverted(found.whole):
        warnings.append(
            f"The map is negative at the particle: protein seems to be dark in {particles.path}. Invert the images, "
            "or the map before you use it."
        )
    told, sentences = _reference(particles, noise, config, found, device)
    more_told, more = _substituted(substituted, halves, config, found, device)
    told, sentences = {**told, **more_told}, sentences + more
    for sentence in doubts + sentences:
        warn(sentence)
    warnings += sentences
    Path(config.output).resolve().parent.mkdir(parents=True, exist_ok=True)
    for name, density in (("half1", found.half1), ("half2", found.half2), ("map", found.whole)):
        write_map(paths[name], density, particles.pixel_size)
    resolution = None if found.resolution is None else round(found.resolution, 3)
    of_reference = f", angles assigned with the reference {told['reference']}" if told["reference"] else ""
    reached = "nothing resolved" if resolution is None else f"{resolution:.1f} Å"
    print(f"Map: {config.output} ({reached} at FSC 0.143{of_reference})")
    outputs = ReconstructOutputs(
        map=paths["map"],
        half1=paths["half1"],
        half2=paths["half2"],
        resolution=resolution,
        fsc=[round(float(v), 5) for v in found.fsc],
        count=len(particles),
        pixel_size=particles.pixel_size,
        box=particles.box,
        **told,
    )
    return Result("reconstruct", outputs, device=device_name(device), warnings=tuple(warnings))


def _paths(output: str) -> dict[str, str]:
    """{name: path} of the maps. Raises ValueError or FileExistsError."""
    if not output.endswith(".mrc"):
        raise ValueError(f"Map (--output) is {output}; it must end with .mrc.")
    paths = dict(map=output, half1=f"{output[:-4]}_half1.mrc", half2=f"{output[:-4]}_half2.mrc")
    for path in paths.values():
        check_output(path, "Map")
    return paths


def _check_mask(particles: ParticleSet, config: ReconstructConfig) -> None:
    width = particles.box * particles.pixel_size
    if config.mask_diameter is not None and config.mask_diameter > width:
        raise ValueError(
            f"Mask diameter (--mask-diameter) is {config.mask_diameter:g} Å, but the images of {particles.path} are "
            f"only {width:.0f} Å wide ({particles.box} px x {particles.pixel_size:g} Å). Choose a smaller diameter, "
            "or leave it out to use 0.9 of the box size."
        )


def _warnings(particles: ParticleSet, config: ReconstructConfig) -> list[str]:
    """Sentences about what the map is not. Raises ValueError for raw particles whose CTF cannot be corrected."""
    if particles.denoiser:
        return [
            f"{particles.path} has denoised images (by {particles.denoiser}): a map of denoised images shows the "
            "structure that the denoiser was trained on, if it has one. Its resolution is meaningless; use the raw "
            "particles for results."
        ]
    if config.correct_ctf and particles.optics is None:
        from ...io.particle_sets import read_particles

        read_particles(config.particles, need=("ctf",))
    return [] if config.correct_ctf else ["The CTF was not corrected, so the map has the contrast of the microscope."]


def _reference(
    particles: ParticleSet, noise: typing.Any, config: ReconstructConfig, found: typing.Any, device: torch.device
) -> tuple[dict[str, typing.Any], list[str]]:
    """Outputs and sentences about the reference that gave the angles; nothing if none did."""
    from ...reconstruction.halves import reconstruct, split_halves
    from ...reconstruction.reference import reference_name, tested

    if not reference_name(particles):
        none = ("search_resolution", "noise_fsc", "noise_resolution", "corrected_resolution", "fsc_beyond")
        return dict(dict.fromkeys(none), reference=""), []
    curve = None if noise is None else reconstruct(noise, split_halves(noise, config.seed), config, device).fsc
    test = tested(particles, found.fsc, curve, 1 if noise is None else len(noise))
    rounded = None if test.noise is None else [round(float(v), 5) for v in test.noise]
    told = dict(
        reference=test.name,
        search_resolution=test.search_resolution,
        noise_fsc=rounded,
        noise_resolution=test.noise_resolution,
        corrected_resolution=test.corrected_resolution,
        fsc_beyond=test.beyond,
    )
    return told, test.sentences(found.resolution)


def _substituted(
    control: ParticleSet | None, halves: np.ndarray, config: ReconstructConfig, found: typing.Any, device: torch.device
) -> tuple[dict[str, typing.Any], list[str]]:
    """Outputs and a sentence about the same particles with noise in place of fine detail; nothing without them."""
    if control is None:
        return {}, []
    from ...reconstruction.halves import reconstruct
    from ...reconstruction.reference_controls import shared_value
    from ...reconstruction.substituted import substitution_test

    curve = reconstruct(control, halves, config, device).fsc
    test = substitution_test(found.fsc, curve, float(shared_value(control, BEYOND)), control.pixel_size, control.box)
    told = dict(
        substituted_from=test.beyond,
        substituted_fsc=[round(float(v), 5) for v in test.fsc],
        substituted_resolution=test.resolution,
    )
    return told, [test.sentence()]


def _check_memory(box: int) -> None:
    from ...core.projections import padded_side
    from ...simulate.structures import available_memory

    needed, free = 36 * padded_side(box) ** 3, available_memory()
    if needed > free:
        raise ValueError(
            f"A map of {box} px needs {needed / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} GB are "
            "free. Extract the particles at a larger pixel size."
        )


def _reconstruct(
    particles: ParticleSet, halves: np.ndarray, config: ReconstructConfig, device: torch.device
) -> typing.Any:
    from tqdm import tqdm

    from ...reconstruction.halves import reconstruct

    with tqdm(total=len(particles), unit="particle", mininterval=1.0) as bar:
        return reconstruct(particles, halves, config, device, bar.update)
