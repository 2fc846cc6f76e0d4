# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl annotate`: a window to draw features on tiles of tomograms; it ends when the window is closed. Every stroke
is saved when it ends: whatever happens to the window, what was drawn is in the folder."""

from ...contract import AnnotateConfig, AnnotationsOutputs
from ...io.files import expand_paths, name_tomograms
from ...running.runner import Run, command
from ..annotations.display import show_annotation_window
from ..annotations.session import Session
from ..annotations.store import open_annotations
from ..features.volumes import opened
from .import_annotations import written


@command
def annotate(config: AnnotateConfig, run: Run) -> AnnotationsOutputs:
    pairs = name_tomograms(expand_paths(config.tomograms), config.names)
    tomograms = [(name, *opened(path, config.pixel_size, run)) for name, path in pairs]
    store = open_annotations(config.annotations, dict(pairs))
    session = Session(store, tomograms, config.feature, config.annotator, config.tile)
    for name in {t.tomogram for t in store.entries} & set(dict(pairs)):
        # another tomogram under the name of an annotated one is refused before anything is drawn
        store.tomograms.open(name)
    show_annotation_window(session, f"cryodl annotate: {config.annotations}")
    session.save()
    if session.failed:
        raise OSError(session.message)
    for feature, (positive, negative) in session.counts().items():
        if positive and not negative:
            run.warn(
                f"There are no tiles without {feature} by {config.annotator}. Training needs them: mark about a "
                "hundred (key w, one click each)."
            )
    if not store.entries:
        run.warn("Nothing was annotated.")
    return written(store, run)
