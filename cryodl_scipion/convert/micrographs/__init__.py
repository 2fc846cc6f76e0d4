# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion of micrographs between Scipion's sets and the engine's files."""
