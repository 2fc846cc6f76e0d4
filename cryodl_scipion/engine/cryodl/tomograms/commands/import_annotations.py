# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl import-annotations`: label volumes, stacks of tiles and drawings, or other folders of annotations, in; a
folder of annotations out. The folder is written at the end, all or nothing; what was in it before stays. A tile is not
added twice."""

from ...contract import AnnotateConfig, AnnotationsOutputs, ImportAnnotationsConfig, annotations, counted
from ...io.files import expand_paths, name_micrographs
from ...running.runner import PROGRAM, Run, command
from ..annotations.label_volumes import add_annotations, import_labels, import_stack, open_pairs
from ..annotations.store import AnnotationStore, open_annotations, read_annotations

# Fewer tiles than these seldom make a good network; the numbers of Chen et al. 2017.
FEW_WITH, FEW_WITHOUT = 10, 100


@command
def import_annotations(config: ImportAnnotationsConfig, run: Run) -> AnnotationsOutputs:
    moved = name_micrographs(expand_paths(config.tomograms), config.names, "tomogram") if config.folders else ()
    store = open_annotations(config.annotations, dict(moved))
    before = len(store.entries)
    for folder in config.folders:
        add_annotations(store, read_annotations(folder, dict(moved)))
    if config.feature is not None:
        annotations.check_name(config.feature)
        annotations.check_name(config.annotator, "annotator")
        if config.labels and config.label is not None:
            pairs, said = open_pairs(config, run.item)
            run.require_some(expand_paths(config.tomograms), "tomogram", "used")
            run.warn(*said, *import_labels(store, config, config.feature, config.label, pairs))
        elif config.tiles and config.pixel_size is not None:
            import_stack(store, config, config.feature, config.tiles, config.pixel_size)
        if not store.tiles(config.feature, config.annotator, kind="negative"):
            run.warn(
                f"There are no tiles without {config.feature} by {config.annotator}. Training needs them: import them "
                "too, or mark them with cryodl annotate."
            )
    store.save()
    print(f"Tiles added to {config.annotations}: {len(store.entries) - before}.")
    return written(store, run)


def written(store: AnnotationStore, run: Run[AnnotateConfig] | Run[ImportAnnotationsConfig]) -> AnnotationsOutputs:
    counts = store.counts()
    told = [
        f"{counted(each['positive'], 'tile')} with {feature} and {each['negative']} without it"
        for feature, each in counts.items()
    ]
    few = [name for name, each in counts.items() if each["positive"] < FEW_WITH or each["negative"] < FEW_WITHOUT]
    by = f"{', '.join(store.annotators)} on {counted(len({tile.tomogram for tile in store.entries}), 'tomogram')}"
    run.summary(*(f"{line[0].upper()}{line[1:]}." for line in told))
    if few:
        run.summary(
            f"About {FEW_WITH} tiles with a feature and {FEW_WITHOUT} without are recommended; there are fewer for "
            f"{', '.join(few)}."
        )
    if told:
        run.summary(f"By {by}.")
        run.methods(f"Features were annotated with {PROGRAM} by {by}: {'; '.join(told)}.")
    print(f"Annotations: {store.folder}")
    return AnnotationsOutputs(annotations=str(run.config.annotations), counts=counts)
