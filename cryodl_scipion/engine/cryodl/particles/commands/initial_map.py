# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl initial-map`: particles of an unknown molecule in; a first map, or why there is none, out. Four starts, two
in each half; the best of both are compared. Finished starts are kept."""

import dataclasses
from pathlib import Path

import numpy as np

from ...contract import InitialMapConfig, InitialMapOutputs, ReconstructConfig, resolution_in_words, write_json
from ...core.half_transforms import HalfDisc
from ...core.projections import euler_angles
from ...io import mrc, particle_sets
from ...io.particles import EXPLAINED, MARGIN, ORIGIN, SCORE
from ...likelihood import reference
from ...likelihood.observed import WIDEST, Source, smoothed_notes
from ...reconstruction import halves, views
from ...running.runner import PROGRAM, Run, command
from ..heterogeneity.inputs import sample_notes
from ..initial.alignment import enlarged, filtered_mean, reached
from ..initial.climb import FINEST, Found, InHalves, gain_of_second, judged_maps, started_maps

FEWEST, LARGEST = 200, 128  # particles, see the page; px of boxes of which a finer map takes no GB of memory
WORK = "starts"  # folder in the output's, for finished starts


@command
def initial_map(config: InitialMapConfig, run: Run) -> InitialMapOutputs:
    particles = particle_sets.read_particles(config.particles, need=("raw", "ctf"))
    diameter = min(halves.mask_diameter_px(particles, config.mask_diameter), WIDEST * particles.box)
    chosen = np.sort(np.random.default_rng(run.seed).permutation(len(particles))[: config.most])
    if len(chosen) < len(particles):
        run.summary(f"{len(chosen)} of {len(particles)} particles are used, drawn at random.")
    particles = particle_sets.usable(particles.subset(chosen), run.skip)
    contrast, _, said = (config.contrast, True, "") if config.contrast != "auto" else reference.find_contrast(particles)
    run.warn(said, *smoothed_notes(particles), *reference.group_notes(particles))
    folder = run.folder(config.particles, *dict.fromkeys(particles.files))
    nothing = InitialMapOutputs(
        determined=False,
        reasons=[f"{len(particles)} particles are too few (at least {FEWEST} are needed)"],
        judgement=f"{config.output}/judgement.json",
        fsc=[],
        **dict.fromkeys(("map", "half1", "half2", "particles", "resolution", "limit", "agreement", "coverage")),
        **dict.fromkeys(("missing_cone", "tilted_cones", "views", "by_direction")),
        count=len(particles),
        pixel_size=particles.pixel_size,
        box=particles.box,
        contrast=contrast,
    )
    if len(particles) < FEWEST:
        write_json(folder / "judgement.json", dict(reasons=nothing.reasons))
        return _told(run, nothing)
    disc = HalfDisc(particles.box, FINEST / diameter * particles.box, run.device)
    observed = (
        Source(particles, diameter, contrast, particles.ctf_state).measured().observed(np.arange(len(particles)), disc)
    )
    both = InHalves(particles, halves.split_halves(particles, run.seed), observed, diameter)
    starts = started_maps(both, folder / WORK, run)
    run.discard(WORK)
    print("The best start of each half is finished and compared with the others.", flush=True)
    found, verdict = judged_maps(both, starts)
    if not verdict.doubts():
        verdict = dataclasses.replace(verdict, second=gain_of_second(both, found, run))
    reasons, width = verdict.doubts(), particles.box * particles.pixel_size
    if verdict.gain > 0 and not reasons:
        run.warn(
            f"A second map adds {100 * verdict.gain:.1f} % to the evidence of particles that neither was made from. "
            "There may be another molecule or state among them, or their CTFs and centres are not exact: look at the "
            "2-D classes and run `cryodl fit-heterogeneity`."
        )
    write_json(
        folder / "judgement.json", dict(dataclasses.asdict(verdict), coverage=verdict.views.least, reasons=reasons)
    )
    made = dataclasses.replace(
        nothing,
        determined=not reasons,
        reasons=reasons,
        agreement=verdict.agreement,
        coverage=round(verdict.views.least, 4),
        limit=width / disc.radius,
        **verdict.views.outputs(),
    )
    return _told(run, made if reasons else _write(run, folder, both, found, made))


def _write(
    run: Run, folder: Path, both: InHalves, found: dict[int, Found], made: InitialMapOutputs
) -> InitialMapOutputs:
    particles, climb = both.particles, both.climb(1, 0)
    whole, curve = filtered_mean((found[1].density, found[2].density), climb.mask)
    for name, density in (("map_half1", found[1].density), ("map_half2", found[2].density), ("map", whole)):
        mrc.write_map(folder / f"{name}.mrc", enlarged(density, particles.box).cpu(), particles.pixel_size)
    matrices, shifts, probability = (np.empty((len(particles), *shape)) for shape in ((3, 3), (2,), ()))
    for half, one in found.items():
        rows = both.halves == half
        matrices[rows], shifts[rows], probability[rows] = (
            values.cpu().numpy() for values in (one.matrices, one.shifts_yx, one.probability)
        )
    # these angles come from no reference, whatever the file's earlier ones came from
    changes = {
        **dict.fromkeys((*ORIGIN, EXPLAINED, SCORE, MARGIN)),
        **particle_sets.pose_columns(euler_angles(matrices), shifts, particles.pixel_size),
        "rlnRandomSubset": both.halves,
        "rlnMaxValueProbDistribution": probability,
    }
    particle_sets.write_particles_star(folder / "particles.star", particles, changes)
    if particles.box <= LARGEST:  # a coarse map agrees with phases that it was made with, right or not
        oriented = dataclasses.replace(particles, angles=euler_angles(matrices), shifts_yx=shifts)
        config = ReconstructConfig(particles.path, run.config.output, mask_diameter=run.config.mask_diameter)
        finer = halves.half_reconstructions(oriented, both.halves, config, run.device)
        run.warn(*sample_notes(oriented, both.halves, finer, config, run.device))
    width, output = particles.box * particles.pixel_size, run.config.output
    resolution = reached(curve, width, both.observed.disc.radius)
    first, second = (one.density * climb.mask for one in found.values())
    return dataclasses.replace(
        made,
        map=f"{output}/map.mrc",
        half1=f"{output}/map_half1.mrc",
        half2=f"{output}/map_half2.mrc",
        particles=f"{output}/particles.star",
        resolution=None if resolution is None else round(resolution, 3),
        fsc=[round(float(value), 5) for value in curve],
        by_direction=None
        if resolution is None
        else [
            [*axis, at if at is None else max(at, made.limit or at)]
            for *axis, at in views.resolutions(first, second, width / climb.side)
        ],
    )


def _told(run: Run, made: InitialMapOutputs) -> InitialMapOutputs:
    if not made.determined or made.coverage is None:
        run.summary("No map was determined, because " + "; ".join(made.reasons) + ".")
    else:
        run.summary(
            f"Map of {made.count} particles, {resolution_in_words(made.resolution)} (FSC 0.143 of halves that started "
            f"apart; detail to {made.limit:.3g} Å was compared); its hand is unknown.",
            f"The maps of both halves agree with a correlation of {made.agreement:.2f}; the direction seen least has "
            f"{100 * made.coverage:.0f} % of the views that even views would give.",
        )
        run.methods(
            f"A first map was found without a reference by stochastic expectation maximisation ({PROGRAM}), from "
            f"random orientations, in two independent halves of {made.count} particles; its resolution was "
            f"{resolution_in_words(made.resolution)} (FSC 0.143)."
        )
    return made
