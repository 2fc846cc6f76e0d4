# SPDX-License-Identifier: GPL-3.0-or-later
"""Pickers on the real sets, which are labelled: networks and labels, the general model, corrections, templates, cost.

Matching: one to one, within half the particle radius, the border left out. Best F1 and AP are of
all candidates, F1 of the picks that `cryodl pick` writes by default; trained networks and templates avoid no areas.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import mrcfile
import numpy as np
import torch
from bench import (
    CPU,
    NETWORKS,
    SETS,
    benchmark,
    columns,
    cryodl,
    f1_ap,
    flags,
    grouped,
    groups,
    in_order,
    mean,
    pick,
    real,
    recorded,
    score,
    structure_file,
    title,
    train,
)
from peers import Topaz, expected_particles, positions
from scipy.ndimage import gaussian_filter, rotate

from cryodl.contract.fields import AVOIDABLE
from cryodl.core.matching import match_picks, score_matched
from cryodl.io.coordinates import read_coordinates, write_coordinates
from cryodl.io.micrographs import micrograph_shape, read_micrograph
from cryodl.io.model import write_model
from cryodl.micrographs import normalize, pickers, templates
from cryodl.micrographs.assess.assessment import areas_of
from cryodl.micrographs.byhand.questions import choose_questions, read_questions
from cryodl.micrographs.byhand.store import HandPicks, Pick
from cryodl.micrographs.pickers.pick_files import avoided_areas, outside_areas

EVERY = ("general", "resnet8_u64", "resnet16_u64", "Topaz trained", "unet")


# ----- labels


def drawn(real, count, seed, micrographs):
    """{name: yx} of `count` of the particles of some micrographs, at random."""
    known = positions(real)
    rows = [(Path(p).stem, i) for p in micrographs for i in range(len(known[Path(p).stem]))]
    chosen = [rows[i] for i in sorted(np.random.default_rng(seed).permutation(len(rows))[:count])]
    return {name: known[name][[i for n, i in chosen if n == name]] for name in dict.fromkeys(n for n, _ in chosen)}


def spoil(ground_truth_yx, shape, diameter, missing, wrong, rng):
    """Labels (n, 2) of one micrograph in px, of which parts are missing or wrong.

    ground_truth_yx: (m, 2). shape: (h, w). missing: fraction of it left out. wrong: fraction of the labels that are on
    no particle.
    """
    kept = ground_truth_yx[rng.random(len(ground_truth_yx)) >= missing]
    number, empty = int(round(len(kept) * wrong / (1 - wrong))), []
    while len(empty) < number:
        position = rng.uniform(diameter, np.array(shape) - diameter)
        if np.linalg.norm(ground_truth_yx - position, axis=1).min() > 0.75 * diameter:
            empty.append(position)
    return np.vstack([kept, *empty]) if empty else kept


def labels_of(real, what, seed, folder):
    """A folder of labels of the set's training micrographs. what: 'all', 'N positives', 'N % missing' (not labelled) or
    'N % wrong' (that part of the labels is on no particle, at least 0.75 diameters from every one)."""
    number, kind = [*what.split(" ", 1), ""][:2]
    rng, known = np.random.default_rng(seed), positions(real)
    yx = {Path(p).stem: known[Path(p).stem] for p in real.train}
    if kind == "positives":
        yx = drawn(real, int(number), seed, real.train)
    elif kind:
        parts = [float(number) / 100 * (kind == f"% {word}") for word in ("missing", "wrong")]
        shape = micrograph_shape(real.train[0])
        yx = {name: spoil(places, shape, real.diameter_px, *parts, rng) for name, places in yx.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, places in yx.items():
        write_coordinates(folder / f"{name}.star", places, np.ones(len(places)))
    return folder


def table_of(rows, head, lines, columns):
    """Best F1 / AP (F1) by two keys. lines, columns: {title: {key: value}} of the rows that a cell shows."""
    found = lambda wanted: next((f1_ap(r) for r in rows if wanted.items() <= r.items()), "not measured")
    has = lambda wanted: any(wanted.items() <= r.items() for r in rows)
    shown = {t: w for t, w in columns.items() if has(w)}
    there = {t: w for t, w in lines.items() if any(has({**w, **one}) for one in shown.values())}
    return [[head, *shown], *([t, *(found({**w, **one}) for one in shown.values())] for t, w in there.items())]


def training_cost(table, rows, **wanted):
    said = {r["network"]: str(round(r["cpu"])) for r in rows if wanted.items() <= r.items() and "cpu" in r}
    return [[*line, said.get(line[0], "" if number else "training, CPU s")] for number, line in enumerate(table)]


# ----- networks trained on a set's own labels
FEW = 100  # positives up to which all networks but topaz learn from boxes, as docs/labels.md advises
POSITIVES = {f"{title(s)}, {n} positives": dict(set=s, labels=f"{n} positives") for s in SETS for n in (20, 100, 1000)}
BY_NETWORK = {network: dict(network=network) for network in (*NETWORKS, "Topaz 0.3.20")}


OTHERS = "100 positives of each other set"
BY_OTHERS = {f"{title(s)}, labels of the other two": dict(set=s, labels=OTHERS) for s in SETS}


def network_cases():
    own = [dict(part, network=network, seed=0) for part in POSITIVES.values() for network in BY_NETWORK]
    return own + [dict(part, network=network, seed=0) for part in BY_OTHERS.values() for network in NETWORKS]


def learn(sets, labels, network, folder, seed=0, steps=None):
    """Train a network on some labels of each set, in folder/model: boxes where they are few, but for topaz. All sets
    are taken for one in which particles have the sets' mean diameter in px. Returns its cost."""
    few = int(labels.split()[0]) <= FEW and network != "topaz"
    expected = None if few else round(mean(map(expected_particles, sets)))
    for one in sets:
        labels_of(one, labels, seed, folder / "labels")
    together = dataclasses.replace(sets[0], diameter_px=mean(one.diameter_px for one in sets))
    options = flags(
        network=network, labels="boxes" if few else "sparse", seed=seed, steps=steps, expected_particles=expected
    )
    micrographs = [path for one in sets for path in one.train]
    return train(together, folder / "labels", folder / "model", *options, micrographs=micrographs)


