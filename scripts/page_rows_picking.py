# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the tables of picking and windows, each made from the figures of a benchmark; see page_tables.py."""

import typing

from page_cells import Rows, best_and_default, mean, plain

NETWORKS = ("unet", "deeppicker", "deepem", "cryolo", "topaz", "eman2")
SIZES = ((0, 120), (120, 200), (200, 1000))  # Å


def filaments(figures: typing.Any) -> Rows:
    """Traced filaments against the truth."""
    head = ["filament", "SNR", "stated / true diameter", "precision", "recall", "F1", "angle error (degrees)", "CPU s"]
    return [head] + [
        [r["filament"], f"{r['snr']:g}", f"{r['stated']:g}"]
        + [f"{r[key]:.2f}" for key in ("precision", "recall", "f1")]
        + [f"{r['angle_mean']:.1f}", f"{r['seconds']:.1f}"]
        for r in figures["simulated"]
    ]


def filaments_without(figures: typing.Any) -> Rows:
    """What is traced where no filaments are."""
    head = ["real micrographs without filaments", "micrographs", "filament diameter (Å)", "filaments", "segments"]
    keys = ("set", "micrographs", "diameter", "filaments", "segments")
    return [head] + [[plain(r[key]) for key in keys] for r in figures["without"]]


def auto_picking(figures: typing.Any) -> Rows:
    """What the rounds of auto-pick gain."""
    rows = [["set", "general model", "after auto-pick", "rounds", "expected particles, before and after", "CPU s"]]
    for name, r in figures["sets"].items():
        head, *lines = [line.split(",") for line in r["rounds"]]
        expected = [round(float(line[head.index("expected_particles")])) for line in lines]
        used = max(range(len(lines)), key=lambda n: float(lines[n][head.index("separation")]))
        rows.append(
            [name, best_and_default(r["before"]), best_and_default(r["after"]), f"{len(lines) - 1}, {used} used"]
            + [f"{expected[0]}, {expected[used]}", plain(r["cpu"])]
        )
    return rows


def corrections(figures: typing.Any) -> Rows:
    """What corrections by hand are worth."""
    rows = [["set", "corrections", "best F1 / AP", "F1 at the default threshold"]]
    words = {"before": "none", "0 wrong": "50", "0.2 wrong": "50, 20 % of them wrong"}
    words["auto-pick, 0 wrong"] = "50, learnt by `auto-pick`"
    for name, cases in sorted(figures["sets"].items()):
        for case, word in words.items():
            draws = [scores for key, scores in cases.items() if key.split(", seed")[0] == case]
            if not draws:
                continue
            numbers = sorted({f"{d['added']} added, {d['removed']} removed" for d in draws if "added" in d})
            best = [f"{mean([d[key] for d in draws]):.3f}" for key in ("best_f1", "ap")]
            values = sorted(d["f1"] for d in draws)
            spread = f" ({values[0]:.3f}-{values[-1]:.3f})" if len(values) > 1 else ""
            given = f"{word} ({' or '.join(numbers)})" if numbers else word
            rows.append([name.replace("empiar", "EMPIAR-"), given, " / ".join(best), f"{mean(values):.3f}{spread}"])
    return rows


LABELS_OF_CLASSES = {
    "before": "none: general model",
    "classes": "all kept particles",
    "confident": "kept, score at least 0.5",
    "complete": "all kept, everything else background",
    "random": "as many drawn at random, score at least 0.5",
    "known": "those on particles",
}


def class_labels(figures: typing.Any) -> Rows:
    """What labels from 2-D classes teach a picker."""
    rows = [["set", "labels", "certain, on a particle", "removed, on a particle", "best F1 / AP (F1)"]]
    for r in figures["rows"]:
        for case, word in LABELS_OF_CLASSES.items():
            if case not in r:
                continue
            found, cells = r[case], ["", ""]
            if case != "before":
                pairs = [(found["certain_right"], found["certain"]), (found["removed_right"], found["removed"])]
                cells = [f"{right} of {count} ({100 * right / max(count, 1):.0f} %)" for right, count in pairs]
            rows.append([r["set"].replace("empiar", "EMPIAR-"), word, *cells, best_and_default(found)])
    return rows


