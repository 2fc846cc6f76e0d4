# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl classify-subtomograms`: subtomograms in; their classes, by a classifier or without labels as clusters, and
an average of each class out. Classify into <output>.partial, then move all to the output, the STAR file last. A
stopped run continues."""

import dataclasses
import os
import shutil
import typing
from pathlib import Path

import numpy as np

from ...contract import CARD, ClassifySubtomogramsConfig, ClassifySubtomogramsOutputs, counted, network_words
from ...io import model, mrc, particles, subtomograms, unfinished
from ...io.files import write_csv
from ...running.runner import PROGRAM, Run, command
from ..classifiers import prepare, rejection
from ..classifiers.confusion import against_ground_truth, check_ground_truth, plot_confusion
from ..classifiers.run import Classifier, joined_parts, read_part, write_part
from ..subtomograms import clustering
from ..subtomograms.averages import aligned, half_averages, resolution_of
from ..subtomograms.observed import frame_of

CHUNK = 256  # subtomograms after which a stopped run continues
COMPONENTS = 8  # dimensions of an embedding
PIXELS = 4.0  # in the finest detail that is compared, where none is asked for
SIGNIFICANT = 0.05  # p-value above which clusters are not told from a single cloud
CONFIDENCE, PROBABILITY = "cryodlConfidence", "cryodlProbability"  # which class if it is of any: 0 for the unknown
BESIDE = ("_class[0-9][0-9][0-9].mrc", "_confusion.*", "_embedding.*", "_averages.png")
ALIGNED = dict(
    given="Compared in the orientations of the input.",
    search="Aligned for the comparison.",
    none="Compared without alignment.",
)
EMBEDDINGS = dict(
    pca="principal components of the differences from their mean",
    similarity="the correlations of all pairs",
    autoencoder="an autoencoder",
)


@dataclasses.dataclass(frozen=True)
class Classes:
    """What was found. numbers: (n,) of the classes, 0 for unknown. names: {number: name}. angles: (n, 3) degrees, or
    None. shifts_zyx: (n, 3) px. diameter: Å. columns: more for the STAR file. made: the outputs so far."""

    numbers: np.ndarray
    names: dict[int, str]
    angles: np.ndarray | None
    shifts_zyx: np.ndarray
    diameter: float
    columns: dict[str, typing.Any]
    made: ClassifySubtomogramsOutputs


@command
def classify_subtomograms(config: ClassifySubtomogramsConfig, run: Run) -> ClassifySubtomogramsOutputs:
    stem = unfinished.star_stem(config.output, "Subtomograms", *BESIDE)
    wanted = ("classes",) if config.ground_truth else ()
    found = subtomograms.read_subtomograms(config.subtomograms, wanted, config.tilt_min, config.tilt_max, run.skip)
    run.warn(*found.copy_notes("subtomograms", "volume"))
    classes = (_classified if config.model else _clustered)(config, found, stem, run)
    folder = Path(f"{config.output}.partial")
    averages: dict[str, str] = {}
    resolutions: dict[str, float | None] = {}
    volumes, titles = [], []
    for number, name in classes.names.items():
        rows = np.nonzero(classes.numbers == number)[0]
        told = f"{name}: {counted(len(rows), 'subtomogram')}"
        if number and len(rows) and classes.angles is not None:
            poses = (classes.angles[rows], classes.shifts_zyx[rows])
            whole, one, other = half_averages(found, rows, *poses, classes.made.contrast, run.device)
            mrc.write_map(folder / f"final_class{number:03d}.mrc", whole, found.pixel_size)
            averages[name] = f"{stem}_class{number:03d}.mrc"
            reached = resolution_of(one, other, found.pixel_size, classes.diameter)
            agreed = resolutions[name] = round(reached, 1) if len(rows) > 1 else None  # the other half is empty
            told += f", half-maps agree to {agreed:.3g} Å" if agreed else ""
            volumes.append(whole)
            titles.append(f"{name}: {len(rows)}" + (f"\n{agreed:.0f} Å" if agreed else ""))
        run.summary(f"{told}.")
    if volumes:
        clustering.plot_averages(volumes, titles, found.pixel_size, folder / "final_averages.png")
    of_another_model = {CONFIDENCE: None, **found.without_numbered(PROBABILITY)}
    columns = {**of_another_model, **classes.columns, "rlnClassNumber": classes.numbers.tolist()}
    if classes.angles is not None and classes.angles is not found.angles and classes.made.aligned != "none":
        columns.update(zip(particles.ANGLES, classes.angles.T.tolist()))
        origins = 0.0 - classes.shifts_zyx * found.pixel_size  # not -0
        columns.update(zip(("rlnOriginZAngst", "rlnOriginYAngst", "rlnOriginXAngst"), origins.T.tolist()))
    for made in sorted(folder.glob("final_*")):
        os.replace(made, f"{stem}_{made.name[len('final_') :]}")
    subtomograms.write_subtomograms_star(config.output, found, columns)
    shutil.rmtree(folder)
    print(f"Classified subtomograms: {config.output}")
    return dataclasses.replace(
        classes.made,
        counts={name: int((classes.numbers == number).sum()) for number, name in classes.names.items()},
        averages=averages,
        resolutions=resolutions,
    )


def _classified(config: ClassifySubtomogramsConfig, found: subtomograms.SubtomogramSet, stem: str, run: Run) -> Classes:
    source = model.find_model(str(config.model), "classifier")
    classifier = Classifier(*model.read_model(source, "classifier"), run.device)
    card = classifier.card
    if config.ground_truth:
        check_ground_truth(found, card)
    run.warn(*classifier.differences(found))
    contrast = prepare.find_subtomogram_contrast(found, card["particle_diameter"], config.contrast)
    known, fraction = card["validation"]["unknown_confidence"], config.rejected_fraction
    number = min(card["validation"]["number"], len(known))
    minimum = rejection.threshold(known, rejection.default_fraction(number) if fraction is None else fraction)
    if fraction != 0 and not np.isfinite(minimum):
        run.warn(
            f"{card['name']} was validated with {number} subtomograms: too few to determine the rejection threshold "
            f"for {rejection.MAX_DEFAULT_FRACTION if fraction is None else fraction:.0%}. No subtomogram is called "
            f"unknown; give --rejected-fraction {np.ceil(100 / (number + 1)) / 100:.2f} or more."
        )
    print(f"Classifying {counted(len(found), 'subtomogram')} on {run.device_name} with {card['name']}.")
    # of the same subtomograms: one that was missing may be there when the run continues
    folder, parts = run.folder(config.subtomograms, str(source / CARD), *found.sources), []
    with run.progress(len(found), "subtomogram") as bar:
        for start in range(0, len(found), CHUNK):
            rows, path = np.arange(start, min(start + CHUNK, len(found))), folder / f"part_{start:08d}.npz"
            if not path.exists():
                write_part(path, classifier.classify(found, rows, contrast))
            parts.append(read_part(path))
            bar.update(len(rows))
    answer = joined_parts(parts)
    numbers = np.where(answer.confidence <= minimum, 0, np.array(card["class_numbers"])[answer.probabilities.argmax(1)])
    columns: dict[str, typing.Any] = {CONFIDENCE: [f"{v:.6g}" for v in answer.confidence]}
    for position, number in enumerate(card["class_numbers"]):
        columns[f"{PROBABILITY}{number}"] = [f"{v:.5f}" for v in answer.probabilities[:, position] * (numbers != 0)]
    made = ClassifySubtomogramsOutputs(
        str(config.output), {}, {}, contrast=contrast, pixel_size=found.pixel_size, model=card["name"]
    )
    if config.ground_truth:
        matrix, truths, accuracy = against_ground_truth(found, card, numbers)
        names, title = [*card["classes"], "unknown"], f"{card['name']}: accuracy {accuracy:.3f}"
        table = ([name, *map(int, values)] for name, values in zip(truths, matrix))
        write_csv(folder / "final_confusion.csv", ["true", *names], table)
        plot_confusion(matrix, truths, names, folder / "final_confusion.png", title)
        written = dict(rows=truths, columns=names, table=f"{stem}_confusion.csv", picture=f"{stem}_confusion.png")
        made = dataclasses.replace(made, confusion=dict(written, matrix=matrix.tolist()), accuracy=accuracy)
        run.summary(f"Accuracy, compared with the classes of the input: {made.accuracy:.3f}.")
    how, unknown = network_words("classifier", card["network"]), int((numbers == 0).sum())
    run.methods(
        f"{counted(len(found), 'subtomogram')} were classified with {PROGRAM} {how} (model {card['name']}); "
        f"{unknown} were rejected as unknown."
    )
    known = answer.angles is not None and answer.shifts_zyx is not None
    angles, shifts = (answer.angles, answer.shifts_zyx) if known else (found.angles, found.shifts_zyx)
    if angles is None:
        run.warn(
            f"No averages: neither {found.path} nor the network {card['network']} has angles. Align the subtomograms, "
            "or use the network likelihood."
        )
    called = dict(zip(card["class_numbers"], card["classes"])) | {0: "unknown"}
    return Classes(numbers, called, angles, np.asarray(shifts), card["particle_diameter"], columns, made)


def _clustered(config: ClassifySubtomogramsConfig, found: subtomograms.SubtomogramSet, stem: str, run: Run) -> Classes:
    diameter, fewest = prepare.subtomogram_diameter(found, config.particle_diameter), max(2, config.classes)
    if len(found) < fewest:
        raise ValueError(
            f"{found.path} has {counted(len(found), 'subtomogram')} for {counted(config.classes, 'class', 'classes')} "
            f"(--classes); at least {fewest} are needed. Choose fewer classes."
        )
    run.warn(*prepare.resolution_notes(found, diameter, config.resolution))
    how = clustering.alignment_of(found, config.align)
    contrast = prepare.find_subtomogram_contrast(found, diameter, config.contrast)
    folder = run.folder(config.subtomograms, *found.sources)
    frame = frame_of(found, diameter, config.resolution or PIXELS * found.pixel_size)
    print(
        f"Comparing {len(found)} subtomograms with detail to {frame.width / frame.radius:.0f} Å on "
        f"{run.device_name}; alignment: {how}."
    )
    angles, shifts = clustering.aligned_poses(found, frame, how, contrast, config.seed, run.device)
    observed = aligned(found, slice(None), frame, angles, shifts, contrast, run.device)
    count = min(COMPONENTS, len(found) - 1)
    positions = clustering.embedding_of(observed, config.embedding, count, folder, config.seed, run.device)
    numbers = clustering.groups(positions, config.classes, config.seed)
    p_value = round(clustering.group_p_value(positions, config.classes, config.seed), 3)
    clustering.plot_embedding(positions, numbers, folder / "final_embedding.png")
    rows = ([*named, *(f"{v:.6g}" for v in position)] for *named, position in zip(found.names, numbers, positions))
    write_csv(folder / "final_embedding.csv", ["name", "class", *(f"component{i + 1}" for i in range(count))], rows)
    run.summary(ALIGNED[how])
    run.methods(
        f"{counted(len(found), 'subtomogram')} were clustered into {counted(config.classes, 'class', 'classes')} with "
        f"{PROGRAM} by {EMBEDDINGS[config.embedding]}, comparing only Fourier coefficients measured in both."
    )
    if p_value > SIGNIFICANT and config.classes > 1:
        align = "" if how == "given" else "Align the subtomograms first (--align given). "
        run.warn(
            f"No clusters were found: the {config.classes} clusters are no tighter than those of random data of the "
            f"same spread ({100 * p_value:.0f} % of such data sets are as tight), so the classes may be chance. {align}"
            "Use more subtomograms, or other --classes or --resolution."
        )
    made = ClassifySubtomogramsOutputs(
        str(config.output),
        counts={},
        averages={},
        contrast=contrast,
        pixel_size=found.pixel_size,
        aligned=how,
        p_value=p_value,
        embedding=f"{stem}_embedding.csv",
        pictures=[f"{stem}_embedding.png", f"{stem}_averages.png"],
    )
    names = {number: str(number) for number in range(1, config.classes + 1)}
    return Classes(numbers, names, angles, shifts, diameter, {}, made)
