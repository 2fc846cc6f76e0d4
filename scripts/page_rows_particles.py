# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the tables of particles, each made from the figures of a benchmark; see page_tables.py."""

import typing

from page_cells import Rows, mean, plain


def half_maps(figures: typing.Any) -> Rows:
    """FSC of half-maps, ours beside RELION's."""
    programs = {"cryodl": "`reconstruct`", "relion_reconstruct": "`relion_reconstruct --ctf --pad 2`"}
    head = [""] + [
        f"{what}: {name}"
        for what in ("half-maps", "sum of the halves with the molecule's density")
        for name in programs.values()
    ]
    found = {(r["complex"], r["program"]): r for r in figures}
    return [head] + [
        [one] + [f"{found[one, program][key]:.3f}" for key in ("halves", "truth") for program in programs]
        for one in dict.fromkeys(r["complex"] for r in figures)
    ]


def heterogeneity(figures: typing.Any) -> Rows:
    """Both methods on the same particles."""
    head = ["set", "method", "Spearman of `cryodlLatent1`", "true maps known", "p", "verdict"]
    head += ["domain's FSC = 0.5 at shell: ends of the path / mean map", "CPU s"]
    return [head] + [
        [
            r["set"],
            r["method"],
            f"{r['spearman']:.2f}",
            f"{r['ceiling']:.2f}" if "ceiling" in r else "",
            few(r["p_value"]),
            r["verdict"],
            f"{r['shell_path']:g} / {r['shell_mean']:g}" if "shell_path" in r else "",
            plain(r["cpu_seconds"]),
        ]
        for r in figures
    ]


def few(p_value: float) -> str:
    """A p-value, which may be too small for a floating-point number."""
    if p_value < 1e-300:
        return "< 1e-300"
    return f"{p_value:.0e}" if p_value < 1e-4 else f"{p_value:.1g}"


def heterogeneity_occupancy(figures: typing.Any) -> Rows:
    """Mixtures of a complex with and without a part."""
    rows = [["complex", "missing in half of the particles", "SNR", "particles", "ROC AUC of `cryodlLatent1`", "CPU s"]]
    for r in figures:
        auc = f"{r['auc']:.4f}"
        rows.append([r["complex"], r["missing"], f"{r['snr']:g}", str(r["count"]), auc, plain(r["cpu_seconds"])])
    return rows


def heterogeneity_peers(figures: typing.Any) -> Rows:
    """The fit beside other programs on the same particles."""
    names = {"cryodl": "`fit-heterogeneity --latent 10`", "recovar": "RECOVAR 1.0.5, zdim 10"}
    head = ["set", "particles", "box (px)", "SNR", "program", "share of true neighbours", "AUC of the per-image FSC"]
    rows = [[*head, "within a mask", "CPU s: fit / maps", "MB"]]
    for r in figures:
        name = names.get(r["program"]) or f"cryoDRGN 4.3.1, zdim 10, {r['epochs']} epochs"
        seconds = " / ".join(f"{value:.0f}" for value in r["cpu_seconds"])
        auc = f"{r['auc']:.3f}" if "auc" in r else "not measured"
        numbers = [str(r["count"]), str(r["box"]), f"{r['snr']:g}"]
        masked = f"{r['auc_masked']:.3f}" if "auc_masked" in r else ""
        memory = str(r.get("peak_mb", ""))
        rows.append([r["set"], *numbers, name, f"{r['neighbours']:.3f}", auc, masked, seconds, memory])
    return rows


def heterogeneity_memory(figures: typing.Any) -> Rows:
    """Peak memory by the number of particles."""
    rows = [["particles", "box (px)", "images (MB)", "resolution", "peak memory (MB)", "CPU s"]]
    for r in figures:
        size = f"{r['resolution']:g} Å"
        rows.append([f"{r['count']:,}", str(r["box"]), f"{r['images_mb']:,}", size, f"{r['peak_mb']:,}"])
        rows[-1].append(str(r["cpu_seconds"]))
    return rows