@benchmark(
    cases=network_cases,
    tables={
        "few-labels": lambda rows: training_cost(
            table_of(rows, "network", BY_NETWORK, POSITIVES), rows, set="empiar10017", labels="100 positives"
        ),
        "cross-molecule": lambda rows: table_of(rows, "network", BY_NETWORK, BY_OTHERS),
    },
    quick=dict(steps=4),
)
def picking_networks(run, set, labels, network, seed, steps=None):
    """Networks trained on the same few labels of a set, or of the two other sets, beside Topaz."""
    one, folder = real(set), run.folder(f"{set} {labels} {network} {seed}")
    if network.startswith("Topaz"):
        topaz = Topaz(run.tool("topaz"), run.output / "topaz")
        model, cost = topaz.train(one, labels_of(one, labels, seed, folder / "labels"), folder / "model")
        return dict(cost, **topaz.score_set(one, model, folder / "picks.txt"))
    sets = [real(name) for name in SETS if name != set] if labels == OTHERS else [one]
    cost = learn(sets, " ".join(labels.split()[:2]), network, folder, seed, steps)
    picked = pick(one.test, one.pixel_size, one.diameter, folder / "model", folder / "picks")
    return dict(cost, pick_cpu=picked["cpu"], **score(one, folder / "picks"))


