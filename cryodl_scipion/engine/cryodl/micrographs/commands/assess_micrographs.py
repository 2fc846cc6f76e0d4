# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assess-micrographs`: metrics of each micrograph, and which are good.

<output>/<micrograph>.json each, written when it is measured; what is there is not measured again. At the end
micrographs.csv, good.txt and bad.txt (paths, to be given as --micrographs) of all that the folder holds, so that
micrographs may arrive in several runs; other limits only cost a moment. A micrograph is bad by what the judge learnt
from simulated ones, or beyond a limit. Micrographs that cannot be read stand in the table with the verdict
'unreadable'. Measure what is not measured yet, then judge all."""

import json
import typing
from pathlib import Path

import numpy as np

from ...contract import AssessMicrographsConfig, AssessMicrographsOutputs, describe_all, some_names, write_json
from ...io import coordinates, files, micrographs, stamps
from ...runner import PROGRAM, Run, command
from ..assess import assessment, judge

KIND = "micrograph assessment"
METRICS = ("particles", "mean_score", "contaminated_percent", "carbon_percent", "ice_gradient", "background")
COLUMNS = ("name",) + METRICS + ("verdict", "reason")


@command
def assess_micrographs(config: AssessMicrographsConfig, run: Run) -> AssessMicrographsOutputs:
    named = files.name_micrographs(files.expand_paths(config.micrographs), run.names)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    picks = (
        coordinates.align_keys(coordinates.read_coordinates(config.coordinates), dict(named))
        if config.coordinates
        else None
    )
    records = _read_records(folder, config)
    known = {name: records[name] for name, path in named if _is_measured(records.get(name), path)}
    run.warn(*micrographs.pixel_size_warnings([p for n, p in named if n not in known], config.pixel_size))

    def forget(name: str) -> None:
        """Metrics of a file that was replaced do not stay in the table."""
        if records.pop(name, None):
            (folder / f"{name}.json").unlink(missing_ok=True)

    def measure(name: str, path: str) -> stamps.Record:
        run.take_device()
        made_of = stamps.stamp_of(path)
        found = assessment.assess(micrographs.read_micrograph(path), config.pixel_size, config.particle_diameter)
        record = dict(
            kind=KIND,
            name=name,
            path=str(path),
            made_of=made_of,
            pixel_size=config.pixel_size,
            particle_diameter=config.particle_diameter,
            particles=None,
            mean_score=None,
            **{f: getattr(found, f) for f in METRICS[2:]},
            signs={sign: round(value, 4) for sign, value in found.signs.items()},
            areas=assessment.area_rows(found),
        )
        write_json(folder / f"{name}.json", record)
        return record

    mine = run.each(named, "micrograph", "assessed", measure, known, forget)
    records.update(mine)
    for name in mine if picks else ():
        _add_picks(name, picks or {}, folder, records)
    unpicked = [n for n in mine if picks is not None and n not in picks]
    if unpicked:
        run.warn(
            f"{len(unpicked)} micrographs have no list of picks in {config.coordinates}, so their numbers of "
            f"particles are unknown: {some_names(unpicked)}."
        )
    verdicts = {name: judge_record(record, config) for name, record in records.items()}
    told = lambda value: "" if value is None else f"{value:.4f}" if isinstance(value, float) else value
    rows = [[name, *(told(records[name][f]) for f in METRICS), *verdicts[name]] for name in sorted(records)]
    unreadable = [[item.item, *[""] * len(METRICS), "unreadable", item.reason] for item in run.skipped]
    files.write_csv(folder / "micrographs.csv", COLUMNS, rows + unreadable)
    for verdict in ("good", "bad"):
        with files.whole_file(folder / f"{verdict}.txt") as temporary:
            temporary.write_text(
                "".join(f"{records[n]['path']}\n" for n in sorted(records) if verdicts[n][0] == verdict),
                encoding="utf-8",
            )
    good, bad = ([n for n in mine if verdicts[n][0] == verdict] for verdict in ("good", "bad"))
    limits = [
        f"{info.label} {getattr(config, info.name):g} {info.unit}".rstrip()
        for info in describe_all(type(config))
        if info.name.startswith(("minimum_", "maximum_")) and getattr(config, info.name) is not None
    ]
    run.summary(f"{len(good)} good and {len(bad)} bad micrographs; {folder}/micrographs.csv gives the reasons")
    run.methods(
        f"Micrographs were assessed with {PROGRAM}, and left out where they showed no particles, thick or "
        "crystalline ice, drift or contamination, as judged by models that learnt from simulated micrographs, and by "
        f"these limits: {'; '.join(limits) or 'none'}."
    )
    metrics = {
        n: dict({f: records[n][f] for f in METRICS}, verdict=verdicts[n][0], reason=verdicts[n][1]) for n in mine
    }
    return AssessMicrographsOutputs(
        folder=str(folder), table=str(folder / "micrographs.csv"), metrics=metrics, good=good, bad=bad
    )


def _read_records(folder: Path, config: AssessMicrographsConfig) -> dict[str, stamps.Record]:
    """{name: record} of the micrographs measured before; other JSON files are left alone. Raises ValueError for metrics
    measured with other parameters."""
    records = {}
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("kind") == KIND:
            records[record["name"]] = record
            other = [
                f"{k.replace('_', ' ')} {record[k]:g} (now {getattr(config, k):g})"
                for k in ("pixel_size", "particle_diameter")
                if record[k] != getattr(config, k)
            ]
            if other:
                raise ValueError(
                    f"{folder} holds metrics measured with other parameters: {'; '.join(other)}. Choose another "
                    "--output."
                )
    return records


def _is_measured(record: typing.Mapping[str, typing.Any] | None, path: str) -> bool:
    """Whether a record is of the file as it is now. Records without signs are of earlier versions."""
    if record is None or "signs" not in record:
        return False
    same = None in (record.get("made_of"), stamps.stamp_of(path)) or record["made_of"] == stamps.stamp_of(path)
    if not same:
        print(f"{path} has changed since it was measured; it is measured again.")
    return same


def _add_picks(
    name: str,
    picks: typing.Mapping[str, tuple[np.ndarray, np.ndarray]],
    folder: Path,
    records: dict[str, stamps.Record],
) -> None:
    if name in picks:
        scores = picks[name][1]
        new = dict(records[name], particles=len(scores), mean_score=float(scores.mean()) if scores.any() else None)
        if new != records[name]:
            records[name] = new
            write_json(folder / f"{name}.json", new)


def judge_record(record: typing.Mapping[str, typing.Any], config: AssessMicrographsConfig) -> tuple[str, str]:
    """('good', '') or ('bad', why) of a record, by the judge and under the limits of a config."""
    limits = (
        ("particles", config.minimum_particles, -1, "{} particles, fewer than {:g}"),
        ("mean_score", config.minimum_score, -1, "mean score {:.3g}, below {:g}"),
        ("contaminated_percent", config.maximum_contaminated, 1, "{:.1f} % contaminated, more than {:g} %"),
        ("carbon_percent", config.maximum_carbon, 1, "{:.1f} % carbon, more than {:g} %"),
        ("ice_gradient", config.maximum_gradient, 1, "ice gradient {:.2f}, more than {:g}"),
    )
    reasons = judge.judged_reasons(record["signs"], with_dirt=config.maximum_contaminated is None)
    for figure, limit, sign, sentence in limits:
        value = record[figure]
        if limit is None or (value is None and figure == "mean_score" and record["particles"] == 0 and limit == 0):
            continue
        if value is None:
            reasons.append(f"{figure.replace('_', ' ')} could not be measured")
        elif sign * value > sign * limit:
            reasons.append(sentence.format(value, limit))
    return ("bad" if reasons else "good"), "; ".join(reasons)
