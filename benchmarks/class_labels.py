#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What 2-D classes teach a picker: the general model picks, its particles are classified, and the classes are labels.

    PYTHON benchmarks/class_labels.py --work FOLDER [--sets 8BK7 empiar10017] --output FILE

The general model picks some micrographs at a lenient threshold (LENIENT); `extract-particles`, `classify-2d` and
`select-classes`, nothing stated but the number of classes, keep some of the particles; `labels-from-classes` and
`train-picker --start-from general` learn from them (classes), or from those kept particles alone whose pick has a score
of 0.5 (confident), or with all else as background (complete). F1 is that on other micrographs. Controls: as confident,
but of as many particles drawn at random (random), and those that are on particles by the ground truth (known). `auto`
is one round of auto-pick on all micrographs that learns from the confident labels, too; auto_alone one without. A set
is a structure that the general model did not learn from, simulated, or one of common.SETS. PYTHON is the engine's.
Finished parts in FOLDER are not done again.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from common import SETS, cryodl, data_folder, evaluate
from general_panel import structures
from parts import engine_path

LENIENT = 0.1
LEARN, TEST, SIDE, PARTICLE_PX, SNR = 8, 4, 1024, 50, 0.05
SHARE = 0.15  # of the area of a close packing
EACH = 60  # particles for each class
REAL_LEARN = {"empiar10017": 2, "empiar10947": 3}  # micrographs, of the set's training ones
REAL_TEST = 4
CONFIDENT = 0.5
CASES = ("classes", "confident", "complete", "random", "known")
AUTO = {"auto": "labels_confident", "auto_alone": None}  # one round of auto-pick: its labels


class Set:
    """Micrographs to learn from and to test on, with their ground truth.

    learn, test: paths. truth: folder of coordinates. pixel_size: Å/px. diameter: Å. border: px. ctf: STAR file or None.
    """

    def __init__(self, name, work):
        self.work = work / name
        self.work.mkdir(parents=True, exist_ok=True)
        (self._real if name in SETS else self._simulated)(name)

    def _real(self, name):
        folder, self.pixel_size, diameter, self.border, training = SETS[name]
        data = data_folder() / folder
        self.truth, self.diameter = data / "coords", diameter * self.pixel_size
        micrographs = sorted((data / "micrographs").glob("*.mrc"))
        self.learn = micrographs[: REAL_LEARN[name]]
        self.test = micrographs[training:][:REAL_TEST]
        self.ctf = None  # the files at hand are low-passed: no Thon rings are left

    def _simulated(self, name):
        from cryodl.simulate.micrographs import particle_diameter
        from cryodl.simulate.structures import load_density

        file = structures("general")[name]
        self.diameter = particle_diameter(load_density(file, 5.0), 5.0)
        self.pixel_size, self.border, data = round(self.diameter / PARTICLE_PX, 2), 0, self.work / "data"
        if not data.exists():
            field = ("--particles", int(SHARE * (SIDE / PARTICLE_PX) ** 2), "--minimum-distance", 0.9, "--snr", SNR)
            dirt = ("--ice", 4, "--aggregates", 2, "--carbon", 0.5, "--gradient", 1)
            given = ("--structure", file, "--pixel-size", self.pixel_size, "--count", LEARN + TEST, "--size", SIDE)
            part = self.work / "data_part"
            shutil.rmtree(part, ignore_errors=True)
            cryodl("simulate-micrographs", *given, *field, *dirt, "--seed", 11, "--threads", 1, "--output", part)
            part.rename(data)
        self.truth, micrographs = data / "coordinates", sorted((data / "micrographs").glob("*.mrc"))
        self.learn, self.test, self.ctf = micrographs[:LEARN], micrographs[LEARN:], self.work / "ctf.star"
        _write_ctfs(data / "ctf", self.ctf)

    def once(self, name, *command):
        """Run a command that writes to the set's folder `name`, if that was not done. Returns the path and CPU s."""
        path, note = self.work / name, self.work / f"{Path(name).name}.cpu"
        if not note.exists():
            shutil.rmtree(path, ignore_errors=True)
            seconds = cryodl(*command, "--output", path, "--threads", 1, "--device", "cpu")[1]
            note.write_text(f"{seconds:.1f}")
        return path, float(note.read_text())

    def scores(self, picks):
        """Figures of the picks of the test micrographs."""
        found = evaluate(picks, self.truth, self.pixel_size, self.diameter, self.border, self.test)
        best = found["all_candidates"]
        return dict(
            f1=found["f1"],
            precision=found["precision"],
            recall=found["recall"],
            best_f1=best["best_f1"],
            ap=best["average_precision"],
        )