def class_judges(figures: typing.Any) -> Rows:
    """What two judges without ground truth say of the same models."""
    rows = [["set", "learnt from", "best F1 / AP (F1)", "separation", "kept above rejected"]]
    for r in figures["rows"]:
        for case, word in LABELS_OF_CLASSES.items():
            if case in r and case in r.get("judges", {}):
                judge = r["judges"][case]
                separation = "" if judge["separation"] is None else f"{judge['separation']:.2f}"
                name = r["set"].replace("empiar", "EMPIAR-")
                rows.append([name, word, best_and_default(r[case]), separation, f"{judge['auc']:.2f}"])
    return rows


def bad_micrographs(figures: typing.Any) -> Rows:
    """What is done with micrographs without particles, and with unusual ones."""
    rows = [["micrographs", "picks", "particles", "diameter found, true (Å)", "F1", "what is said"]]
    for r in figures["rows"]:
        found = f"{r['diameter']}, {r['true_diameter']}" if r["true_diameter"] else str(r["diameter"] or "")
        particles, f1 = (str(r["particles"]), f"{r['f1']:.2f}") if "f1" in r else ("0", "")
        case = r["case"] + (f", seed {r['seed']}" if r["seed"] else "")
        rows.append([case, str(r["picks"]), particles, found.replace("None", "none"), f1, _said(r["warnings"])])
    return rows


def _said(warnings: typing.Sequence[str]) -> str:
    """Warnings of `pick` in few words."""
    words = {
        "No particles were found": "no particles at any size",
        "contradict the particle diameter": "the stated diameter is wrong",
        "particles of several sizes": "there is a second size",
        "Protein is bright": "protein is bright",
        "Contrast is not clear": "the contrast is not clear",
    }
    return ", ".join(short for long, short in words.items() if any(long in warning for warning in warnings))


def picked_contamination(figures: typing.Any) -> Rows:
    """Picks on carbon, ice and aggregates."""
    rows = [["areas to avoid", "picks", "of them on carbon, ice or aggregates", "precision", "recall"]]
    for avoid in dict.fromkeys(r["avoid"] for r in figures["rows"]):
        part = [r for r in figures["rows"] if r["avoid"] == avoid]
        picks, on, right, particles = (sum(r[k] for r in part) for k in ("picks", "contaminated", "right", "particles"))
        rows.append(
            [avoid, str(picks), f"{on} ({100 * on / picks:.1f} %)", f"{right / picks:.3f}", f"{right / particles:.3f}"]
        )
    return rows


def picked_maps(figures: typing.Any) -> Rows:
    """Resolution of the maps of each picker's particles."""
    rows = [["data", "picks of", "particles", "precision", "recall", "half-maps, FSC 0.143 (Å)", "loss (%)"]]
    rows[0].append("map and structure, FSC 0.5 (Å)")
    sets = dict(reference="true positions", general="general model", blobs="blobs", random="positions at random")
    for case in figures["cases"].values():
        for r in case["rows"]:
            reached = (r["resolution"], r["structure_resolution"])
            resolution, structure = ("nothing" if value is None else f"{value:.2f}" for value in reached)
            found = [f"{r[key]:.3f}" if key in r else "" for key in ("precision", "recall")]
            loss = "" if r["loss"] is None or r["set"] == "reference" else f"{r['loss']:.1f}"
            rows.append([r["data"], sets[r["set"]], str(r["particles"]), *found, resolution, loss, structure])
    return rows


def avoided_real(figures: typing.Any) -> Rows:
    """What avoided areas cost and gain on the real sets."""
    rows = [["set", "areas to avoid", "marks on them", "precision", "recall", "F1"]]
    for r in figures["rows"]:
        scores = [f"{r[key]:.3f}" for key in ("precision", "recall", "f1")]
        name = r["set"].replace("empiar", "EMPIAR-")
        rows.append([name, r["avoid"], f"{r['avoided_marks']} of {r['marks']:,}", *scores])
    return rows


