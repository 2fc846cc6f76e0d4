# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl classify-subtomograms`: subtomograms and a classifier in; a STAR file with classes and probabilities, and an
average of each class out.

Result.outputs are the contract's ClassifySubtomogramsOutputs.
"""

from __future__ import annotations

import os
import shutil
import typing
from pathlib import Path

import numpy as np

from ...contract import ClassifySubtomogramsConfig, Result, counted
from ...contract.tomograms.classifying import ClassifySubtomogramsOutputs
from ...io.unfinished import star_stem, working_folder
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ...io.subtomograms import SubtomogramSet
    from ..classifiers.run import Classified, Classifier

CHUNK = 256  # subtomograms after which a stopped run continues
CONFIDENCE, PROBABILITY = "cryodlConfidence", "cryodlProbability"


def run(config: ClassifySubtomogramsConfig) -> Result:
    """Classify into <output>.partial, then move all to the output, the STAR file last. A stopped run continues."""
    from ...core.devices import choose_device, device_name, set_threads
    from ...io.model import find_model
    from ...io.subtomograms import read_subtomograms
    from ..classifiers import load_classifier
    from ..classifiers.confusion import check_ground_truth
    from ..classifiers.prepare import find_subtomogram_contrast

    stem = star_stem(config.output, "Subtomograms", "_class[0-9][0-9][0-9].mrc", "_confusion.*")
    found = read_subtomograms(
        config.subtomograms, ("classes",) if config.ground_truth else (), config.tilt_min, config.tilt_max
    )
    device = choose_device()
    set_threads()
    classifier = load_classifier(config.model, device)
    if config.ground_truth:
        check_ground_truth(found, classifier.card)
    notes = classifier.differences(found)
    contrast, said, warning = find_subtomogram_contrast(found, classifier.card["particle_diameter"], config.contrast)
    notes += [warning] if warning else []
    minimum = classifier.lowest_confidence(config.rejected_fraction)
    notes += _unknown_note(config, classifier.card, minimum)
    if said:
        print(said)
    for note in notes:
        warn(note)
    print(f"Classifying {counted(len(found), 'subtomogram')} on {device_name(device)} with {classifier.card['name']}.")
    card = Path(find_model(config.model, "classifier")) / "card.json"
    folder = working_folder(config, (config.subtomograms, str(card)))
    answer = _classify(classifier, found, contrast, folder, config.batch_size)
    classes = _classes(classifier.card, answer, minimum)
    outputs = _write(config, found, classifier.card, answer, classes, contrast, folder, stem, device, notes)
    counts = ", ".join(f"{name}: {count}" for name, count in outputs["counts"].items())
    print(f"Classes: {counts}." + (f" Accuracy: {outputs['accuracy']:.3f}." if outputs["accuracy"] is not None else ""))
    print(f"Classified subtomograms: {config.output}")
    return Result("classify-subtomograms", outputs, device=device_name(device), warnings=tuple(notes))


def _unknown_note(
    config: ClassifySubtomogramsConfig, card: typing.Mapping[str, typing.Any], minimum: float
) -> list[str]:
    from ..classifiers.rejection import MAX_DEFAULT_FRACTION

    number, fraction = len(card["validation"]["unknown_confidence"]), config.rejected_fraction
    if fraction != 0 and not np.isfinite(minimum):
        return [
            f"{card['name']} was validated with {number} subtomograms: too few to determine the rejection threshold "
            f"for {MAX_DEFAULT_FRACTION if fraction is None else fraction:.0%}. No subtomogram is called unknown; give "
            f"--rejected-fraction {np.ceil(100 / (number + 1)) / 100:.2f} or more."
        ]
    return []


def _classify(
    classifier: Classifier, found: SubtomogramSet, contrast: str, folder: Path, batch_size: int
) -> Classified:
    """classifiers.run.Classified of all, chunk by chunk; finished chunks of a stopped run are taken as they are."""
    from tqdm import tqdm

    from ..classifiers.run import joined_parts, read_part, write_part

    parts = []
    with tqdm(total=len(found), unit="subtomogram", mininterval=1.0) as bar:
        for start in range(0, len(found), CHUNK):
            rows, path = np.arange(start, min(start + CHUNK, len(found))), folder / f"part_{start:08d}.npz"
            if not path.exists():
                write_part(path, classifier.classify(found, rows, contrast, batch_size))
            parts.append(read_part(path))
            bar.update(len(rows))
    return joined_parts(parts)


def _classes(card: typing.Mapping[str, typing.Any], answer: Classified, minimum: float) -> np.ndarray:
    """(n,) class numbers, 0 for unknown."""
    best = np.array(card["class_numbers"])[answer.probabilities.argmax(1)]
    return np.where(answer.confidence <= minimum, 0, best)


def _write(
    config: ClassifySubtomogramsConfig,
    found: SubtomogramSet,
    card: typing.Mapping[str, typing.Any],
    answer: Classified,
    classes: np.ndarray,
    contrast: str,
    folder: Path,
    stem: str | os.PathLike[str],
    device: torch.device,
    notes: list[str],
) -> ClassifySubtomogramsOutputs:
    """Write everything, the STAR file last. Returns the outputs."""
    from ...io.subtomograms import write_subtomograms_star

    averages, confusion = {}, _confusion(config, found, card, classes, folder, stem)
    if config.averages:
        averages = _averages(found, card, answer, classes, contrast, folder, stem, device, notes)
    for made in sorted(folder.glob("final_*")):
        os.replace(made, f"{stem}_{made.name[len('final_') :]}")
    write_subtomograms_star(config.output, found, _columns(found, card, answer, classes))
    shutil.rmtree(folder)
    counts = {name: int((classes == number).sum()) for name, number in zip(card["classes"], card["class_numbers"])}
    accuracy = confusion.pop("accuracy") if confusion else None
    return ClassifySubtomogramsOutputs(
        subtomograms=str(config.output),
        contrast=contrast,
        model=card["name"],
        counts=dict(counts, unknown=int((classes == 0).sum())),
        averages=averages,
        accuracy=accuracy,
        confusion=confusion,
        pixel_size=found.pixel_size,
    )


def _columns(
    found: SubtomogramSet, card: typing.Mapping[str, typing.Any], answer: Classified, classes: np.ndarray
) -> dict[str, typing.Any]:
    """New columns of the STAR file."""
    confidence = [f"{v:.6g}" for v in answer.confidence]
    columns: dict[str, typing.Any] = {"rlnClassNumber": classes.tolist(), CONFIDENCE: confidence}
    columns.update({name: None for name in found.columns if name.startswith(PROBABILITY)})  # of another model
    for position, number in enumerate(card["class_numbers"]):
        columns[f"{PROBABILITY}{number}"] = [f"{v:.5f}" for v in answer.probabilities[:, position]]
    if answer.angles is not None and answer.shifts_zyx is not None:
        columns.update(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), answer.angles.T.tolist()))
        origins = 0.0 - answer.shifts_zyx * found.pixel_size  # not -0
        columns.update(zip(("rlnOriginZAngst", "rlnOriginYAngst", "rlnOriginXAngst"), origins.T.tolist()))
    return columns


def _averages(
    found: SubtomogramSet,
    card: typing.Mapping[str, typing.Any],
    answer: Classified,
    classes: np.ndarray,
    contrast: str,
    folder: Path,
    stem: str | os.PathLike[str],
    device: torch.device,
    notes: list[str],
) -> dict[str, str]:
    """{class name: file} of averages, protein bright, where angles are known. They lie in the folder at first."""
    from ...io.maps import write_map
    from ..subtomograms.averages import average

    angles, shifts = answer.angles, answer.shifts_zyx
    if angles is None or shifts is None:
        angles, shifts = found.angles, found.shifts_zyx
        if angles is None:
            notes.append(
                f"No averages: neither {found.path} nor the network {card['network']} has angles. Align the "
                "subtomograms, or use the network likelihood."
            )
            warn(notes[-1])
            return {}
    averages = {}
    for name, number in zip(card["classes"], card["class_numbers"]):
        rows = np.nonzero(classes == number)[0]
        if len(rows):
            print(f"Averaging {counted(len(rows), 'subtomogram')} of {name}.")
            volume = average(found, rows, angles[rows], shifts[rows], None, contrast, device)
            write_map(folder / f"final_class{number:03d}.mrc", volume, found.pixel_size)
            averages[name] = f"{stem}_class{number:03d}.mrc"
    return averages


def _confusion(
    config: ClassifySubtomogramsConfig,
    found: SubtomogramSet,
    card: typing.Mapping[str, typing.Any],
    classes: np.ndarray,
    folder: Path,
    stem: str | os.PathLike[str],
) -> dict[str, typing.Any] | None:
    """What was found against the input's classes, or None if that is not asked for; files lie in the folder first."""
    if not config.ground_truth:
        return None
    from ..classifiers.confusion import against_ground_truth
    from ..classifiers.pictures import plot_confusion, write_confusion

    matrix, rows, accuracy = against_ground_truth(found, card, classes)
    columns = [*card["classes"], "unknown"]
    write_confusion(matrix, rows, columns, folder / "final_confusion.csv")
    plot_confusion(matrix, rows, columns, folder / "final_confusion.png", f"{card['name']}: accuracy {accuracy:.3f}")
    return dict(
        rows=rows,
        columns=columns,
        matrix=matrix.tolist(),
        table=f"{stem}_confusion.csv",
        picture=f"{stem}_confusion.png",
        accuracy=accuracy,
    )
