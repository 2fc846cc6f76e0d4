# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps and atomic models: improvement, measures, comparison."""
