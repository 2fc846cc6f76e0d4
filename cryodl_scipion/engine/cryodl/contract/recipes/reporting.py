# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that writes one page about a project."""

import dataclasses
import typing

from ..fields import output_file_field
from ..outputs import Outputs, output
from ..params import param


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """Write one HTML page on where a project stands: numbers, micrographs with picks, classes, FSC, alarms, methods."""

    output: str = output_file_field(
        "HTML file that contains all pictures. An existing report is replaced, another file is not."
    )
    project: typing.Optional[str] = param(
        "Folder of a Scipion project. Its runs are read, and nothing is written there.",
        default=None,
        label="Scipion project",
        path="folder",
        none_means="--folder is given",
    )
    folder: typing.Optional[str] = param(
        "Folder of results of the command line: every file in it, and in the folders below, whose name ends in "
        "result.json (each command writes one with --result).",
        default=None,
        label="Folder",
        path="folder",
        none_means="--project is given",
    )
    words: typing.Optional[str] = param(
        "JSON file with what Scipion says of its runs: {name of the run's folder: {label, summary, methods}}, the last "
        "two lists of texts.",
        default=None,
        label="Words",
        path="file",
        none_means="none",
        expert=True,
    )
    own: str = param(
        "Name of the folder of a run that the page leaves out: the one that writes it.",
        default="",
        label="Own run",
        expert=True,
    )
    micrographs: int = param(
        "Number of the latest micrographs that are shown with their picks.",
        default=6,
        label="Micrographs shown",
        minimum=0,
        maximum=50,
    )
    refresh: int = param(
        "The browser reloads the page at this interval while a run is active. 0: never.",
        default=60,
        label="Refresh",
        unit="s",
        minimum=0,
        maximum=86400,
        expert=True,
    )

    def check_together(self) -> typing.List[str]:
        """Sentences about values that do not fit each other."""
        problems = []
        if (self.project is None) == (self.folder is None):
            problems.append("Give either the folder of a Scipion project (--project) or one of results (--folder).")
        if not self.output.lower().endswith((".html", ".htm")):
            problems.append(f"Output (--output) is {self.output}; it must end in .html.")
        return problems


@dataclasses.dataclass(frozen=True, eq=False)
class ReportOutputs(Outputs):
    """What `report` wrote."""

    page: str = output("The HTML file.", path="file", becomes="outputReport: String")
    runs: int = output("Runs on the page.")
    alarms: typing.List[str] = output("Problems to look at.")
    malformed: typing.List[str] = output("Results that could not be read, each with the reason.")
    working: bool = output("Whether a run of Scipion's still works or waits.")
