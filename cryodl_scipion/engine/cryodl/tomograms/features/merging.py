# SPDX-License-Identifier: GPL-3.0-or-later
"""One tomogram: its scores merged, small components taken away, what is left measured, and surfaces of it."""

import os
import typing
from pathlib import Path

import numpy as np

from ...contract import MergeFeaturesConfig
from ...io import tomograms, volume_writer
from ...io.files import whole_file
from ...io.memory import WORKING_MEMORY
from . import components
from .scores import Feature, FeatureScores, Scored, agree, log_odds
from .surfaces import AreaCounter, write_surface

NM3 = 1e-3  # of one cubic Å
LABEL = "cryodl: merged features"


def merge_tomogram(
    scored: Scored, features: typing.Sequence[Feature], folder: Path, config: MergeFeaturesConfig
) -> dict[str, typing.Any]:
    """Write folder/<tomogram>.mrc. Returns its entry for features.json. Raises ValueError if the score volumes do not
    fit together."""
    sources = [FeatureScores(scored.files[f.name]) for f in features]
    agree(sources)
    shape, pixel_size = sources[0].shape, _pixel_size(scored, sources)
    target, scratch = Path(folder) / f"{scored.name}.mrc", Path(folder) / f".{scored.name}.merging"
    try:
        with whole_file(scratch) as temporary, open(temporary, "wb") as file:
            for _, labels in merged_slabs(sources, [f.threshold for f in features]):
                file.write(np.ascontiguousarray(labels, np.int8).data)  # tofile does not say that the disk is full
        found = _write_labels(target, scratch, shape, pixel_size, [f.label for f in features], config, sources[0].path)
    finally:
        scratch.unlink(missing_ok=True)
    size = pixel_size / 10
    entries = {
        f.name: dict(
            voxels=int(voxels),
            volume_nm3=round(float(voxels) * size**3, 3),
            components=int(count),
            area_nm2=round(float(area) * size**2, 3),
            volume_percent=round(100 * float(voxels) / np.prod(shape, dtype=float), 5),
        )
        for f, voxels, count, area in zip(features, *found)
    }
    pictures, script = picture_paths(folder, scored.name, features)
    files = [str(path.relative_to(folder)) for path in (target, script, *pictures.values())]
    return dict(file=target.name, files=files, pixel_size=pixel_size, shape=list(shape), found=entries)


def _pixel_size(scored: Scored, sources: typing.Sequence[FeatureScores]) -> float:
    known = next((s.pixel_size for s in sources if s.pixel_size is not None), scored.pixel_size)
    if not known:
        raise ValueError(
            f"The header of {sources[0].path} has no pixel size; sizes cannot be measured. Segment the tomogram "
            "again with --pixel-size."
        )
    return float(known)