def assessed_by_hand(figures: typing.Any) -> Rows:
    """Verdicts of the command beside one person's, by what the person says."""
    rows = [["micrographs", "by hand", "number", "the same verdict", "with picks, at least 10"]]
    groups: typing.Dict[typing.Tuple[str, str], typing.List[typing.Any]] = {}
    for r in figures["rows"]:
        verdict, why = r["by_hand"]
        kind = "simulated" if r["set"] == "simulated" else "real"
        groups.setdefault((kind, verdict if verdict == "good" else f"bad: {why}"), []).append(r)
    order = lambda item: (item[0][0], item[0][1] != "good", item[0][1])
    for (kind, verdict), part in sorted(groups.items(), key=order):
        agree = lambda key: str(sum(r[key][0] == r["by_hand"][0] for r in part))
        more = agree("with_picks") if kind == "simulated" else "not measured"
        rows.append([kind, verdict, str(len(part)), agree("assessed"), more])
    every = figures["rows"]
    same = sum(r["assessed"][0] == r["by_hand"][0] for r in every)
    return [*rows, ["all", "", str(len(every)), str(same), ""]]


def eman2_pair(figures: typing.Any) -> Rows:
    """EMAN2's first network alone and both."""
    rows = [["structure", "score", "picks", "of them on contamination", "precision", "recall", "best F1"]]
    words = {"first": "first network alone", "both": "both"}
    for r in figures["rows"]:
        part = f"{r['contaminated']} ({100 * r['contaminated'] / max(r['picks'], 1):.1f} %)"
        quality = [r["right"] / max(r["picks"], 1), r["right"] / r["particles"], r["best_f1"]]
        rows.append([r["structure"], words[r["way"]], str(r["picks"]), part, *(f"{q:.3f}" for q in quality)])
    return rows


def general_speed(figures: typing.Any) -> Rows:
    """CPU seconds and memory of the general model."""
    return [
        ["", "4096 x 4096 px"],
        ["each micrograph (CPU s)", f"{figures['cpu_per_micrograph']:.2f}"],
        ["once in a run: start, size, contrast, calibration (CPU s)", f"{figures['cpu_start_and_questions']:.1f}"],
        ["another threshold for 9 micrographs, with the start (CPU s)", f"{figures['cpu_other_threshold']:.1f}"],
        ["memory (MB)", str(figures["memory_mb"])],
    ]


def twenty_boxes(figures: typing.Any) -> Rows:
    """What learns from 20 boxes, beside the general model."""
    rows = [["set", "general model, no label", "20 boxes, from the general model"]]
    for name in dict.fromkeys(r["set"] for r in figures["rows"]):
        part = {r["start"]: r for r in figures["rows"] if r["set"] == name}
        if "general" not in part:
            continue
        rows.append([name.replace("empiar", "EMPIAR-"), *map(best_and_default, map(part.get, ("nothing", "general")))])
    return rows


def template_picking(figures: typing.Any) -> Rows:
    """Templates beside the general model."""
    rows = [["set", "picker", "best F1 / AP (F1 at the default threshold)", "CPU s per micrograph"]]
    return rows + [[r["set"], r["picker"], best_and_default(r), f"{r['cpu']:.1f}"] for r in figures]


def stated_diameters(figures: typing.Any) -> Rows:
    """F1 at the default threshold where the diameter is stated wrong."""
    factors = sorted({key for one in figures.values() for key in one if key != "None"}, key=float)
    return [["set", *factors, "none"]] + [
        [name.replace("empiar", "EMPIAR-"), *(f"{figures[name][key]['f1']:.3f}" for key in (*factors, "None"))]
        for name in sorted(figures)
    ]


