# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl evaluate-denoiser`: what a denoiser gains over raw and filtered images, and what it invents.

<output>/evaluation.json: count, pixel_size, box; frc {frequency (1/Å), raw, wiener, denoised: mean curves}; mean_frc
and resolution {0.5, 0.143: Å or null} of each; fsc {frequency, raw, denoised: curves of maps with the structure,
resolution}; control (see particles/denoisers/controls.py): noise, unrelated, noise_similarity, chance_similarity,
real_similarity, noise_contrast, unseen {what, similarity, mean_frc}, verdict ('ok' or 'warning') and sentences;
notes. Beside it frc.csv, a line for each particle, and frc.png, fsc.png, control.png, triplets.png, gallery.png.
Result.outputs are the contract's EvaluateDenoiserOutputs.
"""

from __future__ import annotations

import csv
import os
import typing
from pathlib import Path

import numpy as np

from ...contract import EvaluateDenoiserConfig, Result
from ...contract.particles.denoising import EvaluateDenoiserOutputs
from ...contract.result import write_json
from ...io.files import whole_file
from ...io.plots import can_draw
from ...io.unfinished import check_output, finish_folder, working_folder
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ...io.particle_sets import ParticleSet
    from ..denoisers.evaluate import Bench, Curves
    from ..denoisers.run_controls import OtherMolecule

PICTURES = ("frc", "fsc", "control", "triplets", "gallery")
TRIPLETS, GALLERY = 6, 40
UNSEEN = 96  # particles of another molecule, at most


def run(config: EvaluateDenoiserConfig) -> Result:
    """Measure into <output>.partial, then rename."""
    check_output(config.output)
    from ...core.devices import choose_device, device_name, set_threads
    from ...io.particle_sets import read_particles
    from ...simulate.particle_images import load_projector
    from ..denoisers import load_denoiser
    from ..denoisers.evaluate import bench_of, learnt_from, measure_bench
    from ..denoisers.evaluate_maps import map_curves
    from ..denoisers.run_controls import run_controls

    particles = read_particles(config.particles, need=("angles", "ctf", "raw"))
    if len(particles) < 2:
        raise ValueError(f"{config.particles} has {len(particles)} particle; at least two are needed.")
    device = choose_device()
    set_threads()
    denoiser = load_denoiser(config.model, device)
    rng = np.random.default_rng(config.seed)
    folder = working_folder(config, continues=False)
    seen = learnt_from(denoiser.card, particles)
    particles = _some(particles, config.count, rng)
    projector, diameter, notes = load_projector(config.structure, particles.pixel_size, particles.box, device)
    bench, more = bench_of(particles, projector, denoiser, config.contrast, diameter / particles.pixel_size)
    notes = notes + more + ([seen] if seen else [])
    for note in notes:
        warn(note)
    print(f"Evaluating {denoiser.card['name']} on {len(particles)} particles, on {device_name(device)}.")
    curves = measure_bench(bench)
    other, more = _other_molecule(config, bench, rng)
    notes += more
    control, similarities = run_controls(bench, curves, _targets(config.model, bench), other, rng)
    fsc = map_curves(bench, config.symmetry)
    record = _record(bench, curves, fsc, control, notes)
    _write(folder, bench, curves, record, similarities)
    finish_folder(folder, config.output)
    return Result(
        "evaluate-denoiser",
        _outputs(config, record),
        device=device_name(device),
        warnings=tuple(notes) + _verdict(control),
    )


def _some(particles: ParticleSet, count: int, rng: np.random.Generator) -> ParticleSet:
    """At most `count` random particles, in the file's order."""
    if len(particles) <= count:
        return particles
    return particles.subset(np.sort(rng.choice(len(particles), count, replace=False)))


def _other_molecule(
    config: EvaluateDenoiserConfig, bench: Bench, rng: np.random.Generator
) -> tuple[OtherMolecule, list[str]]:
    """The images that the network never saw (see run_controls.OtherMolecule), and sentences."""
    from ...io.particle_sets import read_particles
    from ...simulate.particle_images import load_projector
    from ..denoisers.evaluate import bench_of
    from ..denoisers.run_controls import OtherMolecule, random_other_molecule

    if not config.unseen:
        return random_other_molecule(bench, rng), []
    known = config.unseen_structure
    need = ("ctf", "raw", "angles") if known is not None else ("ctf", "raw")
    particles = _some(read_particles(config.unseen, need=need), UNSEEN, rng)
    projector, notes = None, list[str]()
    diameter = bench.diameter_px * bench.particles.pixel_size
    if known is not None:
        projector, diameter, notes = load_projector(
            known, particles.pixel_size, particles.box, bench.known_projector.device
        )
    elif particles.box != bench.particles.box:
        raise ValueError(
            f"{config.unseen} has a box of {particles.box} px, {config.particles} one of {bench.particles.box} px. "
            "Give the structure of the unseen particles (--unseen-structure), or particles of the same box size."
        )
    diameter_px = diameter / particles.pixel_size
    other, more = bench_of(particles, projector, bench.denoiser, config.contrast, diameter_px, bench)
    return OtherMolecule.of(other, f"the particles of {config.unseen}"), list(notes) + more


