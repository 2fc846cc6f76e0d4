# SPDX-License-Identifier: GPL-3.0-or-later
"""What is searched for orientations, and how fine."""

import dataclasses

import numpy as np

# Å: finer detail of a single particle tells nothing in a search, and next to nothing later
FINEST_SEARCH, FINEST = 12.0, 7.0
# of the arc between neighbouring directions at the particle's edge: detail that the search compares. Finer is no better
# (SNR 0.02: 62 % of particles right at 1.2, 76 % at 0.85, 76 % at 0.6), and slower.
DETAIL = 0.85


@dataclasses.dataclass(frozen=True)
class Settings:
    """angular_step: degrees. max_shift: Å. resolution: Å, finest detail that may be used. diameter: Å, of the
    structure. symmetry: point group. refine: also refine locally."""

    angular_step: float
    max_shift: float
    resolution: float
    diameter: float
    symmetry: str = "C1"
    refine: bool = True

    def search_resolution(self):
        return max(DETAIL * self.diameter * np.radians(self.angular_step), self.resolution, FINEST_SEARCH)

    def fine_resolution(self):
        return max(self.search_resolution() / 2, self.resolution, FINEST)
