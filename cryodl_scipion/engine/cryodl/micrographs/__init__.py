# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs: picking, assessment, comparison of picks, denoising."""