def heterogeneity_null(figures: typing.Any) -> Rows:
    """Runs of sets without motion."""
    rows = [["set", "method", "runs", "p < 0.05", "smallest p", "largest variability", "mean CPU s"]]
    for kind, method in dict.fromkeys((r["kind"], r["method"]) for r in figures):
        mine = [r for r in figures if (r["kind"], r["method"]) == (kind, method)]
        values = [r["p_value"] for r in mine]
        maximum = f"{max(r['variability'] for r in mine):.2%}"
        seconds = f"{mean(r['cpu_seconds'] for r in mine):.0f}"
        low = str(sum(value < 0.05 for value in values))
        rows.append([kind, method, str(len(mine)), low, f"{min(values):.2g}", maximum, seconds])
    for kind in dict.fromkeys(r["kind"] for r in figures):
        # of both methods on the same set, as `auto` corrects them
        found = {(r["number"], r["method"]): r["p_value"] for r in figures if r["kind"] == kind}
        numbers = [n for n, method in found if method == "linear" and (n, "gaussian") in found]
        either = [min(1, 2 * min(found[n, "linear"], found[n, "gaussian"])) for n in numbers]
        low = str(sum(value < 0.05 for value in either))
        rows.append([kind, "auto (from both)", str(len(either)), low, f"{min(either):.2g}", "", ""])
    return rows


def subtomogram_heterogeneity(figures: typing.Any) -> Rows:
    """Moving sets of subtomograms one by one, rigid ones by SNR and error."""
    rows = [["set", "SNR", "error of orientations", "Spearman", "p", "variability", "verdict", "CPU s"]]
    for name, r in figures.items():
        if name.startswith("hinge"):
            kind, molecule, _, snr, _, error = name.split()
            row = [f"{kind} {molecule}", snr, f"{error}°", f"{r['spearman']:.2f}", f"{r['p_value']:.0e}"]
            rows.append(row + [f"{r['variability']:.1%}", r["verdict"], f"{r['cpu_seconds']:.0f}"])
    rigid = [r for name, r in figures.items() if name.startswith("rigid")]
    for snr, error in sorted({(r["snr"], r["error"]) for r in rigid}, reverse=True):
        mine = [r for r in rigid if (r["snr"], r["error"]) == (snr, error)]
        low = sum(r["p_value"] < 0.05 for r in mine)
        most = f"{max(r['variability'] for r in mine):.2%} at most"
        smallest = f"{min(r['p_value'] for r in mine):.1g} at least"
        verdict = f"motion in {low} of {len(mine)}"
        seconds = f"{mean(r['cpu_seconds'] for r in mine):.0f}"
        rows.append(["rigid", f"{snr:g}", f"{error:g}°", "", smallest, most, verdict, seconds])
    return rows


def heterogeneity_domain(figures: typing.Any) -> Rows:
    """A hinge's domain in its own map and in the consensus map."""
    head = ["set", "map", "FSC below 0.9 at shell", "0.5", "0.143", "mean FSC", "rotations found", "true", "CPU s"]
    rows = [head]
    for r in figures:
        for name, words in (("before", "consensus"), ("after", "`--domain`")):
            curve = r[f"fsc_{name}"]
            first = lambda level, c=curve: str(next((k for k, v in enumerate(c) if v < level), f"> {len(c) - 1}"))
            rotations = ["", "", ""]
            if name == "after":
                degrees = [", ".join(f"{v:.0f}" for v in r[k]) for k in ("rotations_degrees", "true_rotations_degrees")]
                rotations = [f"{one}°" for one in degrees] + [f"{r['cpu_seconds']:.0f}"]
            rows.append([r["set"], words, first(0.9), first(0.5), first(0.143), f"{mean(curve):.3f}", *rotations])
    return rows


def class_choice(figures: typing.Any) -> Rows:
    """What the choice of 2-D classes keeps."""
    words = {"all": "all classes", "former": "before: score 0.5", "adapted": "now, no threshold", "best": "best"}
    rows = [["particles for each class", "bad", "choice", "good kept", "bad kept", "signal", "worst molecule"]]
    for each, bad in dict.fromkeys((r["each"], r["bad_part"]) for r in figures["rows"]):
        found = {r["choice"]: r for r in figures["rows"] if (r["each"], r["bad_part"]) == (each, bad)}
        for choice, word in words.items():
            r = found[choice]
            kept = [f"{100 * r[key]:.0f} %" for key in ("good", "bad")]
            rows.append([str(each), f"{100 * bad:.0f} %", word, *kept, f"{r['value']:.2f}", f"{r['worst']:.2f}"])
    return rows


