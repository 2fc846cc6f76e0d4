# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of the feature maps of a picker's network."""

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from picking import pick

from cryodl.contract import Result
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.feature_maps import CHANNELS, LAYERS, draw_feature_maps, feature_maps
from cryodl.micrographs.pickers.predict import Picker


@pytest.mark.parametrize("network", ["unet", "deepem", "topaz", "eman2"])
def test_layers_from_the_first_to_the_last_are_shown(network, tmp_path):
    method = picker_method(network)
    image = np.random.default_rng(0).standard_normal((190, 230), dtype=np.float32)
    maps = feature_maps(Picker(method, method.build(), torch.device("cpu")), image, 8.0, 200.0)
    assert 2 <= len(maps.layers) <= LAYERS and maps.scores.min() >= 0 and maps.scores.max() <= 1
    for layer in maps.layers:
        assert len(layer.maps) == min(CHANNELS, layer.channels) and np.isfinite(layer.maps).all()
        spread = layer.maps.reshape(len(layer.maps), -1).std(1)
        assert (np.diff(spread) <= 1e-6).all(), "those that vary most come first"
    draw_feature_maps(maps, tmp_path / "maps" / "m.png", "m")
    rgb = imread(tmp_path / "maps" / "m.png")[..., :3]
    assert rgb.std() > 0.1 and (rgb.max(axis=2) - rgb.min(axis=2)).max() < 0.02, "grey: a colour would say something"


def test_the_command_draws_them_for_as_many_micrographs_as_asked(project):
    """In all: in Scipion the micrographs of a run come in batches."""
    assert pick(project, "--feature-maps", "1", micrographs=[str(project / "mics/mic0.mrc")]) == 0
    assert pick(project, "--feature-maps", "1") == 0
    assert [p.name for p in (project / "out" / "feature_maps").iterdir()] == ["mic0.png"]
    assert pick(project, "--feature-maps", "2") == 0
    assert any("were picked before" in words for words in Result.read(project / "result.json").warnings)