# ----- one thing of a training changed
PLAIN = """import numpy as np
from cryodl.micrographs.pickers import crops, cryolo, deepem, method, patch
crops.random_rotation = patch.random_rotation = deepem.quarter_rotation = lambda rng: np.eye(2)
cryolo.CrYOLO.augment = method.PickerMethod.augment = lambda self, image, rng: image"""
RELU = "from torch import nn\nnn.Sigmoid = nn.ReLU"
FREE = """import torch
torch.nn.Dropout.forward = lambda self, values: values
adam = torch.optim.AdamW
torch.optim.AdamW = lambda weights, weight_decay=0, **more: adam(weights, weight_decay=0, **more)"""
MAX_OUT = """from torch import nn
from cryodl.micrographs.pickers import deeppicker
class Two(nn.Conv2d):  # each filter is two, of which the stronger answers
    def __init__(self, before, width, kernel, step=None, **more):
        super().__init__(before, width if step else 2 * width, kernel, step or 1, **more)
        self.out_channels = width
    def forward(self, images):
        found, pairs = super().forward(images), len(self.weight) in (16, 32, 64, 128)
        return found.unflatten(1, (2, -1)).amax(1) if pairs else found
def build(self, plain=deeppicker.DeepPicker.build):
    network = plain(self)
    for place in (1, 4, 7, 10):
        network[place] = nn.Identity()
    return network
nn.Conv2d, deeppicker.DeepPicker.build = Two, build"""
POSITIVE = """from torch import nn
from cryodl.micrographs.pickers import deepem
deepem.initial_weights = lambda network, *_: [nn.init.uniform_(w) for w in network.parameters()] and network"""
FEWER = "from cryodl.micrographs.pickers import deeppicker\ndeeppicker.WIDTHS = (4, 8, 16, 32)"
SMALLER = "from cryodl.micrographs.pickers import deeppicker\ndeeppicker.KERNELS = (3, 3, 3, 3)"
STRIDES = """from torch import nn
class Stepping(nn.Conv2d):
    def __init__(self, before, width, kernel, step=2, **more):
        super().__init__(before, width, kernel, step, **more)
nn.Conv2d, nn.MaxPool2d = Stepping, nn.Identity"""
REFLECTING = """from torch import nn
class Reflecting(nn.Conv2d):
    def __init__(self, *given, **more):
        super().__init__(*given, padding_mode="reflect", **more)
nn.Conv2d = Reflecting"""
TURN_ALL = 37  # degrees
TURNED = f"test micrographs turned by {TURN_ALL}°"
CHANGES = {  # labels, code that runs before the commands, networks, options of train-picker
    "nothing": ("all", "", NETWORKS, ()),
    TURNED: ("all", "", NETWORKS, ()),
    "half of the labels wrong": ("50 % wrong", "", NETWORKS, ()),
    "half of the particles without a label": ("50 % missing", "", ("unet",), ()),
    "half of the particles marked as uncertain": ("50 % missing", "", ("unet",), ()),
    "no augmentation": ("all", PLAIN, ("unet", "deeppicker", "deepem", "cryolo"), ()),
    "ReLU in place of sigmoids": ("all", RELU, ("deepem",), ()),
    "weights drawn between 0 and 1": ("all", POSITIVE, ("deepem",), ()),
    "max-out in place of ReLU": ("all", MAX_OUT, ("deeppicker",), ()),
    "half as many filters": ("all", FEWER, ("deeppicker",), ()),
    "filters of 3 px": ("all", SMALLER, ("deeppicker",), ()),
    "strides in place of pooling": ("all", STRIDES, ("deeppicker",), ()),
    "reflecting in place of zero padding": ("all", REFLECTING, ("unet",), ()),
    "two recursions": ("all", "", ("deepem",), ("--recursions", 2)),
    "no dropout, no decay of weights": ("all", FREE, ("unet", "deeppicker"), ()),
    "one micrograph": ("all", "", ("unet",), ()),
    "half of the micrographs for validation": ("all", "", ("unet",), ("--validation-fraction", 0.5)),
}
SHORT = dict(unet=150, deeppicker=300, deepem=300, cryolo=100, eman2=100)  # steps, where a network would take more


def turned_picks(one, model, folder, angle):
    """F1 and best F1 of three test micrographs turned about their middles, in the largest disc less a diameter."""
    paths = [folder / str(angle) / Path(path).name for path in one.test[:3]]
    (folder / str(angle)).mkdir(parents=True)
    for path, made in zip(one.test, paths):
        image = read_micrograph(path)
        mrcfile.write(made, rotate(image, angle, reshape=False, mode="reflect") if angle else image)
    pick(paths, one.pixel_size, one.diameter, model, folder / f"picks {angle}")
    turn, known, figures = np.deg2rad(angle), positions(one), {}
    back = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    for name, source in (("f1", folder / f"picks {angle}"), ("best_f1", folder / f"picks {angle}" / "candidates")):
        found, hits, scores, total = read_coordinates(source), [], [], 0
        for path in paths:
            shape, (yx, confidence) = np.array(micrograph_shape(path)), found[Path(path).stem]
            middle = (shape - 1) / 2
            inside = lambda places: np.linalg.norm(places - middle, axis=1) < shape.min() / 2 - one.diameter_px
            yx, truth = (yx - middle) @ back.T + middle, known[Path(path).stem]
            hits.append(match_picks(yx[inside(yx)], truth[inside(truth)], one.diameter_px / 4))
            scores.append(confidence[inside(yx)])
            total += inside(truth).sum()
        figures[name] = getattr(score_matched(np.concatenate(hits), np.concatenate(scores), total), name)
    return figures


def changed_score(row):
    return f1_ap(row) if row["change"] != TURNED else f"{row['best_f1']:.3f} ({row['straight']['best_f1']:.3f})"


