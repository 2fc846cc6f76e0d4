# SPDX-License-Identifier: GPL-3.0-or-later
"""All training pairs of a run, kept in its working folder, and boxes drawn from them: cut out, rotated, and the
positions where their atoms are looked at. Families of similar molecules are not split for validation."""

import csv
import dataclasses
import typing
from pathlib import Path

import gemmi
import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ...contract import TrainMapImproverConfig, write_json
from ...contract.reading import absent, reader
from ...core.healpix_grid import sphere_directions
from ...io.files import expand_paths, read_kept, whole_file
from ...io.structures import read_structure
from ...learning.ahead import in_order
from ..measures.atoms import check_overlap, read_atoms
from ..measures.measure import reference_for
from ..measures.qscore import NEARER, POINTS, SIGMA
from ..measures.volume import check_density, read_volume
from .simulated import MapPair, real_pair, simulated_pair

BOX = 48  # voxels; the network's
EMPTY = 0.1  # part of the boxes that may show no molecule
PRESENT = 0.1  # of a target's highest density: above it a voxel belongs to the molecule
ATOMS = 256  # of a box, that are looked at
RADII = np.arange(0, 2.01, 0.4)  # Å; fewer than those of a Q-score that is reported
WANTED = np.repeat(np.exp(-0.5 * (RADII / SIGMA) ** 2), POINTS)  # of a well-resolved atom at the positions around it


@dataclasses.dataclass(frozen=True)
class Box:
    """data: (2, BOX, BOX, BOX) map and target. atoms: (n, 3) zyx voxels, those in it and just outside. resolution: Å of
    the map, 0 if the network is not to know it."""

    data: np.ndarray
    atoms: np.ndarray
    resolution: float = 0.0


def cut_box(pair: np.ndarray, atoms: np.ndarray, rng: np.random.Generator, empty: float = EMPTY) -> Box:
    """A Box of a (2, d, h, w) pair with its atoms (n, 3), where the molecule is but for a part of the time. Small
    maps are padded with zeros."""
    pad = [(0, max(0, BOX - n)) for n in pair.shape[1:]]
    for _ in range(8):
        start = [int(rng.integers(max(1, n - BOX + 1))) for n in pair.shape[1:]]
        data = np.array(pair[(slice(None), *[slice(s, s + BOX) for s in start])])
        if rng.random() < empty or (data[1] > PRESENT).mean() > 0.02:
            break
    if any(after for _, after in pad):
        data = np.pad(data, [(0, 0)] + [(0, BOX - n) for n in data.shape[1:]])
    positions = np.asarray(atoms) - start
    return Box(data, positions[((positions > -4) & (positions < BOX + 3)).all(axis=1)])


_ROTATIONS = [
    (p, s) for p in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)) for s in np.ndindex(2, 2, 2)
]
_PROPER = [(p, s) for p, s in _ROTATIONS if (sum(s) % 2 == 0) == (p in {(0, 1, 2), (1, 2, 0), (2, 0, 1)})]


def rotated_box(box: Box, rng: np.random.Generator) -> Box:
    """A Box rotated by one of the 24 rotations of a cube: without a change of its hand."""
    order, flips = _PROPER[rng.integers(len(_PROPER))]
    data, atoms = box.data.transpose(0, *[o + 1 for o in order]), box.atoms[:, order].copy()
    for axis, flip in enumerate(flips):
        if flip:
            data, atoms[:, axis] = np.flip(data, axis + 1), BOX - 1 - atoms[:, axis]
    return Box(np.ascontiguousarray(data), atoms, box.resolution)


