# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of the ranking of structures."""

from typing import Any, Dict, List, Optional

from ...convert.reading import readCsv
from ...protocols import CryodlProtIdentify
from ..panels_viewer import PanelsViewer, panel
from ..pictures_window import PicturesWindow

TITLES = ("Structure", "q", "Share (%)", "from", "to", "Explained (%)", "Evidence", "Evidence, coarse", "Decoys")
_DRAWN = 20  # structures

Rows = List[Dict[str, str]]


class CryodlIdentifyViewer(
    PanelsViewer,
    targets=[CryodlProtIdentify],
    section="Ranking",
    wait="There is no ranking yet. Wait until the run has finished.",
):
    """What `Analyze results` opens for an identification."""

    def _data(self) -> Optional[Rows]:
        return readCsv(self.protocol.getRanking()) or None

    @panel(
        "Ranking",
        "q: probability that the structure is only a look-alike. Share: fraction of the particles that show it, with "
        "its 90 % interval. Explained: evidence, compared with that of simulated particles of the structure.",
    )
    def showRanking(self, rows: Rows) -> Any:
        found, lines = bool(self.protocol._made().found), [line.replace("*", "") for line in self.protocol._summary()]
        return self.window(PicturesWindow, self.title("Identified"), {}, lines, found, (TITLES, rankingRows(rows)))

    @panel(
        "Evidence and decoys",
        "Evidence of a particle for each structure, in coarse detail, beside that for decoys of the same mass and "
        "power spectrum. The structure of the particles stands out; a chance fit does not.",
    )
    def showEvidence(self, rows: Rows) -> Any:
        return self.plot("Evidence", lambda figure: drawEvidence(figure.add_subplot(), rows[:_DRAWN]), (9, 6))


def rankingRows(rows: Rows) -> List[List[str]]:
    """Rows of the ranking as the window shows them, in TITLES' order; blank where nothing was measured."""
    per_cent = lambda text: f"{100 * float(text):.0f}"
    return [
        [
            row["structure"],
            row["q"],
            *(per_cent(row[name]) for name in ("share", "share_low", "share_high")),
            per_cent(row["explained"]) if row["decoys"] else "",
            *(row[name] for name in ("evidence", "coarse_evidence", "decoys")),
        ]
        for row in rows
    ]


def drawEvidence(axes: Any, rows: Rows) -> None:
    """Bars of the coarse evidence, the best on top; a line where the decoys of a structure are."""
    places = range(len(rows))
    axes.barh(places, [float(row["coarse_evidence"]) for row in rows], color="#4c78a8")
    for place, row in zip(places, rows):
        if row["decoys"]:
            axes.plot([float(row["decoys"])] * 2, [place - 0.4, place + 0.4], color="#e45756", linewidth=3)
    axes.set_yticks(list(places))
    axes.set_yticklabels([row["structure"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("Logarithmic evidence of a particle; red: median of the decoys")
