# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake engine does for annotations: a user who draws the same on each opening of the window.

FAKE_ENGINE_CLOSES=1: the window is closed at once. FAKE_ENGINE_NO_SCREEN=1: it fails after tiles were saved.
"""

import os

import numpy as np

from cryodl.io.files import micrograph_key
from cryodl.tomograms.annotations.store import open_annotations, read_annotations
from cryodl_scipion.engine.cryodl.tomograms.annotations.label_volumes import add_annotations


def annotate(config):
    """A tile with the feature and two without it in each tomogram."""
    store = open_annotations(config.annotations)
    for path in config.tomograms:
        name = micrograph_key(path)
        store.set_path(name, path)
        if not os.environ.get("FAKE_ENGINE_CLOSES"):
            addTiles(store, config, name, 1, 2)
    store.save()
    if os.environ.get("FAKE_ENGINE_NO_SCREEN"):
        raise ValueError("There is no screen to open the annotation window on.")
    return dict(annotations=config.annotations, counts=store.counts()), []


def importAnnotations(config):
    """As many tiles as are asked for, in the first tomogram or of the stack, besides those of other folders."""
    store = open_annotations(config.annotations)
    for folder in config.folders:
        add_annotations(store, read_annotations(folder, {micrograph_key(path): path for path in config.tomograms}))
    if not config.feature:
        store.save()
        return dict(annotations=config.annotations, counts=store.counts()), []
    name = micrograph_key((config.tomograms or [config.tiles])[0])
    if config.tomograms:
        store.set_path(name, config.tomograms[0])
    addTiles(
        store,
        config,
        name,
        config.positive_tiles,
        config.negative_tiles,
        None if config.tomograms else np.zeros((config.tile, config.tile)),
    )
    store.save()
    return dict(annotations=config.annotations, counts=store.counts()), []


def addTiles(store, config, name, positive, negative, image=None):
    for number in range(positive + negative):
        drawing = np.ones((config.tile, config.tile)) if number < positive else None
        store.add(
            name,
            config.pixel_size,
            (len(store.entries), 8, 8),
            config.tile,
            config.feature,
            config.annotator,
            drawing,
            image,
        )


WORK = {"annotate": annotate, "import-annotations": importAnnotations}
