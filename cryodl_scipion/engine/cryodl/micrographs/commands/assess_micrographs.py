# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assess-micrographs`: metrics of each micrograph, and which are good.

<output>/<micrograph>.json each, written when it is measured; what is there is not measured again. At the end
micrographs.csv, good.txt and bad.txt (paths, to be given as --micrographs) of all that the folder holds, so that
micrographs may arrive in several runs; other limits only cost a moment. A micrograph is bad by what the judge learnt
from simulated ones, or beyond a limit. Micrographs that cannot be read stand in the table with the verdict
'unreadable'. Measure what is not measured yet, then judge all."""

import csv
from pathlib import Path

from ...contract import AssessMicrographsConfig, AssessMicrographsOutputs, counted, describe_all, some_names, write_json
from ...io import coordinates, files, micrographs, stamps
from ...running.runner import PROGRAM, Run, command
from ..assess import assessment
from ..assess.judge import KIND, add_picks, is_measured, judge_record, read_records

METRICS = ("particles", "mean_score", "contaminated_percent", "carbon_percent", "ice_gradient", "background")
COLUMNS = ("name",) + METRICS + ("verdict", "reason")


@command
def assess_micrographs(config: AssessMicrographsConfig, run: Run) -> AssessMicrographsOutputs:
    named = files.name_micrographs(files.expand_paths(config.micrographs, run.names), run.names)
    folder = Path(config.output)
    picks = coordinates.read_coordinates(config.coordinates) if config.coordinates else None
    picks = picks and coordinates.align_keys(picks, dict(named))
    files.prepare_folder(named, folder, ".json", KIND.encode())
    records = read_records(folder, config)
    own = [""] * (folder / "micrographs.csv").exists()  # whose head tells; the lists have none
    for table, before in (("micrographs.csv", ()), ("good.txt", own), ("bad.txt", own)) if not records else ():
        files.prepare_folder([("", "")], folder, table, b"name,particles,", before)

    def forget(name: str) -> None:
        """Metrics of a file that was replaced do not stay in the table."""
        if records.pop(name, None):
            (folder / f"{name}.json").unlink(missing_ok=True)

    named = run.of_one_binning(named, config.pixel_size, forget)
    known = {name: records[name] for name, path in named if is_measured(records.get(name), path)}
    run.warn(*micrographs.pixel_size_warnings([p for n, p in named if n not in known], config.pixel_size))

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
    for name in mine:
        add_picks(name, picks or {}, folder, records)
    if unpicked := [n for n in mine if picks is not None and n not in picks]:
        run.warn(
            f"{config.coordinates} has no list of picks of {counted(len(unpicked), 'micrograph')}, so the number of "
            f"particles there is unknown: {some_names(unpicked)}."
        )
    verdicts = {name: judge_record(record, config) for name, record in records.items()}
    told = lambda value: "" if value is None else f"{value:.4f}" if isinstance(value, float) else value
    rows = [[name, *(told(records[name][f]) for f in METRICS), *verdicts[name]] for name in sorted(records)]
    summary = folder / "micrographs.csv"
    earlier = csv.reader(files.read_text(summary).splitlines()) if summary.exists() else ()
    unreadable = {row[0]: row for row in earlier if row[-2:-1] == ["unreadable"] and row[0] not in records}
    unreadable |= {item.item: [item.item, *[""] * len(METRICS), "unreadable", item.reason] for item in run.skipped}
    files.write_csv(summary, COLUMNS, rows + list(unreadable.values()))
    for verdict in ("good", "bad"):
        paths = (records[n]["path"] for n in sorted(records) if verdicts[n][0] == verdict)
        files.write_text(folder / f"{verdict}.txt", "".join(f"{path}\n" for path in paths))
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
    return AssessMicrographsOutputs(folder=str(folder), table=str(summary), metrics=metrics, good=good, bad=bad)
