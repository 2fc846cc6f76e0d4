# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sets of picks of the same micrographs, each with a name: 'topaz=picks/topaz'. Picks in the files that
RELION's extraction reads, one coordinate file per micrograph. RELION looks for the coordinates of
MotionCorr/job002/day1/a.mrc in <folder>/day1/a<suffix>: it keeps the folders of a micrograph's name, and leaves out
what stands before and in the number of a job of its own."""

import os
import re
import shlex
import typing
from pathlib import Path

import numpy as np

from . import files, star
from .coordinates import align_keys, coordinate_files, keys_of
from .particle_positions import read_centred

SUFFIX = "_pick.star"
CORNER, MIN_IN_CORNER = 0.7, 50  # so many picks that all lie in this part of width and height may be of another binning
TUBE = "rlnHelicalTubeID"  # column that segments of filaments have
_JOB = re.compile(r"^.*?/job\d{3,}/")
READABLE = (".mrc", ".mrcs", ".tif", ".tiff")


def project_name(path: str, project: str, what: str = "", advice: str = "") -> str:
    """The name of a micrograph, or of a folder, in RELION's tables: its path relative to the project's folder. Links
    are kept: RELION's users link folders of micrographs into their project. what, advice: of a folder, in words. Raises
    ValueError if it lies outside or has a space, or a micrograph has a format that RELION does not read."""
    name = os.path.relpath(os.path.abspath(path), os.path.abspath(project))
    if name.startswith(os.pardir + os.sep) or name == os.pardir:
        linked = f"ln -s {os.path.dirname(os.path.abspath(path))} {project}/"
        raise ValueError(
            f"{what or path} lies outside RELION's project folder (--project {project}), where RELION cannot read it. "
            + (advice or f"Link its folder into the project ({linked}) and give the micrographs by that link.")
        )
    if not what and not name.lower().endswith(READABLE):
        raise ValueError(f"{path} is not of a format that RELION reads (MRC or TIFF, uncompressed). Unpack it first.")
    if re.search(r"\s", name):
        raise ValueError(
            f"{what or name} has a space in its name, which RELION's STAR files do not allow. Link or rename it."
        )
    return name


def coordinate_file(name: str) -> str:
    """Where RELION looks for a micrograph's coordinates, in their folder. name: relative to the project."""
    return os.path.splitext(_JOB.sub("", name))[0] + SUFFIX


def micrograph_tables(
    names: typing.Sequence[str],
    pixel_size: float,
    voltage: float,
    spherical_aberration: float,
    amplitude_contrast: float,
) -> dict[str, dict[str, list[typing.Any]]]:
    """RELION's tables of micrographs with one optics group: {table: {column: values}}. names: of the micrographs,
    relative to the project. pixel_size: Å/px. voltage: kV. spherical_aberration: mm. amplitude_contrast: fraction."""
    optics = dict(
        rlnOpticsGroupName="opticsGroup1",
        rlnOpticsGroup=1,
        rlnMicrographOriginalPixelSize=float(pixel_size),
        rlnMicrographPixelSize=float(pixel_size),
        rlnVoltage=float(voltage),
        rlnSphericalAberration=float(spherical_aberration),
        rlnAmplitudeContrast=float(amplitude_contrast),
    )
    return dict(
        optics={key: [value] for key, value in optics.items()},
        micrographs=dict(rlnMicrographName=list(names), rlnOpticsGroup=[1] * len(names)),
    )


def pick_tables(
    tables: typing.Mapping[str, typing.Mapping[str, typing.Any]],
    picks: typing.Sequence[tuple[str, str | int, np.ndarray, np.ndarray]],
) -> dict[str, dict[str, typing.Any]]:
    """RELION's tables of picked positions without images, as cryoSPARC imports them: {table: {column: values}}. tables:
    of the micrographs, with the table `optics`. picks: micrograph's name, optics group, yx (n, 2) px, scores (n,)."""
    rows = [(name, group, x, y, s) for name, group, yx, scores in picks for (y, x), s in zip(yx, scores)]
    columns = list(zip(*rows)) if rows else [()] * 5
    names = ("rlnMicrographName", "rlnOpticsGroup", "rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit")
    return dict(optics=dict(tables["optics"]), particles=dict(zip(names, columns)))


def helical_tables(source: str) -> dict[str, dict[str, list[str]]]:
    """{micrograph: {column: texts}} of the STAR files of picks that hold segments of filaments."""
    found = {}
    for path in coordinate_files(source):
        for table in star.read_tables(path).values() if path.suffix.lower() == ".star" else ():
            tubes = table.get(TUBE, ())
            keys = keys_of(list(table.get("rlnMicrographName", [str(path)] * len(tubes))))
            for key, rows in files.lists_by_key(zip(keys, range(len(tubes)))).items():
                found[key] = {name: [texts[row] for row in rows] for name, texts in table.items()}
    return found