def classes_stream(figures: typing.Any) -> Rows:
    """2-D classes of particles that arrive, beside those of all at once."""
    first = figures["rows"][0]
    words = {
        "all at once": "all at once",
        "streamed": f"first {first['first']:,} classified, others assigned by {first['batch']}",
        "streamed, then all again": "the same, then all classified again",
    }
    rows = [["way", "particles", "classes", "SNR", "seeds", "purity", "explained", "views", "CPU seconds"]]
    for way, word in words.items():
        mine = [r for r in figures["rows"] if r["way"] == way]

        def spread(key: str, places: int, mine: typing.Any = mine) -> str:
            values = [r[key] for r in mine]
            low, high = (f"{value:.{places}f}" for value in (min(values), max(values)))
            return f"{mean(values):.{places}f}" + (f" ({low} to {high})" if low != high else "")

        about = [f"{first['particles']:,}", str(first["classes"]), f"{first['snr']:g}", str(len(mine))]
        measured = [spread("purity", 3), spread("explained", 3), spread("views", 0), spread("cpu_seconds", 0)]
        rows.append([word, *about, *measured])
    return rows


def orientation_floors(figures: typing.Any) -> Rows:
    """Orientations beside plain cross-correlation on the same particles."""
    head = ["complex", "SNR", "particles", "within 15° (%)", "plain cross-correlation (%)", "said to be right (%)"]
    rows = [[*head, "expected calibration error", "CPU ms per particle"]]
    for r in [*figures["complexes"], *figures["together"]]:
        name = r.get("complex") or f"**all {r['complexes']}**"
        count = r.get("count") or sum(one["count"] for one in figures["complexes"] if one["snr"] == r["snr"])
        shares = [f"{r[key]:.0f}" if "complex" in r else f"{r[key]:.1f}" for key in ("right", "correlation", "stated")]
        error = "" if "complex" in r else f"{r['ece']:.3f}"
        rows.append([name, f"{r['snr']:g}", str(count), *shares, error, f"{r['ms']:.0f}"])
    return rows


def orientation_symmetric(figures: typing.Any) -> Rows:
    """Orientations of complexes with a symmetry, which was told."""
    head = ["complex", "symmetry", "SNR", "particles", "median error (°)", "within 15° (%)"]
    rows = [[*head, "plain cross-correlation (%)", "said to be right (%)", "CPU ms per particle"]]
    for r in figures.get("symmetric_complexes", []):
        shares = [f"{r[key]:.0f}" for key in ("right", "correlation", "stated", "ms")]
        rows.append([r["complex"], r["symmetry"], f"{r['snr']:g}", str(r["count"]), f"{r['median']:.1f}", *shares])
    return rows


def imperfect_structures(figures: typing.Any) -> Rows:
    """Orientations and denoised images where the given structure is not exactly that of the particles."""
    head = ["particles of", "structure given", "within 15° (%)", "said to be right (%)", "explained (%)"]
    head += ["FSC = 0.5 of the map (Å)", "mean FRC with the truth: raw / Wiener / `posterior`"]
    rows = [[*head, "`posterior`: mean FRC with the given structure"]]
    for r in figures:
        name = f"{r['given']} ({r['note']})" if r["note"] else r["given"]
        shares = [f"{r[key]:.0f}" for key in ("right", "stated", "explained")]
        curves = " / ".join(f"{r[key]:.2f}" for key in ("raw", "wiener", "posterior"))
        resolution = "not reached" if r["map"] is None else f"{r['map']:.1f}"
        rows.append([r["molecule"], name, *shares, resolution, curves, f"{r['like_given']:.2f}"])
    return rows


