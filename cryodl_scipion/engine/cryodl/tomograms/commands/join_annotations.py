# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl join-annotations`: folders of annotations in, one folder with the tiles of all of them out."""

from ...contract import JoinAnnotationsConfig, Result, counted
from ...contract.tomograms.annotating import AnnotationsOutputs


def run(config: JoinAnnotationsConfig) -> Result:
    """The folder is written at the end, all or nothing; what was in it before stays. A tile is not added twice."""
    from ...io.files import expand_paths, name_micrographs
    from ..annotations.joining import add_annotations
    from ..annotations.store import open_annotations, read_annotations

    tomograms = name_micrographs(expand_paths(config.tomograms), config.names, "tomogram") if config.tomograms else ()
    store = open_annotations(config.annotations)
    new = sum(add_annotations(store, read_annotations(folder, dict(tomograms))) for folder in config.folders)
    store.save()
    print(f"Added to {config.annotations}: {counted(new, 'tile')}. It now has {len(store.entries)}.")
    return Result(
        "join-annotations", AnnotationsOutputs(annotations=str(config.annotations), counts=store.counts()), device="CPU"
    )
