# SPDX-License-Identifier: GPL-3.0-or-later
"""The particles in two halves, each with maps of its own from random orientations, and what they agree on."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from ...io import files, particle_sets
from ...likelihood.observed import Observed
from ...reconstruction.views import views_of
from ...running.runner import Run
from .alignment import Judgement, align
from .climb import FINEST, FULL, STEPS, Climb, Found, second_map_gain

STARTS = 2  # in each half


@dataclasses.dataclass(frozen=True)
class InHalves:
    """particles: all that are used. halves: (n,) 1 or 2. observed: of all. diameter: px, of the sphere."""

    particles: particle_sets.ParticleSet
    halves: np.ndarray
    observed: Observed
    diameter: float

    def climb(self, half: int, seed: object) -> Climb:
        """A start on one of the halves."""
        return Climb(self.observed[np.nonzero(self.halves == half)[0]], self.diameter, seed)


def started_maps(both: InHalves, folder: Path, run: Run) -> dict[int, list[Found]]:
    """Maps from random orientations, {half: of each start}."""
    folder.mkdir(exist_ok=True)
    found: dict[int, list[Found]] = {1: [], 2: []}
    with run.progress(2 * STARTS * (STEPS + len(FULL)), "step") as bar:
        for half in (1, 2):
            for start in range(STARTS):
                kept = folder / f"{half}_{start}.npz"
                if kept.exists():
                    arrays: dict[str, np.ndarray] = files.read_kept(kept)
                    one = Found(**{name: torch.from_numpy(value).to(run.device) for name, value in arrays.items()})
                    bar.update(STEPS + len(FULL))
                else:
                    one = both.climb(half, (run.seed, half, start)).run(bar.update)
                    with files.whole_file(kept) as temporary:
                        np.savez(temporary, **{name: value.cpu().numpy() for name, value in vars(one).items()})
                found[half].append(one)
    return found


def judged_maps(both: InHalves, starts: dict[int, list[Found]]) -> tuple[dict[int, Found], Judgement]:
    """The best map of each half, the second one on the first and both finished there, and the judgement."""
    best = {half: max(found, key=lambda one: float(one.evidence.mean())) for half, found in starts.items()}
    radius = FULL[0] / both.diameter * both.observed.disc.box
    others = [align(best[1].density, one.density, radius) for half in (1, 2) for one in starts[half]]
    second = others[len(starts[1]) + next(k for k, one in enumerate(starts[2]) if one is best[2])]
    densities = {1: best[1].density, 2: second.density}
    found = {half: both.climb(half, 0).finish(densities[half], (FULL[-1], FINEST)) for half in (1, 2)}
    evidence = torch.cat([found[half].evidence for half in (1, 2)])
    return found, Judgement(
        agreement=round(second.correlation, 4),
        starts=[round(one.correlation, 4) for one in others],
        evidence=round(float(evidence.mean()), 3),
        empty=round(float((evidence < 0).float().mean()), 4),
        views=views_of(torch.cat([found[half].matrices for half in (1, 2)]).cpu().numpy(), "C1"),
    )


def gain_of_second(both: InHalves, found: dict[int, Found], run: Run) -> float:
    """What a second map would gain."""
    one, other = (both.observed[np.nonzero(both.halves == half)[0]] for half in (1, 2))
    with run.progress(STEPS + len(FULL), "step", title="second map") as bar:
        gain = second_map_gain(one, other, found[1].density, both.diameter, (run.seed, 3), bar.update)
    return round(gain, 3)