def general_panel(figures: typing.Any) -> Rows:
    """The general model on structures that it did not learn from, by SNR and by size."""
    groups = [(f"SNR {snr:g}", [r for r in figures if r["snr"] == snr]) for snr in sorted({r["snr"] for r in figures})]
    for low, high in SIZES:
        title = f"{low} to {high} Å" if low else f"below {high} Å"
        groups.append((title, [r for r in figures if low <= r["diameter"] < high]))
    rows = [["sets", "number", "before", "now"]]
    for title, part in [*groups, ("all", figures)]:
        cells = []
        for model in ("before", "general"):
            keys = {"best_f1": "best_f1", "ap": "average_precision", "f1": "f1"}
            cells.append(best_and_default({k: mean(r[model][v] for r in part) for k, v in keys.items()}))
        rows.append([title, str(len(part)), *cells])
    return rows


def general_sizes(figures: typing.Any) -> Rows:
    """What it costs to give no diameter."""
    rows = [
        [
            "SNR",
            "structures",
            "size found within a factor of 1.25",
            "no size found",
            "nothing stated",
            "true diameter stated",
        ]
    ]
    for snr in sorted({r["snr"] for r in figures["rows"]}):
        part = [r for r in figures["rows"] if r["snr"] == snr]
        right = sum(bool(r["found"]) and 0.8 <= r["found"] / r["diameter"] <= 1.25 for r in part)
        cells = [
            best_and_default({key: mean(r[case][key] for r in part) for key in ("best_f1", "ap", "f1")})
            for case in ("nothing", "true_diameter")
        ]
        rows.append([f"{snr:g}", str(len(part)), str(right), str(sum(not r["found"] for r in part)), *cells])
    return rows


def few_labels(figures: typing.Any) -> Rows:
    """The networks trained on 20 and 1,000 positives."""
    counts = sorted({int(key.split("/")[2]) for key in figures["figures"] if key.startswith("labels/")})
    head = [word for count in counts for word in (f"{count:,} positives", "training, CPU s")]
    rows = [["EMPIAR-10017, trained on", *head]]
    for network in NETWORKS:
        found = [figures["figures"].get(f"labels/empiar10017/{count}/0/{network}") for count in counts]
        if any(found):
            cells = [(best_and_default(f), str(round(f["cpu"]))) if f else ("not measured", "") for f in found]
            rows.append([network, *(cell for pair in cells for cell in pair)])
    return rows


def rotated(figures: typing.Any) -> Rows:
    """The networks on rotated micrographs."""
    rows = [["picker", "F1, whole: 0, 90 degrees", "best F1, whole: 0, 90 degrees"]]
    rows[0] += ["F1, disc: 0, 37 degrees", "best F1, disc: 0, 37 degrees"]
    for network in (*NETWORKS, "general"):
        still, quarter, oblique = (figures["figures"].get(f"rotation/{network}/{angle}") for angle in (0, 90, 37))
        if still and quarter and oblique:
            pairs = [(still, quarter, "square"), (still, oblique, "disc")]
            cells = [f"{a[f'{f}_{p}']:.3f}, {b[f'{f}_{p}']:.3f}" for a, b, p in pairs for f in ("f1", "best_f1")]
            rows.append([network, *cells])
    return rows


def wrong_labels(figures: typing.Any) -> Rows:
    """The networks with half of the labels on no particle."""
    rows = [["EMPIAR-10017, labels taken for complete", "half of the labels on no particle"]]
    for network in NETWORKS:
        found = figures["figures"].get(f"imperfect/{network}/complete/50 % wrong")
        if found:
            rows.append([network, best_and_default(found)])
    return rows


def general_widths(figures: typing.Any) -> Rows:
    """Scores with and without the candidates' widths, on plain simulated micrographs."""
    words = ("F1", "average precision", "calibration error")
    keys = ("f1", "average_precision", "calibration_error")
    return [["scores", *words]] + [
        [word, *(f"{figures['simulated'][key][k]:.3f}" for k in keys)]
        for key, word in (("without", "of the network alone"), ("now", "lower for narrow candidates"))
    ]


