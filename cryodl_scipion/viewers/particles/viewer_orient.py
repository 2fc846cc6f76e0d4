# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of oriented particles and of compositions."""

from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ...convert import reading, relion_star
from ...protocols import CryodlProtAssignOrientations, CryodlProtIdentify, CryodlProtInitialMap, CryodlProtIntegrity
from ..gallery_window import SCORES, Gallery, shortNumber
from ..maps.viewer_map import VIEWS, CryodlBackProjectViewer, drawViews
from ..panels_viewer import PanelsViewer, panel
from ..plots import Figure, drawFscOfMap, label
from ..window import PicturesWindow


def scoresOf(*paths: str) -> Dict[str, Any]:
    """{label: (n,) numbers} of oriented particles, those that all files have."""
    present = set.intersection(*(set(relion_star.columnsOf(path, "particles")) for path in paths))
    columns = tuple(name for name in SCORES if name in present)
    read = [
        row for path in paths for row in relion_star.iterColumns(path, columns, (float,) * len(columns), "particles")
    ]
    return dict(zip([SCORES[name] for name in columns], np.array(read).reshape(-1, len(columns)).T))


def probabilitiesOf(path: str, count: int) -> Any:
    """(n, count) probabilities of the compositions, from the STAR file of `cryodl assess-integrity`."""
    columns = tuple(f"cryodlProbability{number}" for number in range(1, count + 1))
    return np.array(list(relion_star.iterColumns(path, columns, (float,) * count, "particles"))).reshape(-1, count)


_BLUE, _RED = "#4477aa", "#cc6677"


def drawDistributions(figure: Figure, columns: Any) -> None:
    for axes, (words, values) in zip(figure.subplots(1, max(1, len(columns)), squeeze=False)[0], columns.items()):
        known = np.asarray(values, float)[np.isfinite(values)]
        if len(known):
            # values that are all but equal would have an axis that nobody can read
            half = max(np.ptp(known), 1e-3 * abs(known.max()), 1e-9) / 1.999  # rounded, the lowest must be in it
            middle = (known.min() + known.max()) / 2
            shown = (0, 1) if words.startswith("Probability") else (middle - half, middle + half)
            axes.hist(known, bins=40, range=shown, color=_BLUE)
            axes.axvline(np.median(known), color=_RED, linestyle="--", label=f"median {shortNumber(np.median(known))}")
        label(axes, words, "Particles")


def drawProbabilities(figure: Figure, probabilities: Any, names: Sequence[str], counts: Dict[str, int]) -> None:
    """How sure each particle's composition is, and how many have which.

    probabilities: (n, k). names: of the k compositions. counts: {name: particles of which it is the likeliest}."""
    *panels, numbers = figure.subplots(1, len(names) + 1)
    for axes, name, values in zip(panels, names, np.transpose(probabilities)):
        axes.hist(values, bins=np.linspace(0, 1, 26), color=_BLUE)
        axes.set(xlabel=f"Probability of {name}", ylabel="Particles")
    numbers.bar_label(numbers.bar(range(len(names)), [counts.get(name, 0) for name in names], color=_RED))
    numbers.set_xticks(range(len(names)), names, rotation=20, ha="right")
    numbers.set_ylabel("Particles, by most probable composition")
    numbers.margins(y=0.15)


class CryodlOrientationsViewer(
    PanelsViewer, targets=[CryodlProtAssignOrientations], section="Orientations", wait="There are no orientations"
):
    def _data(self) -> Any:
        return [result.outputs for result in self.protocol._engineResults()] or None

    @panel("Distribution of the directions", VIEWS)
    def showDirections(self, batches: Any) -> Any:
        return self.plot("Directions", lambda figure: drawViews(figure, batches), (9, 5))

    @panel(
        "Scores and margins",
        "Score: how well the best orientation fits. Margin: its advantage over the best distant orientation. With a "
        "small margin, the other orientation is almost as likely.",
    )
    def showScores(self, batches: Any) -> Any:
        scores = scoresOf(*(batch.particles for batch in batches))
        return self.plot("Scores", lambda figure: drawDistributions(figure, scores), (12, 4.4))

    @panel("Particles, sorted by score", "The raw particles, best first or in another order.")
    def showParticles(self, batches: Any) -> Any:
        return sortedGallery(self)


