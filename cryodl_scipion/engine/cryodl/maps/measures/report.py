# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of an evaluation: evaluation.json, tables, pictures, and a script that colours the model in ChimeraX; and
the evaluation in words."""

import os
import typing
from pathlib import Path

import numpy as np

from ...contract import MAP_METRICS, counted, half_map_resolutions, half_map_verdict, resolution_in_words, split_verdict
from ...contract.result import write_json
from ...io.files import write_csv
from ...io.plots import new_figure, save_figure, scale_bar
from ...running.runner import PROGRAM
from . import doubt, qscore, volume
from .shells import Curve

EVALUATION, RESIDUES = "evaluation.json", "residues.csv"
Metrics = typing.Mapping[str, typing.Any]


def write_report(folder: Path, metrics: Metrics, details: Metrics) -> None:
    """Write all files of an evaluation into the Path folder. metrics, details: of commands.evaluate_map.map_metrics."""
    curves = {}
    for kind in [kind for kind in ("map", "before") if kind in details]:
        curves[f"{kind} and model"] = details[kind]["fsc"]
        curves[f"{kind} and model, whole box"] = details[kind]["fsc_unmasked"]
    if "half_maps" in details:
        curves["half-maps"] = details["half_maps"]["fsc"]
    for name, curve in (details.get("half_map_test") or {}).items():
        curves[f"half-map test: {name}"] = curve
    shells = zip(next(iter(curves.values())).frequency, *[curve.value for curve in curves.values()])
    write_csv(folder / "fsc.csv", ["frequency_per_angstrom", *curves], shells)
    plot_fsc(curves, folder / "fsc.png")
    halves = details.get("half_maps")
    if halves and halves["local"] is not None:
        volume.write_volume(folder / "local_resolution.mrc", halves["local"], details["volume"])
        figure, ((axes,),) = new_figure(1, 1, (6.5, 4.2))
        axes.hist(halves["local"][halves["local"] > 0], bins=50)
        axes.set(xlabel="local resolution (Å)", ylabel="voxels in the mask")
        save_figure(figure, folder / "local_resolution.png")
    if "reference" in details:
        atoms, columns = details["reference"].atoms, {}
        for kind, ending in (("map", ""), ("before", "_before")):
            if kind in details:
                columns["q_score" + ending] = details[kind]["q_residues"]
                columns["local_correlation" + ending] = qscore.residue_scores(details[kind]["correlation"], atoms)
        values = zip(atoms.residues, *columns.values())
        rows = ([*residue, *(f"{v:.4f}" for v in of_residue)] for residue, *of_residue in values)
        write_csv(folder / RESIDUES, ["chain", "number", "name", *columns], rows)
        plot_slices(details, folder / "slices.png")
        _write_chimerax(folder, metrics, details)
    if "doubt" in details:
        shown = _from_folder(folder, metrics["map"])
        doubt.write_doubt(str(folder / "doubt"), shown, details["doubt"], details["volume"], metrics["structure"])
    write_json(folder / EVALUATION, metrics)


def plot_fsc(curves: typing.Mapping[str, Curve], path: Path) -> None:
    """A PNG of {name: Curve}. Those of the whole box are dashed: the same curve in the mask stays visible below."""
    figure, ((axes,),) = new_figure(1, 1, (6.5, 4.2))
    for name, curve in curves.items():
        style = "--" if name.endswith("whole box") else "-"
        axes.plot(curve.frequency[1:], curve.value[1:], style, label=name, linewidth=1.4)
    for limit in (0.5, 0.143):
        axes.axhline(limit, color="0.8", linewidth=0.8, zorder=0)
    highest = next(iter(curves.values())).frequency[-1]
    periods = [period for period in (20, 8, 5, 3.5, 2.5, 2) if 1 / period <= highest]
    axes.secondary_xaxis("top").set_xticks([1 / p for p in periods], [f"{p:g} Å" for p in periods], fontsize=8)
    axes.set(xlabel="frequency (1/Å)", ylabel="Fourier shell correlation", xlim=(0, highest), ylim=(-0.1, 1.02))
    axes.legend(fontsize=8)
    save_figure(figure, path)


def plot_slices(details: Metrics, path: Path) -> None:
    """Middle slices of the map, of the one before, and of the model's density, along z, y and x, with a scale bar."""
    before = [("before", details["before_volume"].data)] if "before_volume" in details else []
    shown = [*before, ("map", details["volume"].data), ("model", details["reference"].density)]
    centre = np.rint(details["volume"].positions(details["reference"].atoms.xyz).mean(axis=0)).astype(int)
    centre = np.clip(centre, 0, np.array(details["volume"].data.shape) - 1)
    figure, axes = new_figure(3, len(shown), (2.6 * len(shown), 7.8))
    for column, (name, data) in enumerate(shown):
        low, high = 0.0, float(np.percentile(data, 99.9)) or 1.0
        for row in range(3):
            axes[row][column].imshow(
                np.take(data, centre[row], axis=row), cmap="gray", vmin=low, vmax=high, origin="lower"
            )
            axes[row][column].set_axis_off()
        axes[0][column].set_title(name, fontsize=10)
    for row in range(3):
        scale_bar(axes[row][0], float(details["volume"].voxels_zyx[2 if row < 2 else 1]))
    save_figure(figure, path)