def windows(figures: typing.Any) -> Rows:
    """What one move of the hand costs."""
    rows = [["move", "CPU, ms", "by the clock, ms"]]
    clock = lambda r: f"{r['wall_ms']:.0f}" if "wall_ms" in r else "not measured"
    return rows + [[name, f"{r['cpu_ms']:.0f}", clock(r)] for name, r in figures.items()]


def arriving_cost(figures: typing.Any) -> Rows:
    """CPU time of Scipion's side for a micrograph, along the stream."""
    count = figures["micrographs"]
    parts = len(next(iter(figures["rows"].values())))
    edges = [round(count * part / parts) for part in range(parts + 1)]
    head = [f"{first + 1:,} to {last:,}" for first, last in zip(edges, edges[1:])]
    rows = [[name, *(f"{value:.1f}" for value in values)] for name, values in figures["rows"].items()]
    return [["ms of CPU for a micrograph", *head], *rows]


WAYS = {
    "raw": "as it was, low-passed to 8 Å",
    "best radial": "best radial filter, from the ground truth",
    "topaz": "Topaz 0.3.20, pretrained `unet`",
    "general": "`--model general_denoiser`",
    "trained on them": "trained on these micrographs (600 steps)",
}


def denoised_micrographs(figures: typing.Any) -> Rows:
    """Agreement of simulated micrographs with the noise-free ones, means over the molecules of each SNR."""
    rows = [["SNR", "molecules", "micrographs", "correlation", "mean FRC to 8 Å", "even with odd frames", "CPU s each"]]
    found: typing.Dict[typing.Any, typing.Dict[str, typing.Any]] = {}
    for key, one in figures.items():
        part, molecule, *rest = key.split("/")
        if part == "simulated":
            ways = found.setdefault(float(rest[0]), {})
            ways.setdefault(rest[1], {})[molecule] = one
            if rest[1] == "raw":
                best = dict(correlation=one["best_radial"], mean_frc=one["best_radial_frc"])
                ways.setdefault("best radial", {})[molecule] = best
    for snr in sorted(found, reverse=True):
        taught = set(found[snr].get("trained on them", {}))
        for names in (set(found[snr]["raw"]), taught):
            for way in WAYS if names else ():
                ones = [one for name, one in found[snr].get(way, {}).items() if name in names]
                if len(ones) == len(names):
                    cells = [
                        f"{mean([o[k] for o in ones]):.{d}f}" if k in ones[0] else ""
                        for k, d in (("correlation", 3), ("mean_frc", 3), ("even_odd", 3), ("cpu", 0))
                    ]
                    what = " and ".join(sorted(names))
                    rows.append([f"{snr:g}", what, WAYS[way], *cells])
    return rows


def picked_denoised(figures: typing.Any) -> Rows:
    """Picking on real micrographs as they were and denoised."""
    rows = [
        ["set", "test micrographs", "picked on", "best F1 / AP (F1 at the default threshold)", "CPU s to denoise each"]
    ]
    for key, one in figures.items():
        part, name, *rest = key.split("/")
        if part == "real":
            cost = "" if one["cpu"] is None else f"{one['cpu']:.0f}"
            way = WAYS[rest[0]].split(",")[0] if rest[0] == "raw" else WAYS[rest[0]]
            rows.append(
                [name.replace("empiar", "EMPIAR-"), plain(one["micrographs"]), way, best_and_default(one), cost]
            )
    return rows


def denoised_noise(figures: typing.Any) -> Rows:
    """What is left of noise without particles."""
    rows = [["noise", "standard deviation left (%)", "px above 0.2 of the noise's standard deviation (%)", "maximum"]]
    for key, one in figures.items():
        part, smooth = key.split("/")[:2]
        if part == "noise":
            what = "white" if smooth == "0" else f"smoothed by a Gaussian of {smooth} px"
            rows.append([what, f"{100 * one['std']:.1f}", f"{100 * one['above']:.2g}", f"{one['most']:.2f}"])
    return rows