def score_positions(atoms: np.ndarray, pixel_size: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where a box is read to see how much its atoms look like atoms, as the Q-score does (maps.measures.qscore). atoms:
    (n, 3) zyx voxels. pixel_size: Å/px. Returns positions (ATOMS, p, 3) in zyx voxels and weights (ATOMS, p), 0 where a
    position is nearer to another atom or where there are fewer atoms; p = len(RADII) * POINTS."""
    reach, positions = RADII[-1] / pixel_size, np.zeros((ATOMS, len(RADII), POINTS, 3), np.float32)
    weights = np.zeros((ATOMS, len(RADII), POINTS), np.float32)
    chosen = rng.permutation(np.nonzero(((atoms >= reach) & (atoms <= BOX - 1 - reach)).all(axis=1))[0])[:ATOMS]
    if len(chosen):
        directions = Rotation.random(random_state=int(rng.integers(2**31))).apply(sphere_directions(POINTS))
        radii = RADII[:, None, None] / pixel_size
        around = atoms[chosen][:, None, None] + radii * directions
        nearest, _ = cKDTree(atoms).query(around.reshape(-1, 3))
        positions[: len(chosen)] = around
        weights[: len(chosen)] = nearest.reshape(around.shape[:3]) >= NEARER * radii[..., 0] - 1e-6
    return positions.reshape(ATOMS, -1, 3), weights.reshape(ATOMS, -1)


WORD = 6  # residues
# Part of the shorter chain's words that the other has. Of sequences that differ at random it is the identity to the
# power of WORD: 0.15 is 73 % identical, 60 % gives 0.05, unrelated chains have less than 0.02.
ALIKE = 0.15


def words_of(path: str) -> dict[str, set[str]]:
    """{chain: set of words of WORD residues} of an atomic model's protein and nucleic acid chains."""
    chains = {}
    for chain in read_structure(path)[0]:
        sequence = gemmi.one_letter_code([residue.name for residue in chain.get_polymer()])
        words = {sequence[k : k + WORD] for k in range(len(sequence) - WORD + 1)}
        if words:
            chains[chain.name] = words
    return chains


def families(paths: typing.Sequence[str]) -> dict[str, int]:
    """{path: number}: molecules of one number are linked by shared chains."""
    chains, linked = [list(words_of(path).values()) for path in paths], np.zeros((len(paths),) * 2, bool)
    for a, b in zip(*np.tril_indices(len(paths), -1)):
        linked[a, b] = any(len(x & y) > ALIKE * min(len(x), len(y)) for x in chains[a] for y in chains[b])
    return dict(zip(paths, (int(n) for n in connected_components(linked, directed=False)[1])))


Stored = tuple[np.ndarray, np.ndarray, float]  # map and target, memory mapped, atoms, and resolution in Å
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]  # see MapPairs.batch
MISSTATED, UNTOLD = 0.1, 0.1  # a stated resolution is off by so much, and in such a part of the boxes there is none
FOLDER = "pairs"
MIN_AGREEMENT = 0.1  # correlation of a map with its model's density, below which they are not of one molecule
COARSEST = 100.0  # Å; a resolution beyond it is a mistake
VALIDATION = 0.1  # fraction of the molecules held out; similar ones are kept together
CHECKED = 64  # boxes that validation looks at, at most
FEW = 40  # pairs that one process makes


