# SPDX-License-Identifier: GPL-3.0-or-later
"""All training pairs of a run, kept in its working folder, and boxes drawn from them."""
import csv
import json
from pathlib import Path

import numpy as np
import torch

from ..contract.result import write_json
from ..io.files import expand_paths, whole_file
from .similarity import families
from .simulated import real_pair, simulated_pair

BOX = 48  # voxels; the network's
FOLDER = "pairs"
EMPTY = 0.1  # part of the boxes that may show no molecule
PRESENT = 0.1  # of a target's highest density: above it a voxel belongs to the molecule
LEAST_AGREEMENT = 0.1  # correlation of a map with its model's density, below which they are not of one molecule
CHECKED = 64  # boxes that validation looks at, at most


class Pairs:
    """Pairs in files, split into training and validation by molecule.

    folder: the run's working folder; pairs that are there from a stopped run are not made again. config:
    TrainMapImproverConfig. lowest: of the method. training, validation: lists of (map, target) memory maps.
    """

    def __init__(self, folder, config, lowest, log=print):
        self.folder = Path(folder) / FOLDER
        self.folder.mkdir(exist_ok=True)
        self.notes, self.warnings = [], []
        rows = _table(config.pairs) if config.pairs else []
        structures = expand_paths(config.structures) if config.structures else []
        rows, structures = self._without_left_out(rows, structures, config.leave_out)
        groups = families([row["structure"] for row in rows] + structures)
        held = _held_out(groups, config.validation_fraction, config.seed)
        self.sources = [*[("real", row) for row in rows],
                        *[("simulated", s) for s in structures for _ in range(config.simulated)]]
        self.training, self.validation, self.names = [], [], {"training": set(), "validation": set()}
        for number, (kind, source) in enumerate(self.sources):
            path = self.folder / f"{number:05d}.npy"
            if not path.exists():
                self._make(path, kind, source, config, lowest, number)
            self.warnings += json.loads(path.with_suffix(".json").read_text())["warnings"]
            molecule = source["structure"] if kind == "real" else source
            part = "validation" if groups[molecule] in held else "training"
            arrays = np.load(path, mmap_mode="r")
            getattr(self, part).append(arrays)
            self.names[part].add(Path(molecule).name)
            if (number + 1) % 20 == 0:
                log(f"{number + 1} of {len(self.sources)} pairs are ready.")
        if not self.training or not self.validation:
            raise ValueError(f"There are {len(groups)} molecules in {len(set(groups.values()))} families of similar "
                             "ones; at least two families are needed, one to learn from and one to validate on. "
                             "Give more structures (--structures) or pairs (--pairs).")

    def _without_left_out(self, rows, structures, leave_out):
        """Rows and structures that are none of `leave_out`, nor similar to one of them."""
        every = [row["structure"] for row in rows] + structures
        if len(set(every)) < len(every):
            every = list(dict.fromkeys(every))
        if not leave_out:
            return rows, structures
        stem = lambda path: Path(path).name.split(".")[0]
        unknown = set(leave_out) - {stem(path) for path in every}
        if unknown:
            raise ValueError(f"Leave out (--leave-out) names {', '.join(sorted(unknown))}, of which there is no "
                             f"structure. There are: {', '.join(sorted(stem(p) for p in every)[:20])} ...")
        groups = families(every)
        gone = {groups[path] for path in every if stem(path) in leave_out}
        dropped = sorted(stem(p) for p in every if groups[p] in gone)
        self.notes.append(f"Left out, with what is similar: {', '.join(dropped)}.")
        keep = lambda path: groups[path] not in gone
        return [row for row in rows if keep(row["structure"])], [s for s in structures if keep(s)]

    def _make(self, path, kind, source, config, lowest, number):
        rng = np.random.default_rng((config.seed, number))
        pair, warnings = (_real(source, config, lowest) if kind == "real" else
                          (simulated_pair(source, config, lowest, rng), []))
        write_json(path.with_suffix(".json"), dict(name=pair.name, resolution=pair.resolution, kind=kind,
                                                   warnings=list(warnings)))
        with whole_file(path) as temporary, open(temporary, "wb") as file:  # last: what is there is taken for whole
            np.save(file, np.stack([pair.map, pair.target]))

    def resolutions(self):
        """(n,) Å of all pairs."""
        return np.array([json.loads(p.read_text())["resolution"] for p in sorted(self.folder.glob("*.json"))])

    def draw(self, rng, count):
        """count training boxes: (b, 1, BOX, BOX, BOX) maps and targets, turned by one of the 24 rotations of a cube."""
        boxes = [_box(self.training[rng.integers(len(self.training))], rng) for _ in range(count)]
        turned = [_turned(box, rng) for box in boxes]
        return tuple(torch.from_numpy(np.stack([t[k] for t in turned])).float()[:, None] for k in (0, 1))

    def validation_boxes(self, batch):
        """The same boxes every time, in batches."""
        rng = np.random.default_rng(12345)
        count = min(CHECKED, 16 * len(self.validation))
        boxes = [_box(self.validation[k % len(self.validation)], rng, 0.0) for k in range(count)]
        for start in range(0, count, batch):
            part = np.stack(boxes[start:start + batch]).astype(np.float32)
            yield torch.from_numpy(part[:, :1]), torch.from_numpy(part[:, 1:])


