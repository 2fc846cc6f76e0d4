# SPDX-License-Identifier: GPL-3.0-or-later
"""2-D classification of single particles, and the choice of the good classes.

polar.py samples images on rings of Fourier space; records.py keeps those samples on the disk; averages.py holds the
class averages in parts, so that no particle is compared with an average that it is in, and makes the averages in the
end; matching.py compares, and grows the number of classes; classify.py gives the first sorting and is the loop;
results.py scores them."""
