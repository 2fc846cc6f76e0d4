# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures are read as they are drawn: nothing is cut off, hidden or larger than it is."""

import types
from pathlib import Path

import numpy as np
import pytest

from cryodl.io import plots
from cryodl.latent import record
from cryodl.maps.measures import report
from cryodl.particles.denoisers import plots as denoiser_plots

pytest.importorskip("matplotlib")


def drawn(monkeypatch, module, draw):
    """The figure that is drawn instead of saved."""
    figures = []
    monkeypatch.setattr(module, "save_figure", lambda figure, path: figures.append(figure))
    draw()
    return figures[0]


def test_a_loss_of_a_hundredth_between_rounds_looks_small(monkeypatch):
    entries = [
        dict(round=n, separation=s, agreement=a, picks=9, expected_particles=9.0, confident=8)
        for n, s, a in ((0, 4.21, None), (1, 4.16, 0.97))
    ]
    figure = drawn(monkeypatch, plots, lambda: plots.plot_rounds(entries, "rounds.png"))
    assert figure.axes[0].get_ylim()[0] == 0 and figure.axes[1].get_ylim()[0] == 0


def test_the_same_curve_in_the_mask_and_in_the_box_is_seen_twice(monkeypatch):
    curve = types.SimpleNamespace(frequency=np.linspace(0, 0.4, 9), value=np.linspace(1, 0, 9))
    curves = {"map and model": curve, "map and model, whole box": curve}
    figure = drawn(monkeypatch, report, lambda: report.plot_fsc(curves, "fsc.png"))
    assert [line.get_linestyle() for line in figure.axes[0].lines[:2]] == ["-", "--"]


def test_titles_of_an_evaluation_are_not_cut_off(monkeypatch):
    titles = []
    monkeypatch.setattr(denoiser_plots, "plot_curves", lambda *given: titles.append(given[3]))
    monkeypatch.setattr(denoiser_plots, "plot_control", lambda *given: 1 / 0)  # no more is drawn
    record_ = dict(
        count=100000, frc=dict.fromkeys(("frequency", "raw", "wiener", "denoised")), fsc=dict(raw=0, denoised=0)
    )
    record_.update(control=dict(noise=0, unrelated=0, unseen=dict(mean_frc=None)), mean_frc=record_["frc"])
    with pytest.raises(ZeroDivisionError):
        denoiser_plots.draw_evaluation(Path(), None, record_, {}, np.zeros(1))
    monkeypatch.undo()
    for title in titles:
        curves = {"raw": np.ones(9)}
        draw = lambda title=title: denoiser_plots.plot_curves(np.linspace(0, 0.1, 9), curves, "a.png", title)
        figure = drawn(monkeypatch, denoiser_plots, draw)
        figure.canvas.draw()
        box = figure.axes[0].title.get_window_extent()
        assert box.x0 > 0 and box.x1 < figure.bbox.x1
    assert len(titles) == 2 and "bring the structure" in titles[1]


def test_both_halves_of_the_latent_space_say_what_they_show(monkeypatch, tmp_path):
    from matplotlib.figure import Figure

    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: (figures.append(self), open(path, "wb").close()))
    record.draw_latent(np.zeros((9, 1)), np.zeros(9), "No motion found", tmp_path / "latent.png")
    assert [axes.get_title() for axes in figures[0].axes] == ["coloured by cluster", "density of particles"]
    assert figures[0].axes[0].get_ylabel() == "latent coordinate 1"
