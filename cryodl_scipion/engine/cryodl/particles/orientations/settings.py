# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of an orientation search: range and fineness."""

import dataclasses

import numpy as np

# Å: finer detail of a single particle tells nothing in a search, and next to nothing later
FINEST_SEARCH, FINEST = 12.0, 7.0
# of the arc between neighbouring directions at the particle's edge: detail that the search compares. Particles right at
# SNR 0.02: 4ZXB 58 % at 0.85, 64 % at 0.65 (80 particles), 9BE6 52 % at 13.1 Å, 57 % at 12 Å (100); finer is slower.
DETAIL = 0.65


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """angular_step: degrees. max_shift: Å. resolution: Å, finest detail that may be used. diameter: Å, of the
    structure. symmetry: point group. refine: also refine locally."""

    angular_step: float
    max_shift: float
    resolution: float
    diameter: float
    symmetry: str = "C1"
    refine: bool = True

    def search_resolution(self) -> float:
        """Å of the finest detail that the search compares."""
        return max(DETAIL * self.diameter * np.radians(self.angular_step), self.resolution, FINEST_SEARCH)

    def fine_resolution(self) -> float:
        """Å of the finest detail that the refinement compares."""
        return max(self.search_resolution() / 2, self.resolution, FINEST)