@benchmark(
    cases=lambda: [dict(change=change, network=n) for change, (*_, names, _) in CHANGES.items() for n in names],
    tables={
        "picking-changes": columns(
            {
                "changed": "change",
                "network": "network",
                "best F1 / AP (F1 at the default threshold)": changed_score,
                "rounds: false picks, validation": lambda r: ", ".join(
                    f"{one['false_positives']}, {one['metric']:.3f}" for one in r.get("rounds") or ()
                ),
                "steps": "steps",
            }
        )
    },
    quick=dict(set="empiar10028", steps=4),
)
def picking_changes(run, change, network, set="empiar10017", steps=None):
    """What one thing of a training is worth: augmentation, activations, filters, further rounds, wrong labels,
    uncertain places, numbers of micrographs; all labels of the training micrographs, taken for complete."""
    one, folder = real(set), run.folder(f"{change} {network}")
    labels, patch, _, options = CHANGES[change]
    given = labels_of(one, labels, 0, folder / "labels")
    options += ("--network", network, "--labels", "complete", *flags(steps=steps or SHORT.get(network)))
    if "uncertain" in change:
        (folder / "uncertain").mkdir()
        for path in given.glob("*.star"):
            known = positions(one)[path.stem]
            left = known[~match_picks(known, read_coordinates(path)[path.stem][0], 1.0)]
            write_coordinates(folder / "uncertain" / path.name, left, np.ones(len(left)))
        options += ("--uncertain", folder / "uncertain")
    micrographs = one.train[:1] if change == "one micrograph" else one.train
    learn_it = lambda path: train(one, given, path, *options, micrographs=micrographs, patch=patch)
    model = run.kept(f"models/{set} {network} {'nothing' if change == TURNED else change} {steps}", learn_it)
    training = json.loads((model / "card.json").read_text())["training"]
    found = dict(steps=training["steps"], rounds=training.get("recursions"))
    if change == TURNED:
        return dict(turned_picks(one, model, folder, TURN_ALL), straight=turned_picks(one, model, folder, 0), **found)
    pick(one.test, one.pixel_size, one.diameter, model, folder / "picks", patch=patch)
    return dict(score(one, folder / "picks"), **found)


# ----- what no training saw
PICKERS = {
    "general model": dict(picker="general"),
    "Topaz pretrained (resnet8_u64)": dict(picker="resnet8_u64"),
    "Topaz pretrained (resnet16_u64)": dict(picker="resnet16_u64"),
    "Topaz trained on the set's other micrographs": dict(picker="Topaz trained"),
    "unet trained on the set's other micrographs": dict(picker="unet"),
}
BY_SET = {title(name): dict(set=name) for name in SETS}


@benchmark(
    cases=dict(set=SETS, picker=EVERY),
    tables={"unseen": lambda rows: table_of(rows, "set, its test micrographs", BY_SET, PICKERS)},
    quick=dict(set="empiar10028"),
)
def unseen(run, set, picker):
    """The general model, given nothing, on sets that it did not learn from, nor their molecules; Topaz's detectors,
    which may have seen these sets; and networks trained on the set."""
    one, folder = real(set), run.folder(f"{set} {picker}")
    if picker == "general":
        folder.mkdir()
        given = ("--model", "general", *CPU)
        outputs, _, cost = recorded("pick", folder / "picks", *all_of(one), *given)
        every = score(one, folder / "picks", one.micrographs)
        return dict(score(one, folder / "picks"), all=every, diameter=outputs["picked_diameter"], pick_cpu=cost[1])
    given = labels_of(one, "all", 0, folder / "labels")
    if picker == "unet":
        cost = train(one, given, folder / "model", "--labels", "complete")
        pick(one.test, one.pixel_size, one.diameter, folder / "model", folder / "picks")
        return dict(cost, **score(one, folder / "picks"))
    topaz = Topaz(run.tool("topaz"), run.output / "topaz")
    model = topaz.train(one, given, folder / "model")[0] if picker == "Topaz trained" else picker
    return topaz.score_set(one, model, folder / "picks.txt")


def all_of(one):
    return "--micrographs", *one.micrographs, "--pixel-size", one.pixel_size


AS_USED = "--avoid", AVOIDABLE[-1]


def boxes_table(rows):
    starts = {"general model, no label": {"start": "nothing"}, "20 boxes, from the general model": {"start": "general"}}
    figures = lambda part: {key: mean(r[key] for r in part) for key in ("best_f1", "ap", "f1")}
    means = [dict(part[0], **figures(part)) for part in grouped(rows, "set", "start").values()]
    return table_of(means, "set, mean of the draws", dict(reversed(BY_SET.items())), starts)


