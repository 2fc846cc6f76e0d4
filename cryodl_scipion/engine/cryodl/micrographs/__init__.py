# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs: picking, CTF, denoising, assessment, extraction."""
