# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of what a denoiser gains and invents."""

import typing
from pathlib import Path

import numpy as np

from . import evaluate, plots

TRIPLETS, GALLERY = 6, 40  # particles that are shown


def draw_evaluation(
    folder: Path,
    bench: evaluate.Bench,
    record: dict[str, typing.Any],
    similarities: typing.Mapping[str, np.ndarray],
    scores: np.ndarray,
) -> None:
    """All pictures of an evaluation. record: of evaluation.json. similarities: {name: (n,)} of the controls.
    scores: (n,) mean FRC of each denoised particle."""
    frequency = record["frc"]["frequency"]
    plots.plot_curves(
        frequency,
        {k: record["frc"][k] for k in ("raw", "wiener", "denoised")},
        folder / "frc.png",
        f"FRC with the ground truth, mean of {record['count']} particles",
    )
    plots.plot_curves(
        frequency,
        {k: record["fsc"][k] for k in ("raw", "denoised")},
        folder / "fsc.png",
        f"FSC with the structure, maps of {record['count']} particles\n(denoised images bring the structure with them)",
    )
    plots.plot_control(_bars(record), similarities, folder / "control.png")
    order = np.argsort(scores)[::-1]
    rows = order[np.linspace(0, len(order) - 1, min(TRIPLETS, len(order))).round().astype(int)]
    images, ctf = bench.prepared(rows)
    columns = images, bench.filtered(images, ctf), bench.denoised(images, ctf), bench.ground_truth(rows)
    plots.draw_rows(
        list(zip(*(c.numpy() for c in columns))),
        ["raw", "Wiener filter", "denoised", "ground truth"],
        folder / "triplets.png",
        [f"FRC {scores[row]:.2f}" for row in rows],
    )
    rows = order[np.linspace(0, len(order) - 1, min(GALLERY, len(order))).round().astype(int)]
    plots.draw_gallery(list(bench.denoised(*bench.prepared(rows)).numpy()), scores[rows], folder / "gallery.png")


def _bars(record: dict[str, typing.Any]) -> dict[str, float]:
    control, mean = record["control"], record["mean_frc"]
    bars = {
        "particles, denoised": mean["denoised"],
        "particles, Wiener filter": mean["wiener"],
        "particles, raw": mean["raw"],
        "pure noise, denoised": control["noise"],
        "unrelated projections": control["unrelated"],
    }
    if unseen := control["unseen"]["mean_frc"]:
        bars.update({"other molecule, denoised": unseen["denoised"], "other molecule, Wiener filter": unseen["wiener"]})
    return bars