@benchmark(
    cases=lambda: [
        dict(set=s, start=a, seed=n) for s in SETS for a, n in [("nothing", 0), *(("general", n) for n in range(5))]
    ],
    tables={"twenty-boxes": boxes_table},
    quick=dict(start="general", set="empiar10028", steps=4),
)
def twenty_boxes(run, set, start, seed, count=20, steps=None):
    """Boxes on particles of one micrograph: the picker that learns from them, beside the general model without them."""
    one, work = real(set), run.work(f"{set} {start} {seed}")
    model = "general"
    if start != "nothing":
        model, name = work / "model", Path(one.train[0]).stem
        yx = positions(one)[name]
        chosen = yx[np.random.default_rng(seed).permutation(len(yx))[:count]]
        write_coordinates(work / f"{name}.star", chosen, np.ones(len(chosen)))
        options = ("--start-from", start, *(("--steps", steps) if steps else ()))
        train(one, work / f"{name}.star", model, "--labels", "boxes", *options, micrographs=one.train[:1])
    pick(one.test, one.pixel_size, None, model, work / "picks", *AS_USED)
    return score(one, work / "picks")


def rounds_of(row):
    """Number of rounds, the one that was used, and the expected particles before and in it."""
    head, *lines = [line.split(",") for line in row["rounds"]]
    expected = [round(float(line[head.index("expected_particles")])) for line in lines]
    used = max(range(len(lines)), key=lambda n: float(lines[n][head.index("separation")]))
    return len(lines) - 1, used, expected[0], expected[used]


@benchmark(
    cases=dict(set=SETS),
    tables={
        "auto-picking": columns(
            {
                "set": "set",
                "general model": lambda r: f1_ap(r["before"]),
                "after auto-pick": lambda r: f1_ap(r["after"]),
                "rounds": lambda r: "{}, {} used".format(*rounds_of(r)),
                "expected particles, before and after": lambda r: "{2}, {3}".format(*rounds_of(r)),
                "CPU s": "cpu",
            }
        )
    },
    quick=dict(set="empiar10028", options="--rounds 1 --steps 4"),
)
def auto_picking(run, set, options=""):
    """What the rounds of `auto-pick` gain over the general model that they begin with, nothing given. Every micrograph
    is picked, and its published particles serve for the evaluation alone."""
    one, folder = real(set), run.work(set)
    pick(one.micrographs, one.pixel_size, None, "general", folder / "general")
    outputs, warnings, cost = recorded("auto-pick", folder / "auto", *all_of(one), *CPU, *options.split())
    before, after = (score(one, folder / name, one.micrographs) for name in ("general", "auto"))
    rounds = (folder / "auto" / "rounds.csv").read_text().splitlines()
    return dict(before=before, after=after, rounds=rounds, warnings=warnings, cpu=round(cost[1]), memory=round(cost[3]))


@benchmark(
    cases=dict(set=SETS),
    tables={
        "avoided-real": columns(
            {
                "set": lambda r: title(r["set"]),
                "areas to avoid": "avoid",
                "marks on them": lambda r: f"{r['avoided_marks']} of {r['marks']:,}",
                **{name if name != "f1" else "F1": f"{name}:.3f" for name in ("precision", "recall", "f1")},
            }
        )
    },
    quick=dict(set="empiar10028"),
)
def avoided_real(run, set):
    """What `cryodl pick --avoid` does to F1, and how many published marks lie on what is avoided: one row for each
    setting, of the same candidates."""
    one, work = real(set), run.work(set)
    given = ("--model", "general", "--pictures", 0, "--avoid", "nothing")
    diameter = recorded("pick", work / "picks", *all_of(one), *given, *CPU)[0]["picked_diameter"]
    marks, rows = positions(one), []
    for avoid in AVOIDABLE:
        (work / avoid).mkdir()
        on = 0
        for path in map(Path, one.micrographs):
            yx, scores = read_coordinates(work / "picks" / f"{path.stem}.star")[path.stem]
            if avoid != "nothing":
                areas = avoided_areas(
                    areas_of(read_micrograph(path), one.pixel_size, diameter),
                    shape := micrograph_shape(path),
                    one.pixel_size,
                    diameter,
                    avoid,
                )
                kept, free = (outside_areas(areas, places, shape) for places in (yx, marks[path.stem]))
                yx, scores, on = yx[kept], scores[kept], on + int((~free).sum())
            write_coordinates(work / avoid / f"{path.stem}.star", yx, scores, "picks")
        found = score(one, work / avoid, one.micrographs)
        counts = dict(avoid=avoid, marks=sum(map(len, marks.values())), avoided_marks=on)
        rows.append(dict(counts, **{key: found[key] for key in ("precision", "recall", "f1")}))
    return rows


