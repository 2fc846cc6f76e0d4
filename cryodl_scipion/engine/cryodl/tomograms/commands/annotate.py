# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl annotate`: a window to draw features on tiles of tomograms; it ends when the window is closed.

Result.outputs are the contract's AnnotationsOutputs.
"""

from __future__ import annotations

import typing

from ...contract import AnnotateConfig, Result, counted
from ...contract.tomograms.annotating import AnnotationsOutputs

if typing.TYPE_CHECKING:
    from ...io.tomograms import Tomogram


def run(config: AnnotateConfig) -> Result:
    """Every stroke is saved when it ends: whatever happens to the window, what was drawn is in the folder."""
    from ...io.files import expand_paths, name_tomograms
    from ..annotations.display import show_annotation_window
    from ..annotations.session import Session
    from ..annotations.store import open_annotations

    pairs = name_tomograms(expand_paths(config.tomograms), config.names)
    tomograms, warnings = _open(pairs, config.pixel_size)
    store = open_annotations(config.annotations, dict(pairs))
    session = Session(store, tomograms, config.feature, config.annotator, config.tile)
    for name in {t.tomogram for t in store.entries} & set(dict(pairs)):
        store.tomogram(name)  # another tomogram under the name of an annotated one is refused before anything is drawn
    show_annotation_window(session, f"cryodl annotate: {config.annotations}")
    session.save()
    if session.failed:
        raise OSError(session.message)
    for feature, (positive, negative) in session.counts().items():
        print(f"{feature} by {config.annotator}: {counted(positive, 'tile')} with it, {negative} without.")
        if positive and not negative:
            warnings.append(
                f"There are no tiles without {feature} by {config.annotator}. Training needs them: mark about a "
                "hundred (key w, one click each)."
            )
    if not store.entries:
        warnings.append("Nothing was annotated.")
    print(f"Annotations: {config.annotations}")
    return Result(
        "annotate",
        AnnotationsOutputs(annotations=str(config.annotations), counts=store.counts()),
        warnings=tuple(warnings),
    )


def _open(
    pairs: typing.Sequence[tuple[str, str]], given: float | None
) -> tuple[list[tuple[str, Tomogram, float]], list[str]]:
    """[(name, Tomogram, pixel size)], and warnings."""
    from ...io.tomograms import Tomogram, working_pixel_size

    tomograms, warnings = [], []
    for name, path in pairs:
        tomogram = Tomogram(path)
        size, note = working_pixel_size(tomogram, given)
        tomograms.append((name, tomogram, size))
        warnings += [note] if note else []
    return tomograms, warnings
