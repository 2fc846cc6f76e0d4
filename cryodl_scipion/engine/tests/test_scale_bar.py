# SPDX-License-Identifier: GPL-3.0-or-later
"""The scale bar of pictures."""

import pytest
from matplotlib.figure import Figure

from cryodl.io.plots import scale_bar


@pytest.mark.parametrize("seen", [(0, 1000), (900, 1000)])
def test_the_bar_lies_in_the_part_that_is_seen(seen):
    axes = Figure().add_subplot()
    axes.set_xlim(*seen)
    axes.set_ylim(1000, 0)
    scale_bar(axes, 2.0)
    (left, right), text = axes.lines[0].get_xdata(), axes.texts[0]
    assert seen[0] < left < right < seen[1]
    assert (text.get_position()[0], text.get_ha()) == (right, "right")  # one wider than its bar left the picture
    assert text.get_text() == f"{2 * (right - left):g} Å"