# ----- corrections by hand
GIVEN = {"none": "none", "train-picker": "50, 5 % of them wrong", "auto-pick": "the same, learnt by `auto-pick`"}


def spread(values):
    """Their mean, and the lowest and highest."""
    return f"{mean(values):.3f}" + (f" ({min(values):.3f}-{max(values):.3f})" if len(values) > 1 else "")


def given(draws):
    """What was corrected, and how much of it."""
    numbers = sorted({f"{d['added']} added, {d['removed']} removed" for d in draws if "added" in d})
    return GIVEN[draws[0]["by"]] + (f" ({' or '.join(numbers)})" if numbers else "")


by_given = lambda rows, *keys: dict(
    sorted(grouped(rows, *keys).items(), key=lambda one: (one[0][0], list(GIVEN).index(one[0][1])))
)
corrections_table = groups(
    ("set", "by"),
    {
        "set": lambda draws: title(draws[0]["set"]),
        "corrections": given,
        "best F1 / AP": lambda draws: " / ".join(f"{mean(d[key] for d in draws):.3f}" for key in ("best_f1", "ap")),
        "F1 at the default threshold": lambda draws: spread([d["f1"] for d in draws]),
    },
    by_given,
)


def simulated(ground_truth, picks, reach, number, wrong, rng):
    """Corrections of some micrographs by one who knows the truth.

    Parameters
    ----------
    ground_truth, picks : dict
        {name: (n, 2) yx px} of the marks and of the machine's picks.
    reach : float
        Px within which a pick is on a mark.
    number : int
        Corrections in all.
    wrong : float
        Part of them that are wrong.

    Returns
    -------
    list of (name, y, x) that are added, and list that are removed.
    """

    drawn = lambda positions, count: [positions[i] for i in rng.permutation(len(positions))[:count]]
    listed = lambda select: [(name, *position) for name in ground_truth for position in select(name)]
    hits = {name: match_picks(picks[name], ground_truth[name], reach) for name in ground_truth}
    missed = listed(lambda n: ground_truth[n][~match_picks(ground_truth[n], picks[n], reach)])
    half, bad = number // 2, int(round(wrong * (number // 2)))
    removed = drawn(listed(lambda n: picks[n][~hits[n]]), half - bad) + drawn(listed(lambda n: picks[n][hits[n]]), bad)
    added = drawn(missed, number - half - bad)
    while bad:
        name = list(ground_truth)[rng.integers(len(ground_truth))]
        position = rng.uniform(ground_truth[name].min(0), ground_truth[name].max(0))
        if np.linalg.norm(ground_truth[name] - position, axis=1).min() > 1.5 * reach:
            added.append((name, *position))
            bad -= 1
    return added, removed


def correct(folder, machine, added, removed):
    """Write the corrections as the window of picks does. machine: folder of the picks. Returns the places' number."""
    names = sorted({name for name, *_ in added + removed})
    store = HandPicks(str(folder), names, str(machine))
    for name in names:
        picks, _ = store.read(name)
        gone = [p for p in picks if (name, p.y, p.x) in set(map(tuple, removed))]
        new = [Pick(float(y), float(x)) for n, y, x in added if n == name]
        store.write(name, [p for p in picks if p not in gone] + new, gone)


@benchmark(
    cases=lambda: [
        dict(set=s, by=by, seed=seed) for s in SETS for by in GIVEN for seed in range(1 if by == "none" else 5)
    ],
    tables={"corrections": corrections_table},
    quick=dict(set="empiar10028", by="train-picker", count=10, options="--steps 4"),
)
def corrections(run, set, by, seed, wrong=0.05, count=50, options=""):
    """What corrections by hand are worth: the first micrographs are corrected, the others test. The general model
    picks; a human is simulated by the published marks: half of the corrections remove picks that are on no mark, half
    add marks without a pick. Of wrong ones, half remove a pick on a mark and half add a position without."""
    one, work = real(set), run.folder(f"{set} {by} {seed}")
    given = one.micrographs, one.pixel_size, None, "general"
    machine = run.kept(f"general/{set}", lambda path: pick(*given, path, *AS_USED))
    if by == "none":
        return score(one, machine)
    names = [Path(p).stem for p in one.train]
    found = {n: yx for n, (yx, _) in read_coordinates(machine).items()}
    truth, picks = ({n: yx[n] for n in names} for yx in (positions(one), found))
    added, removed = simulated(truth, picks, one.diameter_px / 2, count, wrong, np.random.default_rng(seed))
    correct(work / "labels", machine, added, removed)
    if by == "auto-pick":
        given = ("--corrections", work / "labels", "--output", work / "picks", *CPU, *options.split())
        cryodl("auto-pick", *all_of(one), *given)
    else:
        train(one, work / "labels", work / "model", "--start-from", "general", *options.split())
        pick(one.test, one.pixel_size, None, work / "model", work / "picks", *AS_USED)
    return dict(score(one, work / "picks"), added=len(added), removed=len(removed))


