# SPDX-License-Identifier: GPL-3.0-or-later
"""The likelihood of an image given a structure: data, reference, search, refinement, modes."""
