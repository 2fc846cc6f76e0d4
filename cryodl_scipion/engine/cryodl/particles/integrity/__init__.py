# SPDX-License-Identifier: GPL-3.0-or-later
"""Probability of each composition of a complex, for each particle."""
