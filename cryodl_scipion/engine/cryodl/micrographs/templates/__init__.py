# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking by templates: projections of a structure, or round blobs, compared with the micrographs at every position."""