def integrity_truth(figures: typing.Any) -> Rows:
    """Whether `assess-integrity` is right as often as it says."""
    head = ["complex and partner", "partner's part of the mass (%)", "SNR", "particles", "ROC AUC", "right (%)"]
    rows = [[*head, "said to be right (%)", "right of those made up (%)"]]
    for r in figures:
        shares = [f"{100 * r[key]:.0f}" for key in ("right", "stated", "simulated_accuracy")]
        mass = f"{100 * r['mass']:.0f}"
        rows.append([r["case"], mass, f"{r['snr']:g}", str(r["count"]), f"{r['auc']:.3f}", *shares])
    return rows


def foreign_particles(figures: typing.Any) -> Rows:
    """The guard's evidence for each set of particles, by its own and by other structures."""
    rows = [["particles of", "explained by their own structure (%)", "by others, lowest to highest (%)"]]
    for name in dict.fromkeys(key.split("/")[0] for key in figures["shares"]):
        shares = {key.split("/")[1]: v for key, v in figures["shares"].items() if key.split("/")[0] == name}
        own, others = shares.pop(name), sorted(shares.values())
        rows.append([name, f"{100 * own:.0f}", f"{100 * others[0]:.0f} to {100 * others[-1]:.0f}"])
    return rows


def real_particles(figures: typing.Any) -> Rows:
    """Maps of real particles, beside the controls and RELION's refinement."""
    head = ["set", "particles", "way", "mean probability", "explained (%)", "half-maps, FSC 0.143 (Å)"]
    rows = [[*head, "map and known map, FSC 0.5 (Å)"]]
    for name, found in sorted(figures.items()):
        words = {
            "known structure": "`assign-orientations`, known structure, C1",
            f"known structure, {found['symmetry']}": f"`assign-orientations`, known structure, {found['symmetry']}",
            "other structure": "`assign-orientations`, another structure (control)",
            "noise": "`assign-orientations`, known structure, images of noise (control)",
            "RELION": f"RELION 3.1, started from the known structure at 50 Å, {found['symmetry']}",
        }
        for way, word in words.items():
            r = found["rows"].get(way)
            if r is None or word in rows[-1]:
                continue
            sure = f"{r['mean_probability']:.2f}" if "mean_probability" in r else ""
            share = r.get("explained", 0)
            explained = "cannot be told" if share > 2 else f"{100 * max(share, 0):.0f}" if "explained" in r else ""
            ends = [f"{r[key]:.1f}" for key in ("half_map_0143", "with_reference_05")]
            rows.append([f"EMPIAR-{name}", str(found["particles"]), word, sure, explained, *ends])
    return rows


def unattended(figures: typing.Any) -> Rows:
    """The trial of the unattended template."""
    ground_truth, noise = figures["from_true_positions"], figures["noise_resolution"]
    arrived, there = figures["micrographs"], figures["micrographs"] * figures["particles"]
    found = {
        "micrographs that arrived": f"{arrived}, {there} particles",
        "killed": "; ".join(kill.replace("cryodl - ", "") for kill in figures["kills"]),
        "lost or double: micrographs, CTFs, picks, particles": "; ".join(figures["problems"]) or "none",
        "picks without labels": str(figures["picks"]),
        "particles cut out": str(figures["cut_out"]),
        "particles of the chosen classes": str(figures["chosen"]),
        "FSC of the half-maps 0.143": f"{figures['resolution']:.1f} Å",
        "the same of as many images of noise, oriented likewise": "nowhere" if noise is None else f"{noise:.1f} Å",
        "the same of the true positions": f"{ground_truth['resolution']:.1f} Å ({ground_truth['particles']} particles)",
        "time of the whole trial": f"{figures['seconds']} s",
    }
    return [["", ""], *([name, value] for name, value in found.items())]


def gan_training(figures: typing.Any) -> Rows:
    """Mean FRC of validation particles along the training of the published GAN."""
    best = max(figures["curve"], key=lambda one: one["frc"])
    steps = [one for one in figures["curve"] if one["step"] % 500 == 0 or one is best]
    return [["step", *(str(one["step"]) for one in steps)], ["mean FRC", *(f"{one['frc']:.3f}" for one in steps)]]
