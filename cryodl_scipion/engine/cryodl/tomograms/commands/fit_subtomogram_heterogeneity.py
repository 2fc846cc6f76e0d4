# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl fit-subtomogram-heterogeneity`: aligned subtomograms in; latent coordinates, averages along them, and whether
there is any motion out.

Result.outputs are the contract's FitSubtomogramHeterogeneityOutputs.
"""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

from ...contract import FitSubtomogramHeterogeneityConfig, Result
from ...contract.result import write_json
from ...contract.tomograms.heterogeneity import FitSubtomogramHeterogeneityOutputs
from ...io.unfinished import check_output, finish_folder, working_folder
from ...io.warn import warn

if typing.TYPE_CHECKING:
    from ..heterogeneity.fitting import SubtomogramOutcome
    from ..heterogeneity.inputs import SubtomogramInputs

SCRATCH = "coefficients"


def run(config: FitSubtomogramHeterogeneityConfig) -> Result:
    """Fit into <output>.partial, then rename."""
    check_output(config.output)
    from ...core.devices import set_threads
    from ...latent.neighbours import require_umap
    from ...latent.record import verdict_sentence
    from ..heterogeneity.fitting import fit_subtomogram_heterogeneity
    from ..heterogeneity.inputs import load_subtomogram_inputs

    if config.umap:
        require_umap()
    set_threads()
    inputs = load_subtomogram_inputs(config)
    files = [config.subtomograms, *([config.mask] if config.mask else [])]
    folder = working_folder(config, files, continues=False)
    (folder / SCRATCH).mkdir(exist_ok=True)
    for note in inputs.notes:
        warn(note)
    outcome = fit_subtomogram_heterogeneity(config, inputs, folder / SCRATCH, print)
    for note in outcome.notes:
        warn(note)
    outputs = _write(config, inputs, outcome, folder)
    finish_folder(folder, config.output, SCRATCH)
    print(verdict_sentence(outcome.motion) + f" {outputs.subtomograms}")
    notes = tuple(inputs.notes + outcome.notes)
    return Result("fit-subtomogram-heterogeneity", outputs, device="CPU", warnings=notes)


def _write(
    config: FitSubtomogramHeterogeneityConfig, inputs: SubtomogramInputs, outcome: SubtomogramOutcome, folder: Path
) -> FitSubtomogramHeterogeneityOutputs:
    """All files but the coefficients; the outputs with their final paths."""
    from ...io.subtomograms import write_subtomograms_star
    from ...latent.pictures import draw_latent
    from ...latent.record import latent_clusters, latent_columns, verdict_sentence, write_fit_volumes
    from ..heterogeneity.map_files import write_average_paths

    found, fit, motion = inputs.subtomograms, outcome.fit, outcome.motion
    final = lambda name: str(Path(config.output) / name)
    clusters = latent_clusters(fit.latent, config.clusters, config.seed)
    columns = latent_columns(fit.latent, clusters, config.umap, config.seed)
    optics = dict(found.optics_columns, rlnImageDimensionality=["3"] * len(found.optics_columns["rlnOpticsGroup"]))
    write_subtomograms_star(folder / "subtomograms.star", dataclasses.replace(found, optics_columns=optics), columns)
    names = write_fit_volumes(folder, fit, found.box, found.pixel_size)
    paths, record = write_average_paths(config, inputs, outcome, folder)
    draw_latent(fit.latent, clusters, verdict_sentence(motion), folder / "latent.png")
    head: dict[str, typing.Any] = dict(variability=motion.variability, p_value=motion.p_value, verdict=motion.verdict)
    write_json(folder / "heterogeneity.json", dict(head, **_record(config, inputs, outcome), paths=record))
    return FitSubtomogramHeterogeneityOutputs(
        **head,
        subtomograms=final("subtomograms.star"),
        heterogeneity=final("heterogeneity.json"),
        mean=final("mean.mrc"),
        components=[final(name) for name in names[1:]],
        paths=[[final(name) for name in path] for path in paths],
        picture=final("latent.png"),
        count=len(found),
        latent=config.latent,
        contrast=inputs.contrast,
        pixel_size=found.pixel_size,
        box=found.box,
        umap=config.umap,
    )


def _record(
    config: FitSubtomogramHeterogeneityConfig, inputs: SubtomogramInputs, outcome: SubtomogramOutcome
) -> dict[str, typing.Any]:
    """What heterogeneity.json says besides the verdict."""
    from ...latent.record import fit_record

    found = inputs.subtomograms
    resolution = found.box * found.pixel_size / inputs.radius
    return dict(
        fit_record(config, outcome.fit, outcome.motion, resolution, inputs.voxel),
        method="linear",
        subtomograms=len(found),
        contrast=inputs.contrast,
        contrast_deviation=float(outcome.fit.sigmas[6]),
        notes=inputs.notes + outcome.notes,
    )
