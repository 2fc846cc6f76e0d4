# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that writes a report page of a project."""

import typing

from .. import fields
from ..command import Command, Config, Outputs, found, output, param


class ReportConfig(Config):
    """Write an HTML report of a project: statistics, micrographs with picks, classes, FSC, warnings, methods."""

    output: str = fields.output_file(
        "HTML file to write, with all pictures embedded. An existing report is replaced; any other file is not."
    )
    project: typing.Optional[str] = param(
        "Folder of a Scipion project. Its runs are read; nothing is written there.",
        None,
        label="Scipion project",
        path="folder",
        none_means="--folder is given",
    )
    folder: typing.Optional[str] = param(
        "Folder with results of the command line. All files whose name ends in result.json are read, also in "
        "subfolders (each command writes one with --result).",
        None,
        path="folder",
        none_means="--project is given",
    )
    words: typing.Optional[str] = param(
        "JSON file with Scipion's texts about its runs: {name of the run's folder: {label, summary, methods}}; "
        "summary and methods are lists of strings.",
        None,
        path="file",
        none_means="none",
        expert=True,
    )
    own: str = param(
        "Name of a run's folder to leave out: the run that writes the report.", "", label="Own run", expert=True
    )
    micrographs: int = param(
        "Number of most recent micrographs to show with their picks.", 6, label="Micrographs shown", limits=(0, 50)
    )
    refresh: int = param(
        "The browser reloads the page at this interval while a run is active. 0: never.",
        60,
        "s",
        limits=(0, 86400),
        expert=True,
    )

    def check_together(self) -> typing.List[str]:
        return found(
            (
                (self.project is None) == (self.folder is None),
                "Give either the folder of a Scipion project (--project) or a folder of results (--folder).",
            ),
            (
                not self.output.lower().endswith((".html", ".htm")),
                f"Output (--output) is {self.output}; it must end in .html.",
            ),
        )


class ReportOutputs(Outputs):
    page: str = output("The HTML file.", path="file", becomes="outputReport: String")
    runs: int = output("Number of runs in the report.")
    alarms: typing.List[str] = output("Problems that need attention.")
    malformed: typing.List[str] = output("Results that could not be read, with the reason.")
    working: bool = output("Whether a run of the Scipion project is still running or waiting.")


COMMANDS = (
    Command(
        "report",
        ReportConfig,
        ReportOutputs,
        threads=False,
        example="cryodl report --folder results/ --output report.html\n"
        "For a Scipion project: cryodl report --project ScipionUserData/projects/mine --output "
        "report.html",
    ),
)
