# SPDX-License-Identifier: GPL-3.0-or-later
"""Template matching: a structure in all orientations, compared with every place of a tomogram."""