class MapPairs:
    """Pairs in files, split into training and validation by molecule. folder: the run's working folder; pairs that are
    there from a stopped run are not made again. lowest: of the method. seed: of random numbers. training, validation:
    lists of (memory map of map and target, atoms as in MapPair)."""

    def __init__(
        self,
        folder: Path,
        config: TrainMapImproverConfig,
        lowest: float,
        seed: int = 0,
        log: typing.Callable[[str], None] = print,
    ) -> None:
        self._seed = seed
        self.folder = Path(folder) / FOLDER
        self.folder.mkdir(exist_ok=True)
        self.pixel_size = config.working_pixel_size
        self.notes, self.warnings = list[str](), list[str]()
        rows = read_pairs(config.pairs) if config.pairs else []
        structures = expand_paths(config.structures) if config.structures else []
        rows, structures = self._without_left_out(rows, structures, config.leave_out)
        groups = families([row["structure"] for row in rows] + structures)
        held = _held_out(groups, VALIDATION, seed)
        self.sources: list[tuple[str, typing.Any]] = [
            *[("real", row) for row in rows],
            *[("simulated", s) for s in structures for _ in range(config.simulated)],
        ]
        self.training, self.validation, self.names = (
            list[Stored](),
            list[Stored](),
            {"training": set[str](), "validation": set[str]()},
        )
        molecules = [source["structure"] if kind == "real" else source for kind, source in self.sources]
        if {groups[molecule] in held for molecule in molecules} != {True, False}:  # before any of them is made
            raise ValueError(
                f"There are {len(groups)} molecules in {len(set(groups.values()))} families of similar molecules; at "
                "least two families are needed, one for training and one for validation. Give more structures "
                "(--structures) or pairs (--pairs)."
            )
        make = lambda number: self._make(number, config, lowest)
        alone = bool(rows) or len(self.sources) < FEW  # what is wrong with the user's maps is told as it is
        made = in_order(make, range(len(self.sources)), 0 if alone else torch.get_num_threads())
        for number, (path, molecule) in enumerate(zip(made, molecules)):
            about = read_kept(path.with_suffix(".json"))
            self.warnings += about["warnings"]
            part = "validation" if groups[molecule] in held else "training"
            getattr(self, part).append(
                (np.load(path, mmap_mode="r"), np.load(_atoms_file(path)), float(about["resolution"]))
            )
            self.names[part].add(Path(molecule).name)
            if (number + 1) % 20 == 0:
                log(f"{number + 1} of {len(self.sources)} pairs are ready.")

    def _without_left_out(
        self, rows: list[dict[str, typing.Any]], structures: list[str], leave_out: typing.Sequence[typing.Any]
    ) -> tuple[list[dict[str, typing.Any]], list[str]]:
        if not leave_out:
            return rows, structures
        every = list(dict.fromkeys([row["structure"] for row in rows] + structures))
        stem = lambda path: Path(path).name.split(".")[0]
        unknown = set(leave_out) - {stem(path) for path in every}
        if unknown:
            raise ValueError(
                f"Hold out (--leave-out) names {', '.join(sorted(unknown))}, which is not among the structures. The "
                f"structures are: {', '.join(sorted(stem(p) for p in every)[:20])} ..."
            )
        groups = families(every)
        gone = {groups[path] for path in every if stem(path) in leave_out}
        dropped = sorted(stem(p) for p in every if groups[p] in gone)
        self.notes.append(f"Held out, with similar molecules: {', '.join(dropped)}.")
        keep = lambda path: groups[path] not in gone
        return [row for row in rows if keep(row["structure"])], [s for s in structures if keep(s)]

    def _make(self, number: int, config: TrainMapImproverConfig, lowest: float) -> Path:
        """The file of a pair, which is made if it is not there."""
        path, (kind, source) = self.folder / f"{number:05d}.npy", self.sources[number]
        if path.exists():
            return path
        rng = np.random.default_rng((self._seed, number))
        pair, warnings = (
            _real(source, config, lowest) if kind == "real" else (simulated_pair(source, config, lowest, rng), [])
        )
        write_json(
            path.with_suffix(".json"),
            dict(name=pair.name, resolution=pair.resolution, kind=kind, warnings=list(warnings)),
        )
        _save(_atoms_file(path), pair.atoms)
        _save(path, np.stack([pair.map, pair.target]))  # last: what is there is taken for whole
        return path

    def resolutions(self) -> np.ndarray:
        """(n,) Å of all pairs."""
        return np.array([read_kept(p)["resolution"] for p in sorted(self.folder.glob("*.json"))])

    def draw(self, rng: np.random.Generator, count: int) -> Batch:
        """count training boxes, rotated at random, as batch() gives them."""
        boxes = []
        for pair, atoms, resolution in (self.training[int(rng.integers(len(self.training)))] for _ in range(count)):
            told = resolution * rng.uniform(1 - MISSTATED, 1 + MISSTATED) * (rng.random() >= UNTOLD)
            boxes.append(dataclasses.replace(rotated_box(cut_box(pair, atoms, rng), rng), resolution=told))
        return self.batch(boxes, rng)

    def validation_boxes(self, count: int) -> typing.Iterator[Batch]:
        """The same boxes every time, in batches of count."""
        rng, number = np.random.default_rng(12345), min(CHECKED, 16 * len(self.validation))
        stored = (self.validation[k % len(self.validation)] for k in range(number))
        boxes = [dataclasses.replace(cut_box(pair, atoms, rng, 0.0), resolution=known) for pair, atoms, known in stored]
        yield from (self.batch(boxes[start : start + count], rng) for start in range(0, number, count))

    def batch(self, boxes: typing.Sequence[Box], rng: np.random.Generator) -> Batch:
        """Tensors of Boxes: maps and targets (b, 1, BOX, BOX, BOX); places (b, n, p, 3) about their atoms and weights
        (b, n, p) as score_positions gives them; resolutions (b,)."""
        data = torch.from_numpy(np.stack([box.data for box in boxes])).float()
        looked = [score_positions(box.atoms, self.pixel_size, rng) for box in boxes]
        positions, weights = (torch.from_numpy(np.stack([one[k] for one in looked])) for k in (0, 1))
        return data[:, :1], data[:, 1:], positions, weights, torch.tensor([float(box.resolution) for box in boxes])


