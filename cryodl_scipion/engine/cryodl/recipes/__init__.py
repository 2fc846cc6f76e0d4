# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes cross wings: they use the wings, and only the command line uses them."""
