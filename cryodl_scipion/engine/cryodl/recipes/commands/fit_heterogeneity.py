# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl fit-heterogeneity`: particles with orientations, or aligned subtomograms, in; latent coordinates, maps along
them, and whether there is any motion out. Fit and write; a stopped training continues, all else begins anew."""

import dataclasses
import typing
from pathlib import Path

import numpy as np

from ...contract import FitHeterogeneityConfig, FitHeterogeneityOutputs, counted, say_if, write_json
from ...core.devices import set_threads
from ...io import particle_sets, relion_tables, subtomograms
from ...latent import record as latent_record
from ...particles.heterogeneity import fitting, gaussian_fit, map_files
from ...particles.heterogeneity.inputs import load_inputs
from ...running.runner import PROGRAM, Run, command
from ...tomograms.heterogeneity import average_writer, fit_subtomograms, load_subtomogram_inputs

SCRATCH, APART = "coefficients", "apart.star"
UNUSED = "Particle diameter (--particle-diameter) is for subtomograms. Of particle images the reference shows it."
WAYS = {
    "linear": "expectation-maximisation of principal components of the volumes",
    "gaussian": "expectation-maximisation of principal motions of Gaussians moved by anchors, followed by a "
    "decoder network",
}


@command
def fit_heterogeneity(config: FitHeterogeneityConfig, run: Run) -> FitHeterogeneityOutputs:
    if config.umap:
        latent_record.require_umap()
    set_threads()
    return (_of_subtomograms if _has_volumes(config) else _of_particles)(config, run)


def _has_volumes(config: FitHeterogeneityConfig) -> bool:
    """Whether the file names volumes; where it does not say it, those are fitted without a reference. Raises ValueError
    for options that the other kind has."""
    volumes = relion_tables.image_dimensions(config.particles, 3 if config.reference is None else 2) == 3
    if not volumes and config.reference is None:
        raise ValueError(
            f"{config.particles} has particle images, and Reference (--reference) is missing. Give the map of the "
            "refinement that their angles come from."
        )
    if volumes and (config.method == "gaussian" or config.classes is not None):
        raise ValueError(
            f"{config.particles} has subtomograms; Method (--method) gaussian and Discrete classes (--classes) are for "
            "particle images. Leave them out; `cryodl classify-subtomograms` makes classes of subtomograms."
        )
    return volumes


def _of_particles(config: FitHeterogeneityConfig, run: Run) -> FitHeterogeneityOutputs:
    run.take_device("cpu" if config.method == "linear" else None)
    inputs = load_inputs(config, run.seed, run.skip)
    run.warn(*inputs.notes, *say_if(config.particle_diameter is not None, UNUSED))
    folder = _folder(config, run, config.method != "linear", *dict.fromkeys(inputs.particles.files))
    outcome = fitting.fit_particles(config, inputs, folder / SCRATCH, print)
    run.warn(*outcome.notes)
    apart, others = inputs.particles.subset(slice(0, 0)), inputs.particles
    if outcome.kept is not None:
        rest = np.setdiff1d(np.arange(len(others)), outcome.kept)
        inputs, apart = dataclasses.replace(inputs, particles=others.subset(outcome.kept)), others.subset(rest)
        particle_sets.write_particles_star(folder / APART, apart, {})
        run.summary(*latent_record.apart_sentences(outcome.record["set_apart"], len(others)))
    columns, classes, said = map_files.write_classes(config, inputs, outcome, folder)
    found, limit = inputs.particles, inputs.particles.box * inputs.particles.pixel_size / inputs.radius
    said.update(contrast_deviation=float(outcome.fit.sigmas[5]), notes=inputs.notes + outcome.notes)
    write, shown = map_files.map_writer(inputs, outcome, folder), (limit, found.pixel_size)
    made = _write(config, run, found, outcome, write, shown, folder / "particles.star", columns, said)
    made = dataclasses.replace(made, classes=[str(Path(config.output) / name) for name in classes])
    if len(apart):
        made = dataclasses.replace(made, apart=str(Path(config.output) / APART), apart_count=len(apart))
        run.methods(f"{counted(len(apart), 'particle')} that lay apart (Bovy et al. 2011) were left out.")
    if classes:
        run.summary(f"{counted(len(classes), 'discrete class', 'discrete classes')}, each with half-maps.")
    errors = "with the CTF and with errors of orientation, shift, contrast and defocus"
    _methods(run, made, counted(len(found), "particle"), errors)
    return made


def _of_subtomograms(config: FitHeterogeneityConfig, run: Run) -> FitHeterogeneityOutputs:
    inputs = load_subtomogram_inputs(config, run.seed, run.skip)
    run.warn(*inputs.notes)
    folder = _folder(config, run, False)
    outcome = fit_subtomograms(config, inputs, folder / SCRATCH, print)
    run.warn(*outcome.notes)
    found, limit = inputs.subtomograms, inputs.subtomograms.box * inputs.subtomograms.pixel_size / inputs.radius
    if found.stacks is None:
        optics = dict(found.optics_columns, rlnImageDimensionality=["3"] * len(found.optics_columns["rlnOpticsGroup"]))
        found = dataclasses.replace(found, optics_columns=optics)
    said = dict(contrast_deviation=float(outcome.fit.sigmas[6]), notes=inputs.notes + outcome.notes)
    write, shown = average_writer(inputs, outcome, folder), (limit, inputs.voxel)
    made = _write(config, run, found, outcome, write, shown, folder / "subtomograms.star", {}, said)
    weighted = "each subtomogram weighted by the Fourier coefficients that it measured"
    _methods(
        run, made, counted(len(found), "subtomogram"), f"{weighted}, with errors of orientation, shift and contrast"
    )
    return made


def _folder(config: FitHeterogeneityConfig, run: Run, continues: bool, *stacks: str) -> Path:
    files = [path for path in (config.particles, config.reference, config.mask, *stacks) if path]
    folder = run.folder(*files, continues=continues)
    (folder / SCRATCH).mkdir(exist_ok=True)
    run.discard(SCRATCH, gaussian_fit.CHECKPOINT)
    return folder


def _write(
    config: FitHeterogeneityConfig,
    run: Run,
    found: particle_sets.ParticleSet | subtomograms.SubtomogramSet,
    outcome: latent_record.Outcome,
    write: latent_record.MapWriter,
    shown: tuple[float, float],
    star: Path,
    columns: dict[str, typing.Any],
    said: dict[str, typing.Any],
) -> FitHeterogeneityOutputs:
    """All files but those of classes; the outputs with their final paths. write: writes maps of weights. shown: finest
    detail of the fit and unit of the errors of shifts, Å."""
    fit, motion, folder = outcome.fit, outcome.motion, star.parent
    if outcome.method != "gaussian":
        run.take_device("cpu")
    clusters = latent_record.latent_clusters(fit.latent, config.clusters, run.seed)
    columns = dict(latent_record.latent_columns(found, fit.latent, clusters, config.umap, run.seed), **columns)
    if isinstance(found, subtomograms.SubtomogramSet):
        subtomograms.write_subtomograms_star(star, found, columns)
    else:
        particle_sets.write_particles_star(star, found, columns)
    names = latent_record.write_fit_volumes(folder, fit, found.box, found.pixel_size)
    paths, record = latent_record.write_paths(fit.latent, config.axes, config.maps, write)
    sentence = latent_record.verdict_sentence(
        motion, inside := " within the mask" * bool(config.mask), **outcome.record.get("differ", {})
    )
    latent_record.draw_latent(fit.latent, clusters, sentence, folder / "latent.png")
    final = lambda name: str(Path(config.output) / name)
    made = FitHeterogeneityOutputs(
        particles=final(star.name),
        heterogeneity=final("heterogeneity.json"),
        verdict=motion.verdict,
        p_value=motion.p_value,
        variability=motion.variability,
        mean=final("mean.mrc"),
        components=[final(name) for name in names[1:]],
        paths=[[final(name) for name in path] for path in paths],
        picture=final("latent.png"),
        count=len(found),
        latent=config.latent,
        pixel_size=found.pixel_size,
        box=found.box,
        umap=config.umap,
        method=outcome.method,
        contrast=outcome.contrast,
    )
    head = {name: getattr(made, name) for name in ("variability", "p_value", "verdict", "method", "contrast", "count")}
    more = dict(
        sentence=sentence,
        standard_error=motion.error,
        latent=config.latent,
        resolution=shown[0],
        deviations=[float(d) for d in fit.deviations],
        fsc=[round(float(v), 4) for v in fit.fsc],
        orientation_error_degrees=float(np.degrees(fit.sigmas[0])),
        shift_error_angstrom=float(fit.sigmas[3] * shown[1]),
    )
    write_json(folder / "heterogeneity.json", dict(head, **more, **outcome.record, paths=record, **said))
    noun, swing = star.stem[:-1], outcome.record.get("swing", {})
    run.summary(
        sentence,
        *[swing[key] for key in swing if key == "sentence"],
        *say_if(
            motion.verdict != "motion",
            f"Noise and errors explain the differences{inside}; the latent coordinates and maps show noise.",
        ),
        f"{counted(config.latent, 'latent coordinate')} of {counted(len(found), noun)}, method {outcome.method}: "
        f"{made.particles}",
        *say_if(
            config.axes,
            f"{counted(config.axes * config.maps, 'map')} along {counted(config.axes, 'axis', 'axes')}, "
            "with half-maps.",
        ),
    )
    return made


def _methods(run: Run[FitHeterogeneityConfig], made: FitHeterogeneityOutputs, items: str, errors: str) -> None:
    auto, within = run.config.method == "auto" and "CTF" in errors, " within the mask" * bool(run.config.mask)
    run.methods(
        f"A latent space of {counted(made.latent, 'dimension')} was fitted to {items} with {PROGRAM} by "
        f"{WAYS[made.method]}, {errors} to first order. Components of each half were tested on the other half{within}: "
        f"p = {made.p_value:.2g} for a rigid molecule{', corrected for the number of tests,' * auto} "
        f"({'the particles differ' if made.verdict == 'motion' else made.verdict})."
    )
