# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of evaluations: as wide as their columns, and there for the odd cases."""

import numpy as np
import pytest
from PIL import Image

from cryodl.particles.denoisers.plots import draw_gallery, draw_rows, plot_control, plot_curves, plot_probabilities

RNG = np.random.default_rng(0)


def size(path):
    with Image.open(path) as image:
        return image.size


def test_a_gallery_grows_by_rows_of_ten(tmp_path):
    for count, rows in ((7, 1), (11, 2)):
        draw_gallery(RNG.normal(size=(count, 8, 8)), np.linspace(1, 0, count), tmp_path / f"{rows}.png")
    assert size(tmp_path / "2.png") == (1100, 250) and size(tmp_path / "1.png") == (1100, 125)


def test_rows_have_a_picture_for_each_title_and_flat_images_are_drawn_too(tmp_path):
    draw_rows([[np.zeros((8, 8))] * 3] * 2, ["a", "b", "c"], tmp_path / "rows.png", ["first", "second"])
    assert size(tmp_path / "rows.png") == (490, 350)


@pytest.mark.parametrize("curve", [[1, 0.5, -0.3, 0], [1, 0, 0, 0]])
def test_curves_below_zero_stay_in_the_picture(tmp_path, curve, monkeypatch):
    from cryodl.particles.denoisers import plots as denoising_plots

    limits = []
    monkeypatch.setattr(denoising_plots, "save_figure", lambda figure, path: limits.append(figure.axes[0].get_ylim()))
    plot_curves([0, 0.05, 0.1, 0.15], {"raw": curve}, tmp_path / "c.png", "title")
    assert limits[0][0] < min(curve) and limits[0][1] > 1


def test_each_control_has_a_bar_with_its_value(tmp_path, monkeypatch):
    from cryodl.particles.denoisers import plots as denoising_plots

    texts = []
    keep = lambda figure, path: texts.extend(t.get_text() for t in figure.axes[0].texts)
    monkeypatch.setattr(denoising_plots, "save_figure", keep)
    bars = {"particles, denoised": 0.4, "pure noise, denoised": -0.01}
    plot_control(bars, {"particles, denoised": RNG.random(5)}, tmp_path / "c.png")
    assert [t.strip() for t in texts] == ["0.400", "-0.010"]


def test_the_surest_part_of_a_set_is_expected_to_be_better_than_all(tmp_path, monkeypatch):
    from cryodl.particles.denoisers import plots as denoising_plots

    lines = []
    keep = lambda figure, path: lines.append(figure.axes[1].lines[0].get_ydata())
    monkeypatch.setattr(denoising_plots, "save_figure", keep)
    plot_probabilities(["a", "b"], np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), tmp_path / "p.png")
    assert np.allclose(lines[0], [0.9, 0.85, 2.3 / 3])