# ----- questions
answered = lambda part: spread([r["f1"] for r in part]) if part[0]["state"] == "unsure" else "none needed"
questions_table = groups(
    ("set",),
    {
        "set": lambda part: title(part[0]["set"]),
        "state": "state",
        "F1 without answers (best possible)": lambda part: "{without:.3f} ({best_f1:.3f})".format(**part[0]),
        "with 24 answers (5 draws)": answered,
    },
    in_order,
)


@benchmark(
    cases=dict(set=list(SETS), seed=range(5)),
    tables={"questions": questions_table},
    quick=dict(set="empiar10028", seed=0),
)
def questions(run, set, seed, wrong=0.05):
    """What answers to the questions of `pick` are worth: the general model picks the first micrographs; where it is
    unsure, the published marks answer, a twentieth of the answers wrong; the other micrographs test."""
    one, work = real(set), run.folder(f"{set} {seed}")
    by = lambda micrographs: (
        lambda path: pick(
            micrographs, one.pixel_size, None, "general", path, "--result", path / "result.json", *AS_USED
        )
    )
    first, found = run.kept(f"first/{set}", by(one.train)), score(one, run.kept(f"others/{set}", by(one.test)))
    made = json.loads((first / "result.json").read_text())["outputs"]
    row = dict(state=made["state"], without=found["f1"], best_f1=found["best_f1"])
    if not made["questions"]:
        return dict(row, f1=found["f1"])
    candidates, marks = read_coordinates(first / "candidates"), positions(one)
    model = read_questions(first / "questions.json").model
    asked = choose_questions(candidates, made["threshold"], made["picked_diameter"] / one.pixel_size, model, seed)
    rng, places = np.random.default_rng(seed), []
    for q in asked.places:
        on = match_picks(np.array([[q.y, q.x]]), marks[q.micrograph], one.diameter_px / 2)[0]
        places.append(dataclasses.replace(q, answer="yes" if on != (rng.random() < wrong) else "no"))
    (work / "answers").mkdir(parents=True, exist_ok=True)
    dataclasses.replace(asked, places=tuple(places)).write(work / "answers" / "answers.json")
    given = dict(micrographs=one.test, pixel_size=one.pixel_size, answers=work / "answers")
    recorded("pick", work / "picks", *flags(**given, pictures=0), *CPU)
    return dict(row, f1=score(one, work / "picks")["f1"])


# ----- templates
BY_HAND, TURN = "20 references picked by hand", 24  # degrees between the rotations of a reference
SOURCES = {
    "empiar10017": {"projections, beta-galactosidase, 8BK7": "8BK7", BY_HAND: None},
    "empiar10028": {"projections, another molecule: TRiC, 4V94 at 10 Å": "SIM_4V94_10A", BY_HAND: None},
}
REFERENCES = """import torch
from cryodl.core.peaks import disc_normalised, disc_of
from cryodl.micrographs import templates as views
def by_hand(diameter):
    disc = disc_of(views.RIM * views.ACROSS)
    return views.Templates(disc_normalised(torch.load({!r}), disc), disc, diameter)
views.of_blobs = by_hand"""


def references(one, path, count=20):
    """Boxes of `count` particles of the training micrographs, a little smoothed, in all in-plane rotations, written to
    a file; the code that has templates read from it."""
    images, factor, reach = [], templates.ACROSS / one.diameter_px, int(templates.RIM * templates.ACROSS) + 1
    for name, yx in drawn(one, count, 0, one.train).items():
        image = read_micrograph(next(p for p in one.train if Path(p).stem == name))
        prepared = np.pad(
            normalize.prepare_micrograph(image, factor, templates.ACROSS, True).image.numpy(), reach, "reflect"
        )
        for y, x in np.rint(yx * factor).astype(int):
            box = gaussian_filter(prepared[y : y + 2 * reach + 1, x : x + 2 * reach + 1], 1.0)
            images += [rotate(box, angle, reshape=False, mode="nearest") for angle in range(0, 360, TURN)]
    torch.save(torch.from_numpy(np.stack(images)), path)
    return REFERENCES.format(str(path))