def _atoms_file(path: Path) -> Path:
    return path.with_name(path.stem + "_atoms.npy")


def _save(path: Path, array: np.ndarray) -> None:
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)


def _held_out(groups: typing.Mapping[str, int], fraction: float, seed: int) -> set[int]:
    """Numbers of the families for validation: as many molecules as the fraction asks for, at least one family."""
    order = np.random.default_rng(seed).permutation(sorted(set(groups.values())))
    count, wanted, held = 0, fraction * len(groups), set()
    for number in order[:-1]:
        size = sum(g == number for g in groups.values())
        if count and count + size > 1.5 * wanted:
            continue
        held.add(number)
        count += size
        if count >= wanted:
            break
    return held


@reader
def read_pairs(table: str) -> list[dict[str, typing.Any]]:
    """Rows of a table of maps and structures. Raises FileNotFoundError, or ValueError that names the line."""
    path = Path(table)
    if not path.is_file():
        raise FileNotFoundError(f"The table {path} (--pairs) {absent(path)}.")
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = {"map", "structure", "resolution"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(
                f"{path} has no column {', '.join(sorted(missing))}; the columns map, structure and "
                "resolution (Å) are needed, named in the first line."
            )
        rows: list[dict[str, typing.Any]] = list(reader)
    for line, row in enumerate(rows, 2):
        for name in ("map", "structure"):
            if not (row[name] or "").strip():
                raise ValueError(
                    f"{path}, line {line}: the {name} is missing. Give the {name}'s file, or remove the line."
                )
            row[name] = str(path.parent / row[name])
            if not Path(row[name]).is_file():
                raise FileNotFoundError(f"{path}, line {line}: the {name} {row[name]} {absent(row[name])}.")
        try:
            value = float(row["resolution"] or "")
        except ValueError:
            value = 0.0
        if not 0 < value < COARSEST:
            raise ValueError(
                f"{path}, line {line}: the resolution is {row['resolution']!r}; a number between 0 and {COARSEST:g} Å "
                "is needed."
            )
        row["resolution"] = value
    if not rows:
        raise ValueError(f"{path} lists no pairs.")
    return rows


def _real(
    row: typing.Mapping[str, typing.Any], config: TrainMapImproverConfig, lowest: float
) -> tuple[MapPair, list[str]]:
    volume, atoms = read_volume(row["map"]), read_atoms(row["structure"])
    check_density(volume)
    warnings, reference = [*atoms.notes, *check_overlap(volume, atoms)], reference_for(volume, atoms)
    inside = reference.mask > 0.5
    agreement = float(np.corrcoef(volume.data[inside], reference.density[inside])[0, 1])
    if not agreement > MIN_AGREEMENT:
        raise ValueError(
            f"The map {row['map']} and the model {row['structure']} do not agree: around the atoms their correlation "
            f"is {agreement:.2f}. Fit the model into the map, or remove the pair from the table."
        )
    return real_pair(volume, atoms, row["resolution"], config, lowest), warnings