def extraction_command(
    micrographs: str, coordinates: list, box: int, diameter_px: float, invert: bool, tube: float | None = None
) -> str:
    """The words of relion_preprocess that extract the particles, for the project's folder. micrographs: RELION's table.
    coordinates: the words that tell where the coordinates are. box: px, even. diameter_px: px of the particle: the
    background is what lies outside it. invert: whether protein is dark in the micrographs. tube: Å, diameter of the
    filament, of segments of filaments."""
    radius = min(max(1, round(0.6 * diameter_px)), box // 2 - 1)
    words = ["relion_preprocess", "--i", micrographs, *coordinates, "--extract", "--extract_size", str(box)]
    words += ["--norm", "--bg_radius", str(radius), *(["--invert_contrast"] if invert else [])]
    if tube:
        words += ["--helix", "--helical_outer_diameter", f"{tube:g}", "--helical_bimodal_angular_priors"]
    words += ["--part_dir", "Extract/cryodl/", "--part_star", "Extract/cryodl/particles.star"]
    return " ".join(shlex.quote(word) for word in words)


def name_sets(texts: typing.Sequence[str]) -> dict[str, str]:
    """{name: path} of sets that are given as they are ('picks/topaz') or with a name ('topaz=picks/topaz'). A path that
    exists is never cut at its '='. A set without a name gets the last part of its path; where several end alike
    ('a/picks', 'b/picks'), as many parts as tell them apart. Raises FileNotFoundError for a path that is not there;
    ValueError for two sets with one name or one path."""
    pairs = [files.name_and_path(text) for text in texts]
    for _, path in pairs:
        if not os.path.exists(path):
            raise FileNotFoundError(
                f"The set of picks {path} does not exist (current folder: {os.getcwd()}). Give a "
                "folder or file, or name=folder."
            )
    real = [os.path.realpath(path) for _, path in pairs]
    for index, path in enumerate(real):
        if path in real[:index]:
            raise ValueError(f"The set of picks {texts[index]} is given twice. Remove one of them.")
    unnamed = iter(_shortest_names([path for name, path in pairs if not name]))
    named = [(name or next(unnamed), path) for name, path in pairs]
    sets = dict[str, str]()
    for name, path in named:
        if (before := sets.setdefault(name, path)) != path:
            raise ValueError(
                f"Two sets of picks have the name {name}: {before} and {path}. Give them different names: "
                f"one={before} two={path}."
            )
    return sets


def _shortest_names(paths: typing.Sequence[str]) -> list[str]:
    """The ends of the paths, with as many folders as tell them apart."""
    parts = [Path(os.path.abspath(p)).parts for p in paths]
    names = []
    for mine in parts:
        rest = [other for other in parts if other is not mine]
        count = next((c for c in range(1, len(mine)) if all(o[-c:] != mine[-c:] for o in rest)), len(mine))
        names.append("/".join(mine[-count:]))
    return names


def read_pick_sets(
    texts: typing.Sequence[str], pixel_size: float, diameter: float
) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Sets of picks, every micrograph under one name in all sets. A micrograph that is called 'a' in one set and
    'a_autopick' in another is called 'a'. pixel_size: Å/px of the micrographs. diameter: Å, of the particle. Returns
    {set: {micrograph: (yx (n, 2) px, scores (n,))}}; raises what name_sets, read_centred and align_keys raise."""
    sets = {name: read_centred(path, pixel_size, diameter) for name, path in name_sets(texts).items()}
    names: dict[str, str] = {}
    for key in sorted({key for picks in sets.values() for key in picks}, key=lambda k: (len(k), k)):
        names.setdefault(files.without_pick_suffix(key), key)
    return {name: align_keys(picks, list(names.values())) for name, picks in sets.items()}


def in_a_corner(sets: typing.Mapping[str, typing.Mapping[str, tuple[np.ndarray, np.ndarray]]]) -> list[str]:
    """A sentence for each of the sets, {set: {micrograph: (yx (n, 2) px, scores (n,))}}, all of whose many picks lie in
    a corner of what others fill, as picks of binned micrographs do."""
    places = {name: np.concatenate([np.zeros((0, 2)), *(yx for yx, _ in one.values())]) for name, one in sets.items()}
    # to where most lie, as one far outside fills nothing, and all
    reach = {n: np.quantile(yx.max(1), (0.98, 1)).tolist() for n, yx in places.items() if len(yx) >= MIN_IN_CORNER}
    return [
        f"All picks of {name} lie within {100 * far / max(reach.values())[0]:.0f} % of the width and height that those "
        f"of {max(reach, key=reach.__getitem__)} fill. Picks of micrographs of different binning cannot be compared."
        for name, (_, far) in reach.items()
        if far < CORNER * max(reach.values())[0]
    ]


def lacking_in_words(sets: dict[str, typing.Any], names: typing.Collection[str]) -> list[str]:
    """One sentence for each of the sets, {set: {micrograph: picks}}, that lacks any. An empty list is a list."""
    missing = {name: [n for n in names if n not in picks] for name, picks in sets.items()}
    return [
        f"{name} has no list of picks for {len(absent)} of the {len(names)} micrographs "
        f"({', '.join(absent[:8])}{' ...' if len(absent) > 8 else ''}); there it counts as having no picks."
        for name, absent in missing.items()
        if absent
    ]
