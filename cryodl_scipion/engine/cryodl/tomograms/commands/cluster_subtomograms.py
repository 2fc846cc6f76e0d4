# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl cluster-subtomograms`: subtomograms in; groups of those that show the same, and an average of each, out.

Result.outputs are the contract's ClusterSubtomogramsOutputs.
"""

from __future__ import annotations

import csv
import os
import shutil
import typing
from pathlib import Path

import numpy as np

from ...contract import ClusterSubtomogramsConfig, Result
from ...contract.tomograms.clustering import ClusterSubtomogramsOutputs
from ...io.unfinished import star_stem, working_folder
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ...io.subtomograms import SubtomogramSet
    from ..subtomograms.observed import Frame, ObservedSubtomograms
    from ..subtomograms.search import Poses

PIXELS = 4.0  # in the finest detail that is compared, where none is asked for
SIGNIFICANT = 0.05  # p-value above which clusters are not told from a single cloud
MAX_SHIFT = 1 / 12  # of the box: farthest from its middle that a particle is looked for


def run(config: ClusterSubtomogramsConfig) -> Result:
    """Work in <output>.partial, then move all to the output, the STAR file last."""
    from ...core.devices import choose_device, device_name, set_threads
    from ...io.subtomograms import read_subtomograms
    from ..classifiers.prepare import find_subtomogram_contrast, resolution_notes, subtomogram_diameter
    from ..subtomograms.aligned import aligned
    from ..subtomograms.cluster import groups
    from ..subtomograms.observed import frame_of

    stem = star_stem(config.output, "Subtomograms", "_class[0-9][0-9][0-9].mrc", "_embedding.*", "_averages.png")
    found = read_subtomograms(config.subtomograms, (), config.tilt_min, config.tilt_max)
    diameter = subtomogram_diameter(found, config.particle_diameter)
    _check_number(config, found)
    notes = resolution_notes(found, diameter, config.resolution) + _component_notes(config, found)
    how = _alignment(config, found)
    device = choose_device()
    set_threads()
    contrast, said, warning = find_subtomogram_contrast(found, diameter, config.contrast)
    if said:
        print(said)
    notes += [warning] if warning else []
    for note in notes:
        warn(note)
    folder = working_folder(config, (config.subtomograms,))
    frame = frame_of(found, diameter, config.resolution or PIXELS * found.pixel_size)
    print(
        f"Comparing {len(found)} subtomograms with detail to {frame.width / frame.radius:.0f} Å on "
        f"{device_name(device)}; alignment: {how}."
    )
    angles, shifts = _poses(config, found, frame, how, contrast, device)
    positions = _positions(config, aligned(found, slice(None), frame, angles, shifts, contrast, device), folder, device)
    classes = groups(positions, config.classes, config.seed)
    outputs = _write(config, found, (positions, classes, angles, shifts), how, contrast, folder, stem, device)
    print(
        "Classes: "
        + ", ".join(f"{number}: {count}" for number, count in outputs["counts"].items())
        + f". Clustered subtomograms: {config.output}"
    )
    if outputs.p_value > SIGNIFICANT and config.classes > 1:
        notes.append(_nothing_found(config, how, outputs.p_value))
        warn(notes[-1])
    return Result("cluster-subtomograms", outputs, device=device_name(device), warnings=tuple(notes))


def _nothing_found(config: ClusterSubtomogramsConfig, how: str, p_value: float) -> str:
    """A sentence for the user whose clusters are no tighter than those of noise."""
    align = "" if how == "given" else "Align the subtomograms first (--align given). "
    return (
        f"No clusters were found: the {config.classes} clusters are no tighter than those of random data of the same "
        f"spread ({100 * p_value:.0f} % of such data sets are as tight), so the classes may be chance. {align}Use "
        "more subtomograms, or other --classes or --resolution."
    )


def _check_number(config: ClusterSubtomogramsConfig, found: SubtomogramSet) -> None:
    if len(found) < 2:
        raise ValueError(f"{found.path} has only 1 subtomogram; at least two are needed.")
    if len(found) < config.classes:
        raise ValueError(
            f"{found.path} has {len(found)} subtomograms for {config.classes} classes (--classes); there "
            "must be at least as many. Choose fewer classes."
        )


def _component_notes(config: ClusterSubtomogramsConfig, found: SubtomogramSet) -> list[str]:
    maximum = len(found) - 1
    return (
        [f"{len(found)} subtomograms have no more than {maximum} components; --components {config.components} is more."]
        if config.components > maximum
        else []
    )


def _alignment(config: ClusterSubtomogramsConfig, found: SubtomogramSet) -> str:
    """'given', 'search' or 'none'. Raises ValueError if angles are asked for and there are none."""
    if config.align == "given" and found.angles is None:
        raise ValueError(
            f"{found.path} has no angles (rlnAngleRot, rlnAngleTilt, rlnAnglePsi), which --align given needs. Choose "
            "--align search, or align the subtomograms first."
        )
    if config.align != "auto":
        return config.align
    if found.angles is not None and not np.any(found.angles):
        print(
            f"All angles of {found.path} are zero, so an alignment is searched for. If all subtomograms really have "
            "the same orientation, choose --align given."
        )
        return "search"
    return "search" if found.angles is None else "given"


def _poses(
    config: ClusterSubtomogramsConfig,
    found: SubtomogramSet,
    frame: Frame,
    how: str,
    contrast: str,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) angles in degrees and (n, 3) shifts in px of the files."""
    from scipy.spatial.transform import Rotation

    from ..subtomograms.em import Grids, learn_average
    from ..subtomograms.observed import observe

    if how == "none":
        return np.zeros((len(found), 3)), np.zeros((len(found), 3))
    if how == "given":
        return typing.cast("np.ndarray", found.angles), found.shifts_zyx  # _alignment has looked for them
    print("Aligning all subtomograms to a common average.")
    observed = observe(found, slice(None), frame, contrast, device)
    estimate = learn_average(observed, Grids(frame, MAX_SHIFT * frame.box, device), config.seed)
    matrices, shifts = (one.double().cpu().numpy() for one in typing.cast("Poses", estimate.poses).best())
    angles = Rotation.from_matrix(matrices).as_euler("ZYZ", degrees=True)
    return angles, shifts * frame.pixel_size / found.pixel_size


