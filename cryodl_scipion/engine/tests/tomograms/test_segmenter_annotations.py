# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of annotations becomes examples: of which feature and annotator, of drawn tiles, of stacks."""

import numpy as np
import pytest
from annotated import store_with_tomogram

from cryodl.contract import TrainSegmenterConfig
from cryodl.running.runner import Run
from cryodl.tomograms.annotations.store import open_annotations
from cryodl.tomograms.segmenters import segmenter_method, sources
from cryodl.tomograms.segmenters.examples import PATCH

MIDDLE = PATCH // 2


def gather(config, method):
    return sources.gather(config, method, Run(config))


def config(folder, **options):
    return TrainSegmenterConfig(output=str(folder / "model"), annotations=str(folder / "annotations"), **options)


def annotated(folder):
    """A folder of annotations with two tiles of a membrane, one of them with it, by anna; and one of actin by ben."""
    store = store_with_tomogram(folder)
    drawing = np.zeros((16, 16), np.int16)
    drawing[4:8, 4:8] = 1
    drawing[0] = 255
    store.add("tomo", 8.0, (4, 30, 40), 16, "membrane", "anna", drawing)
    store.add("tomo", 8.0, (4, 50, 70), 16, "membrane", "anna")
    store.add("tomo", 8.0, (2, 50, 70), 16, "actin", "ben", drawing)
    store.save()
    return store


def test_tiles_of_annotations_become_the_same_examples_as_their_voxels(tmp_path):
    annotated(tmp_path)
    gathered = gather(config(tmp_path, feature="membrane"), segmenter_method("unet"))
    first, second = gathered.examples
    assert (gathered.feature, gathered.annotator, gathered.pixel_size) == ("membrane", "anna", 8.0)
    assert first.positive and not second.positive
    corner = MIDDLE - 8
    assert first.labelled[3].sum() == 15 * 16 and not first.labelled[3, corner].any()  # the uncertain row
    assert (first.target[3] > 0.5).nonzero().amin(0).tolist() == [corner + 4, corner + 4]
    assert not first.labelled[2].any() and second.labelled[3].sum() == 16 * 16
    assert float(first.image[6, MIDDLE, MIDDLE]) > float(first.image[5, MIDDLE, MIDDLE])  # values rise along z


def test_which_feature_is_asked_where_there_are_several(tmp_path):
    annotated(tmp_path)
    with pytest.raises(ValueError, match=r"more than one feature \(membrane, actin\). Give the one"):
        gather(config(tmp_path), segmenter_method("unet"))
    with pytest.raises(ValueError, match=r"no tile with the feature golgi \(--feature\); there is: membrane, actin"):
        gather(config(tmp_path, feature="golgi"), segmenter_method("unet"))
    with pytest.raises(ValueError, match=r"no tile with the annotator ben \(--annotator\); there is: anna"):
        gather(config(tmp_path, feature="membrane", annotator="ben"), segmenter_method("unet"))


def test_a_feature_without_a_drawn_tile_is_refused(tmp_path):
    store = store_with_tomogram(tmp_path)
    store.add("tomo", 8.0, (4, 50, 70), 16, "membrane", "anna")
    store.save()
    with pytest.raises(ValueError, match="no tile with the feature membrane in .*annotations. Draw it on at least one"):
        gather(config(tmp_path), segmenter_method("unet"))


def test_a_feature_without_anything_else_is_refused_and_without_negative_tiles_warned_of(tmp_path):
    store = store_with_tomogram(tmp_path)
    tile = store.add("tomo", 8.0, (4, 50, 70), 16, "membrane", "anna", np.ones((16, 16), np.int16))
    store.save()
    with pytest.raises(ValueError, match="only annotations of membrane"):
        gather(config(tmp_path), segmenter_method("unet"))
    drawing = np.zeros((16, 16), np.int16)
    drawing[:8] = 1
    store.redraw(tile, drawing)
    store.save()
    assert "no tiles without membrane" in gather(config(tmp_path), segmenter_method("unet")).warnings[0]
    store.add("tomo", 8.0, (4, 30, 30), 16, "membrane", "anna")
    store.save()
    assert "is only 1 tile without membrane" in gather(config(tmp_path), segmenter_method("unet")).warnings[0]


def test_stacks_of_tiles_teach_networks_that_see_single_slices(tmp_path):
    store, rng = open_annotations(tmp_path / "annotations"), np.random.default_rng(0)
    drawing = np.zeros((64, 64), np.int16)
    drawing[10:20, 30:60] = 1
    for _ in range(3):
        store.add("stack", 12.0, (0, 32, 32), 64, "membrane", "anna", drawing, rng.normal(5, 3, (64, 64)))
    store.save()
    gathered = gather(config(tmp_path), segmenter_method("unet2d"))
    corner = MIDDLE - 32
    assert len(gathered.examples) == 3 and not gathered.examples[0].located
    assert (gathered.examples[0].target[0] > 0.5).nonzero().amin(0).tolist() == [corner + 10, corner + 30]
    assert gathered.examples[0].labelled.sum() == 64 * 64
    image = gathered.examples[0].image[0, corner : corner + 64, corner : corner + 64].float()
    assert abs(float(image.mean())) < 0.1 and float(image.std()) == pytest.approx(1.0, abs=0.1)
    with pytest.raises(ValueError, match=r"Choose a network for single slices \(unet2d, eman2\)"):
        gather(config(tmp_path), segmenter_method("unet"))


def test_large_tiles_are_cut_into_tiles_of_the_working_size(tmp_path):
    store = store_with_tomogram(tmp_path)
    drawing = np.zeros((64, 64), np.int16)
    drawing[:, :20] = 1
    store.add("tomo", 8.0, (4, 35, 45), 64, "membrane", "anna", drawing)
    store.save()
    gathered = gather(config(tmp_path, working_pixel_size=4.0), segmenter_method("unet2d"))
    assert len(gathered.examples) == 4 and gathered.pixel_size == 4.0 and gathered.trained_pixel_size == 8.0
    assert sum(e.positive for e in gathered.examples) >= 2
    assert len({e.centre_zyx for e in gathered.examples}) == 4
