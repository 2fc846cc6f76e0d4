# SPDX-License-Identifier: GPL-3.0-or-later
"""The sets of picks whose maps are compared, the micrographs that count, the half of each micrograph, and what all sets
share: diameter and box of the particles, and the CTFs of the micrographs."""

import dataclasses
import math
import re
import typing
from pathlib import Path

import numpy as np

from ...contract import CompareMapsOfPicksConfig, EstimateCtfConfig, ExtractParticlesConfig, counted, refuse_if
from ...core import boxes, symmetry
from ...io import coordinates, memory, micrograph_ctfs, particles, structures
from ...io.micrographs import micrograph_shape, read_micrograph
from ...io.particle_positions import read_centred
from ...io.pick_sets import lacking_in_words, name_sets
from ...micrographs.commands.estimate_ctf import estimate_ctf
from ...simulate.micrographs import particle_diameter

REFERENCE = "reference"  # name of the reference, if it has none of its own
_REFERENCE = "Reference (--reference)"
WHY_TWO = "because the half-sets are divided by micrographs"
Picks = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class ComparedSets:
    """sets: {name: {micrograph: (yx (n, 2) px, scores (n,))}}, the reference first. files: {name: path}. micrographs:
    [(name, path)] that count. halves: {micrograph: 1 or 2}. reference: name of the reference, or None. notes: said."""

    sets: dict[str, Picks]
    files: dict[str, str]
    micrographs: list[tuple[str, str]]
    halves: dict[str, int]
    reference: str | None
    notes: list[str]

    def counts(self) -> dict[str, int]:
        """Picks of each set."""
        return {name: sum(len(scores) for _, scores in picks.values()) for name, picks in self.sets.items()}

    def without(self, left: typing.Collection[str], why: str) -> "ComparedSets":
        """The same on fewer micrographs. left: names of those that are left out. why: "which ...", in words. Raises
        ValueError if fewer than two micrographs are left."""
        if not left:
            return self
        some = [name for name, _ in self.micrographs if name in left]
        sentence = (
            f"Left out of all sets: {len(some)} of {len(self.micrographs)} micrographs, {why}: {', '.join(some[:8])}"
            f"{' ...' if len(some) > 8 else ''}."
        )
        micrographs = [pair for pair in self.micrographs if pair[0] not in left]
        if len(micrographs) < 2:
            raise ValueError(
                f"{sentence} {'One is' if micrographs else 'None are'} left; at least two are needed, {WHY_TWO}. Mend "
                "this, or give more micrographs."
            )
        kept = [name for name, _ in micrographs]
        sets = {name: {n: picks[n] for n in kept} for name, picks in self.sets.items()}
        notes = [*self.notes, sentence]
        return dataclasses.replace(self, sets=sets, micrographs=micrographs, halves=_halves(sets, kept), notes=notes)


@dataclasses.dataclass(frozen=True)
class Common:
    """What all sets share. paths: {micrograph: path}. halves: {micrograph: 1 or 2}. ctf: STAR file. diameter: Å. box:
    px of the micrographs."""

    paths: dict[str, str]
    halves: dict[str, int]
    ctf: str
    diameter: float
    box: int


