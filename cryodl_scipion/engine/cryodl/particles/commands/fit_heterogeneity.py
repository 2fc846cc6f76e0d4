# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl fit-heterogeneity`: particles with orientations in; latent coordinates, maps along them, and whether there is
any motion out.

Result.outputs are the contract's FitHeterogeneityOutputs.
"""

from __future__ import annotations

import typing
from pathlib import Path

from ...contract import FitHeterogeneityConfig, Result
from ...contract.particles.heterogeneity import FitHeterogeneityOutputs
from ...contract.result import write_json
from ...io.unfinished import check_output, finish_folder, working_folder
from ...io.warn import warn

if typing.TYPE_CHECKING:
    from ..heterogeneity.inputs import Inputs

SCRATCH = "coefficients"


def run(config: FitHeterogeneityConfig) -> Result:
    """Fit into <output>.partial, then rename; a stopped training continues, all else begins anew."""
    check_output(config.output)
    from ...core.devices import choose_device, device_name, set_threads
    from ...latent.neighbours import require_umap
    from ...latent.record import verdict_sentence
    from ..heterogeneity.deep import CHECKPOINT
    from ..heterogeneity.fitting import fit_heterogeneity
    from ..heterogeneity.inputs import load_inputs

    if config.umap:
        require_umap()
    set_threads()
    device = choose_device(None if config.method != "linear" else "cpu")
    inputs = load_inputs(config)
    files = [config.particles, config.reference, *([config.mask] if config.mask else [])]
    folder = working_folder(config, files, continues=config.method != "linear")
    (folder / SCRATCH).mkdir(exist_ok=True)
    for note in inputs.notes:
        warn(note)
    outcome = fit_heterogeneity(config, inputs, folder / SCRATCH, print)
    for note in outcome.notes:
        warn(note)
    outputs = _write(config, inputs, outcome, folder)
    finish_folder(folder, config.output, SCRATCH, CHECKPOINT)
    print(verdict_sentence(outcome.motion) + f" {outputs['particles']}")
    used = device_name(device if outcome.method == "gaussian" else choose_device("cpu"))
    return Result("fit-heterogeneity", outputs, device=used, warnings=tuple(inputs.notes + outcome.notes))


def _write(
    config: FitHeterogeneityConfig, inputs: Inputs, outcome: typing.Any, folder: Path
) -> FitHeterogeneityOutputs:
    """All files but the coefficients; the outputs with their final paths."""
    from ...io.particle_sets import write_particles_star
    from ...latent.pictures import draw_latent
    from ...latent.record import latent_clusters, latent_columns, verdict_sentence, write_fit_volumes
    from ..heterogeneity.map_files import write_classes, write_paths

    particles, fit = inputs.particles, outcome.fit
    clusters = latent_clusters(fit.latent, config.clusters, config.seed)
    columns, classes, said = write_classes(config, inputs, outcome, folder)
    columns = dict(latent_columns(fit.latent, clusters, config.umap, config.seed), **columns)
    write_particles_star(str(folder / "particles.star"), particles, columns)
    names = write_fit_volumes(folder, fit, particles.box, particles.pixel_size)
    paths, record = write_paths(config, inputs, outcome, folder)
    draw_latent(fit.latent, clusters, verdict_sentence(outcome.motion), folder / "latent.png")
    final = lambda name: str(Path(config.output) / name)
    motion = outcome.motion
    head = dict(variability=motion.variability, p_value=motion.p_value, verdict=motion.verdict)
    write_json(folder / "heterogeneity.json", dict(head, **_record(config, inputs, outcome), paths=record, **said))
    return FitHeterogeneityOutputs(
        **head,
        particles=final("particles.star"),
        heterogeneity=final("heterogeneity.json"),
        mean=final("mean.mrc"),
        components=[final(name) for name in names[1:]],
        paths=[[final(name) for name in path] for path in paths],
        picture=final("latent.png"),
        classes=[final(name) for name in classes],
        count=len(particles),
        latent=config.latent,
        pixel_size=particles.pixel_size,
        box=particles.box,
        umap=config.umap,
        method=outcome.method,
    )


def _record(config: FitHeterogeneityConfig, inputs: Inputs, outcome: typing.Any) -> dict[str, typing.Any]:
    """What heterogeneity.json says besides the verdict."""
    from ...latent.record import fit_record

    voxel = inputs.particles.pixel_size
    resolution = inputs.particles.box * voxel / inputs.radius
    return dict(
        fit_record(config, outcome.fit, outcome.motion, resolution, voxel),
        method=outcome.method,
        particles=len(inputs.particles),
        contrast=outcome.contrast,
        contrast_deviation=float(outcome.fit.sigmas[5]),
        notes=inputs.notes + outcome.notes,
        **outcome.record,
    )