def _positions(
    config: ClusterSubtomogramsConfig, observed: ObservedSubtomograms, folder: Path, device: torch.device
) -> np.ndarray:
    """(n, c) places of aligned, ObservedSubtomograms."""
    if config.embedding == "similarity":
        from ..subtomograms.similarity import embedded, pairwise_similarities

        return embedded(pairwise_similarities(observed, config.compensate), config.components).cpu().numpy()
    if config.embedding == "pca":
        from ..subtomograms.components import principal_components

        return principal_components(observed, config.components, config.seed, config.compensate).cpu().numpy()
    from ...learning.run_training import accelerator_for
    from ..subtomograms.autoencoder import learned_coordinates

    return learned_coordinates(
        observed, config.components, folder, accelerator_for(device), config.seed, config.compensate
    ).numpy()


def _write(
    config: ClusterSubtomogramsConfig,
    found: SubtomogramSet,
    answer: typing.Any,
    how: str,
    contrast: str,
    folder: Path,
    stem: str | os.PathLike[str],
    device: torch.device,
) -> ClusterSubtomogramsOutputs:
    """Write everything, the STAR file last. Returns the outputs."""
    from ...io.subtomograms import write_subtomograms_star
    from ..subtomograms.cluster import group_p_value
    from ..subtomograms.pictures import plot_embedding

    positions, classes, angles, shifts = answer
    averages, resolutions = _averages(config, found, classes, angles, shifts, contrast, folder, stem, device)
    plot_embedding(positions, classes, folder / "final_embedding.png")
    _write_embedding(folder / "final_embedding.csv", found, positions, classes)
    for made in sorted(folder.glob("final_*")):
        os.replace(made, f"{stem}_{made.name[len('final_') :]}")
    columns = {"rlnClassNumber": classes.tolist()}
    columns.update(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles.T.tolist()))
    origins = -shifts * found.pixel_size
    columns.update(zip(("rlnOriginZAngst", "rlnOriginYAngst", "rlnOriginXAngst"), origins.T.tolist()))
    write_subtomograms_star(config.output, found, columns)
    shutil.rmtree(folder)
    counts = {str(number): int((classes == number).sum()) for number in range(1, config.classes + 1)}
    return ClusterSubtomogramsOutputs(
        subtomograms=str(config.output),
        aligned=how,
        contrast=contrast,
        counts=counts,
        averages=averages,
        resolutions=dict(resolutions),
        p_value=round(group_p_value(positions, config.classes, config.seed), 3),
        embedding=f"{stem}_embedding.csv",
        pictures=[f"{stem}_embedding.png", f"{stem}_averages.png"],
        pixel_size=found.pixel_size,
    )


def _averages(
    config: ClusterSubtomogramsConfig,
    found: SubtomogramSet,
    classes: np.ndarray,
    angles: np.ndarray,
    shifts: np.ndarray,
    contrast: str,
    folder: Path,
    stem: str | os.PathLike[str],
    device: torch.device,
) -> tuple[dict[str, str], dict[str, float]]:
    """{class: file} and {class: Å} of the averages, protein bright, which lie in the folder till all is ready."""
    from ...io.maps import write_map
    from ..classifiers.prepare import subtomogram_diameter
    from ..subtomograms.averages import half_averages, resolution_of
    from ..subtomograms.pictures import plot_averages

    averages, resolutions, volumes, titles = {}, {}, [], []
    diameter = subtomogram_diameter(found, config.particle_diameter)
    for number in range(1, config.classes + 1):
        rows = np.nonzero(classes == number)[0]
        whole, one, other = half_averages(found, rows, angles[rows], shifts[rows], None, contrast, device)
        write_map(folder / f"final_class{number:03d}.mrc", whole, found.pixel_size)
        averages[str(number)] = f"{stem}_class{number:03d}.mrc"
        resolutions[str(number)] = round(resolution_of(one, other, found.pixel_size, diameter), 1)
        volumes.append(whole)
        titles.append(f"class {number}: {len(rows)}\n{resolutions[str(number)]:.0f} Å")
    plot_averages(volumes, titles, found.pixel_size, folder / "final_averages.png")
    return averages, resolutions


def _write_embedding(
    path: str | os.PathLike[str], found: SubtomogramSet, positions: np.ndarray, classes: np.ndarray
) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "class", *(f"component{i + 1}" for i in range(positions.shape[1]))])
        for name, number, position in zip(found.names, classes, positions):
            writer.writerow([name, number, *(f"{value:.6g}" for value in position)])