def compared_sets(config: CompareMapsOfPicksConfig, named: list[tuple[str, str]], diameter: float) -> ComparedSets:
    """The ComparedSets of a config. named: [(name, path)] of its micrographs. diameter: Å, of the particle. Raises
    ValueError if fewer than two micrographs have picks, and what reading the sets raises."""
    files = _files(config)
    reference = next(iter(files)) if config.reference else None
    names = [name for name, _ in named]
    sets = {
        name: coordinates.align_keys(
            _coordinates(
                path, _REFERENCE if name == reference else "Sets of picks (--picks)", (config.pixel_size, diameter)
            ),
            names,
        )
        for name, path in files.items()
    }
    counted_sets = [sets[reference]] if reference else list(sets.values())
    with_picks = [n for n in names if any(n in picks and len(picks[n][1]) for picks in counted_sets)]
    if len(with_picks) < 2:
        whose = f"the reference {config.reference}" if reference else "the sets of picks"
        have = "has" if len(with_picks) == 1 else "have"
        raise ValueError(
            f"{len(with_picks)} of the {counted(len(named), 'micrograph')} (--micrographs) {have} picks of {whose}; at "
            f"least two are needed, {WHY_TWO}: a particle that was picked twice must not be in both. Give more "
            "micrographs, or check that the names of the files of coordinates are those of the micrographs."
        )
    notes = lacking_in_words(sets, with_picks)
    if len(with_picks) < len(named):
        notes.append(f"{len(named) - len(with_picks)} of {len(named)} micrographs have no picks and are left out.")
    empty = (np.zeros((0, 2)), np.zeros(0))
    kept = {name: {n: picks.get(n, empty) for n in with_picks} for name, picks in sets.items()}
    chosen = set(with_picks)
    micrographs = [pair for pair in named if pair[0] in chosen]
    return ComparedSets(kept, files, micrographs, _halves(kept, with_picks), reference, notes)


def _coordinates(path: str, which: str, sizes: tuple[float, float]) -> Picks:
    """What read_centred gives; its errors name the parameter, too."""
    try:
        return read_centred(path, *sizes)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{which}: {error}") from None


def _files(config: CompareMapsOfPicksConfig) -> dict[str, str]:
    if not config.reference:
        return name_sets(config.picks)
    try:
        (given, path), *_ = name_sets((config.reference,)).items()
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{_REFERENCE}: {error}") from None
    return name_sets((f"{given if config.reference != path else REFERENCE}={path}", *config.picks))


def unreadable(micrographs: typing.Sequence[tuple[str, str]]) -> list[str]:
    """Names of the micrographs that cannot be read; what is wrong with each is printed. Whole images are read: one of
    half a file would leave a set, and its half, with fewer particles than were counted. micrographs: [(name, path)]."""
    from ...io.progress import ProgressBar

    bad = []
    for name, path in ProgressBar(micrographs, desc="Reading", unit="micrograph", mininterval=1.0):
        try:
            with memory.one_item(path):
                read_micrograph(path)
        except (ValueError, FileNotFoundError, memory.TooLittleMemory) as error:
            ProgressBar.write(f"Left out {name}: {error}")
            bad.append(name)
    return bad


def _halves(sets: dict[str, Picks], names: typing.Sequence[str]) -> dict[str, int]:
    return halves_of_micrographs({n: sum(len(picks[n][1]) for picks in sets.values()) for n in names})


def halves_of_micrographs(counts: typing.Mapping[str, int]) -> dict[str, int]:
    """1 or 2 for each micrograph, so that both halves have about as many picks; the same for all sets. counts:
    {micrograph: picks}."""
    totals, halves = [0, 0], {}
    for name in sorted(counts, key=lambda n: (-counts[n], n)):
        half = int(totals[1] < totals[0])
        halves[name] = half + 1
        totals[half] += counts[name]
    return halves


def drawn(picks: Picks, paths: typing.Mapping[str, str], box: int, maximum: int, seed: int) -> tuple[Picks, int]:
    """Some of the picks whose boxes lie on the micrographs, drawn at random, and how many there were; all if there are
    no more than the maximum. paths: {micrograph: path}. box: px."""
    usable = {
        name: np.nonzero(boxes.boxes_inside(boxes.box_corners(yx, box)[0], box, micrograph_shape(paths[name])))[0]
        for name, (yx, _) in picks.items()
    }
    every = [(name, row) for name, rows in usable.items() for row in rows.tolist()]
    if len(every) <= maximum:
        return picks, len(every)
    rows: dict[str, list[int]] = {name: [] for name in picks}
    for index in np.sort(np.random.default_rng(seed).choice(len(every), maximum, replace=False)):
        rows[every[index][0]].append(every[index][1])
    return {name: (yx[rows[name]], scores[rows[name]]) for name, (yx, scores) in picks.items()}, len(every)


