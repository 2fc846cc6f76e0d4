# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that belong together by their names, and in sorted order where names do not say it."""

import pytest

from cryodl.io.files import pair_by_name


def paired(names, others):
    return pair_by_name(names, others, ("tomograms", "--tomograms"), ("label volumes", "--labels"))


@pytest.mark.parametrize(
    "names, others, positions, words",
    [
        (("b", "a"), ("b_labels", "a_labels"), [0, 1], ""),
        (("b",), ("other",), [0], ""),
        (("r_1", "r_10", "r_2"), ("s_01", "s_02", "s_10"), [0, 2, 1], "r_2 with s_02, r_10 with s_10."),
        (("a", "walls"), ("membranes", "a_x"), [1, 0], "sorted order: walls with membranes."),
        (("ts_2", "ts_1_rec"), ("ts_1_seg", "ts_2_seg"), [1, 0], "sorted order: ts_1_rec with ts_1_seg."),
    ],
)
def test_names_that_are_like_none_are_paired_in_sorted_order_and_said(names, others, positions, words):
    found, warning = paired(names, others)
    assert found == positions and words in warning and bool(words) == bool(warning)


@pytest.mark.parametrize(
    "names, others",
    [
        (("a", "walls"), ("a_x", "a_y")),  # both are like the first
        (("a", "walls"), ("z_a", "membranes")),  # sorted, a would lie beside membranes
        (("tomo_1", "tomo_3"), ("tomo_1", "tomo_2")),
        (("tomo_1_bin4", "tomo_3_bin4"), ("tomo_1_bin4_labels", "tomo_2_bin4_labels")),
        (("b", "a"), ("y", "z")),  # nothing says which belongs to which
        (("tomo_1", "tomo_2"), ("w", "x")),
        (("TS_01", "TS_03"), ("Position_1", "Position_2")),
    ],
)
def test_names_that_contradict_the_sorted_order_are_refused(names, others):
    with pytest.raises(ValueError, match="(Only some|No) names of the tomograms .--tomograms. .* match. Left over: "):
        paired(names, others)


def test_thousands_of_names_are_paired_at_once():
    """Every name was once compared with every other: a thousand took two minutes."""
    names = [f"grid_{number}_frames" for number in range(3000)]
    assert paired(names, [f"{name}_EVN" for name in reversed(names)]) == (list(range(3000))[::-1], "")
