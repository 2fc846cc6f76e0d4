# SPDX-License-Identifier: GPL-3.0-or-later
"""Latent coordinates drawn by UMAP: where umap-learn is installed, and where it is not."""

import importlib.util
import sys

import numpy as np
import pytest
from heterogeneity_data import moving_particles

from cryodl.contract import FitHeterogeneityConfig
from cryodl.io.particle_sets import read_particles
from cryodl.latent.record import require_umap, umap_positions
from cryodl.recipes.commands.fit_heterogeneity import fit_heterogeneity

STAND_IN = """
class UMAP:
    def __init__(self, **options):
        assert options["n_components"] == 2 and options["random_state"] == 0
    def fit_transform(self, latent):
        return latent[:, 1:3]
"""


def test_without_the_package_the_run_ends_before_the_fit_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"umap-learn.*-m pip install umap-learn"):
        require_umap()


def test_the_particles_carry_the_positions_that_umap_gives(monkeypatch, tmp_path):
    (tmp_path / "stand_in").mkdir()
    (tmp_path / "stand_in" / "umap.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(tmp_path / "stand_in"))
    monkeypatch.delitem(sys.modules, "umap", raising=False)
    monkeypatch.chdir(tmp_path)
    moving_particles()
    config = FitHeterogeneityConfig(
        particles="p.star", reference="p_map.mrc", latent=3, axes=0, umap=True, output="latent"
    )
    made = fit_heterogeneity(config).outputs
    columns = read_particles(made["particles"]).columns
    for umap, latent in (("cryodlUmap1", "cryodlLatent2"), ("cryodlUmap2", "cryodlLatent3")):
        assert np.allclose(np.array(columns[umap], float), np.array(columns[latent], float), atol=1e-5)
    assert made["umap"] is True
    monkeypatch.delitem(sys.modules, "umap", raising=False)


def test_two_dimensions_are_not_drawn_in_two():
    config = FitHeterogeneityConfig(particles="p.star", reference="m.mrc", output="x", latent=2, umap=True)
    assert any("--umap" in sentence and "3 dimensions or more" in sentence for sentence in config.check_together())


def test_umap_keeps_groups_apart():
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    centres = 8 * np.eye(5)[:3]
    positions = umap_positions(np.concatenate([c + rng.standard_normal((60, 5)) for c in centres]), 0)
    group = np.repeat(range(3), 60)
    distance = np.linalg.norm(positions[:, None] - positions, axis=2) + np.diag(np.full(180, np.inf))
    assert (group[distance.argmin(1)] == group).mean() > 0.95
    assert np.array_equal(umap_positions(np.zeros((50, 4)), 0), np.zeros((50, 2)))
