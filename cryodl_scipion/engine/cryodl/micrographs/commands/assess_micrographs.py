# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl assess-micrographs`: metrics of each micrograph, and which are good.

<output>/<micrograph>.json each, written when it is measured; what is there is not measured again. At the end
micrographs.csv, good.txt and bad.txt (paths, to be given as --micrographs) of all that the folder holds, so that
micrographs may arrive in several runs; other limits only cost a moment.
Result.outputs are the contract's AssessMicrographsOutputs. Micrographs that cannot be read are in
Result.skipped, and in the table with the verdict 'unreadable'.
"""

from __future__ import annotations

import csv
import json
import typing
from pathlib import Path

from ...contract import AllSkipped, AssessMicrographsConfig, Result, Skipped, counted, in_words, said_skipped
from ...contract.micrographs.assessing import AssessMicrographsOutputs
from ...contract.result import write_json
from ...io.coordinates import align_keys, read_coordinates
from ...io.each_item import each_item
from ...io.files import expand_paths, name_micrographs, whole_file
from ...io.micrographs import pixel_size_warnings
from ...io.stamps import stamp

if typing.TYPE_CHECKING:
    import numpy as np

KIND = "micrograph assessment"
METRICS = ("particles", "mean_score", "contaminated_percent", "carbon_percent", "ice_gradient", "background")
COLUMNS = ("name",) + METRICS + ("verdict", "reason")


def run(config: AssessMicrographsConfig) -> Result:
    """Measure what is not measured yet, then judge all."""
    named = name_micrographs(expand_paths(config.micrographs), config.names)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    picks = align_keys(read_coordinates(config.coordinates), dict(named)) if config.coordinates else None
    records = _read_records(folder)
    _check_same_run(folder, records, config)
    todo = [(n, p) for n, p in named if not _is_measured(records.get(n), p)]
    print(f"{counted(len(named), 'micrograph')}, {len(named) - len(todo)} of them already measured.")
    skipped = _measure(todo, config, folder, records)
    if named and len(skipped) == len(named):
        raise AllSkipped(f"None of the {len(named)} micrographs could be assessed. The first: {in_words(skipped[0])}")
    mine = [n for n, _ in named if n in records]
    unpicked = _add_picks(mine, picks, folder, records)
    verdicts = {name: judge_record(record, config) for name, record in records.items()}
    _write_lists(folder, records, verdicts, skipped)
    metrics = {
        n: dict({f: records[n][f] for f in METRICS}, verdict=verdicts[n][0], reason=verdicts[n][1]) for n in mine
    }
    good, bad = ([n for n in mine if verdicts[n][0] == verdict] for verdict in ("good", "bad"))
    print(
        f"{len(good)} good and {len(bad)} bad micrographs; {folder}/micrographs.csv gives the reasons"
        + (f"; {len(skipped)} could not be read" if skipped else "")
    )
    warnings = list(pixel_size_warnings([p for _, p in todo], config.pixel_size))
    warnings += said_skipped(skipped, "micrograph")
    if unpicked:
        warnings.append(
            f"{len(unpicked)} micrographs have no list of picks in {config.coordinates}, so their numbers of "
            f"particles are unknown: {', '.join(unpicked[:8])}{' ...' if len(unpicked) > 8 else ''}."
        )
    outputs = AssessMicrographsOutputs(
        folder=str(folder), table=str(folder / "micrographs.csv"), metrics=metrics, good=good, bad=bad
    )
    return Result(
        "assess-micrographs",
        outputs,
        device="CPU" if todo else "none: nothing was measured",
        skipped=tuple(skipped),
        warnings=tuple(warnings),
    )


def _read_records(folder: Path) -> dict[str, typing.Any]:
    """{name: record} of the micrographs measured before; other JSON files are left alone."""
    records = {}
    for path in sorted(folder.glob("*.json")):
        with open(path, encoding="utf-8") as file:
            try:
                record = json.load(file)
            except ValueError:
                record = None
        if isinstance(record, dict) and record.get("kind") == KIND:
            records[record["name"]] = record
    return records


def _check_same_run(folder: Path, records: typing.Mapping[str, typing.Any], config: AssessMicrographsConfig) -> None:
    """Raises ValueError if the folder holds metrics measured with other parameters."""
    for record in records.values():
        other = [
            f"{k.replace('_', ' ')} {record[k]:g} (now {getattr(config, k):g})"
            for k in ("pixel_size", "particle_diameter")
            if record[k] != getattr(config, k)
        ]
        if other:
            raise ValueError(
                f"{folder} holds metrics measured with other parameters: {'; '.join(other)}. Choose another --output."
            )


def _is_measured(record: typing.Mapping[str, typing.Any] | None, path: str) -> bool:
    """Whether a record is of the file as it is now. Records of earlier versions do not tell."""
    if record is None:
        return False
    same = record.get("made_of") is None or not Path(path).exists() or record["made_of"] == stamp(path)
    if not same:
        print(f"{path} has changed since it was measured; it is measured again.")
    return same


def _measure(
    todo: typing.Sequence[tuple[str, str]],
    config: AssessMicrographsConfig,
    folder: Path,
    records: dict[str, typing.Any],
) -> list[Skipped]:
    """Write and add the record of each micrograph as it is done. Returns those that could not be read."""
    if not todo:
        return []
    from ...core.devices import set_threads
    from ...io.micrographs import read_micrograph
    from ..assess.assessment import area_rows, assess

    set_threads()

    def measure(name: str, path: str) -> None:
        found = assess(read_micrograph(path), config.pixel_size, config.particle_diameter)
        records[name] = dict(
            kind=KIND,
            name=name,
            path=str(path),
            made_of=stamp(path),
            pixel_size=config.pixel_size,
            particle_diameter=config.particle_diameter,
            particles=None,
            mean_score=None,
            **{f: getattr(found, f) for f in METRICS[2:]},
            areas=area_rows(found),
        )
        write_json(folder / f"{name}.json", records[name])

    def skip(name: str) -> None:
        """Metrics of a file that was replaced do not stay in the table."""
        if records.pop(name, None):
            (folder / f"{name}.json").unlink(missing_ok=True)

    return each_item(todo, "micrograph", measure, skip)


def _add_picks(
    names: typing.Sequence[str],
    picks: typing.Mapping[str, tuple[np.ndarray, np.ndarray]] | None,
    folder: Path,
    records: dict[str, typing.Any],
) -> list[str]:
    """Number and mean score of the picks of each micrograph. Returns the names that have no list of picks."""
    if picks is None:
        return []
    for name in (n for n in names if n in picks):
        scores = picks[name][1]
        new = dict(records[name], particles=len(scores), mean_score=float(scores.mean()) if scores.any() else None)
        if new != records[name]:
            records[name] = new
            write_json(folder / f"{name}.json", new)
    return [n for n in names if n not in picks]


def judge_record(record: typing.Mapping[str, typing.Any], config: AssessMicrographsConfig) -> tuple[str, str]:
    """('good', '') or ('bad', why) of a record under the limits of a config."""
    limits = (
        ("particles", config.minimum_particles, -1, "{} particles, fewer than {:g}"),
        ("mean_score", config.minimum_score, -1, "mean score {:.3g}, below {:g}"),
        ("contaminated_percent", config.maximum_contaminated, 1, "{:.1f} % contaminated, more than {:g} %"),
        ("carbon_percent", config.maximum_carbon, 1, "{:.1f} % carbon, more than {:g} %"),
        ("ice_gradient", config.maximum_gradient, 1, "ice gradient {:.2f}, more than {:g}"),
    )
    reasons = []
    for figure, limit, sign, sentence in limits:
        value = record[figure]
        if limit is None or (value is None and figure == "mean_score" and record["particles"] == 0 and limit == 0):
            continue
        if value is None:
            reasons.append(f"{figure.replace('_', ' ')} could not be measured")
        elif sign * value > sign * limit:
            reasons.append(sentence.format(value, limit))
    return ("bad" if reasons else "good"), "; ".join(reasons)


def _write_lists(
    folder: Path,
    records: typing.Mapping[str, typing.Any],
    verdicts: typing.Mapping[str, tuple[str, str]],
    skipped: typing.Sequence[Skipped],
) -> None:
    """micrographs.csv, good.txt and bad.txt of all micrographs in the folder, and this run's unreadable ones."""
    table = folder / "micrographs.csv"
    with (
        whole_file(table) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for name in sorted(records):
            values = [records[name][f] for f in METRICS]
            writer.writerow(
                [name]
                + ["" if v is None else f"{v:.4f}" if isinstance(v, float) else v for v in values]
                + list(verdicts[name])
            )
        for item in skipped:
            writer.writerow([item.item] + [""] * len(METRICS) + ["unreadable", item.reason])
    for verdict in ("good", "bad"):
        with whole_file(folder / f"{verdict}.txt") as temporary:
            temporary.write_text(
                "".join(f"{records[n]['path']}\n" for n in sorted(records) if verdicts[n][0] == verdict),
                encoding="utf-8",
            )