def _box(pair, rng, empty=EMPTY):
    """(2, BOX, BOX, BOX) of a (2, d, h, w) pair, where the molecule is but for a part of the time. Small maps are
    padded with zeros."""
    pad = [(0, max(0, BOX - n)) for n in pair.shape[1:]]
    for _ in range(8):
        start = [int(rng.integers(max(1, n - BOX + 1))) for n in pair.shape[1:]]
        box = np.array(pair[(slice(None), *[slice(s, s + BOX) for s in start])])
        if rng.random() < empty or (box[1] > PRESENT).mean() > 0.02:
            break
    if any(after for _, after in pad):
        box = np.pad(box, [(0, 0)] + [(0, BOX - n) for n in box.shape[1:]])
    return box


_TURNS = [(p, s) for p in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2))
          for s in np.ndindex(2, 2, 2)]


def _turned(box, rng):
    """A box turned without a change of its hand."""
    even = {(0, 1, 2), (1, 2, 0), (2, 0, 1)}
    proper = [(p, s) for p, s in _TURNS if (sum(s) % 2 == 0) == (p in even)]
    order, flips = proper[rng.integers(len(proper))]
    turned = box.transpose(0, *[o + 1 for o in order])
    axes = [k + 1 for k, flip in enumerate(flips) if flip]
    return np.ascontiguousarray(np.flip(turned, axes) if axes else turned)


def _held_out(groups, fraction, seed):
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


def _table(path):
    """Rows of the table of pairs: dicts with map, structure (paths from the table's folder) and resolution."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"The table {path} (--pairs) does not exist.")
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = {"map", "structure", "resolution"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{path} has no column {', '.join(sorted(missing))}; the columns map, structure and "
                             "resolution (Å) are needed, named in the first line.")
        rows = list(reader)
    for line, row in enumerate(rows, 2):
        for name in ("map", "structure"):
            row[name] = str(path.parent / row[name])
            if not Path(row[name]).is_file():
                raise FileNotFoundError(f"{path}, line {line}: the {name} {row[name]} does not exist.")
        try:
            row["resolution"] = float(row["resolution"])
        except ValueError:
            raise ValueError(f"{path}, line {line}: the resolution is {row['resolution']!r}; a number in Å is "
                             "needed.") from None
    if not rows:
        raise ValueError(f"{path} lists no pairs.")
    return rows


def _real(row, config, lowest):
    """Pair of a row, after a look whether map and model belong together, and sentences about them."""
    from ..maps.atoms import check_overlap, read_atoms
    from ..maps.measure import reference_for
    from ..maps.volume import check_positive, read_volume
    volume, atoms = read_volume(row["map"]), read_atoms(row["structure"])
    check_positive(volume)
    warnings = [*atoms.notes, *check_overlap(volume, atoms)]
    reference = reference_for(volume, atoms)
    inside = reference.mask > 0.5
    agreement = float(np.corrcoef(volume.data[inside], reference.density[inside])[0, 1])
    if not agreement > LEAST_AGREEMENT:
        raise ValueError(f"The map {row['map']} and the model {row['structure']} do not agree: around the atoms their "
                         f"correlation is {agreement:.2f}. Fit the model into the map, or take the pair out of "
                         "the table.")
    return real_pair(volume, atoms, row["resolution"], config, lowest), warnings
