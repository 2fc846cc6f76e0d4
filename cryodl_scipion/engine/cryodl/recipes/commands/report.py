# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl report`: a project or a folder of results in, one HTML page on it out.

What cannot be read is named on the page and never ends it. Write the page, whole or not at all."""

import datetime
import json
import os
from pathlib import Path

from ...contract import Config, ReportConfig, ReportOutputs, config_to_dict, counted
from ...io.files import lists_by_key, write_text
from ...running.runner import Run, command
from ..report import numbers, page
from ..report.runs import FoundRun, read_words, runs_of_folder, runs_of_project

LONGEST_LIST = 4  # values of a list of parameters that are shown


@command
def report(config: ReportConfig, run: Run) -> ReportOutputs:
    _check(config)
    words, damaged = read_words(config.words)
    folder = config.project or config.folder or ""
    runs = runs_of_project(folder, words) if config.project else runs_of_folder(folder)
    runs = [one for one in runs if one.name != config.own]
    if not runs:
        raise ValueError(
            f"The project {config.project} (--project) has no runs yet."
            if config.project
            else f"The folder {config.folder} (--folder) has no file whose name ends in result.json. Run commands with "
            "--result FOLDER/result.json to write one."
        )
    alarms = numbers.alarms_of(runs)
    malformed = [f"{one.label}: {sentence}" for one in runs for sentence in one.problems] + damaged
    micrographs, unshown = page.micrograph_pictures(runs, config.micrographs)
    classes, unclear = page.class_picture(runs)
    pictures = {"Progress": [], "Latest micrographs with their picks": micrographs, "2-D classes": classes}
    for section, draw in (
        ("Progress", page.growth_picture),
        ("Map", page.fsc_picture),
        ("Views", page.views_picture),
        ("Forecast", page.forecast_picture),
        ("CTF", page.ctf_picture),
    ):
        try:
            pictures[section] = draw(runs)
        except (ValueError, TypeError, KeyError, IndexError) as error:  # of results of other versions
            unclear.append(f"The part {section} cannot be shown: {error!r}")
    name = os.path.basename(os.path.abspath(folder))
    content = page.Content(
        title=f"{name}: cryodl report",
        source=f"Scipion project {name}" if config.project else f"Results in {name}",
        runs=runs,
        numbers=numbers.numbers_table(runs),
        alarms=alarms,
        warnings=numbers.warnings_of(runs) + unshown + unclear,
        malformed=malformed,
        pictures=pictures,
        methods=[(one.label, one.methods) for one in runs if one.methods],
        parameters=_parameters(runs),
        versions=_versions(runs),
        refresh=config.refresh,
    )
    write_text(config.output, page.page_of(content, datetime.datetime.now()))
    run.summary(f"Report on {counted(len(runs), 'run')}: {config.output}", *(f"Alarm: {alarm}" for alarm in alarms))
    working = any(one.works for one in runs)
    return ReportOutputs(page=config.output, runs=len(runs), alarms=alarms, malformed=malformed, working=working)


def _check(config: ReportConfig) -> None:
    folder, flag = config.project or config.folder or "", "--project" if config.project else "--folder"
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"The folder {folder} ({flag}) does not exist.")
    if config.project and not os.path.isfile(os.path.join(folder, "project.sqlite")):
        raise ValueError(
            f"{folder} (--project) has no project.sqlite and is not a Scipion project. For results of the command "
            "line, use --folder."
        )
    if os.path.exists(config.output):
        with open(config.output, "rb") as file:
            if page.MARK.encode() not in file.read(256):
                raise FileExistsError(
                    f"{config.output} (--output) is not a report and is not replaced. Choose another name."
                )
    Path(config.output).absolute().parent.mkdir(parents=True, exist_ok=True)


def _parameters(runs: list[FoundRun]) -> list[tuple[str, str]]:
    asked = [(run.label, [one.config for one in run.results if one.config is not None]) for run in runs]
    return [(label, _listed(configs[-1])) for label, configs in asked if configs]


def _listed(config: Config) -> str:
    values = {
        name: [*value[:LONGEST_LIST], f"... {len(value)} in all"]
        if isinstance(value, (list, tuple)) and len(value) > LONGEST_LIST
        else value
        for name, value in config_to_dict(config).items()
    }
    return json.dumps(values, indent=1, ensure_ascii=False, default=str)


def _versions(runs: list[FoundRun]) -> dict[str, str]:
    told = lists_by_key(pair for run in runs for one in run.results for pair in one.result.versions.items())
    return {str(name): ", ".join(dict.fromkeys(map(str, versions))) for name, versions in told.items()}
