# SPDX-License-Identifier: GPL-3.0-or-later
"""The map of one set of picks: extraction, orientations from the structure, half-maps, FSC. The table and the curves of
maps of several sets of picks."""

import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import (
    AssignOrientationsConfig,
    CompareMapsOfPicksConfig,
    ExtractParticlesConfig,
    ReconstructConfig,
    resolution_in_words,
    write_json,
)
from ...core.fourier import THRESHOLDS, fsc, resolution_at, ring_frequencies
from ...core.volumes import cube_crop
from ...io import coordinates, files, structures
from ...io.mrc import read_data, read_header
from ...io.particle_sets import read_particles, write_particles_star
from ...io.plots import new_figure, save_figure
from ...micrographs.commands.extract_particles import extract_particles
from ...particles.commands.assign_orientations import assign_orientations
from ...particles.commands.reconstruct import reconstruct
from ...reconstruction.halves import soft_sphere
from .sets import Common, Picks, drawn

COLUMNS = (
    ("set", "set"),
    ("picks", "picks"),
    ("particles", "particles in the map"),
    ("resolution", "resolution at FSC 0.143 (Å)"),
    ("loss", "loss (%)"),
    ("noise_resolution", "images of noise (Å)"),
    ("structure_resolution", "FSC 0.5 with the structure (Å)"),
)
NEAR = 0.85  # of the search's resolution: half-maps that agree hardly any further prove nothing
_NYQUIST = 1.001  # times two pixels: the FSC does not fall below the threshold


def losses(resolutions: dict[str, float | None], reference: str | None) -> tuple[str, dict[str, float | None]]:
    """The set that the others are measured by, and the loss of each in per cent. resolutions: {set: Å or None}.
    reference: a set, or None for the best. The loss is None where either is."""
    reached = {name: value for name, value in resolutions.items() if value is not None}
    if reference is None or reference not in resolutions:
        reference = min(reached, key=reached.__getitem__) if reached else next(iter(resolutions))
    best = resolutions[reference]
    return reference, {
        name: None if best is None or value is None else round(100 * (value / best - 1), 1)
        for name, value in resolutions.items()
    }


def doubts(records: typing.Mapping[str, dict], search: float) -> list[str]:
    """Sentences about maps that cannot be judged by their resolution. records: {set: record of its map}. search: Å,
    finest detail that was compared with the structure."""
    said = []
    limited = [n for n, r in records.items() if r["resolution"] and r["resolution"] < _NYQUIST * 2 * r["pixel_size"]]
    if limited:
        pixel_size = records[limited[0]]["pixel_size"]
        said.append(
            f"The resolution of {', '.join(limited)} is limited by the pixel size of {pixel_size:.3g} Å: its maps may "
            "differ beyond. Give a larger resampled box (--scaled-box), or micrographs with smaller pixels."
        )
    for name, record in records.items():
        noise, resolution = record["noise_resolution"], record["resolution"]
        if resolution is None:
            like = (
                "do not agree at any resolution" if noise is None else "agree no better than those of images of noise"
            )
            said.append(f"The half-maps of {name} {like}.")
        elif resolution > NEAR * search:
            said.append(
                f"The map of {name} ({resolution:.1f} Å) may show the structure alone: its half-maps agree only at "
                f"detail that was compared with the structure, to {search:.1f} Å"
                + ("." if noise is None else f"; as many images of noise reach {noise:.1f} Å.")
            )
    return said


def table_rows(outputs: typing.Mapping[str, typing.Any]) -> list[dict[str, typing.Any]]:
    """A row for each set, by the names of COLUMNS. outputs: as CompareMapsOfPicksOutputs."""
    return [{name: one if name == "set" else outputs[name][one] for name, _ in COLUMNS} for one in outputs["sets"]]


def write_map_table(path: Path, outputs: typing.Mapping[str, typing.Any]) -> None:
    """Write maps.csv, whole or not at all."""
    shown = lambda value: "" if value is None else round(value, 2) if isinstance(value, float) else value
    files.write_csv(path, [title for _, title in COLUMNS], ([*map(shown, row.values())] for row in table_rows(outputs)))


def print_rows(outputs: typing.Mapping[str, typing.Any]) -> None:
    """Print the table."""
    print(f"\n{'particles':>9}  {'FSC 0.143':>11}  {'loss':>8}  {'noise':>14}  {'structure':>11}  set")
    for row in table_rows(outputs):
        loss = "-" if row["loss"] is None else f"{row['loss']:+.1f} %"
        values = [resolution_in_words(row[n]) for n in ("resolution", "structure_resolution")]
        values.insert(1, resolution_in_words(row["noise_resolution"], "nothing agrees"))
        print(f"{row['particles']:>9}  {values[0]:>11}  {loss:>8}  {values[1]:>14}  {values[2]:>11}  {row['set']}")
    print(
        f"Loss: by how much the resolution is worse than that of {outputs['measured_by']}. Noise: as many images of "
        "noise, oriented by the same structure. Structure: FSC 0.5 of map and structure."
    )