def file_names(names: typing.Sequence[str]) -> dict[str, str]:
    """{set: name of its files}: numbered, without signs that files should not have."""
    return {
        name: f"{number:02d}_" + (re.sub(r"[^\w.+-]+", "_", name).strip("_") or "set")
        for number, name in enumerate(names, 1)
    }


WORK = "work"  # folder in the unfinished output: particles, which are not kept


USUAL = (".mrc", ".map", ".pdb", ".ent", ".cif", ".mmcif")  # endings of structures


NEEDED = "Structure (--structure) must be a map (.mrc, .map) or an atomic model (.pdb, .cif)."


FIRST_LOOK = 6.0  # Å/px, to measure the structure


def diameters_of(config: CompareMapsOfPicksConfig) -> tuple[float, float]:
    """Å: of the particle, the config's or else the structure's, and of the structure. Raises ValueError for a structure
    that cannot be read, or does not have the symmetry."""
    rough = max(FIRST_LOOK, config.pixel_size)
    try:
        density = structures.load_density(config.structure, rough)
    except (ValueError, FileNotFoundError) as error:
        if Path(config.structure).is_file() and config.structure.lower().removesuffix(".gz").endswith(USUAL):
            raise
        raise ValueError(f"{error} {NEEDED}") from None
    symmetry.check_symmetry(density, config.symmetry, config.structure)  # an error before the work
    measured = round(particle_diameter(density, rough), 1)
    if config.particle_diameter is not None:
        return config.particle_diameter, measured
    print(f"Particle diameter: {measured:.0f} Å, measured on {config.structure}.")
    return measured, measured


def box_of(config: CompareMapsOfPicksConfig, diameter: float, structure: float) -> int:
    """px of the micrographs. diameter, structure: Å of the particle and of the structure. Raises ValueError where the
    box does not hold them."""
    extraction = ExtractParticlesConfig(
        coordinates="",
        micrographs=(),
        pixel_size=config.pixel_size,
        particle_diameter=diameter,
        output="particles.star",
        box=config.box,
        scaled_box=config.scaled_box,
    )
    problems, box = extraction.check_together(), extraction.box_in_pixels()
    if not problems and structure > box * config.pixel_size:
        needed = 2 * math.ceil(0.75 * structure / config.pixel_size)
        problems = [
            f"Structure (--structure) {config.structure} is {structure:.0f} Å wide, but the box is {box} px, "
            f"{box * config.pixel_size:.0f} Å. Give a larger one (--box {needed})."
        ]
    refuse_if(problems)
    return box


def without_ctf(config: CompareMapsOfPicksConfig, compared: ComparedSets, star: str) -> list[str]:
    """Names of the micrographs compared that a STAR file with CTFs does not contain."""
    constants = (config.voltage, config.spherical_aberration, config.amplitude_contrast)
    ctfs = micrograph_ctfs.read_micrograph_ctfs(star, dict(zip(particles.MICROSCOPE, constants)))
    return [name for name, path in compared.micrographs if micrograph_ctfs.ctf_of(ctfs, name, path) is None]


def estimated_ctf(config: CompareMapsOfPicksConfig, paths: dict[str, str], folder: Path) -> str:
    """A STAR file with CTFs that are estimated here."""
    star = folder / "ctf.star"
    if not star.exists():
        print("Estimating the CTF of the micrographs (no --ctf is given).", flush=True)
        work = folder / WORK / "ctf.star"
        work.parent.mkdir(exist_ok=True)
        contrast = config.amplitude_contrast
        estimate_ctf(
            EstimateCtfConfig(
                micrographs=tuple(paths.values()),
                pixel_size=config.pixel_size,
                voltage=typing.cast("float", config.voltage),  # check_together asks for both
                spherical_aberration=typing.cast("float", config.spherical_aberration),
                output=str(work),
                amplitude_contrast=EstimateCtfConfig.amplitude_contrast if contrast is None else contrast,
            ),
            names=tuple(paths),
        )
        work.rename(star)
    return str(star)
