# SPDX-License-Identifier: GPL-3.0-or-later
"""A first map of particles whose molecule is not known, and whether it may be believed."""
