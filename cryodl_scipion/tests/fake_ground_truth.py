# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake engine simulates of tomograms and finds in subtomograms; it and the tests know it from here."""

SHAPE = (12, 24, 20)  # z, y, x of simulated tomograms


def positionsOf(number):
    """[(x, y, z, rot, tilt, psi)] of the particles in simulated tomogram `number`; never symmetric."""
    return [
        (3.25 + 4 * i, 5.5 + number + 3 * i, 2.0 + 1.5 * i, 10.0 + 40 * i, 20.0 + 25 * i, -50.0 + 30 * i)
        for i in range(3)
    ]


def poseOf(row):
    """(rot, tilt, psi, origin x, y, z) in degrees and Å of the subtomogram in row i of a file."""
    return 10.0 + row, 20.0 + row, -30.0 + row, 1.5, -0.5 * row, 2.0


def classOf(row, classes):
    """1 + row % classes, but every fifth is unknown to the classifier."""
    return 0 if row % 5 == 4 else 1 + row % classes
