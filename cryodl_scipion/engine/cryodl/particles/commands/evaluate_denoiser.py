# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-denoiser`: what a denoiser gains over raw and filtered images, and what it invents.

<output>/evaluation.json: count, pixel_size, box; frc {frequency (1/Å), raw, wiener, denoised: mean curves}; mean_frc
and resolution {0.5, 0.143: Å or null} of each; fsc {frequency, raw, denoised: curves of maps with the structure,
resolution}; control (see particles/denoisers/controls.py): noise, unrelated, noise_similarity, chance_similarity,
real_similarity, noise_contrast, unseen {what, similarity, mean_frc}, verdict ('ok' or 'warning') and sentences; notes.
Beside it frc.csv, a line for each particle, and frc.png, fsc.png, control.png, triplets.png, gallery.png. Measure; the
command begins anew when it was stopped."""

import typing

import numpy as np

from ...contract import EvaluateDenoiserConfig, EvaluateDenoiserOutputs, counted, resolution_in_words, write_json
from ...core.fourier import mean_frc, ring_frequencies
from ...io import files, particle_sets
from ...io.plots import can_draw
from ...running.runner import PROGRAM, Run, command
from ...simulate.particle_images import load_projector
from ..denoisers import controls, evaluate, load_denoiser, plots

PICTURES = ("frc", "fsc", "control", "triplets", "gallery")
KINDS = {"raw": "raw", "wiener": "Wiener-filtered", "denoised": "denoised"}


@command
def evaluate_denoiser(config: EvaluateDenoiserConfig, run: Run) -> EvaluateDenoiserOutputs:
    given = particle_sets.read_particles(config.particles, need=("angles", "ctf", "raw"))
    denoiser, rng = load_denoiser(config.model, run.device), np.random.default_rng(run.seed)
    particles = particle_sets.usable(evaluate.some_particles(given, config.count, rng), run.skip)
    if len(particles) < 2:
        raise ValueError(f"{config.particles} has {len(particles)} usable particle; at least two are needed.")
    particles, folder = denoiser.readable(particles), run.folder(continues=False)
    seen = evaluate.learnt_from(denoiser.card, given)
    projector, diameter, notes = load_projector(config.structure, particles.pixel_size, particles.box, run.device)
    bench, more = evaluate.bench_of(particles, projector, denoiser, config.contrast, diameter / particles.pixel_size)
    notes = notes + more + ([seen] if seen else [])
    run.warn(*notes)
    print(f"Evaluating {denoiser.card['name']} on {len(particles)} particles, on {run.device_name}.")
    curves = evaluate.measure_bench(bench)
    other, more = controls.other_molecule(config, bench, rng, run.skip)
    run.warn(*more)
    control, similarities = controls.run_controls(
        bench, curves, controls.training_targets(config.model, bench), other, rng
    )
    fsc, frequency = evaluate.map_curves(bench, config.symmetry), ring_frequencies(particles.box, particles.pixel_size)
    record = dict(
        count=len(particles),
        pixel_size=particles.pixel_size,
        box=particles.box,
        model=denoiser.card["name"],
        contrast=bench.contrast,
        frc=dict(frequency=frequency, **{k: [round(float(v), 5) for v in getattr(curves, k).mean(0)] for k in KINDS}),
        mean_frc=curves.means(),
        resolution=curves.resolutions(particles.pixel_size, particles.box),
        fsc=dict(fsc, frequency=frequency),
        control=control,
        notes=notes + more,
    )
    means = {kind: mean_frc(getattr(curves, kind)).numpy() for kind in KINDS}
    rows = ([name, *(f"{v:.5f}" for v in values)] for name, *values in zip(particles.names, *means.values()))
    files.write_csv(folder / "frc.csv", ["name", *means], rows)
    if can_draw():
        plots.draw_evaluation(folder, bench, record, similarities, means["denoised"])
    write_json(folder / "evaluation.json", record)
    _tell(run, record)
    return EvaluateDenoiserOutputs(
        evaluation=run.at("evaluation.json"),
        folder=str(config.output),
        table=run.at("frc.csv"),
        mean_frc=record["mean_frc"],
        resolution=record["resolution"],
        verdict=control["verdict"],
        pictures={name: run.at(f"{name}.png") for name in PICTURES if can_draw()},
    )


def _tell(run: Run, record: dict[str, typing.Any]) -> None:
    mean, resolution, control = record["mean_frc"], record["resolution"], record["control"]
    particles, failed = counted(record["count"], "particle"), control["verdict"] != "ok"
    run.summary(
        f"{particles} of {record['box']} px, {record['pixel_size']:.4g} Å/px, compared with the ground truth.",
        *(
            f"{word.capitalize()}: mean FRC {mean[kind]:.3f}; FRC 0.5 at "
            f"{resolution_in_words(resolution[kind]['0.5'])}, "
            f"0.143 at {resolution_in_words(resolution[kind]['0.143'])}."
            for kind, word in KINDS.items()
        ),
        f"Control: {'WARNING, see the next line' if failed else 'passed'}.",
        *control["sentences"],
    )
    first = control["sentences"][0]
    if failed:  # of the controls, or it only gains nothing
        run.warn(
            first if first.startswith("On these particles") else f"The control is close to the real result: {first}"
        )
    run.methods(
        f"The denoiser {record['model']} was evaluated with {PROGRAM} on {particles}: the mean Fourier ring "
        f"correlation with the ground truth was {mean['denoised']:.3f}, for raw images {mean['raw']:.3f} and for "
        f"Wiener-filtered ones {mean['wiener']:.3f}; for denoised pure noise it was {control['noise']:.3f} (unrelated "
        f"projections: {control['unrelated']:.3f})."
    )