class CryodlInitialMapViewer(
    PanelsViewer, targets=[CryodlProtInitialMap], section="Initial map", wait="There is no map"
):
    def _data(self) -> Any:
        made = self.protocol._made()
        if made is not None and not made.determined:
            raise ValueError("No map was determined, because " + "; ".join(made.reasons) + ".")
        return made

    showSlices = CryodlBackProjectViewer.showSlices

    @panel("FSC of the half-maps", "Fourier shell correlation of the maps of the two halves, which started apart.")
    def showFsc(self, made: Any) -> Any:
        return self.plot("FSC", lambda figure: drawFscOfMap(figure.add_subplot(), made))

    @panel("Distribution of the directions", VIEWS)
    def showDirections(self, made: Any) -> Any:
        return self.plot("Directions", lambda figure: drawViews(figure, [made]), (9, 5))

    showByDirection = CryodlBackProjectViewer.showByDirection
    showInChimera = CryodlBackProjectViewer.showInChimera


class CryodlIntegrityViewer(
    PanelsViewer, targets=[CryodlProtIntegrity], section="Compositions", wait="There are no probabilities", data="_made"
):
    @panel(
        "Probabilities and numbers",
        "Distribution of the probabilities; no particle is counted where the compositions cannot be told apart.",
    )
    def showProbabilities(self, made: Any) -> Any:
        told = probabilitiesOf(made.particles, len(made.names)), made.names, made.counts
        return self.plot("Compositions", lambda figure: drawProbabilities(figure, *told), (12, 4.4))

    @panel(
        "Particles of each composition",
        "The raw particles sorted by the probability of a composition: all, or those of one composition.",
    )
    def showParticles(self, made: Any) -> Any:
        return sortedGallery(self, made.names)


def sortedGallery(viewer: PanelsViewer, groupNames: Sequence[str] = ()) -> Any:
    particles = viewer.needed(getattr(viewer.protocol, "outputParticles", None))
    gallery = Gallery.ofSet(particles, groupNames)
    return viewer.gallery(gallery, viewer.protocol.getRunName(), particles, next(iter(gallery.metrics), None))


TITLES = ("Structure", "q", "Share (%)", "from", "to", "Explained (%)", "Evidence", "Evidence, coarse", "Decoys")

Rows = List[Dict[str, str]]


class CryodlIdentifyViewer(PanelsViewer, targets=[CryodlProtIdentify], section="Ranking", wait="There is no ranking"):
    def _data(self) -> Optional[Rows]:
        return reading.readCsv(self.protocol.getRanking()) or None

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
        return self.plot("Evidence", lambda figure: drawEvidence(figure.add_subplot(), rows[:20]), (9, 6))


def rankingRows(rows: Rows) -> List[List[str]]:
    """Rows of the ranking as the window shows them, in TITLES' order; blank where nothing was measured."""
    per_cent = lambda row, *names: [f"{100 * float(row[name]):.0f}" if row[name] else "" for name in names]
    return [
        [
            row["structure"],
            row["q"],
            *per_cent(row, "share", "share_low", "share_high"),
            *(per_cent(row, "explained") if row["decoys"] else [""]),
            *(row[name] for name in ("evidence", "coarse_evidence", "decoys")),
        ]
        for row in rows
    ]


def drawEvidence(axes: Any, rows: Rows) -> None:
    places = range(len(rows))
    axes.barh(places, [float(row["coarse_evidence"]) for row in rows], color="#4c78a8")
    for place, row in zip(places, rows):
        if row["decoys"]:
            axes.plot([float(row["decoys"])] * 2, [place - 0.4, place + 0.4], color="#e45756", linewidth=3)
    axes.set_yticks(list(places), [row["structure"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("Logarithmic evidence of a particle; red: median of the decoys")