def plot_map_fscs(path: Path, outputs: typing.Mapping[str, typing.Any]) -> None:
    """Draw the FSC of the half-maps, and that with the structure."""
    figure, axes = new_figure(1, 2, (11, 4.5))
    frequencies = ring_frequencies(outputs["box"], outputs["pixel_size"])
    for part, curves, title, threshold in zip(
        axes[0],
        (outputs["fsc"], outputs["structure_fsc"]),
        ("FSC of the half-maps", "FSC of the map with the structure"),
        THRESHOLDS[::-1],
    ):
        for name in outputs["sets"]:
            reached = outputs["resolution" if part is axes[0][0] else "structure_resolution"][name]
            label = f"{name}: {outputs['particles'][name]} particles, {resolution_in_words(reached)}"
            part.plot(frequencies, curves[name], label=label)
        part.axhline(threshold, color="grey", linestyle="--", linewidth=1)
        part.set(xlabel="spatial frequency (1/Å)", ylabel="FSC", title=title)
        part.set(ylim=(-0.1, 1.05), xlim=(0, frequencies[-1]))
        part.legend(fontsize=7)
    save_figure(figure, path)


RECORD = "map.json"  # written last
MINIMUM = 20  # particles of a half


def map_of_set(
    name: str, picks: Picks, config: CompareMapsOfPicksConfig, common: Common, folder: Path, seed: int
) -> dict:
    """The record of the map of a set; a stopped run continues in the folder. Raises ValueError if there is none."""
    record = folder / RECORD
    if record.exists():
        return dict(files.read_kept(record))
    folder.mkdir(parents=True, exist_ok=True)
    particles, oriented, density = (folder / part for part in ("particles.star", "oriented.star", "map.mrc"))
    if not particles.exists():
        _extract(name, picks, config, common, folder, particles, seed)
    if not oriented.exists():
        assign_orientations(
            AssignOrientationsConfig(
                particles=str(particles),
                structure=config.structure,
                output=str(oriented),
                angular_step=config.angular_step,
                max_shift=config.max_shift,
                resolution=config.search_resolution(common.diameter),
                symmetry=config.symmetry,
                contrast="bright",  # as extraction leaves protein
            )
        )
    for half in folder.glob("map*.mrc"):  # of a run that was stopped before its record
        half.unlink()
    made = reconstruct(
        ReconstructConfig(particles=str(oriented), output=str(density), symmetry=config.symmetry), seed=seed
    ).outputs
    curve = structure_fsc(density, config.structure, made.pixel_size)
    noise, search = made.noise_resolution, config.search_resolution(common.diameter)
    found = dict(
        particles=made.count,
        resolution=made.resolution,
        noise_resolution=noise and max(noise, search),  # finer detail was not compared
        structure_resolution=resolution_at(curve, 0.5, made.pixel_size, made.box),
        fsc=list(made.fsc),
        structure_fsc=[round(float(value), 5) for value in curve],
        box=made.box,
        pixel_size=made.pixel_size,
    )
    write_json(record, found)
    return found


def _extract(
    name: str, picks: Picks, config: CompareMapsOfPicksConfig, common: Common, folder: Path, particles: Path, seed: int
) -> None:
    if config.maximum_particles is not None:
        picks, count = drawn(picks, common.paths, common.box, config.maximum_particles, seed)
        if count > config.maximum_particles:
            print(
                f"{name}: {config.maximum_particles} of {count} picks were drawn at random (--maximum-particles, "
                f"--seed {seed})."
            )
    (folder / "picks").mkdir(exist_ok=True)
    for micrograph, (yx, scores) in picks.items():
        coordinates.write_coordinates(folder / "picks" / f"{micrograph}.star", yx, scores)
    extracted = folder / "extracted.star"
    made = extract_particles(
        ExtractParticlesConfig(
            coordinates=str(folder / "picks"),
            micrographs=tuple(common.paths.values()),
            pixel_size=config.pixel_size,
            particle_diameter=common.diameter,
            output=str(extracted),
            ctf=common.ctf,
            box=common.box,
            scaled_box=config.scaled_box,
            contrast=config.contrast,
            voltage=config.voltage,
            spherical_aberration=config.spherical_aberration,
            amplitude_contrast=config.amplitude_contrast,
        ),
        names=tuple(common.paths),
    ).outputs
    halves = [half for micrograph, n in made.counts.items() for half in [common.halves[micrograph]] * n]
    counts = [halves.count(half) for half in (1, 2)]
    if min(counts) < MINIMUM:
        raise ValueError(
            f"{counts[0]} and {counts[1]} of its picks have a whole box on the micrographs of the two halves; each "
            f"half needs at least {MINIMUM} particles. Pick more particles, give more micrographs, or draw more "
            "particles (--maximum-particles)."
        )
    write_particles_star(particles, read_particles(extracted), {"rlnRandomSubset": halves})


def structure_fsc(path: Path, structure: str, pixel_size: float) -> torch.Tensor:
    """(d // 2 + 1,) FSC of a map with a structure, within a soft sphere of 0.9 of the box."""
    density = torch.from_numpy(np.array(read_data(path, read_header(path)), np.float32))
    box = len(density)
    mask = soft_sphere(box, 0.9 * box)
    return fsc(density * mask, cube_crop(structures.load_density(structure, pixel_size)[None], box)[0] * mask)
