# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures about scores and rounds of picking."""
import numpy as np

from .calibration import expected_calibration_error, reliability
from .io.files import whole_file


def plot_reliability(hit, scores, path, bins=10):
    """The reliability curve of scores as a PNG: share of particles over score, and how many places have each score.

    hit: (n,) bool. scores: (n,) in [0, 1]. Raises ValueError as calibration.reliability.
    """
    curve, error = reliability(hit, scores, bins), expected_calibration_error(hit, scores, bins)
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(4.2, 4), layout="constrained")
    some = curve.count > 0
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="perfect")
    axes.plot(curve.confidence[some], curve.frequency[some], marker="o", label=f"calibration error {error:.3f}")
    share = curve.count / max(curve.count.sum(), 1)
    axes.bar((np.arange(bins) + 0.5) / bins, share, width=0.9 / bins, color="0.85", zorder=0, label="share of places")
    axes.set(xlabel="score", ylabel="share that are particles", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
    _save(figure, path)


def _save(figure, path):
    from matplotlib import pyplot
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=100)
    pyplot.close(figure)