def _write_ctfs(folder, star):
    """CTFFIND's texts as one STAR file."""
    from cryodl.io.star import write_tables

    rows = []
    for path in sorted(folder.glob("*.txt")):
        number, u, v, angle, *_ = map(float, path.read_text().split("\n")[-2].split())
        rows.append((path.stem, u, v, angle, 300.0, 2.7, 0.1))
    names = ("rlnMicrographName", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
    names += ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
    write_tables(star, {"": dict(zip(names, map(list, zip(*rows))))})


def classified(one):
    """STAR files of all classified particles and of the kept ones, the general model's folder of picks of the learning
    micrographs, and the diameter that it found."""
    given = ("--pixel-size", one.pixel_size, "--model", "general", "--pictures", 0)
    machine = one.work / "picks"
    record = one.work / "picks.json"
    more = ("--threshold", LENIENT, "--result", record)
    machine, _ = one.once("picks", "pick", "--micrographs", *one.learn, *given, *more, "--avoid", "nothing")
    diameter = json.loads(record.read_text())["outputs"]["particle_diameter"]
    return *classes_of(one, "", machine, one.learn, diameter), machine, diameter


def classes_of(one, prefix, picks, micrographs, diameter):
    """STAR files of all particles that were classified and of the kept ones. prefix: of their folders."""
    from cryodl.io.star import read_tables

    size = ("--pixel-size", one.pixel_size, "--particle-diameter", diameter)
    star = one.work / f"{prefix}particles.star"
    if not star.exists():
        box = 2 * round(0.75 * diameter / one.pixel_size)
        extracted = ("--coordinates", picks, "--micrographs", *micrographs, "--box", box)
        extracted += ("--ctf", one.ctf) if one.ctf else ()
        cryodl("extract-particles", *extracted, *size, "--output", star, "--threads", 1)
    count = max(8, len(read_tables(star)["particles"]["rlnImageName"]) // EACH)
    classes, _ = one.once(f"{prefix}classes", "classify-2d", "--particles", star, "--classes", count)
    kept = one.work / f"{prefix}kept"
    if not kept.exists():
        cryodl("select-classes", "--classes", classes / "classes.star", "--output", kept)
    return classes / "particles.star", kept / "particles.star"


def lenient(one):
    """Folder of the general model's candidates of the test micrographs with a score of at least LENIENT."""
    from cryodl.io.coordinates import read_coordinates, write_coordinates

    folder = one.work / "test_lenient"
    folder.mkdir(exist_ok=True)
    for name, (yx, scores) in read_coordinates(one.work / "test_before" / "candidates").items():
        write_coordinates(folder / f"{name}.star", yx[scores >= LENIENT], scores[scores >= LENIENT])
    return folder


def drawn(one, case, every, kept):
    """STAR file of the particles that are kept in a case."""
    from cryodl.io.star import read_tables, write_tables

    tables = read_tables(every)
    rows = tables["particles"]
    count, path = len(rows["rlnImageName"]), one.work / f"kept_{case}.star"
    if case == "random":
        number = len(read_tables(kept)["particles"]["rlnImageName"])
        chosen = np.sort(np.random.default_rng(5).permutation(count)[:number])
    else:
        chosen = np.nonzero(_right(one, every))[0]
    table = {name: [values[i] for i in chosen] for name, values in rows.items()}
    write_tables(path, {"optics": tables["optics"], "particles": table})
    return path


def _right(one, star):
    """(n,) bool: particles of a STAR file that were extracted at a particle."""
    from cryodl.core.matching import match_picks
    from cryodl.io.coordinates import read_coordinates
    from cryodl.io.particle_positions import read_particle_positions
    from cryodl.io.star import read_tables

    truth = {p.stem: read_coordinates(one.truth / f"{p.stem}.star")[p.stem][0] for p in one.learn}
    names = np.array([Path(name).stem for name in read_tables(star)["particles"]["rlnMicrographName"]])
    right = np.zeros(len(names), bool)
    for key, found in read_particle_positions(star).items():
        right[names == key] = match_picks(found.yx, truth[key], one.diameter / one.pixel_size / 4)
    return right


def trained(one, case, every, kept, machine, diameter):
    """Figures of a picker that learned from the labels of a case."""
    size = ("--pixel-size", one.pixel_size, "--particle-diameter", diameter)
    labels = one.work / f"labels_{case}"
    if not labels.exists():
        particles = ("--kept", kept, "--classified", every, "--coordinates", machine / "candidates")
        particles += ("--minimum-score", CONFIDENT) if case in ("confident", "random") else ()
        cryodl("labels-from-classes", *particles, "--micrographs", *one.learn, *size, "--output", labels)
    given = ("--micrographs", *one.learn, "--coordinates", labels, *size)
    given += ("--labels", "complete") if case == "complete" else ()
    model, cpu = one.once(f"model_{case}", "train-picker", *given, "--start-from", "general")
    test = ("--micrographs", *one.test, "--pixel-size", one.pixel_size, "--pictures", 0)
    picks, _ = one.once(f"test_{case}", "pick", *test, "--model", model, "--avoid", "nothing")
    return dict(one.scores(picks), cpu_training=cpu, **_label_counts(one, labels))


def auto_picked(one, case):
    """Figures of one round of `auto-pick` on all micrographs, with labels of 2-D classes or without."""
    given = ("--micrographs", *one.learn, *one.test, "--pixel-size", one.pixel_size, "--rounds", 1)
    given += ("--corrections", one.work / AUTO[case]) if AUTO[case] else ()
    picks, cpu = one.once(case, "auto-pick", *given)
    rounds = [line.split(",") for line in (picks / "rounds.csv").read_text().splitlines()]
    separations = [float(line[rounds[0].index("separation")] or "nan") for line in rounds[1:]]
    first, last = (one.work / case / "rounds" / number / "picks" for number in "01")
    return dict(one.scores(picks), cpu=cpu, separations=separations, rounds=[one.scores(first), one.scores(last)])


def _label_counts(one, labels):
    """Certain and removed labels, and how many of each are on particles."""
    from cryodl.core.matching import match_picks
    from cryodl.io.coordinates import read_coordinates
    from cryodl.micrographs.byhand.corrections import read_corrections

    names = [path.stem for path in one.learn]
    truth = {name: read_coordinates(one.truth / f"{name}.star")[name][0] for name in names}
    found, counts = read_corrections(labels, names), {}
    for word in ("certain", "removed"):
        positions = getattr(found, word)
        hits = [match_picks(yx, truth[name], one.diameter / one.pixel_size / 4) for name, yx in positions.items()]
        counts[word] = sum(map(len, hits))
        counts[f"{word}_right"] = int(sum(hit.sum() for hit in hits))
    return counts


def judged(one, every, kept, models, diameter):
    """{model: what two judges without ground truth say of its picks of the test micrographs}.

    separation: of auto-pick's observer, for half of the micrographs, drawn on the other half, the mean of both ways.
    auc: how well the scores tell particles of kept classes from those of rejected ones; 0 where the model has no
    candidate. every, kept: STAR files of particles of the test micrographs.
    """
    from scipy.spatial import cKDTree
    from scipy.stats import rankdata

    from cryodl.io.coordinates import read_coordinates
    from cryodl.io.particle_positions import read_particle_positions

    positions, good = (read_particle_positions(star) for star in (every, kept))
    reach, found = diameter / one.pixel_size / 4, {}
    folders = {model: one.work / f"test_{model}" / "candidates" for model in models}
    candidates = {model: read_coordinates(folder) for model, folder in folders.items()}
    numbers = {name: int(round(scores.sum())) for name, (_, scores) in candidates["before"].items()}
    for model, picks in candidates.items():
        scores, is_kept = [], []
        for name, particles in positions.items():
            distance, nearest = cKDTree(picks[name][0]).query(particles.yx)
            scores.append(np.where(distance < reach, picks[name][1][nearest], 0))
            is_kept.append(cKDTree(good[name].yx).query(particles.yx)[0] < 0.5 if name in good else distance < 0)
        ranks, is_kept = rankdata(np.concatenate(scores)), np.concatenate(is_kept)
        count = is_kept.sum()
        auc = (ranks[is_kept].sum() - count * (count + 1) / 2) / (count * (~is_kept).sum())
        found[model] = dict(auc=float(auc), separation=_separation(one, picks, numbers, diameter))
    return found


def _separation(one, picks, numbers, diameter):
    from cryodl.core.geometry import map_positions
    from cryodl.io.micrographs import read_micrograph
    from cryodl.micrographs.normalize import prepare_micrograph
    from cryodl.micrographs.pickers import picker_method
    from cryodl.micrographs.pickers.observer import separation
    from cryodl.micrographs.pickers.predict import working_factor

    method, parts = picker_method("unet"), []
    for path in one.test:
        image = read_micrograph(path)
        factor = working_factor(method, one.pixel_size, diameter)
        prepared = prepare_micrograph(image, factor, method.working_diameter)
        yx, scores = picks[path.stem]
        best = yx[np.argsort(-scores)[: numbers[path.stem]]]
        parts.append((prepared, map_positions(best, prepared.shape, prepared.image.shape)))
    halves = parts[::2], parts[1::2]
    both = [separation(a, b, method.working_diameter) for a, b in (halves, halves[::-1])]
    return None if None in both else float(np.mean(both))


def measured(name, work, cases):
    """The row of a set."""
    one = Set(name, work)
    every, kept, machine, diameter = classified(one)
    right, good = _right(one, every), _right(one, kept)
    row = dict(
        set=name,
        diameter_found=diameter,
        diameter=round(one.diameter, 1),
        classified=len(right),
        right=int(right.sum()),
        kept=len(good),
        kept_right=int(good.sum()),
    )
    test = ("--micrographs", *one.test, "--pixel-size", one.pixel_size, "--pictures", 0)
    picks, _ = one.once("test_before", "pick", *test, "--model", "general", "--avoid", "nothing")
    row["before"] = one.scores(picks)
    print(json.dumps(row), flush=True)
    for case in cases:
        if case in AUTO:
            row[case] = auto_picked(one, case)
            print(name, case, row[case], flush=True)
            continue
        stars = drawn(one, case, every, kept) if case in ("random", "known") else kept
        row[case] = trained(one, case, every, stars, machine, diameter)
        print(name, case, row[case], flush=True)
    there = ["before"] + [case for case in CASES if (one.work / f"test_{case}.cpu").exists()]
    row["judges"] = judged(one, *classes_of(one, "judge_", lenient(one), one.test, diameter), there, diameter)
    return row


def _rounded(value):
    """Figures of four digits."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where the sets are kept")
    parser.add_argument("--sets", nargs="+", default=["8BK7", "1U19", "9N5J", "empiar10017"])
    parser.add_argument("--cases", nargs="+", default=["classes", "confident", "random"], choices=[*CASES, *AUTO])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    engine_path()
    rows = json.loads(options.output.read_text())["rows"] if options.output and options.output.exists() else []
    for name in options.sets:
        row = measured(name, options.work, options.cases)
        print(json.dumps(row, indent=1), flush=True)
        earlier = [other for other in rows if other["set"] == name]
        rows = [other for other in rows if other["set"] != name] + [{**(earlier or [{}])[0], **_rounded(row)}]
        if options.output:
            cases = " ".join(case for case in (*CASES, *AUTO) if any(case in r for r in rows))
            given = f"--sets {' '.join(r['set'] for r in rows)} --cases {cases} --output FILE"
            made = dict(
                command=f"PYTHON benchmarks/class_labels.py --work FOLDER {given}",
                threshold=LENIENT,
                snr=SNR,
                rows=rows,
            )
            options.output.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
