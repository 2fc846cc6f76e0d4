# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl detect-particles`: tomograms and a template or a trained detector in, particles' positions out.

A finished tomogram is not searched again: tomograms may arrive in several runs. Other parameters are refused."""

import typing
from pathlib import Path

import numpy as np

from ...contract import DetectParticlesConfig, DetectParticlesOutputs, config_to_dict, counted
from ...io import files, star, tomogram_coordinates, tomograms
from ...io.tomogram_coordinates import ANGLES, PIXELS
from ...likelihood.decoys import q_values, threshold_by_decoys, upper_groups
from ...running.runner import PROGRAM, Run, command
from ..detectors.predict import NetworkFinder, detection_columns, detections_in_words, taken_in_words
from ..features.volumes import ALL, OF_CRYODL, FolderRecord, join_points, one_pixel_size, opened, refuse_name_of_all
from ..templates import kinds
from ..templates.finder import DECOYS, WORTH, TemplateFinder

FREE = ("tomograms", "output", "names", "fdr")
STRICT = 0.05  # false discovery rate whose detections a higher one keeps
TOLD = 5.0  # standard deviations beyond chance from which what the template does not explain is told
CANDIDATES = "candidates"  # folder of all places where a template fits better than its decoys
CONTROL_WORDS = (
    "Numbers expected in noise are detections in copies of the tomogram with its spectrum and random phases, without "
    "look-alikes such as other molecules, membranes, gold or carbon: a model gives no q-values (cryodlQ)."
)
DECOY_WORDS = (
    f"A place is a detection where the template fits better than {DECOYS} decoys of the same size, mass and power "
    "spectrum. cryodlQ is the estimated part of look-alikes among the detections with at least that score, one more "
    "counted than expected; relatives of the template are not counted: name those that may be there (--others)."
)
ALIKE_WORDS = (
    "the template cannot be told from its decoys at this false discovery rate (--fdr). Check pixel size, contrast "
    "and hand. A higher resolution limit (--resolution) or more tomograms may help; --threshold 0.5 (with another "
    "--output) gives all places that are so like the template, without decoys"
)


@command
def detect_particles(config: DetectParticlesConfig, run: Run) -> DetectParticlesOutputs:
    named = files.name_tomograms(files.expand_paths(config.tomograms, config.names), config.names)
    refuse_name_of_all(named)
    finder = (TemplateFinder if config.template else NetworkFinder)(config, named, run.device)
    run.warn(*finder.notes)
    folder = Path(config.output)
    settings = {k.replace("_", " "): v for k, v in config_to_dict(config).items() if k not in FREE}
    record = FolderRecord(folder / "detect_particles.json", dict(settings, **finder.identity))
    record.prepare(named, star=OF_CRYODL)

    def searched(name: str, path: str) -> dict[str, typing.Any]:
        tomogram, pixel_size = opened(path, config.pixel_size, run)
        found, more = finder.search(name, tomogram, pixel_size)
        run.warn(*more)
        columns = detection_columns(name, found, tomogram.shape, pixel_size)
        entry: dict[str, typing.Any] = dict(
            file=f"{name}.star",
            files=[f"{name}.star", f"{CANDIDATES}/{name}.star"],
            pixel_size=pixel_size,
            counts={one.name: len(one.zyx) for one in found},
            thresholds={one.name: one.threshold for one in found},
            by_chance={one.name: one.expected_false for one in found if one.expected_false is not None},
            diameters={one.name: one.diameter for one in found},
            scores_taken={other: scores.round(5).tolist() for other, scores in found[0].taken.items()},
            taken={other: len(scores) for other, scores in found[0].taken.items()},
        )
        if found[0].rivals is not None:
            (folder / CANDIDATES).mkdir(exist_ok=True)
            tomogram_coordinates.write_coordinates3d(folder / CANDIDATES / f"{name}.star", [columns], [pixel_size])
            entry["rivals"] = found[0].rivals.round(5).tolist()
        tomogram_coordinates.write_coordinates3d(folder / f"{name}.star", [columns], [pixel_size])
        _choose(config, folder, {name: entry})
        return entry

    items = record.each(run, named, "tomogram", "searched", searched)
    _choose(config, folder, record.items)
    record.write()
    join_points(folder, record)
    each = lambda key: {name: item[key] for name, item in items.items()}
    outputs = DetectParticlesOutputs(
        files={name: str(folder / item["file"]) for name, item in items.items()},
        particles=str(folder / ALL),
        method="template" if config.template else "network",
        species=list(finder.species),
        counts=each("counts"),
        thresholds=each("thresholds"),
        expected_false_detections=each("by_chance"),
        diameters=next(iter(each("diameters").values())),
        pixel_size=one_pixel_size(items),
        angular_step=finder.angular_step,
        orientations=finder.orientations,
        model=config.model,
    )
    _tell(config, outputs, finder, run)
    if config.others:
        run.summary(taken_in_words(item["taken"] for item in items.values()))
    if weaker := sum(item.get("weaker", 0) for item in items.values()):
        run.warn(
            f"{weaker} places where the template beats its decoys are left out: their scores form a lower group, as "
            "those of another molecule of its kind do. --threshold (with another --output) gives them, too."
        )
    if isinstance(finder, TemplateFinder) and finder.decoys:
        run.warn(*_of_two_kinds(finder, dict(named), folder, items))
    run.warn(*_warnings(config, outputs))
    return outputs


def _of_two_kinds(
    finder: TemplateFinder, paths: dict[str, str], folder: Path, items: dict[str, dict[str, typing.Any]]
) -> typing.Iterator[str]:
    """A sentence where detections may be of two kinds. Looked at are tomograms with most, of one pixel size."""
    most = sorted(items, key=lambda name: -sum(items[name]["counts"].values()))
    size = items[most[0]]["pixel_size"]

    def found() -> typing.Iterator[tuple[typing.Any, ...]]:
        for name in most:
            if items[name]["pixel_size"] == size and sum(items[name]["counts"].values()):
                table = star.read_tables(folder / items[name]["file"])["particles"]
                xyz, angles = (np.array([table[k] for k in keys], float).T for keys in (PIXELS, ANGLES))
                yield finder.judging(tomograms.Tomogram(paths[name]), size), xyz[:, ::-1], angles

    if (beyond := kinds.beyond_chance(found())) >= TOLD:
        yield (
            f"What {finder.species[0]} does not explain is alike in some detections ({beyond:.0f} standard deviations "
            "beyond chance). Possible causes: a relative (name it with --others) or a second state among them, a part "
            "or a pixel size that the template has not. Classify them (classify-subtomograms) before averaging."
        )


def _choose(config: DetectParticlesConfig, folder: Path, items: dict[str, dict[str, typing.Any]]) -> None:
    """Write the detections of some tomograms, which are judged together by the places that decoys won."""
    items = {name: item for name, item in items.items() if "rivals" in item}
    if not items:
        return
    tables = {name: star.read_tables(folder / CANDIDATES / f"{name}.star")["particles"] for name in items}
    scores = {name: np.array(table["cryodlScore"], float) for name, table in tables.items()}
    pooled, rivals = np.concatenate(list(scores.values())), np.concatenate([item["rivals"] for item in items.values()])
    q = q_values(pooled, rivals, WORTH)
    chosen, strict = (
        threshold_by_decoys(pooled, rivals, WORTH, rate) or 1.0 for rate in (config.fdr, min(config.fdr, STRICT))
    )
    # whoever allows more look-alikes loses nothing of what is kept where fewer are allowed
    cuts = [[max(t, g) for g in upper_groups([s[s >= t] for s in scores.values()])] for t in (chosen, strict)]
    taken = [score for item in items.values() for scores in item.get("scores_taken", {}).values() for score in scores]
    # the score from which places would be detections if they were all the template's
    least = threshold_by_decoys(np.concatenate([pooled, taken]), rivals, WORTH, config.fdr) or np.inf
    for (name, item), threshold in zip(items.items(), map(min, *cuts)):
        (species,) = item["counts"]
        keep = np.nonzero(scores[name] >= threshold)[0]
        mine, q = q[: len(scores[name])], q[len(scores[name]) :]
        columns = {key: [values[row] for row in keep] for key, values in tables[name].items()}
        star.write_tables(folder / item["file"], {"particles": dict(columns, cryodlQ=mine[keep].round(5).tolist())})
        item["counts"], item["thresholds"] = {species: len(keep)}, {species: threshold}
        item["weaker"] = int((scores[name] >= chosen).sum()) - len(keep)
        item["taken"] = {other: int((np.array(s) >= least).sum()) for other, s in item.get("scores_taken", {}).items()}
        item["by_chance"] = {species: float((np.array(item["rivals"]) >= threshold).sum() / WORTH)}


def _tell(
    config: DetectParticlesConfig, made: DetectParticlesOutputs, finder: NetworkFinder | TemplateFinder, run: Run
) -> None:
    what = "to be look-alikes" if config.template else "in noise of the same spectrum"
    for name, counts in sorted(made.counts.items()):
        run.summary(
            *detections_in_words(name, counts, made.thresholds[name], made.expected_false_detections[name], what)
        )
    if config.template and not config.threshold:
        run.summary(DECOY_WORDS)
    elif any(made.expected_false_detections.values()):
        run.summary(CONTROL_WORDS)
    print(f"Coordinates: {Path(config.output)}/<tomogram>.star; {made.particles}.")
    run.methods(
        f"{counted(sum(sum(counts.values()) for counts in made.counts.values()), 'particle was', 'particles were')} "
        f"found in {counted(len(made.counts), 'tomogram')} "
        f"({', '.join(made.species)}) with {PROGRAM} {finder.in_words}."
    )


def _warnings(config: DetectParticlesConfig, outputs: DetectParticlesOutputs) -> typing.Iterator[str]:
    for species in outputs["species"]:
        without = [name for name, counts in outputs["counts"].items() if not counts.get(species)]
        alike = config.template and not config.threshold and len(without) == len(outputs["counts"])
        if without:
            yield (
                f"No {species} was found in {len(without)} of {len(outputs['counts'])} tomograms "
                f"({', '.join(without[:5])}{' ...' if len(without) > 5 else ''}): "
                f"{ALIKE_WORDS if alike else 'no score reached the threshold'}."
            )
        false = {name: expected.get(species, 0) for name, expected in outputs["expected_false_detections"].items()}
        doubtful = [name for name, counts in outputs["counts"].items() if 0 < counts.get(species, 0) < 2 * false[name]]
        if doubtful:
            advice = "Lower --fdr, or name other particles that may be there (--others, with another --output)."
            yield (
                f"In {', '.join(doubtful[:5])}, more than half of the detections of {species} are expected to be "
                f"false. {'Raise the threshold (--threshold).' if config.model or config.threshold else advice}"
            )
