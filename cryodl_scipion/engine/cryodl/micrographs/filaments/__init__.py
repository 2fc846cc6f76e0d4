# SPDX-License-Identifier: GPL-3.0-or-later
"""Filaments in micrographs: a network that paints their centre lines, and the tracing of these lines."""
