# SPDX-License-Identifier: GPL-3.0-or-later
"""Going through tomograms, slices, features and the tiles that are there."""

from __future__ import annotations

import typing

import numpy as np

from ...contract.annotations import NEGATIVE, POSITIVE, Tile, check_name
from .sheets import EMPTY, WITHOUT_IT, Sheet
from .slices import ShownSlices

if typing.TYPE_CHECKING:
    from ...io.tomograms import Tomogram
    from .store import AnnotationStore


class Browser(ShownSlices):
    """What there is of one annotator in an AnnotationStore. tomograms: list of (name, Tomogram, pixel size).

    active: the chosen Sheet, or None. message: one sentence about what happened last.
    """

    def __init__(
        self,
        store: AnnotationStore,
        tomograms: typing.Sequence[tuple[str, Tomogram, float]],
        feature: str,
        annotator: str,
    ) -> None:
        ShownSlices.__init__(self, tomograms)
        check_name(annotator, "annotator")
        self.store, self.annotator, self.message = store, annotator, ""
        self.active: Sheet | None = None
        self._named, self._sheets = list[str](), dict[tuple[str, str], list[Sheet]]()
        for name, tomogram, _ in tomograms:
            store.set_path(name, tomogram.path, tomogram.shape)
        self.choose_feature(feature)
        self.choose_tomogram(0)

    # ----- where one looks
    def choose_tomogram(self, number: int) -> None:
        """Show another tomogram: at its last tile of the feature, or in the middle."""
        self.number, self.active = number % len(self.tomograms), None
        sheets = self.sheets()
        self.z = self.shape[0] // 2
        if sheets:
            self.select(sheets[-1])

    def choose_slice(self, z: int) -> None:
        """Show another slice; a tile of the former one is left."""
        self.z = int(np.clip(z, 0, self.shape[0] - 1))
        if self.active is not None and self.active.z != self.z:
            self.active = None

    def choose_feature(self, name: str) -> None:
        """Go on with another feature, also a new one. Raises ValueError for a name that cannot be kept."""
        check_name(name)
        self.feature, self.active, self.message = name, None, f"Drawing {name}."
        if name not in self._named:
            self._named.append(name)

    @property
    def features(self) -> list[str]:
        """Names of all features, those without tiles last."""
        return list(dict.fromkeys(self.store.features + self._named))

    # ----- tiles
    def sheets(self) -> list[Sheet]:
        """Sheets of the tomogram and the feature, in all slices."""
        key = self.name, self.feature
        if key not in self._sheets:
            self._sheets[key] = [
                Sheet(t.centre_zyx, t.size, self.store.drawing(t), t.kind == NEGATIVE, t)
                for t in self.store.tiles(self.feature, self.annotator, self.name)
                if t.path
            ]
        return self._sheets[key]

    def sheets_here(self) -> list[Sheet]:
        """Sheets of the slice that is shown."""
        return [s for s in self.sheets() if s.z == self.z]

    def others_here(self) -> list[Tile]:
        """Tiles of other features in the slice."""
        return [
            t
            for t in self.store.tiles(annotator=self.annotator, tomogram=self.name)
            if t.feature != self.feature and t.path and t.centre_zyx[0] == self.z
        ]

    def counts(self) -> dict[str, tuple[int, ...]]:
        """{feature: (tiles with it, tiles without it)} of the annotator."""
        found = self.store.counts(self.annotator)
        return {f: tuple(found.get(f, {}).get(kind, 0) for kind in (POSITIVE, NEGATIVE)) for f in self.features}

    def select(self, sheet: Sheet) -> None:
        """Choose a sheet, and go to its slice."""
        self.z, self.active = sheet.z, sheet
        self.message = {
            EMPTY: "Draw the feature on this tile; the tile is saved with the first stroke.",
            WITHOUT_IT: "A tile without the feature.",
        }.get(sheet.state, "")

    def step_tile(self, step: int) -> None:
        """Go to the next or the previous tile of the tomogram."""
        sheets = sorted(self.sheets(), key=lambda s: s.centre_zyx)
        if not sheets:
            self.message = f"There is no tile of {self.feature} in {self.name}."
            return
        positions = [s.centre_zyx for s in sheets]
        here = self.active.centre_zyx if self.active else (self.z, -1, -1)
        after = [i for i, position in enumerate(positions) if (position > here if step > 0 else position < here)]
        self.select(sheets[(after[0] if step > 0 else after[-1]) if after else (0 if step > 0 else -1)])
