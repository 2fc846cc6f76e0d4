# SPDX-License-Identifier: GPL-3.0-or-later
"""The table and the curves of maps of several sets of picks."""

from __future__ import annotations

import csv
import typing
from pathlib import Path

from ...contract import resolution_in_words
from ...core.frc import THRESHOLDS, ring_frequencies
from ...io.files import whole_file
from ...io.plots import new_figure, save_figure

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


def losses(
    resolutions: typing.Mapping[str, float | None], reference: str | None
) -> tuple[str, dict[str, float | None]]:
    """The set that the others are measured by, and the loss of each in per cent.

    resolutions: {set: Å or None}. reference: a set, or None for the best. The loss is None where either is.
    """
    reached = {name: value for name, value in resolutions.items() if value is not None}
    if reference is None or reference not in resolutions:
        reference = min(reached, key=reached.__getitem__) if reached else next(iter(resolutions))
    best = resolutions[reference]
    return reference, {
        name: None if best is None or value is None else round(100 * (value / best - 1), 1)
        for name, value in resolutions.items()
    }


def doubts(records: typing.Mapping[str, dict], search: float) -> list[str]:
    """Sentences about maps that cannot be judged by their resolution.

    records: {set: record of its map}. search: Å, finest detail that was compared with the structure.
    """
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
            said.append(f"The half-maps of {name} do not agree at any resolution.")
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
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([title for _, title in COLUMNS])
        for row in table_rows(outputs):
            writer.writerow(["" if value is None else _rounded(value) for value in row.values()])


def _rounded(value: typing.Any) -> typing.Any:
    return round(value, 2) if isinstance(value, float) else value


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
