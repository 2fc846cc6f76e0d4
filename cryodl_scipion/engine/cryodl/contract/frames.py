# SPDX-License-Identifier: GPL-3.0-or-later
"""The conventions of the project for axes, coordinates and units. All other modules follow this one.

Images. A micrograph is an array (h, w): row first. Row 0 is the first row of the MRC file's data; nothing is flipped on
reading MRC. A TIFF is read upside down, its last row first, as RELION does (measured with relion_preprocess 3.1.3), so
that coordinates refer to the same position there. A pixel's centre has whole-number coordinates: the first pixel's
centre is (0, 0), the image covers [-0.5, w - 0.5] x [-0.5, h - 0.5].

Coordinates. Inside the engine arrays of positions are named *_yx (row, column); files and sets hold x = column and
y = row, in pixels of the input micrograph: RELION's rlnCoordinateX, rlnCoordinateY and Scipion's Coordinate. Only
io/coordinates.py converts between the two. A box is given by its centre.

Resampling. An image resampled from (h, w) to (h2, w2) covers the same area, so position p of the input becomes (p +
0.5) * h2 / h - 0.5: `rescaled`. Picks on micrographs that another program binned in Fourier space, as RELION's, are
multiplied instead, as the first pixel's centre stays (convert/micrographs/picks.py).

Units. Pixel sizes are in Å/px and belong to the file in question, particle diameters are in Å, defocus in Å, voltage in
kV, angles in degrees (RELION's ZYZ: rot, tilt, psi). Pixel sizes come from the request (from Scipion's set), never
silently from a header.

Contrast. Protein is dark in micrographs from the microscope; networks see it bright (normalize.py inverts the sign);
particle stacks keep the contrast of their source.

Volumes. Tomograms and subtomograms are arrays (z, y, x); the beam runs along z, the tilt axis along y. Files and sets
hold x, y, z in px, counted from the first voxel as for micrographs. At tilt t the point (x, z) is projected to x cos t
+ z sin t, so that the image holds the Fourier coefficients with kz / kx = tan t. The Euler angles of a subtomogram are
those of its projection along z: the reference rotated by them and shifted by shifts_zyx matches the subtomogram. In
label volumes 0 is background and 255 is not annotated.

Pictures. Slices of tomograms, subtomograms and maps are drawn with their first row at the bottom, as IMOD's 3dmod shows
them: x to the right and y up, so that z comes out of the screen and the hand is right. Micrographs and particles are
drawn with their first row on top, as RELION and Scipion's pickers show them."""

import typing

Of = typing.TypeVar("Of")


def rescaled(position: Of, scale: typing.Any) -> Of:
    """Positions in pixels of another grid over the same area. position: array or tensor, whole numbers are pixel
    centres. scale: or one for each axis, new pixels per pixel. Returns px of the other grid."""
    value: typing.Any = position
    result: Of = (value + 0.5) * scale - 0.5
    return result
