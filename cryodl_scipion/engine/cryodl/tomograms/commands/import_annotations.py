# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl import-annotations`: label volumes, or stacks of tiles and drawings, in; a folder of annotations out.

Result.outputs are the contract's AnnotationsOutputs.
"""

import typing

from ...contract import ImportAnnotationsConfig, Result, counted
from ...contract.tomograms.annotating import AnnotationsOutputs


def run(config: ImportAnnotationsConfig) -> Result:
    """The folder is written at the end, all or nothing; what was in it before stays."""
    from ...contract.annotations import check_name
    from ..annotations.importing import import_labels, import_stack
    from ..annotations.store import open_annotations

    check_name(config.feature)
    check_name(config.annotator, "annotator")
    store = open_annotations(config.annotations)
    before = len(store.entries)
    if config.labels:
        warnings = import_labels(store, config, typing.cast("int", config.label))
    else:
        warnings = import_stack(
            store, config, typing.cast("str", config.tiles), typing.cast("float", config.pixel_size)
        )
    counts = store.counts()[config.feature]
    if not store.tiles(config.feature, config.annotator, kind="negative"):
        warnings.append(
            f"There are no tiles without {config.feature} by {config.annotator}. Training needs them: import them "
            "too, or mark them with cryodl annotate."
        )
    store.save()
    print(
        f"Tiles added to {config.annotations}: {len(store.entries) - before}. It has "
        f"{counted(counts['positive'], 'tile')} with {config.feature} and {counts['negative']} without."
    )
    return Result(
        "import-annotations",
        AnnotationsOutputs(annotations=str(config.annotations), counts=store.counts()),
        warnings=tuple(warnings),
    )