def _write_labels(
    target: str | os.PathLike[str],
    scratch: str | os.PathLike[str],
    shape: tuple[int, ...],
    pixel_size: float,
    labels: typing.Sequence[int],
    config: MergeFeaturesConfig,
    like: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write the final volume of the merged labels in the scratch file. like: a volume with its origin. Returns voxels,
    components and areas of each label."""
    area_px = shape[1] * shape[2]

    def read(start: int, stop: int) -> np.ndarray:
        part = np.fromfile(scratch, np.int8, (stop - start) * area_px, offset=start * area_px)
        return part.reshape(stop - start, *shape[1:])

    ranges, finder = components.slabs(shape, components.BYTES, MEMORY), components.ComponentFinder(labels)
    for start, stop in ranges:
        finder.add(start, read(start, stop))
    found = finder.components()
    kept = found.voxels * pixel_size**3 * NM3 >= config.minimum_size
    table, areas = np.concatenate([[False], kept]), AreaCounter(len(labels))
    with volume_writer.VolumeWriter(target, shape, pixel_size, np.int8, LABEL, like) as volume:
        for start, stop in ranges:
            slab = read(start, stop)
            if not kept.all():
                final = np.zeros_like(slab)
                for label, position, numbers in found.numbered(start, slab, labels):
                    final[position][table[numbers]] = label
                slab = final
            volume.write(start, slab)
            areas.add(slab)
    count = lambda weights: np.bincount(found.labels[kept], weights, len(labels) + 1)[1:]
    return count(found.voxels[kept]), count(None), areas.areas[1:]


def picture_paths(folder: Path, name: str, features: typing.Sequence[Feature]) -> tuple[dict[str, Path], Path]:
    """({feature: STL file}, ChimeraX script) of a tomogram, whether they exist or not."""
    surfaces = Path(folder) / "surfaces"
    return {f.name: surfaces / f"{name}__{f.name}.stl" for f in features}, Path(folder) / f"{name}.cxc"


def write_pictures(
    scored: Scored, features: typing.Sequence[Feature], folder: Path, entry: dict[str, typing.Any]
) -> typing.Any:
    """Write the surfaces of a merged tomogram and the script that shows them, unless they are newer than its volume."""
    files, script = picture_paths(folder, scored.name, features)
    volume = Path(folder) / entry["file"]
    if script.exists() and script.stat().st_mtime_ns >= volume.stat().st_mtime_ns:
        return
    tomogram = scored.tomogram if scored.tomogram and Path(scored.tomogram).is_file() else None
    origin = volume_writer.origin_of(tomogram or volume)  # the merged volume has that of its scores
    source = tomograms.Tomogram(volume)
    next(iter(files.values())).parent.mkdir(exist_ok=True)
    made = []
    for feature in features:
        path = files[feature.name]
        path.unlink(missing_ok=True)  # of an earlier merging
        mask_of = lambda part, label=feature.label: source.raw(part) == label
        count = write_surface(path, mask_of, source.shape, entry["pixel_size"], origin, MEMORY)
        made.append((feature.name, path if count else None))
    write_script(script, volume, tomogram, made, entry["pixel_size"], origin, source.shape[0] // 2)


# Paul Tol's bright colours: to be told apart by the colour-blind
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")


def write_script(
    path: str | os.PathLike[str],
    volume: str | os.PathLike[str],
    tomogram: str | os.PathLike[str] | None,
    surfaces: typing.Sequence[tuple[str, typing.Any]],
    pixel_size: float,
    origin_xyz: typing.Sequence[float],
    middle: np.ndarray,
) -> None:
    """Write a .cxc script. Paths in it are relative to its folder, from which ChimeraX runs it. volume: the label
    volume. tomogram: its path, or None. surfaces: [(name, path)] of STL files, None without a file. middle: the slice
    that is shown first. origin_xyz: Å."""
    folder = os.path.dirname(os.path.abspath(path))
    beside = lambda p: '"' + os.path.relpath(p, folder) + '"'
    position = f"voxelSize {pixel_size:.6g} origin " + ",".join(f"{value:.6g}" for value in origin_xyz)
    lines, number = ["# cryodl: open it in a ChimeraX with nothing open"], 0
    if tomogram:
        number += 1
        lines += [
            f"open {beside(tomogram)}",
            f"volume #{number} {position} style image region all step 1 planes z,{middle}",
        ]
    number += 1
    lines += [f"open {beside(volume)} name labels", f"volume #{number} {position}", f"hide #{number} models"]
    for index, (name, surface) in enumerate(surfaces):
        if surface:
            number += 1
            lines += [f'open {beside(surface)} name "{name}"', f"color #{number} {COLOURS[index % len(COLOURS)]}"]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines + ["lighting soft", "view"]) + "\n", encoding="utf-8")


# Per voxel of a part: scores, smoothed scores, the best so far, positions above the threshold. GB: more is no quicker.
BYTES, MEMORY = 36, WORKING_MEMORY / 3


def merged_slabs(
    sources: typing.Sequence[FeatureScores], thresholds: typing.Sequence[float], memory: float = MEMORY
) -> typing.Iterator[tuple[int, np.ndarray]]:
    """Yields (z, (n, y, x) int8 labels) of one tomogram, in the order of z. Label i + 1 is the i-th source. A feature
    can have a voxel if its score reaches its threshold. Of several the one whose log odds are farthest above those of
    its threshold has it, so that networks with other thresholds compare; on a tie the earlier one (Chen et al., Nature
    Methods 2017). memory: GB; the labels are the same with any."""
    shape = sources[0].shape
    for start, stop in components.slabs(shape, BYTES, memory):
        size = (stop - start, *shape[1:])
        labels, best = np.zeros(size, np.int8), np.full(size, -1, np.float32)
        for label, (source, threshold) in enumerate(zip(sources, thresholds), 1):
            scores = source.read((start, stop), (0, shape[1]))
            positions = np.flatnonzero(scores >= threshold)
            surplus = log_odds(scores.reshape(-1)[positions]) - log_odds(float(np.float32(threshold)))
            wins = surplus > best.reshape(-1)[positions]
            best.reshape(-1)[positions[wins]] = surplus[wins]
            labels.reshape(-1)[positions[wins]] = label
        yield start, labels