@benchmark(
    cases=lambda: [dict(set=s, picker=p) for s in SETS for p in ("general model", "blobs", *SOURCES.get(s, {}))],
    tables={
        "template-picking": columns(
            {
                "set": "set",
                "picker": "picker",
                "best F1 / AP (F1 at the default threshold)": f1_ap,
                "CPU s per micrograph": "cpu:.1f",
            }
        )
    },
    quick=dict(set="empiar10028", picker="blobs"),
)
def template_picking(run, set, picker):
    """`cryodl pick --method templates`, by blobs of the published diameter, by projections, by 20 particles picked
    by hand; and the general model, which is given nothing; on the micrographs that trained pickers are tested on."""
    one, folder = real(set), run.folder(f"{set} {picker.split(',')[0]}")
    if picker == "general model":
        cpu = pick(one.test, one.pixel_size, None, "general", folder)["cpu"]
    else:
        source = SOURCES.get(set, {}).get(picker)
        given = ("--structure", structure_file(source)) if source else ("--particle-diameter", one.diameter)
        size = ("--pixel-size", one.pixel_size, "--threads", 1, "--pictures", 0, "--output", folder)
        patch = references(one, folder.with_suffix(".pt")) if picker == BY_HAND else ""
        cpu = cryodl("pick", "--method", "templates", "--micrographs", *one.test, *given, *size, patch=patch)[1]
    return dict(score(one, folder), cpu=cpu / len(one.test))


# ----- cost
def slope(runs):
    """CPU and wall seconds of one item, those of the start, and MB, of two runs [(count, cpu, wall, memory)]."""
    (n1, cpu1, wall1, _), (n2, cpu2, wall2, memory) = runs
    cpu = (cpu2 - cpu1) / (n2 - n1)
    return dict(cpu=cpu, wall=(wall2 - wall1) / (n2 - n1), start=cpu1 - n1 * cpu, memory=memory)


SPEEDS = [
    *("unet, 150 Å at 1.8 Å/px", "unet, 250 Å at 1.0 Å/px"),
    *(f"{n}, 200 Å at 1.4 Å/px" for n in NETWORKS),
    "general model, 180 Å at 1.2 Å/px",
]


def simulated_copies(run, pixel_size, count, size):
    words = flags(count=1, size=size, particles=300 * size**2 // 4096**2, snr=0.1, seed=3, pixel_size=pixel_size)
    make = lambda path: cryodl("simulate-micrographs", "--structure", structure_file("8BK7"), *words, "--output", path)
    (made,) = (run.kept(f"made {pixel_size} {size}", make) / "micrographs").glob("*.mrc")
    paths = [run.output / f"copy{index}.mrc" for index in range(count)]
    for path in paths:
        shutil.copy(made, path)
    return paths


@benchmark(
    cases=dict(picker=SPEEDS),
    tables={
        "picking-speed": columns(
            {
                "picking": "picker",
                "CPU s per micrograph": "cpu:.2f",
                "start-up CPU s": "start:.1f",
                "peak memory MB": "memory:.0f",
            }
        )
    },
    quick=dict(size=1024, counts="1 2", picker="deepem, 200 Å at 1.4 Å/px"),
)
def picking_speed(run, picker, size=4096, counts="6 9"):
    """CPU seconds and memory of picking 4096 x 4096 px: the slope between runs over 6 and over 9 micrographs, and the
    start, in which the general model asks for size, contrast and calibration. Other networks have random weights."""
    name, said = picker.split(", ", 1)
    pixel_size = float(said.split(" at ")[1].split()[0])
    runs, folder = [], run.folder(name)
    for count in map(int, counts.split()):
        paths, out = simulated_copies(run, pixel_size, count, size), folder / str(count)
        given = ("--model", "general")
        if name != "general model":
            model = run.kept(f"random/{name}", lambda path: random_model(path, name))
            given = ("--model", model, "--particle-diameter", said.split()[0])
        _, *cost = cryodl("pick", "--micrographs", *paths, "--pixel-size", pixel_size, *given, *CPU, "--output", out)
        runs.append((count, *cost))
    return slope(runs)


def random_model(folder, network):
    """A model of random weights: as slow as a trained one. Candidates are few or none at this threshold."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    card = dict(kind="picker", name="random", network=network, particle_diameter=200.0, pixel_sizes=[1.0])
    write_model(
        folder, dict(card, threshold=0.5, minimum_distance=0.5), pickers.picker_method(network).build().state_dict()
    )