def _from_folder(folder: Path, path: str) -> str:
    """A path for a script in the folder, which is renamed at the end."""
    return os.path.relpath(path, folder.resolve().with_name(folder.name.removesuffix(".partial")))


def _write_chimerax(folder: Path, metrics: Metrics, details: Metrics) -> None:
    atoms, scores = details["reference"].atoms, details["map"]["q_residues"]
    rows = (f"\t/{chain}:{number}\t{value:.4f}\n" for (chain, number, _), value in zip(atoms.residues, scores))
    (folder / "q_score.defattr").write_text(
        "attribute: qscore\nmatch mode: 1-to-1\nrecipient: residues\n" + "".join(rows), encoding="utf-8"
    )
    lines = [
        f'open "{_from_folder(folder, metrics["map"])}"',
        f'open "{_from_folder(folder, metrics["structure"])}"',
        "volume #1 transparency 0.6",
        'open "q_score.defattr"',
        "color byattribute qscore #2 palette red:white:blue range 0,0.8 target abc",
        "hide #2 cartoons",
        "show #2 atoms",
        "style #2 stick",
    ]
    if (folder / "local_resolution.mrc").exists():
        lines += ['open "local_resolution.mrc"', "volume #3 hide", "color sample #1 map #3 palette rainbow"]
    (folder / "show.cxc").write_text("\n".join(lines) + "\n", encoding="utf-8")


def evaluation_in_words(metrics: Metrics) -> typing.Iterator[str]:
    """Lines of a summary. metrics: of commands.evaluate_map.map_metrics."""
    before, halves = metrics.get("before"), metrics.get("half_maps")
    if metrics["structure"]:
        yield f"Against the model ({counted(metrics['atoms'], 'atom')}; mask: {metrics['mask']}):"
        for name, label in MAP_METRICS.items():
            yield f"{label}: {_value(name, metrics)}" + (f"; original {_value(name, before)}" if before else "")
        if len(chains := metrics["q_score_chains"]) > 1:
            yield "Q-score of the chains: " + ", ".join(f"{name} {q:.2f}" for name, q in list(chains.items())[:20])
    if halves:
        yield f"Half-maps, FSC 0.143: {resolution_in_words(halves['resolution_angstrom'])}"
        if local := halves.get("local_resolution_angstrom"):
            yield (
                f"Local resolution, median (10 % to 90 %): {local['median']:.2f} Å ({local['p10']:.2f} to "
                f"{local['p90']:.2f})"
            )
    if metrics.get("half_map_test"):
        yield from split_verdict(half_map_verdict(half_map_resolutions(metrics["half_map_test"]))[1])[0]


def _value(name: str, metrics: Metrics) -> str:
    return resolution_in_words(metrics[name]) if name.endswith("angstrom") else f"{metrics[name]:.3f}"


def evaluation_methods(metrics: Metrics) -> str:
    """A sentence for the methods of a paper. metrics: of commands.evaluate_map.map_metrics."""
    text = f"The half-maps were compared with their processed versions with {PROGRAM}"
    if metrics["structure"]:
        text = (
            f"The map was compared with its atomic model with {PROGRAM}: their FSC falls to 0.5 at "
            f"{_value('fsc05_angstrom', metrics)}, the mean Q-score is {_value('q_score', metrics)}"
        )
    if before := metrics.get("before"):
        text += (
            f" (before improvement: {_value('fsc05_angstrom', before)} and {_value('q_score', before)}, with the same "
            "mask)"
        )
    if halves := metrics.get("half_maps"):
        text += f"; the FSC of the half-maps falls to 0.143 at {resolution_in_words(halves['resolution_angstrom'])}"
    return text + "."
