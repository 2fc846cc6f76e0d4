# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking and correcting picks by hand: files, what the window does, and the window."""