def _targets(model: str | os.PathLike[str], bench: Bench) -> torch.Tensor:
    """(m, box, box) training targets of a model at the bench's box and pixel size. Raises ValueError without any."""
    import torch

    from ...io.model import find_model
    from ...io.stacks import read_images, stack_shape
    from ...likelihood.prepare import resample
    from ..denoisers.controls import MAX_TARGETS

    path = str(find_model(model) / "training_targets.mrcs")
    if not os.path.exists(path):
        raise ValueError(
            f"The model {model} has no training_targets.mrcs, with which its response to noise is compared. Copy the "
            "whole folder, or train it again."
        )
    count = min(stack_shape(path)[0], MAX_TARGETS)
    images = torch.from_numpy(read_images([path] * count, np.arange(count)))
    return resample(images, bench.denoiser.card["pixel_size"], bench.particles.pixel_size, bench.particles.box)[0]


def _record(
    bench: Bench,
    curves: Curves,
    fsc: dict[str, typing.Any],
    control: dict[str, typing.Any],
    notes: typing.Sequence[str],
) -> dict[str, typing.Any]:
    from ...core.frc import ring_frequencies

    box, pixel_size = bench.particles.box, bench.particles.pixel_size
    frequency = ring_frequencies(box, pixel_size)
    return dict(
        count=len(bench.particles),
        pixel_size=pixel_size,
        box=box,
        model=bench.denoiser.card["name"],
        contrast=bench.contrast,
        frc=dict(frequency=frequency, **curves.mean_curves()),
        mean_frc=curves.means(),
        resolution=curves.resolutions(pixel_size, box),
        fsc=dict(fsc, frequency=frequency),
        control=control,
        notes=notes,
    )


def _write(
    folder: Path,
    bench: Bench,
    curves: Curves,
    record: dict[str, typing.Any],
    similarities: typing.Mapping[str, np.ndarray],
) -> None:
    from ...core.frc import mean_frc

    means = {kind: mean_frc(getattr(curves, kind)).numpy() for kind in ("raw", "wiener", "denoised")}
    with whole_file(folder / "frc.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *means])
        for name, *values in zip(bench.particles.names, *means.values()):
            writer.writerow([name, *(f"{v:.5f}" for v in values)])
    if can_draw():
        _draw(folder, bench, record, similarities, means["denoised"])
    write_json(folder / "evaluation.json", record)
    mean = record["mean_frc"]
    print(
        f"Mean FRC with the ground truth: raw {mean['raw']:.3f}, Wiener filter {mean['wiener']:.3f}, denoised "
        f"{mean['denoised']:.3f}."
    )
    print(f"Control: {record['control']['verdict']}.", *record["control"]["sentences"], sep="\n  ")


def _draw(
    folder: Path,
    bench: Bench,
    record: dict[str, typing.Any],
    similarities: typing.Mapping[str, np.ndarray],
    scores: np.ndarray,
) -> None:
    from ..denoisers.plots import draw_gallery, draw_rows, plot_control, plot_curves

    frequency = record["frc"]["frequency"]
    plot_curves(
        frequency,
        {k: record["frc"][k] for k in ("raw", "wiener", "denoised")},
        folder / "frc.png",
        f"Fourier ring correlation with the ground truth, mean of {record['count']} particles",
    )
    plot_curves(
        frequency,
        {k: record["fsc"][k] for k in ("raw", "denoised")},
        folder / "fsc.png",
        f"Fourier shell correlation with the structure, maps of {record['count']} particles",
    )
    plot_control(_bars(record), similarities, folder / "control.png")
    order = np.argsort(scores)[::-1]
    rows = order[np.linspace(0, len(order) - 1, min(TRIPLETS, len(order))).round().astype(int)]
    images, ctf = bench.prepared(rows)
    columns = images, bench.filtered(images, ctf), bench.denoised(images, ctf), bench.ground_truth(rows)
    titles = ["raw", "Wiener filter", "denoised", "ground truth"]
    draw_rows(
        list(zip(*(c.numpy() for c in columns))),
        titles,
        folder / "triplets.png",
        [f"FRC {scores[row]:.2f}" for row in rows],
    )
    rows = order[np.linspace(0, len(order) - 1, min(GALLERY, len(order))).round().astype(int)]
    draw_gallery(list(bench.denoised(*bench.prepared(rows)).numpy()), scores[rows], folder / "gallery.png")


def _bars(record: dict[str, typing.Any]) -> dict[str, float]:
    control, mean = record["control"], record["mean_frc"]
    bars = {
        "particles, denoised": mean["denoised"],
        "particles, Wiener filter": mean["wiener"],
        "particles, raw": mean["raw"],
        "pure noise, denoised": control["noise"],
        "unrelated projections": control["unrelated"],
    }
    if control["unseen"]["mean_frc"]:
        bars.update(
            {
                "other molecule, denoised": control["unseen"]["mean_frc"]["denoised"],
                "other molecule, Wiener filter": control["unseen"]["mean_frc"]["wiener"],
            }
        )
    return bars


def _verdict(control: dict[str, typing.Any]) -> tuple[str, ...]:
    if control["verdict"] == "ok":
        return ()
    first = control["sentences"][0]
    controls_failed = not first.startswith("On these particles")  # then it only gains nothing
    return (f"The control is close to the real result: {first}" if controls_failed else first,)


def _outputs(config: EvaluateDenoiserConfig, record: dict[str, typing.Any]) -> EvaluateDenoiserOutputs:
    at = lambda name: os.path.join(config.output, name)
    return EvaluateDenoiserOutputs(
        evaluation=at("evaluation.json"),
        folder=str(config.output),
        table=at("frc.csv"),
        mean_frc=record["mean_frc"],
        resolution=record["resolution"],
        verdict=record["control"]["verdict"],
        pictures={name: at(f"{name}.png") for name in PICTURES if can_draw()},
    )
