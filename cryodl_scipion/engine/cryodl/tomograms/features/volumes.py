# SPDX-License-Identifier: GPL-3.0-or-later
"""Segmented volumes, one after the other: what `pick-features` and `measure-membranes` do alike."""

from __future__ import annotations

import typing
from pathlib import Path

from ...contract import AllSkipped, Skipped, counted, in_words
from ...io.files import expand_paths, name_micrographs
from .record import FolderRecord

if typing.TYPE_CHECKING:
    from ...contract import PickFeaturesConfig
    from ...contract.tomograms.membranes import MeasureMembranesConfig

ALL = "particles.star"
Found = typing.TypeVar("Found")


class Volumes(typing.NamedTuple):
    """What became of the volumes.

    Attributes
    ----------
    folder : Path
        Of the output.
    record : FolderRecord
        Of the folder, with the tomograms of earlier runs.
    items : dict
        Tomogram of this run: its entry in the record.
    skipped : list of Skipped
        Volumes that could not be read.
    notes : list of str
        Sentences for the user.
    """

    folder: Path
    record: FolderRecord
    items: dict[str, typing.Any]
    skipped: list[Skipped]
    notes: list[str]

    @property
    def pixel_size(self) -> float | None:
        """Å/px of the volumes; None if they have several."""
        sizes = {item["pixel_size"] for item in self.items.values()}
        return sizes.pop() if len(sizes) == 1 else None


def each_volume(
    config: PickFeaturesConfig | MeasureMembranesConfig,
    index: str,
    parameters: typing.Sequence[str],
    find: typing.Callable[[str], tuple[Found, list[str]]],
    write: typing.Callable[[str, str, Found], dict[str, typing.Any]],
) -> Volumes:
    """Work on every volume that is not done yet, and join the points of all.

    Parameters
    ----------
    index : str
        Name of the record in the output folder.
    parameters : sequence of str
        Fields of config that may not change from run to run.
    find : callable
        Path of a volume to what is in it, and sentences for the user. Its ValueError or FileNotFoundError: skipped.
    write : callable
        Name of the tomogram, path of the volume and what was found to the entry in the record; writes the files.

    Raises
    ------
    AllSkipped
        No volume could be used.
    """
    from tqdm import tqdm

    named = named_volumes(config)
    if config.label is None:
        refuse_label_volumes(named)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    record = FolderRecord(folder / index, {name.replace("_", " "): getattr(config, name) for name in parameters})
    skipped, notes = list[Skipped](), list[str]()
    for name, path in tqdm(named, unit="tomogram", mininterval=1.0):
        try:
            if record.has(name, [path]):
                continue
            found, said = find(path)
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skipped(name, str(path), str(error)))
            tqdm.write(f"Skipped {in_words(skipped[-1])}")
            continue
        notes += said
        record.put(name, [path], write(name, path, found))
    bad = {s.item for s in skipped}
    items = {name: record.items[name] for name, _ in named if name not in bad}
    if not items:
        raise AllSkipped(
            f"None of the {counted(len(named), 'volume')} could be used. The first: {in_words(skipped[0])}"
        )
    join_points(folder, record, config.tilt_series_pixel_size)
    return Volumes(folder, record, items, skipped, notes)


def refuse_label_volumes(named: typing.Sequence[tuple[str, str]]) -> None:
    """Raises ValueError for a label volume in place of scores, before anything is written."""
    from ..evaluation.pairs import labels_in

    for _, path in named:
        try:
            found = labels_in(path)
        except (ValueError, OSError):
            continue  # it is skipped with its reason when its turn comes
        if found and found[0]:
            raise ValueError(
                f"{path} is a label volume ({', '.join(f'{k} {n}' for k, n in found[0].items())} by its "
                "features.json). Give the value to pick (--label)."
            )


def named_volumes(config: PickFeaturesConfig | MeasureMembranesConfig) -> list[tuple[str, str]]:
    """Pairs of the tomogram's name and the volume. Scores are called <tomogram>__<feature>; the tomogram's name
    remains."""
    paths = expand_paths(config.segmentations)
    pairs = name_micrographs(paths, config.names, "tomogram")
    if config.names or config.label is not None:
        named = pairs
    else:
        named = name_micrographs(paths, tuple(name.rpartition("__")[0] or name for name, _ in pairs), "tomogram")
    if "particles" in dict(named):
        raise ValueError(
            "A tomogram has the name 'particles', which the file of all points uses. Give it another name (--names)."
        )
    return named


def join_points(folder: Path, record: FolderRecord, tilt_series_pixel_size: float | None = None) -> None:
    """Write the points of all tomograms of a folder as one STAR file.

    Parameters
    ----------
    record : FolderRecord
        Its entries have file, pixel_size and tilt_series_pixel_size; earlier versions wrote no such thing.
    tilt_series_pixel_size : float, Å/px
        For an optics table. STAR files of the folder that have another one, or none, are written again. None: no table.
    """
    from ...io.tomogram_coordinates import join_coordinates3d

    items = [item for _, item in sorted(record.items.items())]
    other = [item for item in items if item.get("tilt_series_pixel_size", "not known") != tilt_series_pixel_size]
    for item in other:
        join_coordinates3d(folder / item["file"], [folder / item["file"]], [item["pixel_size"]], tilt_series_pixel_size)
        item["tilt_series_pixel_size"] = tilt_series_pixel_size
    if other:
        record.write()
        optics = (
            "without an optics table"
            if tilt_series_pixel_size is None
            else f"with an optics table of {tilt_series_pixel_size:g} Å/px (--tilt-series-pixel-size)"
        )
        print(f"Written again {optics}: {counted(len(other), 'STAR file')} of earlier runs.")
    files, sizes = [folder / item["file"] for item in items], [item["pixel_size"] for item in items]
    join_coordinates3d(folder / ALL, files, sizes, tilt_series_pixel_size)
