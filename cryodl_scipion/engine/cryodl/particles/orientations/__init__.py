# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations of particles by comparison with a structure."""
