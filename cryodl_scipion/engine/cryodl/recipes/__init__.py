# SPDX-License-Identifier: GPL-3.0-or-later
"""What crosses wings: recipes use the wings, and nothing but the command line uses them."""
