# SPDX-License-Identifier: GPL-3.0-or-later
"""Subtomograms compared, aligned, averaged and grouped by what was measured of each."""
